//! Worker mode: long-running processes that get one job after the other as lines on stdin and answer on stdout.
//!
//! A process that breaks the protocol, reaches the time limit or is stopped gets no further job, and its process tree is
//! ended. A process that ended before it took the job costs the job nothing. An attempt without an answer never succeeds.

mod line;
mod pool;
mod process;
mod reply;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attempt::{AttemptInput, AttemptOutput, KILL_GRACE};
use super::cancel::CancelToken;
use super::command::limit_reached;
use super::output::{CapturedOutput, OutputCapture};
use super::reply::ReplyParts;
use crate::retry::AttemptExit;

pub(super) use pool::WorkerPool;
use process::{WorkerAnswer, WorkerProcess};
use reply::ParsedReply;

/// Parses a reply line, for `fuzz/`. The error says what is wrong with it.
pub fn parse_worker_reply(line: &[u8], job_id: i64) -> Result<AttemptExit, String> {
    reply::parse(line, job_id).map(|reply| reply.exit)
}

/// Gives the job to a worker process and waits for its answer.
pub(super) fn run(pool: &Arc<WorkerPool>, attempt: &AttemptInput, cancel: &CancelToken) -> AttemptOutput {
    let line = line::job(attempt);
    loop {
        let mut worker = match pool.take(cancel) {
            Ok(worker) => worker,
            Err(exit) => return AttemptOutput::without_output(exit),
        };
        let deadline = Instant::now().checked_add(attempt.handler.timeout);
        match worker.ask(line.as_bytes(), deadline, cancel) {
            WorkerAnswer::Line(line) => return finish(pool, worker, &line, attempt, cancel),
            // Ends, since every process dismissed here had been idle and their number is finite.
            WorkerAnswer::NotTaken(reason) if worker.answered > 0 => {
                log::warn!("worker process of handler `{}` replaced: {reason}", attempt.handler.name);
                pool.dismiss(worker);
            }
            answer => return abort(pool, worker, answer, attempt, cancel),
        }
    }
}

fn finish(
    pool: &Arc<WorkerPool>,
    mut worker: WorkerProcess,
    line: &[u8],
    attempt: &AttemptInput,
    cancel: &CancelToken,
) -> AttemptOutput {
    let ParsedReply { exit, directives, response } = match reply::parse(line, attempt.job_id) {
        Ok(reply) => reply,
        Err(reason) => {
            let mut output = abort(pool, worker, WorkerAnswer::Invalid(reason), attempt, cancel);
            output.stdout = with_line_before(line, &output.stdout);
            return output;
        }
    };
    worker.answered += 1;
    let stderr = worker.take_stderr().finish();
    let mut notes: Vec<String> = directives.note.iter().cloned().collect();
    if worker.has_unread_output() {
        notes.push("it wrote more than one line, so it is replaced".to_owned());
    }
    if let AttemptExit::Failed(reason) = &exit {
        notes.insert(0, reason.clone());
    }
    pool.give_back(worker);
    let mut output = AttemptOutput { stderr, directives, notes, ..AttemptOutput::without_output(exit) };
    if let Some(response) = response {
        respond(response, attempt, &mut output);
    }
    output
}

/// Sets the response and stores its body as the stdout of the attempt.
fn respond(parts: ReplyParts, attempt: &AttemptInput, output: &mut AttemptOutput) {
    match (attempt.handler.respond, &output.exit) {
        (None, _) => output.notes.push("`response` counts only with `respond = true`; ignored".to_owned()),
        (_, AttemptExit::Completed) => {
            let mut capture = OutputCapture::default();
            capture.push(&parts.body);
            output.stdout = capture.finish();
            output.response = parts.into_response(&mut output.notes);
        }
        _ => output.notes.push("`response` counts only with `\"ok\":true`; ignored".to_owned()),
    }
}

/// Ends a worker process that cannot continue.
fn abort(
    pool: &WorkerPool,
    worker: WorkerProcess,
    answer: WorkerAnswer,
    attempt: &AttemptInput,
    cancel: &CancelToken,
) -> AttemptOutput {
    let has_answered = worker.answered > 0;
    // The system closes the descriptors of a process shortly before it reports its end.
    let has_closed = matches!(answer, WorkerAnswer::Ended | WorkerAnswer::NotTaken(_));
    let result = worker.end(if has_closed { KILL_GRACE } else { Duration::ZERO }, cancel);
    pool.remove(!matches!(answer, WorkerAnswer::Cancelled));
    let limit = limit_reached(&attempt.handler.process.limits, &result.exit);
    let exit = match (answer, result.exit) {
        (_, exit @ (AttemptExit::Stopped | AttemptExit::Skipped)) => exit,
        (WorkerAnswer::TimedOut, _) => AttemptExit::TimedOut,
        (WorkerAnswer::Invalid(reason), _) => AttemptExit::Failed(reason),
        (WorkerAnswer::NotTaken(_), exit) => {
            let how = match exit {
                AttemptExit::Exited(_) | AttemptExit::Signaled(_) => exit.to_string(),
                _ => "it closed its stdin or stdout".to_owned(),
            };
            AttemptExit::NotExecutable(format!(
                "the worker ended before it took a job: {how}; hint: `hookbox events show` has what it wrote to stderr"
            ))
        }
        (_, AttemptExit::Exited(code)) => AttemptExit::WorkerDied { code: Some(code), signal: None, has_answered },
        (_, AttemptExit::Signaled(signal)) => {
            AttemptExit::WorkerDied { code: None, signal: Some(signal), has_answered }
        }
        (_, exit @ AttemptExit::NotExecutable(_)) => exit,
        _ => AttemptExit::Failed("the worker closed its stdin or stdout while it had a job".to_owned()),
    };
    let reason = match &exit {
        AttemptExit::Failed(reason) => Some(reason.clone()),
        AttemptExit::WorkerDied { .. } => Some(exit.to_string()),
        _ => None,
    };
    let notes = reason.into_iter().chain(result.note).chain(limit).collect();
    AttemptOutput { notes, stdout: result.stdout, stderr: result.stderr, ..AttemptOutput::without_output(exit) }
}

fn with_line_before(line: &[u8], rest: &CapturedOutput) -> CapturedOutput {
    let mut capture = OutputCapture::default();
    capture.push(line);
    capture.push(b"\n");
    capture.absorb(rest);
    capture.finish()
}
