//! `replay`: succeeded jobs run once more; with a handler, also on events that have no job for it.
//!
//! A handler that was added later is caught up with this: by filter it gets the events that it takes by its
//! configuration, by EVENT whatever was named.

use super::Global;
use super::change::{Asked, Which};
use super::failure::Failure;
use super::progress;
use crate::inbox::operator::{BulkAction, BulkPlan, MissingJobs};
use crate::routing::Routes;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let which = &args.which;
    let asked = which.ask(BulkAction::Replay, global)?;
    let mut plan = asked.plan()?;
    match which.handler() {
        Some(name) if which.takes_events_without_job() && asked.outline.handlers.iter().any(|known| known == name) => {
            catch_up(&mut plan, &asked, name, which.names_events())?;
        }
        _ => {}
    }
    which.carry_out(asked, &plan)
}

/// Adds the events that the handler takes, or all of those that were named.
fn catch_up(plan: &mut BulkPlan, asked: &Asked, name: &str, are_named: bool) -> Result<(), Failure> {
    let broken = || {
        Failure::usage(format!("what handler `{name}` takes is not clear: there is something wrong with its section"))
            .hint("`hookbox check` says what; events can also be named one by one")
    };
    let sound = asked.outline.sound_handlers.iter().find(|handler| &*handler.name == name);
    let Some(handler) = sound.filter(|handler| !are_named || handler.ordering.is_some()) else {
        if !are_named {
            return Err(broken());
        }
        let missing = MissingJobs { handler: name, reads_payload: false, takes: &|_, _, _| true, key: &|_, _| None };
        return add(plan, asked, &missing);
    };
    let routes = Routes::new(std::slice::from_ref(handler)).map_err(|_| broken())?;
    let missing = MissingJobs {
        handler: name,
        reads_payload: handler.ordering.is_some() || !handler.filter.conditions.is_empty(),
        takes: &|source, event_type, body| are_named || !routes.matching(source, event_type, body).is_empty(),
        key: &|headers, body| routes.key_for(name, headers, body),
    };
    add(plan, asked, &missing)
}

fn add(plan: &mut BulkPlan, asked: &Asked, missing: &MissingJobs<'_>) -> Result<(), Failure> {
    let read = || asked.file.reader().add_missing_jobs(plan, &asked.wish.filter, missing);
    Ok(progress::waiting("searching", read)?)
}
