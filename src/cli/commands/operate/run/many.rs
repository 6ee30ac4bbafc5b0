//! `run --last`: runs a handler on its newest events and compares the results with the stored attempts.
//!
//! This is a regression test of a new handler version against real traffic. It compares the exit, the result (status and
//! note) and stdout, but not stderr, which is for logs. Nothing runs without `--yes`.

use std::fmt::Write as _;

use comfy_table::Cell;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::RunArgs;
use super::rehearsal::{Interrupt, Rehearsal, RehearsalContext};
use crate::cli::failure::Failure;
use crate::cli::output::list::print_json;
use crate::cli::output::progress::{self, Counter};
use crate::cli::output::table::{Rows, text};
use crate::cli::output::terminal::{count, remark};
use crate::inbox::reader::{Attempt, Event};
use crate::model::event::AttemptStatus;
use crate::model::filter::{EventFilter, Page};
use crate::retry::{AttemptExit, RetryDecision};
use crate::runner::AttemptOutput;

/// Events per read.
const PAGE: u32 = 500;
/// Digits of a digest that the table shows.
const DIGEST_DIGITS: usize = 8;

/// The comparable part of an attempt's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ComparedAttempt {
    #[serde(rename = "ending")]
    status: &'static str,
    exit_code: Option<i64>,
    signal: Option<i64>,
    note: Option<String>,
    /// Digest of the stored part of stdout; `None` if it is no longer stored.
    stdout_sha256: Option<String>,
    stdout_bytes: i64,
}

#[derive(Debug, Serialize)]
struct Comparison<'a> {
    event_seq: i64,
    source: &'a str,
    event_id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    /// `None` if this handler never finished an attempt for this event.
    #[serde(rename = "ledger")]
    stored: Option<ComparedAttempt>,
    now: ComparedAttempt,
    /// Some of `exit`, `result` and `output`.
    differs: Vec<&'static str>,
}

pub(crate) fn run(context: &RehearsalContext<'_>, args: &RunArgs, last: u32) -> Result<(), Failure> {
    let events = progress::spinner("searching", || newest_events(context, args, last))?;
    let name = &context.handler.name;
    let (Some(newest), Some(oldest)) = (events.first(), events.last()) else {
        return Err(Failure::failed(format!("there are no events that match `{name}` and the filters")));
    };
    if !args.yes {
        let how_many = count(events.len(), "event");
        return Err(Failure::usage(format!(
            "`{name}` would run again on {how_many}, from #{} to #{}; nothing was run",
            oldest.seq, newest.seq
        ))
        .hint("HOOKBOX_DRY_RUN=1 is set, but A HANDLER THAT IGNORES IT DEPLOYS AND CHARGES AGAIN")
        .hint("pass `--yes` to run it; the inbox does not change"));
    }
    let interrupt = Interrupt::listen()?;
    let mut counter = Counter::new(events.len());
    let mut rows = Vec::new();
    for (index, event) in events.iter().rev().enumerate() {
        // None if the event was pruned in the meantime.
        let Some(rehearsal) = context.prepare(event)? else { continue };
        let row = compare(event, rehearsal, &interrupt)?;
        if interrupt.is_set() {
            break;
        }
        rows.push(row);
        counter.set(index + 1);
    }
    drop(counter);
    print(&rows, args.json)?;
    conclude(&rows, events.len(), &interrupt)
}

/// Returns the newest events that match the handler and whose bodies are stored, newest first.
fn newest_events(context: &RehearsalContext<'_>, args: &RunArgs, last: u32) -> Result<Vec<Event>, Failure> {
    let filter = EventFilter { arrival: args.arrival.to_filter(), ..EventFilter::default() };
    let mut chosen = Vec::new();
    let mut before = None;
    loop {
        let page = Page { before, limit: PAGE, deadline: None };
        let events = context.file.reader().events(&filter, page)?.rows;
        before = events.last().map(|event| event.seq);
        let is_end = events.len() < PAGE as usize;
        for event in events {
            let has_body = |event: &Event| context.file.reader().body_start(event.seq, 0);
            if context.matches(&event)? && has_body(&event)?.is_some() {
                chosen.push(event);
            }
            if chosen.len() >= last as usize {
                return Ok(chosen);
            }
        }
        if is_end {
            return Ok(chosen);
        }
    }
}

fn compare<'a>(event: &'a Event, rehearsal: Rehearsal, interrupt: &Interrupt) -> Result<Comparison<'a>, Failure> {
    let attempts = rehearsal.stored.iter().flat_map(|stored| &stored.attempts);
    let (number, stored) =
        attempts.filter_map(|attempt| Some((attempt.number, from_stored(attempt)?))).next_back().unzip();
    let (output, decision) = rehearsal.numbered(number).run(interrupt, false)?;
    let now = from_output(&output, &decision);
    let differs = stored.as_ref().map(|stored| differences(stored, &now)).unwrap_or_default();
    let Event { seq, source, event_id, event_type, .. } = event;
    Ok(Comparison { event_seq: *seq, source, event_id, event_type, stored, now, differs })
}

