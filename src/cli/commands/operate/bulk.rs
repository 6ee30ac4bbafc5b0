//! What `retry`, `replay` and `skip` have in common: which jobs are meant, how many, and what became of them.
//!
//! Acting on many wants a filter or `--all`. Jobs that are left are counted, each with the reason and the next step.

use crate::cli::args::Global;
use crate::cli::args::{Arrival, job_state};
use crate::cli::commands::inspect::event;
use crate::cli::failure::Failure;
use crate::cli::output::progress::{self, Counter};
use crate::cli::output::terminal::{count, remark, shown};
use crate::config::ConfigSummary;
use crate::inbox::operator::{self, BulkAction, BulkPlan, BulkRequest, InboxFile, MissingJobs, SkipReason};
use crate::model::event::JobState;
use crate::model::filter::{JobFilter, Page};
use crate::routing::Routes;
use crate::support::time::Millis;

/// Held jobs of which it is told one by one what they wait for.
const MOST_TOLD: Page = Page { before: None, limit: 20, deadline: None };

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Jobs of these events: an event id, SOURCE/ID, or '#SEQ' (quoted: to a shell a bare # begins a comment)
    #[arg(value_name = "EVENT")]
    events: Vec<String>,
    /// Jobs in this state; several are separated by commas
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = job_state())]
    state: Vec<JobState>,
    /// Jobs of this handler
    #[arg(long, value_name = "NAME")]
    handler: Option<String>,
    /// Jobs with this reason, or a glob
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    #[command(flatten)]
    arrival: Arrival,
    /// Not jobs that have finished since then: what is left of a replay that was ended in its middle
    #[arg(long, value_name = "WHEN", value_parser = crate::cli::args::instant)]
    finished_before: Option<Millis>,
    /// All jobs that this can be done to
    #[arg(long)]
    all: bool,
    /// Only tells how many
    #[arg(long)]
    dry_run: bool,
}

/// An open inbox and what is wanted of it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) outline: ConfigSummary,
    pub(crate) file: InboxFile,
    pub(crate) wish: BulkRequest,
    pub(crate) now: Millis,
}

/// `retry`: runs dead, waiting and skipped jobs now. The failure count restarts at 0; attempt numbers continue.
pub(crate) fn retry(args: &Args, global: &Global) -> Result<(), Failure> {
    let asked = args.ask(BulkAction::Retry, global)?;
    let plan = asked.plan()?;
    args.carry_out(asked, &plan)
}

/// `skip`: cancels pending, running and dead jobs. `serve` notices within a second and stops running attempts.
pub(crate) fn skip(args: &Args, global: &Global) -> Result<(), Failure> {
    let asked = args.ask(BulkAction::Skip, global)?;
    let plan = asked.plan()?;
    args.carry_out(asked, &plan)
}

