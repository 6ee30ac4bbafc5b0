//! Retry, replay and skip of jobs by filter, as programs ask for them.
//!
//! A wish comes in. A small one is made at once and its tally goes out; a larger one is begun, and how far it is goes out,
//! with the address where that is told from then on. A dry run says how many there would be and changes nothing.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use serde::Serialize;

use super::ask::Which;
use super::{Fault, NAMES, Room};
use crate::inbox::operator::{BulkAction, BulkPlan, BulkRequest, MissingJobs, SkipReason};
use crate::model::event::JobState;
use crate::routing::Routes;
use crate::web::changes::{Begun, Progress, words};

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

/// What came of a wish.
pub(super) enum Answer {
    Made(Changed),
    UnderWay(Progress),
}

impl Answer {
    pub(super) fn answer(self) -> HttpResponse {
        match self {
            Self::Made(changed) => HttpResponse::Ok().json(changed),
            Self::UnderWay(progress) => {
                let place = format!("/api/v1/changes/{}", progress.id);
                HttpResponse::Accepted().insert_header((LOCATION, place)).json(progress)
            }
        }
    }
}

pub(super) fn change(room: &Room, which: &Which, change: BulkAction) -> Result<Answer, Fault> {
    let filter = which.filter()?;
    check_named(room, which)?;
    let revives = which.events.is_some() || filter.states.contains(&JobState::Skipped);
    let wish = BulkRequest { change, filter, revives };
    let mut plan = room.inbox.reader()?.plan_bulk_update(&wish, room.now, None)?;
    if change == BulkAction::Replay {
        catch_up(room, which, &wish, &mut plan)?;
    }
    let mut left = plan.left.clone();
    if which.dry_run {
        let (changed, made) = (plan.jobs.len(), plan.events.len());
        return Ok(Answer::Made(Changed { dry_run: true, changed, made, left: words(&left) }));
    }
    match room.changes.begin(&room.inbox, plan, room.now)? {
        Begun::Made(tally) => {
            if tally.overtaken > 0 {
                *left.entry(SkipReason::Overtaken).or_default() += tally.overtaken;
            }
            let left = words(&left);
            Ok(Answer::Made(Changed { dry_run: false, changed: tally.changed, made: tally.made, left }))
        }
        Begun::UnderWay(progress) => Ok(Answer::UnderWay(progress)),
        Begun::TooMany => Err(Fault::Busy),
    }
}

/// A change that is told of.
pub(super) fn found(id: &str, progress: Option<Progress>) -> Result<Progress, Fault> {
    progress.ok_or_else(|| {
        let error =
            format!("hookbox knows of no change {id} since it was started; what one before that has changed stays so");
        Fault::Unknown(error, "/api/v1/changes lists those that it knows")
    })
}

/// What nobody knows is a slip: it would change nothing, and say so with 200.
fn check_named(room: &Room, which: &Which) -> Result<(), Fault> {
    if let Some(name) = &which.source
        && !room.setup.sources.iter().any(|source| *source.name == **name)
        && !room.inbox.reader()?.sources()?.contains(name)
    {
        return Err(Fault::Unknown(format!("there is no source {name:?}"), NAMES));
    }
    if let Some(name) = &which.handler
        && !room.setup.handler_names().contains(name)
        && !room.inbox.reader()?.handlers()?.contains(name)
    {
        return Err(Fault::Unknown(format!("there is no handler {name:?}"), NAMES));
    }
    for seq in which.events.iter().flatten() {
        if room.inbox.reader()?.event(*seq)?.is_none() {
            return Err(Fault::Missing(format!("there is no event {seq}")));
        }
    }
    Ok(())
}

/// Events without a job for the handler get one: those that were named, else those that it takes.
fn catch_up(room: &Room, which: &Which, wish: &BulkRequest, plan: &mut BulkPlan) -> Result<(), Fault> {
    let Some(name) = which.handler.as_deref().filter(|_| which.state.is_empty() && which.reason.is_none()) else {
        return Ok(());
    };
    let Some(handler) = room.setup.handlers.iter().find(|handler| *handler.name == *name) else { return Ok(()) };
    let routes = Routes::new(std::slice::from_ref(handler)).map_err(|error| Fault::Asked(error.to_string()))?;
    let is_named = which.events.is_some();
    let missing = MissingJobs {
        handler: name,
        reads_payload: handler.ordering.is_some() || !handler.filter.conditions.is_empty(),
        takes: &|source, event_type, body| is_named || !routes.matching(source, event_type, body).is_empty(),
        key: &|headers, body| routes.key_for(name, headers, body),
    };
    Ok(room.inbox.reader()?.add_missing_jobs(plan, &wish.filter, &missing)?)
}
