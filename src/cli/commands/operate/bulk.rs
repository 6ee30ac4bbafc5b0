//! `retry`, `replay` and `skip`: which jobs are selected, and what happened to them.
//!
//! A bulk change needs a filter or `--all`. Jobs that are left unchanged are counted, with the reason and the next step.

use crate::cli::args::{Global, JobArgs, find_events, instant, remark_if_not_served};
use crate::cli::failure::Failure;
use crate::cli::output::progress::{self, Counter};
use crate::cli::output::terminal::{count, print_line, remark, shown};
use crate::config::ConfigSummary;
use crate::inbox::operator::{BulkAction, BulkPlan, BulkRequest, InboxFile, MissingJobs, SkipReason};
use crate::model::event::JobState;
use crate::model::filter::{JobFilter, Page};
use crate::routing::Routes;
use crate::support::time::Millis;

/// Blocked jobs that are listed one by one.
const LISTED_BLOCKED: Page = Page { before: None, limit: 20, deadline: None };

#[derive(Debug, clap::Args)]
pub(crate) struct BulkArgs {
    /// Event id, SOURCE/ID, or '#SEQ' (quoted, since # starts a shell comment)
    #[arg(value_name = "EVENT")]
    events: Vec<String>,
    #[command(flatten)]
    filter: JobArgs,
    /// Only jobs that finished before WHEN (to resume an interrupted replay)
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    finished_before: Option<Millis>,
    /// All jobs that can be changed
    #[arg(long)]
    all: bool,
    /// Only print how many jobs would change
    #[arg(long)]
    dry_run: bool,
}

/// An open inbox and the requested change.
#[derive(Debug)]
struct BulkCommand<'a> {
    args: &'a BulkArgs,
    summary: ConfigSummary,
    file: InboxFile,
    request: BulkRequest,
    now: Millis,
}

/// Runs dead, waiting and skipped jobs now. The failure count restarts at 0; attempt numbers continue. Skipped jobs are
/// included only when selected by EVENT or `--state skipped`.
pub(crate) fn retry(args: &BulkArgs, global: &Global) -> Result<(), Failure> {
    let command = BulkCommand::open(args, BulkAction::Retry, global)?;
    let plan = command.plan()?;
    command.execute(&plan)
}

/// Cancels pending, running and dead jobs. `serve` notices within a second and stops running attempts.
pub(crate) fn skip(args: &BulkArgs, global: &Global) -> Result<(), Failure> {
    let command = BulkCommand::open(args, BulkAction::Skip, global)?;
    let plan = command.plan()?;
    command.execute(&plan)
}

/// Runs succeeded jobs again. With a handler, also creates jobs for events that have none for it: for a filter, the
/// events that the handler's configuration matches; for EVENT, any.
pub(crate) fn replay(args: &BulkArgs, global: &Global) -> Result<(), Failure> {
    let command = BulkCommand::open(args, BulkAction::Replay, global)?;
    let mut plan = command.plan()?;
    match &args.filter.handler {
        Some(name) if args.selects_events_without_job() && command.summary.handlers.contains(name) => {
            command.plan_missing_jobs(&mut plan, name)?;
        }
        _ => {}
    }
    command.execute(&plan)
}

impl BulkArgs {
    fn names_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether the filter can match events that have no job yet.
    fn selects_events_without_job(&self) -> bool {
        self.filter.state.is_empty() && self.filter.reason.is_none()
    }
}

impl<'a> BulkCommand<'a> {
    fn open(args: &'a BulkArgs, change: BulkAction, global: &Global) -> Result<Self, Failure> {
        if !args.names_events() && args.filter.is_empty() && !args.all {
            return Err(Failure::usage(format!("`{}` needs an EVENT, a filter, or --all", change.as_str()))
                .hint("--dry-run prints how many jobs would change"));
        }
        let summary = global.summary()?;
        let file = InboxFile::open(&summary.inbox)?;
        check_names(&args.filter, &summary, &file)?;
        let events = find_events(&file, &args.events)?;
        let events = args.names_events().then(|| events.iter().map(|event| event.seq).collect());
        let filter = args.filter.to_filter(events, args.finished_before);
        let revives = args.names_events() || args.filter.state.contains(&JobState::Skipped);
        Ok(Self { args, summary, file, request: BulkRequest { change, filter, revives }, now: Millis::now() })
    }

