//! `run --last`: a handler on the newest events that it takes, compared with what the ledger says.
//!
//! A regression test of a new version against real traffic. Compared are the exit, the result (the ending and the note) and
//! what was written to stdout; stderr is for logs, and is not. Nothing runs without `--yes`.

use std::fmt::Write as _;

use comfy_table::Cell;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::rehearsal::{Interrupt, Rehearsal, Stage};
use crate::cli::args::Arrival;
use crate::cli::failure::Failure;
use crate::cli::output::list::Array;
use crate::cli::output::progress::{self, Counter};
use crate::cli::output::table::{Rows, text};
use crate::cli::output::terminal::{count, remark};
use crate::inbox::reader::{Attempt, Event};
use crate::model::event::AttemptStatus;
use crate::model::filter::{EventFilter, Page};
use crate::retry::{AttemptExit, RetryDecision};
use crate::runner::AttemptOutput;

/// Events read at once.
const PAGE: u32 = 500;
/// Digits of a digest in the table.
const SHORT: usize = 8;

/// How an attempt ended, as far as it can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Ran {
    ending: &'static str,
    exit_code: Option<i64>,
    signal: Option<i64>,
    note: Option<String>,
    /// Of what is kept of stdout; `None` where it is no longer kept.
    stdout_sha256: Option<String>,
    stdout_bytes: i64,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    event_seq: i64,
    source: &'a str,
    event_id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    /// `None` where this handler has never finished with this event.
    ledger: Option<Ran>,
    now: Ran,
    /// Of `exit`, `result` and `output`.
    differs: Vec<&'static str>,
}

pub(crate) fn run(stage: &Stage<'_>, arrival: &Arrival, last: u32, (yes, json): (bool, bool)) -> Result<(), Failure> {
    let events = progress::waiting("searching", || choose(stage, arrival, last))?;
    let name = &stage.handler.name;
    let (Some(newest), Some(oldest)) = (events.first(), events.last()) else {
        return Err(Failure::failed(format!("there are no such events that `{name}` takes")));
    };
    if !yes {
        let how_many = count(events.len(), "event");
        return Err(Failure::usage(format!(
            "`{name}` would run again on {how_many}, from #{} to #{}; nothing has run",
            oldest.seq, newest.seq
        ))
        .hint("HOOKBOX_DRY_RUN=1 tells it to hold back: A HANDLER THAT IGNORES IT DEPLOYS AND CHARGES AGAIN")
        .hint("`--yes` runs it; nothing in the inbox changes"));
    }
    let interrupt = Interrupt::listen()?;
    let mut counter = Counter::new(events.len());
    let mut rows = Vec::new();
    for (index, event) in events.iter().rev().enumerate() {
        // Pruned since it was found: nothing is left to run on.
        let Some(rehearsal) = stage.prepare(event)? else { continue };
        let row = compare(event, rehearsal, &interrupt)?;
        if interrupt.was_asked() {
            break;
        }
        rows.push(row);
        counter.reach(index + 1);
    }
    drop(counter);
    tell(&rows, json)?;
    conclude(&rows, events.len(), &interrupt)
}

