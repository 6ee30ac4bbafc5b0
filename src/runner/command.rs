//! Command mode: one process per attempt, with the body on stdin and more directives in a result file.

use rustix::process::Signal;

use super::attempt::{AttemptInput, AttemptOutput, AttemptPurpose};
use super::cancel::CancelToken;
use super::environment;
use super::process::pid_record;
use super::process::spawn::{Process, Stdin, spawn};
use super::process::supervise::{OutputOptions, ProcessResult, supervise};
use super::reply::ReplyParts;
use super::result_file::ResultFile;
use crate::config::ResourceLimits;
use crate::retry::{AttemptExit, HandlerDirectives};

pub(super) fn run(attempt: &AttemptInput, cancel: &CancelToken) -> AttemptOutput {
    let (process, result_file) = match start(attempt) {
        Ok(started) => started,
        Err(exit) => return AttemptOutput::without_output(exit),
    };
    let handler = &attempt.handler;
    let options = OutputOptions {
        collects_stdout: handler.respond.is_some(),
        is_shown: attempt.purpose == AttemptPurpose::Rehearsal { is_shown: true },
    };
    let mut result = supervise(process, handler.timeout, cancel, options);
    let (directives, mut problems) = result_file.take();
    let response = match result.whole_stdout.take() {
        Some(body) if result.exit == AttemptExit::Exited(0) && directives.dead.is_none() => {
            let content_type = directives.content_type.clone();
            ReplyParts { status: directives.status, content_type, body }.into_response(&mut problems)
        }
        None if directives.status.is_some() || directives.content_type.is_some() => {
            problems.push("result file: `status` and `content_type` count only with `respond = true`; ignored".into());
            None
        }
        _ => None,
    };
    let notes = notes(attempt, &mut result, &directives, problems);
    let ProcessResult { exit, stdout, stderr, .. } = result;
    AttemptOutput { directives, response, notes, stdout, stderr, ..AttemptOutput::without_output(exit) }
}

fn start(attempt: &AttemptInput) -> Result<(Process<'_>, ResultFile), AttemptExit> {
    let job = (attempt.job_id, attempt.number);
    let identity = attempt.handler.process.run_as.as_ref();
    let result = ResultFile::new(&attempt.results, job, identity)
        .map_err(|error| AttemptExit::Starved(format!("no result file in {}: {error}", attempt.results.display())))?;
    let environment = environment::command_environment(attempt, result.path(), &|name| std::env::var_os(name));
    let before = pid_record::ticks();
    let process = spawn(&attempt.handler, &environment, Stdin::whole(&attempt.body))?;
    pid_record::record(&attempt.results, job, process.pid, before);
    Ok((process, result))
}

fn notes(
    attempt: &AttemptInput,
    result: &mut ProcessResult,
    directives: &HandlerDirectives,
    problems: Vec<String>,
) -> Vec<String> {
    let has_failed = matches!(result.exit, AttemptExit::Exited(code) if code != 0);
    let ignored = (directives.retry_after.is_some() && !has_failed)
        .then(|| "result file: `retry_after` counts only with an exit status other than 0; ignored".to_owned());
    let limit = limit_reached(&attempt.handler.process.limits, &result.exit);
    directives.note.clone().into_iter().chain(result.note.take()).chain(limit).chain(problems).chain(ignored).collect()
}

/// Guesses from the signal which of its limits the handler has reached.
pub(super) fn limit_reached(limits: &ResourceLimits, exit: &AttemptExit) -> Option<String> {
    let AttemptExit::Signaled(signal) = *exit else { return None };
    let is = |wanted: Signal| signal == wanted.as_raw();
    let crashes = [Signal::ABORT, Signal::SEGV, Signal::BUS, Signal::TRAP, Signal::ILL];
    match limits {
        ResourceLimits { cpu_time: Some(seconds), .. } if is(Signal::XCPU) => {
            Some(format!("it reached limits.cpu_time, {seconds} s"))
        }
        ResourceLimits { cpu_time: Some(seconds), .. } if is(Signal::KILL) => {
            Some(format!("not killed by hookbox; it may have reached limits.cpu_time, {seconds} s"))
        }
        ResourceLimits { memory: Some(bytes), .. } if crashes.into_iter().any(is) => {
            Some(format!("it may have reached limits.memory, {}", bytesize::ByteSize(*bytes)))
        }
        _ => None,
    }
}
