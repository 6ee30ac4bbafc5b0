//! What programs may change: jobs by filter, pauses of handlers, refusals that have become genuine.
//!
//! Changes go to the inbox's file as those of the command line do; the dispatcher notices within a second. A dry run says
//! how many there would be and changes nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ask::{Pause, Which};
use super::{Fault, Room, lists};
use crate::admin::page;
use crate::clock::Millis;
use crate::event::JobState;
use crate::explain::{self, Standing};
use crate::inbox::Paused;
use crate::inbox::desk::Desk;
use crate::inbox::edit::{self, Change, Left, Missing, Plan, Wish};
use crate::inbox::view;
use crate::route::Routes;

/// Longest reason for a pause.
const LONGEST_REASON: usize = 500;

/// What became of jobs.
#[derive(Debug, Serialize)]
pub(super) struct Changed {
    dry_run: bool,
    /// Jobs changed.
    changed: usize,
    /// Jobs made for a handler that had none.
    made: usize,
    /// Jobs left as they are, by the reason.
    left: BTreeMap<&'static str, usize>,
}

#[derive(Debug, Serialize)]
pub(super) struct PauseRow {
    handler: String,
    changed: bool,
    paused: bool,
    paused_by: Option<String>,
    reason: Option<String>,
    paused_at: Option<Millis>,
    probe_at: Option<Millis>,
}

#[derive(Debug, Serialize)]
pub(super) struct Reverified {
    id: i64,
    /// Whether it is an event now.
    taken: bool,
    /// Events that it brought.
    events: u32,
    /// Why it was left.
    reason: Option<String>,
}

pub(super) fn retry(room: &Room, which: &Which) -> Result<Changed, Fault> {
    change(room, which, Change::Retry)
}

pub(super) fn replay(room: &Room, which: &Which) -> Result<Changed, Fault> {
    change(room, which, Change::Replay)
}

pub(super) fn skip(room: &Room, which: &Which) -> Result<Changed, Fault> {
    change(room, which, Change::Skip)
}

fn change(room: &Room, which: &Which, change: Change) -> Result<Changed, Fault> {
    let filter = which.filter()?;
    check_named(room, which)?;
    let revives = which.events.is_some() || filter.states.contains(&JobState::Skipped);
    let wish = Wish { change, filter, revives };
    let mut plan = room.inbox.read(|connection| edit::plan(connection, &wish, room.now))?;
    if change == Change::Replay {
        catch_up(room, which, &wish, &mut plan)?;
    }
    let mut left = plan.left.clone();
    let (changed, made) = if which.dry_run {
        (plan.jobs.len(), plan.events.len())
    } else {
        let mut desk = Desk::open(&room.setup.inbox)?;
        // The end of hookbox is not held up.
        let tally = desk.change_while(&plan, room.now, |_| !room.inbox.is_closing())?;
        if tally.overtaken > 0 {
            *left.entry(Left::Overtaken).or_default() += tally.overtaken;
        }
        (tally.changed, tally.made)
    };
    let left = left.into_iter().map(|(why, jobs)| (word(why), jobs)).collect();
    Ok(Changed { dry_run: which.dry_run, changed, made, left })
}

/// What nobody knows is a slip: it would change nothing, and say so with 200.
fn check_named(room: &Room, which: &Which) -> Result<(), Fault> {
    if let Some(name) = &which.source
        && !room.setup.sources.iter().any(|source| *source.name == **name)
        && !room.inbox.read(view::sources)?.contains(name)
    {
        return Err(Fault::Missing(format!("there is no source {name:?}")));
    }
    if let Some(name) = &which.handler
        && !room.setup.handler_names().contains(name)
        && !room.inbox.read(view::handlers)?.contains(name)
    {
        return Err(Fault::Missing(format!("there is no handler {name:?}")));
    }
    for seq in which.events.iter().flatten() {
        if room.inbox.read(|connection| view::event(connection, *seq))?.is_none() {
            return Err(Fault::Missing(format!("there is no event {seq}")));
        }
    }
    Ok(())
}