/// The newest events that the handler takes and whose bodies are kept, newest first.
fn choose(stage: &Stage<'_>, arrival: &Arrival, last: u32) -> Result<Vec<Event>, Failure> {
    let filter = EventFilter { arrival: arrival.to_filter(), ..EventFilter::default() };
    let mut chosen = Vec::new();
    let mut before = None;
    loop {
        let page = Page { before, limit: PAGE, deadline: None };
        let events = stage.file.reader().events(&filter, page)?.rows;
        before = events.last().map(|event| event.seq);
        let is_end = events.len() < PAGE as usize;
        for event in events {
            let has_body = |event: &Event| stage.file.reader().body_start(event.seq, 0);
            if stage.takes(&event)? && has_body(&event)?.is_some() {
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

fn compare<'a>(event: &'a Event, rehearsal: Rehearsal, interrupt: &Interrupt) -> Result<Row<'a>, Failure> {
    let attempts = rehearsal.ledger.iter().flat_map(|ledger| &ledger.attempts);
    let (number, ledger) =
        attempts.filter_map(|attempt| Some((attempt.number, ran_then(attempt)?))).next_back().unzip();
    let (ended, verdict) = rehearsal.numbered(number).run(interrupt, false)?;
    let now = ran_now(&ended, &verdict);
    let differs = ledger.as_ref().map(|ledger| differences(ledger, &now)).unwrap_or_default();
    let Event { seq, source, event_id, event_type, .. } = event;
    Ok(Row { event_seq: *seq, source, event_id, event_type, ledger, now, differs })
}

/// Only endings by the handler's own doing can be compared.
fn ran_then(attempt: &Attempt) -> Option<Ran> {
    let ending = attempt.status.filter(|ending| {
        matches!(
            ending,
            AttemptStatus::Succeeded
                | AttemptStatus::Failed
                | AttemptStatus::Timeout
                | AttemptStatus::Dead
                | AttemptStatus::Deferred
        )
    })?;
    let kept = attempt.stdout.as_deref().or((attempt.stdout_bytes == 0).then_some(&b""[..]));
    Some(Ran {
        ending: ending.as_str(),
        exit_code: attempt.exit_code,
        signal: attempt.signal,
        note: attempt.note.clone(),
        stdout_sha256: kept.map(|kept| hex::encode(Sha256::digest(kept))),
        stdout_bytes: attempt.stdout_bytes,
    })
}

fn ran_now(ended: &AttemptOutput, verdict: &RetryDecision) -> Ran {
    let (exit_code, signal) = match ended.exit {
        AttemptExit::Exited(code) => (Some(i64::from(code)), None),
        AttemptExit::Signaled(signal) => (None, Some(i64::from(signal))),
        _ => (None, None),
    };
    Ran {
        ending: verdict.status.as_str(),
        exit_code,
        signal,
        note: ended.note(),
        stdout_sha256: Some(hex::encode(Sha256::digest(&ended.stdout.kept))),
        stdout_bytes: i64::try_from(ended.stdout.total).unwrap_or(i64::MAX),
    }
}

fn differences(then: &Ran, now: &Ran) -> Vec<&'static str> {
    let is_other_output = then.stdout_bytes != now.stdout_bytes
        || then.stdout_sha256.is_some() && then.stdout_sha256 != now.stdout_sha256;
    let all = [
        ("exit", (then.exit_code, then.signal) != (now.exit_code, now.signal)),
        ("result", (then.ending, &then.note) != (now.ending, &now.note)),
        ("output", is_other_output),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(word, _)| word).collect()
}

fn tell(rows: &[Row<'_>], json: bool) -> Result<(), Failure> {
    if json {
        let mut array = Array::new();
        for row in rows {
            array.push(row)?;
        }
        return array.end();
    }
    let mut table = Rows::new(&["SEQ", "TYPE", "EVENT ID", "LEDGER", "NOW", "DIFFERS"]).rigid(&["SEQ", "DIFFERS"]);
    for row in rows {
        table.add_cells([
            Cell::new(format!("#{}", row.event_seq)),
            text(row.event_type),
            text(row.event_id),
            text(&row.ledger.as_ref().map_or("never ran to an end".to_owned(), told)),
            text(&told(&row.now)),
            Cell::new(row.differs.join(", ")),
        ]);
    }
    table.print()
}

/// `succeeded, exit 0, 12 bytes (e3b0c442)`
fn told(ran: &Ran) -> String {
    let mut line = ran.ending.to_owned();
    let written = match (ran.exit_code, ran.signal) {
        (Some(code), _) => write!(line, ", exit {code}"),
        (None, Some(signal)) => write!(line, ", signal {signal}"),
        (None, None) => Ok(()),
    };
    written.unwrap_or_default();
    if ran.stdout_bytes > 0 {
        let bytes = count(usize::try_from(ran.stdout_bytes).unwrap_or(usize::MAX), "byte");
        let digest = ran.stdout_sha256.as_deref().and_then(|digest| digest.get(..SHORT)).unwrap_or("no longer kept");
        line.push_str(&format!(", {bytes} ({digest})"));
    }
    line
}

fn conclude(rows: &[Row<'_>], wanted: usize, interrupt: &Interrupt) -> Result<(), Failure> {
    let differing = rows.iter().filter(|row| !row.differs.is_empty()).count();
    if interrupt.was_asked() {
        return Err(Failure::failed(format!("interrupted after {} of {}", rows.len(), count(wanted, "event"))));
    }
    if differing > 0 {
        return Err(Failure::failed(format!("{differing} of {} would end differently", count(rows.len(), "event"))));
    }
    remark(format!("{} would end as before", count(rows.len(), "event")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let ran = Ran {
            ending: "succeeded",
            exit_code: Some(0),
            signal: None,
            note: None,
            stdout_sha256: Some("aa".into()),
            stdout_bytes: 2,
        };
        let other = |change: fn(&mut Ran)| {
            let mut other = ran.clone();
            change(&mut other);
            differences(&ran, &other)
        };
        assert_eq!(other(|_| {}), Vec::<&str>::new());
        assert_eq!(other(|ran| (ran.exit_code, ran.ending) = (Some(1), "failed")), ["exit", "result"]);
        assert_eq!(other(|ran| ran.note = Some("x".into())), ["result"]);
        assert_eq!(other(|ran| ran.stdout_sha256 = Some("bb".into())), ["output"]);
        assert_eq!(other(|ran| ran.stdout_bytes = 3), ["output"]);
        let forgotten = Ran { stdout_sha256: None, ..ran.clone() };
        assert_eq!(differences(&forgotten, &ran), Vec::<&str>::new());
    }
}