    fn plan(&self) -> Result<BulkPlan, Failure> {
        let read = || self.file.reader().plan_bulk_update(&self.request, self.now, None);
        Ok(progress::spinner("searching", read)?)
    }

    /// Adds jobs for the events that the handler matches, or for all named events.
    fn plan_missing_jobs(&self, plan: &mut BulkPlan, name: &str) -> Result<(), Failure> {
        let are_named = self.args.names_events();
        let invalid = || {
            Failure::usage(format!("handler `{name}` has an invalid configuration, so its events are unknown"))
                .hint("`hookbox check` shows the errors; you can also name the events one by one")
        };
        let valid = self.summary.sound_handlers.iter().find(|handler| &*handler.name == name);
        let Some(handler) = valid.filter(|handler| !are_named || handler.ordering.is_some()) else {
            if !are_named {
                return Err(invalid());
            }
            let any = MissingJobs { handler: name, reads_payload: false, takes: &|_, _, _| true, key: &|_, _| None };
            return self.add_missing_jobs(plan, &any);
        };
        let routes = Routes::new(std::slice::from_ref(handler)).map_err(|_| invalid())?;
        let matching = MissingJobs {
            handler: name,
            reads_payload: handler.ordering.is_some() || !handler.filter.conditions.is_empty(),
            takes: &|source, event_type, body| are_named || !routes.matching(source, event_type, body).is_empty(),
            key: &|headers, body| routes.key_for(name, headers, body),
        };
        self.add_missing_jobs(plan, &matching)
    }

    fn add_missing_jobs(&self, plan: &mut BulkPlan, missing: &MissingJobs<'_>) -> Result<(), Failure> {
        let read = || self.file.reader().add_missing_jobs(plan, &self.request.filter, missing);
        Ok(progress::spinner("searching", read)?)
    }

    /// Carries the plan out, or with `--dry-run` only prints it.
    fn execute(mut self, plan: &BulkPlan) -> Result<(), Failure> {
        let change = self.request.change;
        let mut left = plan.left.clone();
        let (changed, made) = if self.args.dry_run {
            (plan.jobs.len(), plan.events.len())
        } else {
            let mut counter = Counter::new(plan.len());
            let tally = self.file.bulk_update(plan, self.now, |total| {
                counter.set(total.looked_at());
                true
            })?;
            if tally.overtaken > 0 {
                *left.entry(SkipReason::Overtaken).or_default() += tally.overtaken;
            }
            (tally.changed, tally.made)
        };
        print_line(summary(change, changed, made, self.args.dry_run))?;
        for (reason, jobs) in &left {
            remark(format!("{} unchanged: {}", count(*jobs, "job"), describe(change, *reason)));
        }
        if self.args.names_events() && left.contains_key(&SkipReason::Blocked) {
            self.list_blocked()?;
        }
        if changed + made == 0 {
            return self.explain_nothing(left.into_keys());
        }
        if change != BulkAction::Skip && !self.args.dry_run {
            remark_if_not_served(&self.summary.inbox, "the jobs run when it is");
        }
        Ok(())
    }

    /// With EVENT, changing nothing is a failure, unless the jobs are already in the requested state.
    fn explain_nothing(&self, mut left: impl ExactSizeIterator<Item = SkipReason>) -> Result<(), Failure> {
        if !self.args.names_events() {
            return Ok(());
        }
        if left.len() == 0 {
            let any = self.args.selects_events_without_job() && self.args.filter.handler.is_none();
            let jobs = if any { "any job" } else { "a matching job" };
            return Err(Failure::failed(format!("none of these events has {jobs}"))
                .hint("`hookbox replay EVENT --handler NAME` creates one"));
        }
        let is_already_so = |reason: SkipReason| {
            matches!(
                (self.request.change, reason),
                (BulkAction::Retry, SkipReason::Due | SkipReason::Blocked) | (BulkAction::Skip, SkipReason::Skipped)
            )
        };
        if left.all(is_already_so) { Ok(()) } else { Err(Failure::silent()) }
    }

