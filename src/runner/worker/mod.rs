//! One attempt with a worker: a copy of it is taken, gets the job as a line, and says in a line how it went.
//!
//! An attempt comes in, how it ended goes out. Promises: a copy that breaks the protocol, runs into the time limit or
//! is stopped gets no further job, and its whole group is gone; a copy that ended before it took the job costs the job
//! nothing; whoever ends without an answer has not succeeded.

mod line;
mod pool;
mod process;
mod reply;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cancel::CancelToken;
use super::reply::ReplyParts;
use super::{AttemptInput, CapturedOutput, KILL_GRACE, Run, limit_reached};
use crate::retry::AttemptExit;

pub(super) use pool::Pool;
use process::{Copied, Heard};
use reply::Answer;

/// What a worker's line says of the job that it was given, for whoever tries lines without a worker (`fuzz/`).
///
/// # Errors
/// What is wrong with the line.
pub fn parse_worker_reply(line: &[u8], job_id: i64) -> Result<AttemptExit, String> {
    reply::read(line, job_id).map(|answer| answer.exit)
}

/// Gives the job to a copy and waits for its answer.
pub(super) fn run(pool: &Arc<Pool>, attempt: &AttemptInput, cancel: &CancelToken) -> Run {
    let line = match line::job(attempt) {
        Ok(line) => line,
        Err(error) => return Run::without_output(AttemptExit::Starved(error.to_string())),
    };
    loop {
        let mut copy = match pool.take(cancel) {
            Ok(copy) => copy,
            Err(exit) => return Run::without_output(exit),
        };
        let deadline = Instant::now().checked_add(attempt.handler.timeout);
        match copy.ask(&line, deadline, cancel) {
            Heard::Line(line) => return answered(pool, copy, &line, attempt, cancel),
            // Every copy that is let go here had been idle: their number is finite.
            Heard::NotTaken(why) if copy.answered > 0 => {
                log::warn!("a worker of handler `{}` is let go: {why}", attempt.handler.name);
                pool.dismiss(copy);
            }
            heard => return ended(pool, copy, heard, attempt, cancel),
        }
    }
}

fn answered(pool: &Arc<Pool>, mut copy: Copied, line: &[u8], attempt: &AttemptInput, cancel: &CancelToken) -> Run {
    let Answer { exit, said, words } = match reply::read(line, attempt.job_id) {
        Ok(answer) => answer,
        Err(why) => {
            let mut run = ended(pool, copy, Heard::Wrong(why), attempt, cancel);
            run.stdout = whole(line, &run.stdout);
            return run;
        }
    };
    copy.answered += 1;
    let stderr = copy.take_stderr().finish();
    let mut notes: Vec<String> = said.note.iter().cloned().collect();
    if copy.is_out_of_step() {
        notes.push("it wrote more than one line, so it is replaced by a fresh one".to_owned());
    }
    if let AttemptExit::Failed(why) = &exit {
        notes.insert(0, why.clone());
    }
    pool.give(copy);
    let mut run = Run { stderr, said, notes, ..Run::without_output(exit) };
    if let Some(words) = words {
        respond(words, attempt, &mut run);
    }
    run
}

/// What the provider is to hear stands in the ledger as the attempt's stdout.
fn respond(words: ReplyParts, attempt: &AttemptInput, run: &mut Run) {
    match (attempt.handler.respond, &run.exit) {
        (None, _) => run.notes.push("`response` counts only with `respond = true`; ignored".to_owned()),
        (_, AttemptExit::Completed) => {
            let mut capture = super::output::Capture::default();
            capture.push(&words.body);
            run.stdout = capture.finish();
            run.response = words.sendable(&mut run.notes);
        }
        _ => run.notes.push("`response` counts only with `\"ok\":true`; ignored".to_owned()),
    }
}

/// Ends a copy that cannot go on.
fn ended(pool: &Pool, copy: Copied, heard: Heard, attempt: &AttemptInput, cancel: &CancelToken) -> Run {
    let has_answered = copy.answered > 0;
    // The system closes what a process has open a moment before it says that it has ended.
    let patience = if matches!(heard, Heard::AttemptOutput | Heard::NotTaken(_)) { KILL_GRACE } else { Duration::ZERO };
    let watched = copy.end(patience, cancel);
    pool.left(!matches!(heard, Heard::Cancelled));
    let limit = limit_reached(&attempt.handler.process.limits, &watched.exit);
    let exit = match (heard, watched.exit) {
        (_, exit @ (AttemptExit::Stopped | AttemptExit::Skipped)) => exit,
        (Heard::TimedOut, _) => AttemptExit::TimedOut,
        (Heard::Wrong(why), _) => AttemptExit::Failed(why),
        (Heard::NotTaken(_), exit) => {
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
    let why = match &exit {
        AttemptExit::Failed(why) => Some(why.clone()),
        AttemptExit::WorkerDied { .. } => Some(exit.to_string()),
        _ => None,
    };
    let notes = why.into_iter().chain(watched.note).chain(limit).collect();
    Run { notes, stdout: watched.stdout, stderr: watched.stderr, ..Run::without_output(exit) }
}

/// What was said before the rest was.
fn whole(first: &[u8], rest: &CapturedOutput) -> CapturedOutput {
    let mut capture = super::output::Capture::default();
    capture.push(first);
    capture.push(b"\n");
    capture.absorb(rest);
    capture.finish()
}