/// Events without a job for the handler get one: those that were named, else those that it takes.
fn catch_up(room: &Room, which: &Which, wish: &Wish, plan: &mut Plan) -> Result<(), Fault> {
    let Some(name) = which.handler.as_deref().filter(|_| which.state.is_empty() && which.reason.is_none()) else {
        return Ok(());
    };
    let Some(handler) = room.setup.handlers.iter().find(|handler| *handler.name == *name) else { return Ok(()) };
    let routes = Routes::new(std::slice::from_ref(handler)).map_err(|error| Fault::Asked(error.to_string()))?;
    let is_named = which.events.is_some();
    let missing = Missing {
        handler: name,
        reads_payload: handler.keyed.is_some() || !handler.takes.conditions.is_empty(),
        takes: &|source, event_type, body| is_named || !routes.matching(source, event_type, body).is_empty(),
        key: &|headers, body| routes.key_for(name, headers, body),
    };
    Ok(room.inbox.read(|connection| edit::plan_missing(connection, plan, &wish.filter, &missing))?)
}

fn word(left: Left) -> &'static str {
    match left {
        Left::Succeeded => "succeeded",
        Left::Dead => "dead",
        Left::Pending => "pending",
        Left::Due => "due",
        Left::Running => "running",
        Left::Skipped => "skipped",
        Left::Ending => "ending",
        Left::Pruned => "pruned",
        Left::Overtaken => "overtaken",
    }
}

pub(super) fn pause(room: &Room, name: &str, pause: &Pause) -> Result<PauseRow, Fault> {
    check_name(room, name)?;
    let reason: Option<String> =
        pause.reason.as_ref().map(|reason| reason.trim().chars().take(LONGEST_REASON).collect());
    let reason = reason.as_deref().filter(|reason| !reason.is_empty());
    let paused = Desk::open(&room.setup.inbox)?.pause(name, reason, room.now)?;
    Ok(row(name, paused))
}

pub(super) fn resume(room: &Room, name: &str) -> Result<PauseRow, Fault> {
    check_name(room, name)?;
    let resumed = Desk::open(&room.setup.inbox)?.resume(name, room.now)?;
    Ok(row(name, resumed))
}

/// A name that nobody knows is a slip, and would stay in the inbox.
fn check_name(room: &Room, name: &str) -> Result<(), Fault> {
    let names = room.setup.handler_names();
    let known = room.inbox.read(|connection| view::handlers_now(connection, &names))?;
    let is_known = known.iter().any(|one| one.status.handler == name);
    if is_known { Ok(()) } else { Err(Fault::Missing(format!("there is no handler {name:?}"))) }
}

fn row(name: &str, Paused { state, has_changed }: Paused) -> PauseRow {
    PauseRow {
        handler: name.to_owned(),
        changed: has_changed,
        paused: state.as_ref().is_some_and(|state| state.paused_by.is_some()),
        paused_at: state.as_ref().and_then(|state| state.paused_at),
        probe_at: state.as_ref().and_then(|state| state.probe_at),
        reason: state.as_ref().and_then(|state| state.reason.clone()),
        paused_by: state.and_then(|state| state.paused_by),
    }
}

/// Judges a refusal again under today's configuration, and takes it in if it is genuine.
pub(super) fn reverify(room: &Room, id: i64) -> Result<Reverified, Fault> {
    let (kept, key) = lists::kept(room, id)?;
    let left = |reason: String| Ok(Reverified { id, taken: false, events: 0, reason: Some(reason) });
    let Some(source) = room.setup.sources.iter().find(|source| *source.name == *kept.refused.source) else {
        return left("its source is no longer in the configuration".to_owned());
    };
    let source = page::taught(&room.inbox, source);
    let verified = match explain::stand(&kept.refused, &source, key.as_ref()) {
        Standing::Genuine(verified) => verified,
        Standing::Left(why) => return left(why),
        Standing::Refused(why) => return left(why),
    };
    let routes = Routes::new(&room.setup.handlers).map_err(|error| Fault::Asked(error.to_string()))?;
    let receipt = Desk::open(&room.setup.inbox)?.take_in(id, *verified, &routes, source.guards.replay_guard)?;
    match receipt {
        Some(receipt) => Ok(Reverified { id, taken: true, events: receipt.events(), reason: None }),
        None => left("it was taken in before".to_owned()),
    }
}
