//! `/jobs/VERB/ID`: how far a change of many jobs is, and how it ended.
//!
//! The change as it is told of comes in, with the filter that it was asked by in the address. The page follows it; without
//! the script it loads itself anew. After a restart nobody knows the change any more: then it says what is left to do.

use maud::{Markup, html};

use super::change::Verb;
use super::confirm::{crumbs, which};
use super::frame::{Frame, Tab, csrf};
use super::query::Asked;
use super::words::{badge, count, grouped, shown, span, when};
use super::{Look, Trouble};
use crate::inbox::operator::BulkAction;
use crate::support::time::Millis;
use crate::web::changes::{Progress, State};

pub(super) fn page(look: &Look, verb: Verb, id: i64, asked: &Asked) -> Result<Markup, Trouble> {
    let progress = look.changes.find(id).filter(|progress| progress.change == verb.change);
    if progress.is_none() && !look.changes.may_have_been(id) {
        return Err(Trouble::Missing(format!("There is no {} of many jobs with the id {id}.", verb.word)));
    }
    let filter = asked.filter();
    let title = match &progress {
        Some(progress) => title(progress, verb),
        None => format!("{} of many jobs", verb.label),
    };
    let back = (filter.link(super::jobs::PATH), "Jobs".to_owned());
    let rest = rest(verb, id, &filter);
    let main = html! {
        (crumbs(&back, verb.label))
        @match &progress {
            Some(progress) => (told(look, verb, progress, &Ways { filter: &filter, back: &back.0, rest: &rest })),
            None => {
                h1 { (title) }
                p.lead { "hookbox has been started anew since this was begun, or has made many others since. What was changed by then stays changed, the rest is as it was." }
                p.confirm { a.button href=(rest) { "Look at the rest…" } }
            }
        }
        @if filter != Asked::default() { (which(&filter)) }
    };
    Ok(Frame { title: &title, tab: Tab::Jobs, is_live: true, did: None }.around(look, &main))
}

/// A line for each change that is under way.
pub(super) fn under_way(look: &Look) -> Markup {
    let running = look.changes.all().into_iter().filter(|progress| progress.state == State::Running);
    html! {
        @for progress in running {
            p.notice data-key={ "change-" (progress.id) } {
                a href={ "/jobs/" (progress.change.as_str()) "/" (progress.id) } {
                    (progress.change.as_str()) " of " (count(progress.total, "job"))
                }
                " is under way: " (share(&progress)) " % done."
            }
        }
    }
}

fn title(progress: &Progress, verb: Verb) -> String {
    format!("{} of {}", verb.label, count(progress.total, "job"))
}

/// Where one can go from here.
struct Ways<'a> {
    filter: &'a Asked,
    back: &'a str,
    rest: &'a str,
}

fn told(look: &Look, verb: Verb, progress: &Progress, ways: &Ways<'_>) -> Markup {
    let number = |number: usize| grouped(i64::try_from(number).unwrap_or(i64::MAX));
    let is_running = progress.state == State::Running;
    html! {
        @if is_running { noscript { meta http-equiv="refresh" content="2"; } }
        div.title { h1 { (title(progress, verb)) } (badge(word(progress))) }
        progress.change value=(progress.done) max=(progress.total) aria-label="Jobs that it has come to" { (share(progress)) " %" }
        p role="status" {
            strong { (number(progress.done)) " of " (count(progress.total, "job")) }
            @if let Some(left) = time_left(look.now, progress) { " · about " (span(left)) " left" }
            @if let Some(reason) = &progress.reason { ": " (shown(reason)) }
        }
        (sum(look, progress))
        @match progress.state {
            State::Running if progress.is_stopping => p.muted { "It ends after its present step. What was changed stays changed." },
            State::Running => {
                p.muted { "It goes on in small steps whether or not this page is open." }
                form.confirm method="post" action={ "/jobs/" (verb.word) "/" (progress.id) "/stop" } {
                    (csrf(look))
                    @for (name, value) in ways.filter.pairs() { input type="hidden" name=(name) value=(value); }
                    button type="submit" { "Stop" }
                    span.muted { "What was changed stays changed." }
                }
            }
            State::Done => p.confirm { a.button href=(ways.back) { "To the jobs" } },
            State::Stopped | State::Failed => {
                p.muted { "What was changed stays changed, the rest is as it was." }
                p.confirm { a.button.primary href=(ways.rest) { "Look at the rest…" } a.button href=(ways.back) { "To the jobs" } }
            }
        }
    }
}

fn sum(look: &Look, progress: &Progress) -> Markup {
    let number = |number: usize| grouped(i64::try_from(number).unwrap_or(i64::MAX));
    html! {
        dl.facts.change-facts {
            dt { "Changed" } dd { (number(progress.changed + progress.made)) }
            @for (why, jobs) in &progress.left { dt { "Left, " (why) } dd { (number(*jobs)) } }
            dt { "Begun" } dd { (when(progress.started_at, look.now)) }
            @if let Some(at) = progress.finished_at { dt { "Ended" } dd { (when(at, look.now)) } }
        }
    }
}

fn word(progress: &Progress) -> &'static str {
    match progress.state {
        State::Running if progress.is_stopping => "stopping",
        State::Running => "running",
        State::Done => "done",
        State::Stopped => "stopped",
        State::Failed => "failed",
    }
}

fn share(progress: &Progress) -> usize {
    progress.done * 100 / progress.total.max(1)
}

/// As long as it took so far, by how much there still is.
fn time_left(now: Millis, progress: &Progress) -> Option<std::time::Duration> {
    let (done, left) = (u32::try_from(progress.done).ok()?, progress.total - progress.done);
    let is_running = progress.state == State::Running && done > 0;
    let factor = f64::from(u32::try_from(left).ok()?) / f64::from(done.max(1));
    let left = now.since(progress.started_at).mul_f64(factor);
    (is_running && left.as_secs() > 0).then_some(left)
}

/// The page that asks about what is left. What was replayed and has succeeded since is not asked about.
fn rest(verb: Verb, began: i64, filter: &Asked) -> String {
    let mut filter = filter.clone();
    if verb.change == BulkAction::Replay && filter.finished_before.is_empty() {
        filter.finished_before = Millis(began).to_rfc3339();
    }
    filter.link(&format!("/jobs/{}", verb.word))
}
