//! `/live`: server-sent events that tell an open page to reload its content.
//!
//! The inbox counts its commits. A stream polls that counter and sends an event when it has risen. It reads nothing from
//! the database, so it holds no transaction open. A page passes the counter that it was rendered with, so that it misses no
//! change. The number of streams is limited.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Bytes, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::Deserialize;

use super::errors;
use super::state::{StreamPermit, WebState};
use crate::inbox::Inbox;

/// How often a stream polls the counter.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Least time between two events, so that a busy inbox does not keep pages reloading.
const MIN_INTERVAL: Duration = Duration::from_millis(600);
/// An idle stream sends a comment this often, so that both ends notice a lost connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
pub(super) struct LiveQuery {
    since: Option<String>,
}

struct LiveStream {
    inbox: Arc<Inbox>,
    _permit: StreamPermit,
    /// The counter in the last event.
    sent: u64,
    last: Option<Instant>,
}

pub(super) async fn stream(state: Data<WebState>, query: Query<LiveQuery>, request: HttpRequest) -> HttpResponse {
    let Ok(since) = query.since.as_deref().map(str::parse).transpose() else {
        let hint = "use the value of `data-live` in a page, or leave it out";
        return errors::respond(&request, StatusCode::BAD_REQUEST, "`since` is not a number", hint);
    };
    let Some(permit) = state.live.acquire() else {
        return HttpResponse::ServiceUnavailable().body("too many live pages; reload this one manually");
    };
    let inbox = state.inbox.clone();
    let first = LiveStream {
        sent: since.unwrap_or_else(|| inbox.changes()),
        inbox,
        _permit: permit,
        last: Instant::now().checked_sub(MIN_INTERVAL),
    };
    let hello = stream::once(std::future::ready(Ok::<_, Infallible>(Bytes::from_static(b"retry: 2000\n\n"))));
    let events = stream::unfold(first, |stream| async move { stream.next().await });
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream::StreamExt::chain(hello, events))
}

impl LiveStream {
    /// Waits for the next line to send. Ends when hookbox stops.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            actix_web::rt::time::sleep(POLL_INTERVAL).await;
            if self.inbox.is_closing() {
                return None;
            }
            let (now, idle) = (self.inbox.changes(), self.last.map_or(MIN_INTERVAL, |last| last.elapsed()));
            let line = match now != self.sent {
                true if idle >= MIN_INTERVAL => format!("event: changed\ndata: {now}\n\n"),
                false if idle >= KEEP_ALIVE => ":\n\n".to_owned(),
                _ => continue,
            };
            (self.sent, self.last) = (now, Some(Instant::now()));
            return Some((Ok(Bytes::from(line)), self));
        }
    }
}
