//! One job on an event's page: how it stands, and each attempt with what it wrote.
//!
//! A job with its ledger comes in, newest attempt first goes out; the newest is open. Output is shown as text, with what
//! was cut out said so.

use maud::{Markup, html};

use super::event::{Which, button, can};
use super::words::{badge, duration, grouped, shown, shown_lines, size, when};
use super::{Look, change, jobs};
use crate::inbox::reader::{Attempt, JobDetail};

/// Of output that was cut, so much is the beginning (`schema.sql`, `attempts.stdout`).
const HEAD_BYTES: usize = 4 * 1024;
/// Attempts shown of one job, the newest.
const SHOWN: usize = 40;

pub(super) fn job(look: &Look, ledger: &JobDetail) -> Markup {
    let job = &ledger.job;
    let title = format!("job-{}-title", job.id);
    html! {
        article.job id={ "job-" (job.id) } aria-labelledby=(title) data-key={ "job-" (job.id) } {
            header.job-head {
                h3 id=(title) { (shown(&job.handler)) }
                (badge(job.state.as_str()))
                p.job-told { (jobs::told(look, job)) }
                @if job.replays > 0 { p.muted { "replayed " (grouped(job.replays)) "×" } }
                div.actions {
                    @for verb in change::VERBS.iter().filter(|verb| can(**verb, job, true)) {
                        (button(look, *verb, &Which { seq: job.event_seq, handler: &job.handler, number: 1, list: "" }, "small", ""))
                    }
                }
            }
            @if ledger.attempts.is_empty() { p.empty { "No attempt yet." } }
            @let left_out = ledger.attempts.len().saturating_sub(SHOWN);
            ol.attempts reversed {
                @for (index, attempt) in ledger.attempts.iter().rev().take(SHOWN).enumerate() {
                    (one(look, attempt, index == 0))
                }
            }
            @if left_out > 0 { p.muted { (left_out) " older attempts are not shown; " code { "hookbox events show '#" (job.event_seq) "'" } " tells them." } }
        }
    }
}

fn one(look: &Look, attempt: &Attempt, is_newest: bool) -> Markup {
    let ending = attempt.status.map_or("running", |ending| ending.as_str());
    html! {
        li.attempt data-key={ "a-" (attempt.job_id) "-" (attempt.number) } {
            details open[is_newest && ending != "succeeded"] {
                summary {
                    span.attempt-number { "Attempt " (attempt.number) }
                    (badge(ending))
                    span.muted { (how(attempt)) }
                    span.attempt-when { (when(attempt.started_at, look.now)) }
                }
                div.attempt-body {
                    @if let Some(note) = &attempt.note { p.note { span.muted { "Note: " } (shown(note)) } }
                    (output("stderr", attempt.stderr.as_deref(), attempt.stderr_bytes))
                    (output("stdout", attempt.stdout.as_deref(), attempt.stdout_bytes))
                    @if attempt.stdout_bytes + attempt.stderr_bytes == 0 {
                        p.muted { @if attempt.status.is_some() { "It wrote nothing." } @else { "Output is kept once it has ended." } }
                    }
                }
            }
        }
    }
}

/// Exit, signal or answer, and how long it took.
fn how(attempt: &Attempt) -> String {
    let parts = [
        attempt.exit_code.map(|code| format!("exit status {code}")),
        attempt.signal.map(|signal| format!("signal {signal}")),
        attempt.http_status.map(|status| format!("HTTP {status}")),
        attempt.finished_at.map(|at| duration(at.since(attempt.started_at))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn output(name: &str, kept: Option<&[u8]>, written: i64) -> Markup {
    let all = usize::try_from(written).unwrap_or(0);
    let text = |bytes: &[u8]| shown_lines(&String::from_utf8_lossy(bytes));
    html! {
        @if all > 0 {
            figure.output {
                figcaption { (name) " " span.muted { (size(written)) } }
                @match kept {
                    None => p.muted { "No longer kept." },
                    Some(kept) if kept.len() < all => {
                        @let (head, tail) = kept.split_at(HEAD_BYTES.min(kept.len()));
                        pre tabindex="0" aria-label=(name) { (text(head)) span.cut { "\n… " (grouped(written - i64::try_from(kept.len()).unwrap_or(0))) " bytes left out …\n" } (text(tail)) }
                    }
                    Some(kept) => pre tabindex="0" aria-label=(name) { (text(kept)) }
                }
            }
        }
    }
}
