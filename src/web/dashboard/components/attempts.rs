//! A job on an event's page, with its attempts and their output, newest first.
//!
//! Output is shown as text. A gap in truncated output is marked.

use maud::{Markup, html};

use super::format::{badge, duration, grouped, shown, shown_lines, size, when};
use super::job::{ActionButton, JOB_ACTIONS, status_text};
use crate::inbox::reader::{Attempt, JobDetail};
use crate::web::dashboard::context::PageContext;

/// Truncated output consists of this many bytes from its start, and bytes from its end (`schema.sql`, `attempts.stdout`).
const HEAD_BYTES: usize = 4 * 1024;
/// The newest attempts of a job are shown, up to this number.
const MAX_ATTEMPTS: usize = 40;

pub(crate) fn job(ctx: &PageContext, detail: &JobDetail) -> Markup {
    let job = &detail.job;
    let title = format!("job-{}-title", job.id);
    let button =
        |action| ActionButton { action, seq: job.event_seq, handler: &job.handler, jobs: 1, list: "", class: "small" };
    let hidden = detail.attempts.len().saturating_sub(MAX_ATTEMPTS);
    html! {
        article.job id={ "job-" (job.id) } aria-labelledby=(title) data-key={ "job-" (job.id) } {
            header.job-head {
                h3 id=(title) { (shown(&job.handler)) }
                (badge(job.state.as_str()))
                p.job-status { (status_text(job, ctx.now)) }
                @if job.replays > 0 { p.muted { "replayed " (grouped(job.replays)) "×" } }
                div.actions { @for action in JOB_ACTIONS { @if action.is_useful(job, true) { (button(action).render(ctx)) } } }
            }
            @if detail.attempts.is_empty() { p.empty { "No attempt yet." } }
            ol.attempts reversed {
                @for (index, attempt) in detail.attempts.iter().rev().take(MAX_ATTEMPTS).enumerate() {
                    (attempt_item(ctx, attempt, index == 0))
                }
            }
            @if hidden > 0 { p.muted { (hidden) " older attempts are not shown. Run " code { "hookbox events show '#" (job.event_seq) "'" } " to see them." } }
        }
    }
}

fn attempt_item(ctx: &PageContext, attempt: &Attempt, is_newest: bool) -> Markup {
    let status = attempt.status.map_or("running", |status| status.as_str());
    html! {
        li.attempt data-key={ "a-" (attempt.job_id) "-" (attempt.number) } {
            details open[is_newest && status != "succeeded"] {
                summary {
                    span.attempt-number { "Attempt " (attempt.number) }
                    (badge(status))
                    span.muted { (result_text(attempt)) }
                    span.attempt-when { (when(attempt.started_at, ctx.now)) }
                }
                div.attempt-body {
                    @if let Some(note) = &attempt.note { p.note { span.muted { "Note: " } (shown(note)) } }
                    (output("stderr", attempt.stderr.as_deref(), attempt.stderr_bytes))
                    (output("stdout", attempt.stdout.as_deref(), attempt.stdout_bytes))
                    @if attempt.stdout_bytes + attempt.stderr_bytes == 0 {
                        p.muted { @if attempt.status.is_some() { "No output." } @else { "Output is stored when the attempt has ended." } }
                    }
                }
            }
        }
    }
}

/// Exit status, signal or HTTP status, and the duration.
fn result_text(attempt: &Attempt) -> String {
    let parts = [
        attempt.exit_code.map(|code| format!("exit status {code}")),
        attempt.signal.map(|signal| format!("signal {signal}")),
        attempt.http_status.map(|status| format!("HTTP {status}")),
        attempt.finished_at.map(|at| duration(at.since(attempt.started_at))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn output(name: &str, stored: Option<&[u8]>, written: i64) -> Markup {
    let total = usize::try_from(written).unwrap_or(0);
    let text = |bytes: &[u8]| shown_lines(&String::from_utf8_lossy(bytes));
    html! {
        @if total > 0 {
            figure.output {
                figcaption { (name) " " span.muted { (size(written)) } }
                @match stored {
                    None => p.muted { "No longer stored." },
                    Some(stored) if stored.len() < total => {
                        @let (head, tail) = stored.split_at(HEAD_BYTES.min(stored.len()));
                        pre tabindex="0" aria-label=(name) { (text(head)) span.cut { "\n… " (grouped(written - i64::try_from(stored.len()).unwrap_or(0))) " bytes omitted …\n" } (text(tail)) }
                    }
                    Some(stored) => pre tabindex="0" aria-label=(name) { (text(stored)) }
                }
            }
        }
    }
}
