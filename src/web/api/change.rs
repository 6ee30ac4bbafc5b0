//! What programs may change beside jobs: pauses of handlers, refusals that have become genuine.
//!
//! Changes go to the inbox's file as those of the command line do; the dispatcher notices within a second. A name that
//! nobody knows changes nothing.

use serde::Serialize;

use super::ask::Pause;
use super::{Fault, NAMES, Room, lists};
use crate::diagnose::{self, ReverifyResult};
use crate::inbox::Paused;
use crate::support::time::Millis;
use crate::web::dashboard;

/// Longest reason for a pause.
const LONGEST_REASON: usize = 500;

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

pub(super) fn pause(room: &Room, name: &str, pause: &Pause) -> Result<PauseRow, Fault> {
    check_name(room, name)?;
    let reason: Option<String> =
        pause.reason.as_ref().map(|reason| reason.trim().chars().take(LONGEST_REASON).collect());
    let reason = reason.as_deref().filter(|reason| !reason.is_empty());
    Ok(row(name, room.inbox.pause(name, reason, room.now)?))
}

pub(super) fn resume(room: &Room, name: &str) -> Result<PauseRow, Fault> {
    check_name(room, name)?;
    Ok(row(name, room.inbox.resume(name, room.now)?))
}

/// A name that nobody knows is a slip, and would stay in the inbox.
fn check_name(room: &Room, name: &str) -> Result<(), Fault> {
    let names = room.setup.handler_names();
    let known = room.inbox.reader()?.handler_overview(&names)?;
    let is_known = known.iter().any(|one| one.status.handler == name);
    if is_known { Ok(()) } else { Err(Fault::Unknown(format!("there is no handler {name:?}"), NAMES)) }
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
    let source = dashboard::taught(&room.inbox, source);
    let verified = match diagnose::reverify(&kept.refused, &source, key.as_ref()) {
        ReverifyResult::Verified(verified) => verified,
        ReverifyResult::Unrecoverable(why) => return left(why),
        ReverifyResult::StillRefused(why) => return left(why),
    };
    match room.inbox.accept_refusal(id, *verified)? {
        Some(receipt) => Ok(Reverified { id, taken: true, events: receipt.events(), reason: None }),
        None => left("it was taken in before".to_owned()),
    }
}
