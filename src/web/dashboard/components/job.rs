//! Jobs on a page: the actions that apply to them, and their status as text.
//!
//! A single retry is a form. Every other action is a link to a confirmation page.

use maud::{Markup, html};

use super::format::{ago, shown};
use super::layout::csrf_field;
use crate::inbox::operator::BulkAction;
use crate::inbox::reader::Job;
use crate::model::event::JobState;
use crate::support::time::Millis;
use crate::web::dashboard::context::PageContext;
use crate::web::query::PageQuery;

/// The list of jobs.
pub(crate) const JOBS_PATH: &str = "/jobs";

/// An action that can be applied to jobs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JobAction {
    /// The name in addresses.
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    /// What it does, for the confirmation page.
    pub(crate) effect: &'static str,
    pub(crate) action: BulkAction,
    states: &'static [JobState],
}

pub(crate) const JOB_ACTIONS: [JobAction; 3] = [
    JobAction {
        name: "retry",
        label: "Retry",
        effect: "The jobs run again now. Their failure count restarts at 0; attempt numbers continue.",
        action: BulkAction::Retry,
        states: &[JobState::Dead, JobState::Skipped, JobState::Pending],
    },
    JobAction {
        name: "replay",
        label: "Replay",
        effect: "The jobs have succeeded and will run once more with a new idempotency key, so their effects are repeated.",
        action: BulkAction::Replay,
        states: &[JobState::Succeeded],
    },
    JobAction {
        name: "skip",
        label: "Skip",
        effect: "The jobs will not run. A running attempt is stopped. A retry undoes this.",
        action: BulkAction::Skip,
        states: &[JobState::Pending, JobState::Running, JobState::Dead],
    },
];

impl JobAction {
    pub(crate) fn find(name: &str) -> Option<Self> {
        JOB_ACTIONS.into_iter().find(|action| action.name == name)
    }

    pub(crate) fn path(self) -> String {
        format!("/jobs/{}", self.name)
    }

    /// Whether it applies to some of these states; an empty list means any state.
    pub(crate) fn applies_to(self, states: &[JobState]) -> bool {
        states.is_empty() || states.iter().any(|state| self.states.contains(state))
    }

    /// Whether to offer it for this job. A job that is due runs anyway, and without a payload no job can run.
    pub(crate) fn is_useful(self, job: &Job, has_payload: bool) -> bool {
        let is_retry = self.action == BulkAction::Retry;
        let runs_anyway = is_retry && job.state == JobState::Pending && job.failures + job.deferrals == 0;
        self.states.contains(&job.state) && !runs_anyway && (has_payload || self.action == BulkAction::Skip)
    }
}

/// The button for an action on the jobs of one event.
pub(crate) struct ActionButton<'a> {
    pub(crate) action: JobAction,
    pub(crate) seq: i64,
    /// Empty for all handlers.
    pub(crate) handler: &'a str,
    pub(crate) jobs: usize,
    /// The list to return to; empty for the event's page.
    pub(crate) list: &'a str,
    pub(crate) class: &'a str,
}

impl ActionButton<'_> {
    pub(crate) fn render(&self, ctx: &PageContext) -> Markup {
        let Self { action, seq, handler, list, class, .. } = *self;
        let all = if self.jobs > 1 { " all" } else { "" };
        let query = PageQuery { event: seq.to_string(), handler: handler.to_owned(), ..PageQuery::default() };
        let on = if list.is_empty() { String::new() } else { format!(" on #{seq}") };
        let label = (!handler.is_empty()).then(|| format!("{} {}{on}", action.label, shown(handler)));
        html! {
            @if action.action == BulkAction::Retry && self.jobs == 1 {
                form method="post" action={ "/events/" (seq) "/retry" } {
                    (csrf_field(ctx))
                    @if !handler.is_empty() { input type="hidden" name="handler" value=(handler); }
                    @if !list.is_empty() { input type="hidden" name="list" value=(list); }
                    button class=(class) type="submit" aria-label=[label] { (action.label) (all) }
                }
            } @else {
                a class={ "button " (class) } aria-label=[label] href=(query.link(&action.path())) { (action.label) (all) "…" }
            }
        }
    }
}

/// Why a job is in its state, and what happens next.
pub(crate) fn status_text(job: &Job, now: Millis) -> Markup {
    let reason = job.reason.as_deref().map(shown).unwrap_or_default();
    let separator = if reason.is_empty() { "" } else { "· " };
    html! {
        @if !reason.is_empty() { span.reason { (reason) } " " }
        @match job.state {
            JobState::Pending if let Some(seq) = job.behind => span.muted {
                (separator) "waits for " a href={ "/events/" (seq) } { "#" (seq) } ", which is first with the same ordering key"
            },
            JobState::Pending if job.blocked == 1 => span.muted { (separator) "waits for another job with the same ordering key" },
            JobState::Pending if job.run_at <= now => span.muted { (separator) "due, waits for a free slot" },
            JobState::Pending => span.muted { (separator) "next attempt " (ago(job.run_at, now)) },
            JobState::Running => span.muted { (separator) "attempt " (job.attempt) " is running" },
            JobState::Succeeded | JobState::Dead | JobState::Skipped => {
                @if let Some(at) = job.finished_at { span.muted { (separator) (ago(at, now)) } }
            }
        }
    }
}
