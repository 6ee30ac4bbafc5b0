//! `/live`: tells open pages that something has changed, by server-sent events.
//!
//! The inbox counts its commits; a stream looks at that number a few times a second and passes it on when it has risen.
//! Nothing is read from the file, so no stream holds a transaction open. A page says what it has seen, so that nothing is
//! missed between its making and its stream. Streams are few, and end with hookbox.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Bytes, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::Deserialize;

use super::{Shared, malformed};
use crate::inbox::Inbox;

/// Streams at once; whoever comes later loads pages by hand.
const MOST: usize = 64;
/// How often a stream looks.
const TICK: Duration = Duration::from_millis(200);
/// The least time between two tellings: a page that follows every commit would do nothing else.
const PACE: Duration = Duration::from_millis(600);
/// How long nothing is said; then a line that means nothing shows that both ends are there.
const QUIET: Duration = Duration::from_secs(15);

/// How many streams there are.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams(Arc<AtomicUsize>);

/// A place among them, free again with its end.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Streams {
    fn enter(&self) -> Option<Place> {
        let place = Place(self.0.clone());
        (place.0.fetch_add(1, Ordering::Relaxed) < MOST).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the page that asks has seen.
#[derive(Debug, Deserialize)]
pub(super) struct Seen {
    since: Option<String>,
}

/// What one stream has said.
struct Telling {
    inbox: Arc<Inbox>,
    _place: Place,
    told: u64,
    last: Option<Instant>,
}

pub(super) async fn stream(shared: Data<Shared>, seen: Query<Seen>, request: HttpRequest) -> HttpResponse {
    let Ok(since) = seen.since.as_deref().map(str::parse).transpose() else {
        let hint = "it is what `data-live` of a page says, or left out";
        return malformed::answer(&request, StatusCode::BAD_REQUEST, "`since` is not a number", hint);
    };
    let Some(place) = shared.live.enter() else {
        return HttpResponse::ServiceUnavailable().body("too many pages are live; load this one again by hand");
    };
    let inbox = shared.inbox.clone();
    let first = Telling {
        told: since.unwrap_or_else(|| inbox.changes()),
        inbox,
        _place: place,
        last: Instant::now().checked_sub(PACE),
    };
    let hello = stream::once(std::future::ready(Ok::<_, Infallible>(Bytes::from_static(b"retry: 2000\n\n"))));
    let told = stream::unfold(first, |telling| async move { telling.next().await });
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream::StreamExt::chain(hello, told))
}

impl Telling {
    /// What to say next, when there is something.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            actix_web::rt::time::sleep(TICK).await;
            if self.inbox.is_closing() {
                return None;
            }
            let (now, silence) = (self.inbox.changes(), self.last.map_or(PACE, |last| last.elapsed()));
            let line = match now != self.told {
                true if silence >= PACE => format!("event: changed\ndata: {now}\n\n"),
                false if silence >= QUIET => ":\n\n".to_owned(),
                _ => continue,
            };
            (self.told, self.last) = (now, Some(Instant::now()));
            return Some((Ok(Bytes::from(line)), self));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_few_and_free_again() {
        let streams = Streams::default();
        let places: Vec<_> = std::iter::repeat_with(|| streams.enter()).take(MOST).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(streams.enter().is_none());
        assert!(streams.enter().is_none());
        drop(places);
        assert!(streams.enter().is_some());
    }
}