/// `replay`: runs succeeded jobs again. With a handler, also creates jobs for events that have none for it: by filter
/// for the events that its configuration takes, by EVENT for any.
pub(crate) fn replay(args: &Args, global: &Global) -> Result<(), Failure> {
    let asked = args.ask(BulkAction::Replay, global)?;
    let mut plan = asked.plan()?;
    match args.handler() {
        Some(name) if args.takes_events_without_job() && asked.outline.handlers.iter().any(|known| known == name) => {
            catch_up(&mut plan, &asked, name, args.names_events())?;
        }
        _ => {}
    }
    args.carry_out(asked, &plan)
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

impl Args {
    pub(crate) fn handler(&self) -> Option<&str> {
        self.handler.as_deref()
    }

    /// Whether events were named, one by one.
    pub(crate) fn names_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether it can be about events that have no such job yet.
    pub(crate) fn takes_events_without_job(&self) -> bool {
        self.state.is_empty() && self.reason.is_none()
    }

    fn is_unlimited(&self) -> bool {
        let Self { events, state, handler, reason, arrival, finished_before: _, all: _, dry_run: _ } = self;
        events.is_empty() && state.is_empty() && handler.is_none() && reason.is_none() && arrival.is_empty()
    }

    /// Opens the inbox and says what is wanted of it.
    pub(crate) fn ask(&self, change: BulkAction, global: &Global) -> Result<Asked, Failure> {
        if self.is_unlimited() && !self.all {
            return Err(Failure::usage(format!("`{}` wants an EVENT, a filter, or --all", change.as_str()))
                .hint("--dry-run tells how many jobs it would be"));
        }
        let outline = global.outline()?;
        let file = InboxFile::open(&outline.inbox)?;
        self.check_names(&outline, &file)?;
        let events = event::find_all(&file, &self.events)?;
        let filter = JobFilter {
            arrival: self.arrival.to_filter(),
            states: self.state.clone(),
            handler: self.handler.clone(),
            reason: self.reason.clone(),
            events: self.names_events().then(|| events.iter().map(|event| event.seq).collect()),
            jobs: None,
            finished_before: self.finished_before,
        };
        let revives = self.names_events() || self.state.contains(&JobState::Skipped);
        Ok(Asked { outline, file, wish: BulkRequest { change, filter, revives }, now: Millis::now() })
    }

    /// A name that nobody knows is a slip: it would change nothing, and say so with status 0.
    fn check_names(&self, outline: &ConfigSummary, file: &InboxFile) -> Result<(), Failure> {
        let unknown = |kind: &str, name: &str, mut known: Vec<String>, configured: &[String]| {
            known.extend(configured.iter().filter(|name| !known.contains(name)).cloned().collect::<Vec<_>>());
            if known.iter().any(|known| known == name) {
                return Ok(());
            }
            Err(Failure::usage(format!("there is no {kind} `{}`", shown(name)))
                .hint(format!("{kind}s: {}", shown(&known.join(", ")))))
        };
        if let Some(name) = self.arrival.source() {
            unknown("source", name, file.reader().sources()?, &outline.sources)?;
        }
        match self.handler() {
            Some(name) if !outline.handlers.iter().any(|known| known == name) => {
                unknown("handler", name, file.reader().handlers()?, &outline.handlers)
            }
            _ => Ok(()),
        }
    }

    /// Carries a plan out, or tells what it would do, and says what became of it.
    pub(crate) fn carry_out(&self, mut asked: Asked, plan: &BulkPlan) -> Result<(), Failure> {
        let change = asked.wish.change;
        let mut left = plan.left.clone();
        let (changed, made) = if self.dry_run {
            (plan.jobs.len(), plan.events.len())
        } else {
            let mut counter = Counter::new(plan.len());
            let tally = asked.file.bulk_update(plan, asked.now, |total| {
                counter.reach(total.looked_at());
                true
            })?;
            if tally.overtaken > 0 {
                *left.entry(SkipReason::Overtaken).or_default() += tally.overtaken;
            }
            (tally.changed, tally.made)
        };
        println(&summary(change, changed, made, self.dry_run))?;
        for (why, jobs) in &left {
            remark(format!("{} left: {}", count(*jobs, "job"), because(change, *why)));
        }
        if self.names_events() && left.contains_key(&SkipReason::Blocked) {
            asked.tell_what_holds()?;
        }
        if changed + made == 0 {
            return self.explain_nothing(change, left.into_keys());
        }
        if change != BulkAction::Skip && !self.dry_run && matches!(operator::served_by(&asked.outline.inbox), Ok(None))
        {
            remark("hookbox is not serving this inbox; the jobs run when it does");
        }
        Ok(())
    }

    /// With EVENT, changing nothing is a failure, unless it was so already.
    fn explain_nothing(
        &self,
        change: BulkAction,
        mut left: impl ExactSizeIterator<Item = SkipReason>,
    ) -> Result<(), Failure> {
        if !self.names_events() {
            return Ok(());
        }
        if left.len() == 0 {
            let what = if self.takes_events_without_job() && self.handler.is_none() { "any job" } else { "such a job" };
            let failure = Failure::failed(format!("no event of these has {what}"));
            return Err(failure.hint("`hookbox replay EVENT --handler NAME` makes one"));
        }
        let is_so_already = |left: SkipReason| {
            matches!(
                (change, left),
                (BulkAction::Retry, SkipReason::Due | SkipReason::Blocked) | (BulkAction::Skip, SkipReason::Skipped)
            )
        };
        if left.all(is_so_already) { Ok(()) } else { Err(Failure::silent()) }
    }
}

impl Asked {
    /// Reads which jobs it is about.
    pub(crate) fn plan(&self) -> Result<BulkPlan, Failure> {
        let read = || self.file.reader().plan_bulk_update(&self.wish, self.now, None);
        Ok(progress::waiting("searching", read)?)
    }

    /// Which job each one that is held waits for.
    fn tell_what_holds(&self) -> Result<(), Failure> {
        let filter = JobFilter { states: vec![JobState::Pending], ..self.wish.filter.clone() };
        let jobs = self.file.reader().jobs(&filter, MOST_TOLD)?.rows;
        for job in jobs {
            let (Some(first), Some(value)) = (job.behind, &job.order_key) else { continue };
            let (seq, handler) = (job.event_seq, shown(&job.handler));
            remark(format!("#{seq} for {handler} is behind #{first}, which has the same value ({})", shown(value)));
        }
        Ok(())
    }
}

fn println(line: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn summary(change: BulkAction, changed: usize, made: usize, is_dry: bool) -> String {
    let did = match (change, is_dry) {
        (_, true) => format!("would {}", change.as_str()),
        (BulkAction::Retry, false) => "retried".to_owned(),
        (BulkAction::Replay, false) => "replayed".to_owned(),
        (BulkAction::Skip, false) => "skipped".to_owned(),
    };
    match made {
        0 => format!("{did} {}", count(changed, "job")),
        made => {
            let made_too = if is_dry { "make" } else { "made" };
            format!("{did} {}, {made_too} {}", count(changed, "job"), count(made, "new job"))
        }
    }
}

fn because(change: BulkAction, left: SkipReason) -> &'static str {
    match (change, left) {
        (BulkAction::Retry, SkipReason::Succeeded) => "succeeded; `hookbox replay` runs them once more",
        (BulkAction::Retry, SkipReason::Skipped) => "skipped; they come back by EVENT or with `--state skipped`",
        (BulkAction::Retry, SkipReason::Running) => "running; `hookbox skip` ends them",
        (BulkAction::Replay, SkipReason::Dead | SkipReason::Skipped) => {
            "they have not succeeded; `hookbox retry` runs them again"
        }
        (BulkAction::Skip, SkipReason::Skipped) => "skipped already",
        (BulkAction::Skip, SkipReason::Succeeded) => "succeeded; there is nothing to skip",
        (_, SkipReason::Succeeded) => "succeeded",
        (_, SkipReason::Dead) => "dead",
        (_, SkipReason::Pending) => "pending; they run anyway",
        (_, SkipReason::Running) => "running",
        (_, SkipReason::Due) => "due already",
        (_, SkipReason::Blocked) => "blocked by another job of the same value; they run in their turn",
        (_, SkipReason::Ending) => {
            "skipped, and their last attempt is still ending; try again in a moment (if hookbox was killed: once it serves again)"
        }
        (_, SkipReason::Pruned) => "the body of the event is no longer kept",
        (_, SkipReason::Overtaken) => "something else happened to them in the meantime",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_was_done_and_what_would_be() {
        assert_eq!(summary(BulkAction::Retry, 1, 0, false), "retried 1 job");
        assert_eq!(summary(BulkAction::Skip, 1200, 0, true), "would skip 1,200 jobs");
        assert_eq!(summary(BulkAction::Replay, 0, 2, false), "replayed 0 jobs, made 2 new jobs");
        assert_eq!(summary(BulkAction::Replay, 3, 1, true), "would replay 3 jobs, make 1 new job");
    }
}