/// Returns `None` unless the handler itself decided the result.
fn from_stored(attempt: &Attempt) -> Option<ComparedAttempt> {
    let status = attempt.status.filter(|status| {
        matches!(
            status,
            AttemptStatus::Succeeded
                | AttemptStatus::Failed
                | AttemptStatus::Timeout
                | AttemptStatus::Dead
                | AttemptStatus::Deferred
        )
    })?;
    let stdout = attempt.stdout.as_deref().or((attempt.stdout_bytes == 0).then_some(&b""[..]));
    Some(ComparedAttempt {
        status: status.as_str(),
        exit_code: attempt.exit_code,
        signal: attempt.signal,
        note: attempt.note.clone(),
        stdout_sha256: stdout.map(|stdout| hex::encode(Sha256::digest(stdout))),
        stdout_bytes: attempt.stdout_bytes,
    })
}

fn from_output(output: &AttemptOutput, decision: &RetryDecision) -> ComparedAttempt {
    let (exit_code, signal) = match output.exit {
        AttemptExit::Exited(code) => (Some(i64::from(code)), None),
        AttemptExit::Signaled(signal) => (None, Some(i64::from(signal))),
        _ => (None, None),
    };
    ComparedAttempt {
        status: decision.status.as_str(),
        exit_code,
        signal,
        note: output.note(),
        stdout_sha256: Some(hex::encode(Sha256::digest(&output.stdout.kept))),
        stdout_bytes: i64::try_from(output.stdout.total).unwrap_or(i64::MAX),
    }
}

fn differences(then: &ComparedAttempt, now: &ComparedAttempt) -> Vec<&'static str> {
    let is_other_output = then.stdout_bytes != now.stdout_bytes
        || then.stdout_sha256.is_some() && then.stdout_sha256 != now.stdout_sha256;
    let all = [
        ("exit", (then.exit_code, then.signal) != (now.exit_code, now.signal)),
        ("result", (then.status, &then.note) != (now.status, &now.note)),
        ("output", is_other_output),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(word, _)| word).collect()
}

fn print(rows: &[Comparison<'_>], json: bool) -> Result<(), Failure> {
    if json {
        return print_json(rows);
    }
    let mut table = Rows::new(&["SEQ", "TYPE", "EVENT ID", "STORED", "NOW", "DIFFERS"]).rigid(&["SEQ", "DIFFERS"]);
    for row in rows {
        table.add_cells([
            Cell::new(format!("#{}", row.event_seq)),
            text(row.event_type),
            text(row.event_id),
            text(&row.stored.as_ref().map_or("never finished".to_owned(), describe)),
            text(&describe(&row.now)),
            Cell::new(row.differs.join(", ")),
        ]);
    }
    table.print()
}

/// `succeeded, exit 0, 12 bytes (e3b0c442)`
fn describe(attempt: &ComparedAttempt) -> String {
    let mut line = attempt.status.to_owned();
    let written = match (attempt.exit_code, attempt.signal) {
        (Some(code), _) => write!(line, ", exit {code}"),
        (None, Some(signal)) => write!(line, ", signal {signal}"),
        (None, None) => Ok(()),
    };
    written.unwrap_or_default();
    if attempt.stdout_bytes > 0 {
        let bytes = count(usize::try_from(attempt.stdout_bytes).unwrap_or(usize::MAX), "byte");
        let digest = attempt
            .stdout_sha256
            .as_deref()
            .and_then(|digest| digest.get(..DIGEST_DIGITS))
            .unwrap_or("no longer stored");
        line.push_str(&format!(", {bytes} ({digest})"));
    }
    line
}

fn conclude(rows: &[Comparison<'_>], wanted: usize, interrupt: &Interrupt) -> Result<(), Failure> {
    let differing = rows.iter().filter(|row| !row.differs.is_empty()).count();
    if interrupt.is_set() {
        return Err(Failure::failed(format!("interrupted after {} of {}", rows.len(), count(wanted, "event"))));
    }
    if differing > 0 {
        return Err(Failure::failed(format!(
            "{differing} of {} would have a different result",
            count(rows.len(), "event")
        )));
    }
    remark(format!("{} would have the same result", count(rows.len(), "event")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let ran = ComparedAttempt {
            status: "succeeded",
            exit_code: Some(0),
            signal: None,
            note: None,
            stdout_sha256: Some("aa".into()),
            stdout_bytes: 2,
        };
        let other = |change: fn(&mut ComparedAttempt)| {
            let mut other = ran.clone();
            change(&mut other);
            differences(&ran, &other)
        };
        assert_eq!(other(|_| {}), Vec::<&str>::new());
        assert_eq!(other(|ran| (ran.exit_code, ran.status) = (Some(1), "failed")), ["exit", "result"]);
        assert_eq!(other(|ran| ran.note = Some("x".into())), ["result"]);
        assert_eq!(other(|ran| ran.stdout_sha256 = Some("bb".into())), ["output"]);
        assert_eq!(other(|ran| ran.stdout_bytes = 3), ["output"]);
        let forgotten = ComparedAttempt { stdout_sha256: None, ..ran.clone() };
        assert_eq!(differences(&forgotten, &ran), Vec::<&str>::new());
    }
}