    /// Prints which job each blocked job waits for.
    fn list_blocked(&self) -> Result<(), Failure> {
        let filter = JobFilter { states: vec![JobState::Pending], ..self.request.filter.clone() };
        for job in self.file.reader().jobs(&filter, LISTED_BLOCKED)?.rows {
            let (Some(first), Some(key)) = (job.behind, &job.order_key) else { continue };
            let (seq, handler) = (job.event_seq, shown(&job.handler));
            remark(format!(
                "#{seq} for {handler} waits for #{first}, which has the same ordering key ({})",
                shown(key)
            ));
        }
        Ok(())
    }
}

/// Rejects unknown names: such a filter would change nothing and exit with status 0.
fn check_names(filter: &JobArgs, summary: &ConfigSummary, file: &InboxFile) -> Result<(), Failure> {
    let check = |kind: &str, name: &str, mut known: Vec<String>, configured: &[String]| {
        known.extend(configured.iter().filter(|name| !known.contains(name)).cloned().collect::<Vec<_>>());
        if known.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(Failure::usage(format!("there is no {kind} `{}`", shown(name)))
            .hint(format!("{kind}s: {}", shown(&known.join(", ")))))
    };
    if let Some(name) = filter.arrival.source() {
        check("source", name, file.reader().sources()?, &summary.sources)?;
    }
    match &filter.handler {
        Some(name) if !summary.handlers.contains(name) => {
            check("handler", name, file.reader().handlers()?, &summary.handlers)
        }
        _ => Ok(()),
    }
}

fn summary(change: BulkAction, changed: usize, made: usize, dry_run: bool) -> String {
    let verb = match (change, dry_run) {
        (_, true) => format!("would {}", change.as_str()),
        (BulkAction::Retry, false) => "retried".to_owned(),
        (BulkAction::Replay, false) => "replayed".to_owned(),
        (BulkAction::Skip, false) => "skipped".to_owned(),
    };
    let changed = count(changed, "job");
    match (made, dry_run) {
        (0, _) => format!("{verb} {changed}"),
        (made, true) => format!("{verb} {changed}, create {}", count(made, "new job")),
        (made, false) => format!("{verb} {changed}, created {}", count(made, "new job")),
    }
}

fn describe(change: BulkAction, reason: SkipReason) -> &'static str {
    match (change, reason) {
        (BulkAction::Retry, SkipReason::Succeeded) => "succeeded; run them again with `hookbox replay`",
        (BulkAction::Retry, SkipReason::Skipped) => "skipped; select them by EVENT or with `--state skipped`",
        (BulkAction::Retry, SkipReason::Running) => "running; stop them with `hookbox skip`",
        (BulkAction::Replay, SkipReason::Dead | SkipReason::Skipped) => {
            "not succeeded; run them again with `hookbox retry`"
        }
        (BulkAction::Skip, SkipReason::Skipped) => "already skipped",
        (BulkAction::Skip, SkipReason::Succeeded) => "succeeded; nothing to skip",
        (_, SkipReason::Succeeded) => "succeeded",
        (_, SkipReason::Dead) => "dead",
        (_, SkipReason::Pending) => "pending; they will run anyway",
        (_, SkipReason::Running) => "running",
        (_, SkipReason::Due) => "already due",
        (_, SkipReason::Blocked) => "blocked by another job with the same ordering key; they run after it",
        (_, SkipReason::Ending) => {
            "skipped, but their last attempt has not stopped yet; try again in a moment (after a crash, once hookbox is running)"
        }
        (_, SkipReason::Pruned) => "the event's body is no longer stored",
        (_, SkipReason::Overtaken) => "changed by someone else in the meantime",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_counts_changed_and_created_jobs() {
        assert_eq!(summary(BulkAction::Retry, 1, 0, false), "retried 1 job");
        assert_eq!(summary(BulkAction::Skip, 1200, 0, true), "would skip 1,200 jobs");
        assert_eq!(summary(BulkAction::Replay, 0, 2, false), "replayed 0 jobs, created 2 new jobs");
        assert_eq!(summary(BulkAction::Replay, 3, 1, true), "would replay 3 jobs, create 1 new job");
    }
}
