//! `/refusals/ID`: why one delivery was turned away, and which change would have made it match.
//!
//! The refusal as it was kept comes in; what `explain` finds goes out, which shows no secret and no expected signature.
//! Judged again, it is taken in if it is genuine by now.

use std::sync::Arc;

use maud::{Markup, html};

use super::event::header_list;
use super::frame::{Did, Frame, Tab, csrf};
use super::query::Asked;
use super::words::{shown, size, when};
use super::{Look, Trouble, body};
use crate::config::Source;
use crate::diagnose::{self, Explanation, ReverifyResult};
use crate::inbox::Inbox;
use crate::inbox::reader::StoredRefusal;
use crate::support::secret::DigestKey;

pub(super) fn page(look: &Look, id: i64, asked: &Asked) -> Result<Markup, Trouble> {
    let (kept, key) = read(look, id)?;
    let sources: Vec<_> = look.setup.sources.iter().map(|source| taught(&look.inbox, source)).collect();
    let explanation = diagnose::diagnose(&kept.refused, &sources, key.as_ref());
    let row = &kept.row;
    let main = html! {
        nav.crumbs aria-label="Way back" { a href="/refusals" { "Refusals" } span aria-hidden="true" { " / " } (shown(&row.source)) }
        div.title { h1 { (shown(&row.reason)) } span.status { (row.status) } }
        div.split {
            div.split-main {
                section aria-labelledby="why" {
                    h2 #why { "What would have made it match" }
                    (findings(&explanation))
                    (judge_again(look, &kept))
                }
                (body(&kept, asked))
            }
            aside.split-side aria-label="About this delivery" {
                dl.facts {
                    dt { "Source" } dd { (shown(&row.source)) }
                    dt { "Received" } dd { (when(row.received_at, look.now)) }
                    dt { "From" } dd { (row.remote.as_deref().map_or_else(|| "unknown".to_owned(), shown)) }
                    dt { "Request" } dd { code { (shown(&row.method)) " " (shown(&row.target)) } }
                }
                section aria-labelledby="headers" { h2 #headers { "Headers" } (header_list(&kept.refused.headers)) }
            }
        }
    };
    let did = match asked.did.as_str() {
        "left" => Did::left(&still(look, &kept, key.as_ref())),
        _ => Did::read(look, asked),
    };
    Ok(Frame { title: "Refusal", tab: Tab::Refusals, is_live: false, did }.around(look, &main))
}

/// Takes it in if it is genuine under today's configuration.
pub(super) fn reverify(look: &Look, id: i64) -> Result<String, Trouble> {
    let (kept, key) = read(look, id)?;
    let source = look.setup.sources.iter().find(|source| *source.name == *kept.refused.source);
    let source = source.map(|source| taught(&look.inbox, source));
    let result = source.map(|source| diagnose::reverify(&kept.refused, &source, key.as_ref()));
    let Some(ReverifyResult::Verified(verified)) = result else {
        return Ok(format!("/refusals/{id}?did=left"));
    };
    let receipt = look.inbox.accept_refusal(id, *verified)?;
    let events = receipt.map_or(0, |receipt| receipt.events()).try_into().unwrap_or(usize::MAX);
    Ok(look.told(Asked::default(), "reverify", events).link(&format!("/refusals/{id}")))
}

fn read(look: &Look, id: i64) -> Result<(StoredRefusal, Option<DigestKey>), Trouble> {
    let reader = look.inbox.reader()?;
    let (kept, key) = (reader.refusal(id)?, reader.token_key()?);
    let missing = || Trouble::Missing(format!("There is no refusal {id}; only the newest thousand are kept."));
    Ok((kept.ok_or_else(missing)?, key))
}

/// The source with the secret that it has learned, where it is taught one.
pub(in crate::web) fn taught(inbox: &Inbox, source: &Arc<Source>) -> Arc<Source> {
    let is_taught = source.secrets.is_empty() && source.scheme.handshake.is_some_and(|handshake| handshake.teaches);
    match inbox.learned(&source.name).filter(|_| is_taught) {
        Some(secret) => Arc::new(Source { secrets: vec![secret], ..Source::clone(source) }),
        None => source.clone(),
    }
}

/// Why it stays out.
fn still(look: &Look, kept: &StoredRefusal, key: Option<&DigestKey>) -> String {
    let Some(source) = look.setup.sources.iter().find(|source| *source.name == *kept.refused.source) else {
        return "Left: its source is no longer in the configuration.".to_owned();
    };
    match diagnose::reverify(&kept.refused, &taught(&look.inbox, source), key) {
        ReverifyResult::Verified(_) => "It is genuine now: judge it again.".to_owned(),
        ReverifyResult::Unrecoverable(why) => format!("Left: {}.", shown(&why)),
        ReverifyResult::StillRefused(why) => format!("Still refused: {}.", shown(&why)),
    }
}

fn judge_again(look: &Look, kept: &StoredRefusal) -> Markup {
    html! {
        @match kept.row.taken_at {
            Some(at) => p.notice { "Taken in as an event " (when(at, look.now)) "." },
            None => form.confirm method="post" action={ "/refusals/" (kept.row.id) "/reverify" } {
                (csrf(look))
                button type="submit" { "Judge again" }
                span.muted { "Takes it in if it is genuine under today's configuration." }
            }
        }
    }
}

fn findings(explanation: &Explanation) -> Markup {
    html! {
        @if explanation.findings.is_empty() {
            p { "Nothing that was tried makes it match. Compare the secret with the one that the provider shows; a forgery looks the same." }
            details { summary { "What was tried" } ul.plain-list { @for tried in &explanation.tried { li { (tried) } } } }
        } @else {
            ul.findings {
                @for finding in &explanation.findings {
                    li { p.what { (shown(&finding.what)) } p.remedy { (shown(&finding.change)) } }
                }
            }
        }
    }
}

/// The body as it was kept: cut where it was long, with its tokens masked.
fn body(kept: &StoredRefusal, asked: &Asked) -> Markup {
    let refused = &kept.refused;
    let start = refused.body.get(..body::limit(asked)).unwrap_or(&refused.body);
    let is_kept = !start.is_empty() || refused.body_bytes == 0;
    let page = format!("/refusals/{}", kept.row.id);
    let shown =
        body::Kept { start: is_kept.then_some((start, refused.body.len())), page: &page, download: "Download as kept" };
    html! {
        (body::section(&shown, asked))
        @if (refused.body.len() as u64) < refused.body_bytes {
            p.reach { "Of " (size(kept.row.body_bytes)) ", " (size(i64::try_from(refused.body.len()).unwrap_or(i64::MAX))) " were kept." }
        }
    }
}

/// What was kept of a body, for saving, never for showing.
pub(super) fn kept_body(look: &Look, id: i64) -> Result<Vec<u8>, Trouble> {
    Ok(read(look, id)?.0.refused.body)
}
