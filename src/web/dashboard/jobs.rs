//! `/jobs`: one line per event and handler, newest first; what can be done to all of them at once.
//!
//! A filter goes in, one page of jobs comes out. With a state chosen, all jobs that pass the filter can be retried,
//! replayed or skipped; a page in between tells how many.

use maud::{Markup, html};

use super::frame::{Did, Frame, Tab};
use super::list::{self, ROWS, Reached};
use super::query::Asked;
use super::words::{ago, badge, event_type, shown, when};
use super::{Look, Trouble, change, event};
use crate::inbox::reader::Job;
use crate::model::event::JobState;
use crate::model::filter::Page;

pub(super) const PATH: &str = "/jobs";

pub(super) fn page(look: &Look, asked: &Asked) -> Result<Markup, Trouble> {
    let (filter, before) = (asked.jobs()?, asked.before()?);
    let reach = Page { before, limit: ROWS, deadline: Some(Look::until()) };
    let walk = look.inbox.reader()?.jobs(&filter, reach)?;
    let reached = Reached {
        rows: walk.rows.len(),
        next: walk.next,
        is_cut_short: walk.is_cut_short,
        looked_at: walk.looked_at,
        one: "job",
    };
    let main = html! {
        h1 { "Jobs" }
        (list::states(PATH, asked, JobState::ALL.iter().map(|state| state.as_str())))
        (list::filter(PATH, asked, &html! {
            (list::choice("handler", "Handler", &look.setup.handler_names(), &asked.handler))
            (list::sources(look, asked))
            (list::field("type", "Type", &asked.event_type, "push or invoice.*"))
        }, (&html! {
            (list::field("reason", "Reason", &asked.reason, "exit 1 or *timeout*"))
            (list::times(asked))
        }, !(asked.reason.is_empty() && asked.since.is_empty() && asked.until.is_empty()))))
        (super::progress::under_way(look))
        @if walk.rows.is_empty() {
            @if !walk.is_cut_short { p.empty { (nothing(asked)) } }
        } @else {
            (together(asked, &filter.states))
            (table(look, &walk.rows, &Asked { before: asked.before.clone(), ..asked.filter() }.link(PATH)))
        }
        (list::end(PATH, asked, &reached))
    };
    let did = Did::read(look, asked);
    Ok(Frame { title: "Jobs", tab: Tab::Jobs, is_live: true, did }.around(look, &main))
}

fn nothing(asked: &Asked) -> &'static str {
    match asked.state.as_str() {
        "dead" => "No dead job passes this filter. Nothing waits for you here.",
        _ if asked.is_narrow() => "No job passes this filter.",
        _ => "No job yet: an event makes one for each handler that takes it.",
    }
}

/// What can be done to those that are ticked, and to all that pass the filter.
fn together(asked: &Asked, states: &[JobState]) -> Markup {
    let takes = |verb: &&change::Verb| states.is_empty() || states.iter().any(|state| verb.takes(*state));
    let verbs: Vec<_> = change::VERBS.iter().filter(takes).collect();
    html! {
        div.together {
            form.inline #selection method="get" action="/jobs/selection" {
                span #ticked { "Ticked:" }
                @for verb in &verbs { button.small type="submit" name="verb" value=(verb.word) { (verb.label) "…" } }
            }
            @if states.is_empty() {
                p.muted { "Choose a state to retry, replay or skip all jobs that pass the filter." }
            } @else {
                div.inline {
                    span { "All of this filter:" }
                    @for verb in verbs {
                        a.button.small href=(asked.filter().link(&format!("/jobs/{}", verb.word))) { (verb.label) " all…" }
                    }
                }
            }
        }
    }
}

fn table(look: &Look, jobs: &[Job], list: &str) -> Markup {
    html! {
        table.list.pickable role="table" {
            caption.visually-hidden { "Jobs, newest first" }
            thead role="rowgroup" { tr role="row" {
                th.pick role="columnheader" scope="col" {
                    input type="checkbox" data-ticks="selection" aria-label="Tick all jobs on this page" hidden;
                    span.visually-hidden { "Ticked" }
                }
                th role="columnheader" scope="col" { "Event" }
                th role="columnheader" scope="col" { "State" }
                th role="columnheader" scope="col" { "Handler" }
                th role="columnheader" scope="col" { "What happened" }
                th.number role="columnheader" scope="col" { "Attempts" }
                th role="columnheader" scope="col" { "Made" }
                th role="columnheader" scope="col" { span.visually-hidden { "What can be done" } }
            } }
            tbody role="rowgroup" { @for job in jobs { (row(look, job, list)) } }
        }
    }
}

fn row(look: &Look, job: &Job, list: &str) -> Markup {
    let which = event::Which { seq: job.event_seq, handler: &job.handler, number: 1, list };
    let label = format!("Tick #{} for {}", job.event_seq, shown(&job.handler));
    html! {
        tr role="row" data-key={ "j-" (job.id) } {
            td.pick role="cell" { input type="checkbox" form="selection" name="job" value=(job.id) aria-label=(label); }
            th.lead-cell role="rowheader" scope="row" {
                a href={ "/events/" (job.event_seq) "#job-" (job.id) } { (event_type(&job.event_type)) }
                " " span.seq { "#" (job.event_seq) }
                span.under { (shown(&job.source)) }
            }
            td role="cell" data-label="State" { (badge(job.state.as_str())) }
            td role="cell" data-label="Handler" { (shown(&job.handler)) }
            td.why role="cell" data-label="What happened" { (told(look, job)) }
            td.number role="cell" data-label="Attempts" { (job.attempt) }
            td.when role="cell" data-label="Made" { (when(job.created_at, look.now)) }
            td.acts role="cell" {
                div.actions { @for verb in change::VERBS { @if event::can(verb, job, true) { (event::button(look, verb, &which, "small", "")) } } }
            }
        }
    }
}

/// Why a job is as it is, and what comes next.
pub(super) fn told(look: &Look, job: &Job) -> Markup {
    let reason = job.reason.as_deref().map(shown).unwrap_or_default();
    let between = if reason.is_empty() { "" } else { "· " };
    html! {
        @if !reason.is_empty() { span.reason { (reason) } " " }
        @match job.state {
            JobState::Pending if let Some(seq) = job.behind => span.muted {
                (between) "waits for " a href={ "/events/" (seq) } { "#" (seq) } ", which comes first of the same value"
            },
            JobState::Pending if job.blocked == 1 => span.muted { (between) "waits for another job of the same value" },
            JobState::Pending if job.run_at <= look.now => span.muted { (between) "waits for its turn" },
            JobState::Pending => span.muted { (between) "next try " (ago(job.run_at, look.now)) },
            JobState::Running => span.muted { (between) "attempt " (job.attempt) " is under way" },
            JobState::Succeeded | JobState::Dead | JobState::Skipped => {
                @if let Some(at) = job.finished_at { span.muted { (between) (ago(at, look.now)) } }
            }
        }
    }
}
