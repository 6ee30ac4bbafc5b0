//! Decides which handlers take an event (by source, type globs and values in its body), and reads its ordering key.
//!
//! Built once per configuration. The body is scanned at most once, and only if a handler that could take the event needs a
//! value in it.

mod ordering_key;

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde_json::Value;

use crate::config::{Handler, OrderingKey, OrderingMode, OrderingRule};
use crate::providers::Pointer;
use crate::support::json_paths::JsonPaths;
use crate::verify::{self, BodyHeaders, VerifiedDelivery, VerifiedEvent};

/// The routing table of one configuration.
#[derive(Debug, Default)]
pub struct Routes {
    routes: Vec<HandlerRoute>,
    /// All JSON pointers that the handlers use.
    places: JsonPaths,
}

/// The handler whose reply the provider gets.
#[derive(Debug, Clone)]
pub struct Responder {
    pub handler: Arc<str>,
    /// How long the provider waits for the reply.
    pub timeout: Duration,
}

#[derive(Debug)]
struct HandlerRoute {
    handler: Arc<str>,
    respond: Option<Duration>,
    sources: Option<Vec<String>>,
    types: TypeGlobs,
    /// Index of a pointer, and the accepted values.
    conditions: Vec<(usize, Vec<Value>)>,
    keyed: Option<OrderingRule>,
    /// Index of the pointer to the ordering key, if it is in the body.
    key_at: Option<usize>,
}

/// The parts of an event that routing uses.
#[derive(Debug, Clone, Copy)]
pub struct RoutedEvent<'a> {
    /// NAME of `[sources.NAME]`.
    pub source: &'a str,
    pub event_type: &'a str,
    /// One JSON object, as stored in the inbox.
    pub headers: &'a str,
    /// The exact bytes.
    pub body: &'a [u8],
}

/// A verified delivery with the jobs of its events.
#[derive(Debug)]
pub struct RoutedDelivery {
    delivery: VerifiedDelivery,
    /// One list per event, in order.
    jobs: Vec<Vec<NewJob>>,
    responder: Option<Responder>,
}

impl RoutedDelivery {
    #[must_use]
    pub fn delivery(&self) -> &VerifiedDelivery {
        &self.delivery
    }

    /// The events, each with its jobs.
    pub fn events(&self) -> impl Iterator<Item = (&VerifiedEvent, &[NewJob])> {
        self.delivery.items().iter().zip(self.jobs.iter().map(Vec::as_slice))
    }

    #[must_use]
    pub fn job_count(&self) -> usize {
        self.jobs.iter().map(Vec::len).sum()
    }

    /// The handler whose reply the provider gets. Only a delivery with a single event has one.
    #[must_use]
    pub fn responder(&self) -> Option<&Responder> {
        self.responder.as_ref()
    }
}

/// A job to create for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    pub handler: Arc<str>,
    /// Its ordering key, if the handler has one.
    pub order_key: Option<String>,
    /// Whether the newest job of its key replaces the older ones (`coalesce`).
    pub is_burst: bool,
}

impl Routes {
    /// One route per handler, in order. An error means a glob that does not compile, which the configuration rules out.
    pub fn new(handlers: &[Arc<Handler>]) -> Result<Self, globset::Error> {
        let mut places = JsonPaths::default();
        let mut number = |pointer: &str| Pointer::parse(pointer).ok().map(|pointer| places.add(pointer.steps()));
        let mut route = |handler: &Arc<Handler>| {
            let conditions = handler.filter.conditions.iter();
            // A pointer that does not parse finds nothing.
            let conditions =
                conditions.map(|(pointer, values)| (number(pointer).unwrap_or(usize::MAX), values.clone()));
            let conditions = conditions.collect();
            let key_at = match handler.ordering.as_ref().map(|keyed| &keyed.key) {
                Some(OrderingKey::Pointer(pointer)) => number(pointer),
                _ => None,
            };
            Ok(HandlerRoute {
                handler: handler.name.clone(),
                respond: handler.respond,
                sources: handler.filter.sources.clone(),
                types: TypeGlobs::new(&handler.filter.events)?,
                conditions,
                keyed: handler.ordering.clone(),
                key_at,
            })
        };
        let routes = handlers.iter().map(&mut route).collect::<Result<_, _>>()?;
        Ok(Self { routes, places })
    }

    /// Handler names, in configuration order.
    pub fn handlers(&self) -> Vec<Arc<str>> {
        self.routes.iter().map(|route| route.handler.clone()).collect()
    }

    /// Names of the handlers that take the event, in configuration order.
    pub fn matching(&self, source: &str, event_type: &str, body: &[u8]) -> Vec<Arc<str>> {
        let document = LazyBody::new(body, "{}", &self.places);
        self.taking(source, event_type, &document).map(|route| route.handler.clone()).collect()
    }

    /// Decides which handlers take the events of a delivery.
    pub fn route(&self, delivery: VerifiedDelivery) -> RoutedDelivery {
        let jobs_of = |event: &VerifiedEvent| {
            self.jobs_for(RoutedEvent {
                source: delivery.source(),
                event_type: &event.event_type,
                headers: delivery.headers_json(),
                body: &event.body,
            })
        };
        let jobs: Vec<_> = delivery.items().iter().map(jobs_of).collect();
        let responder = match &jobs[..] {
            [jobs] => self.responder(jobs),
            _ => None,
        };
        RoutedDelivery { delivery, jobs, responder }
    }

    /// The jobs to create for an event, in configuration order.
    pub fn jobs_for(&self, event: RoutedEvent<'_>) -> Vec<NewJob> {
        let document = LazyBody::new(event.body, event.headers, &self.places);
        let job = |route: &HandlerRoute| NewJob {
            handler: route.handler.clone(),
            order_key: route.key(event.headers, &document),
            is_burst: route.keyed.as_ref().is_some_and(|keyed| matches!(keyed.mode, OrderingMode::Coalesce { .. })),
        };
        self.taking(event.source, event.event_type, &document).map(job).collect()
    }

    /// An event's ordering key for a handler, even if the handler does not take the event.
    pub fn key_for(&self, handler: &str, headers: &str, body: &[u8]) -> Option<String> {
        let route = self.routes.iter().find(|route| *route.handler == *handler)?;
        route.key(headers, &LazyBody::new(body, headers, &self.places))
    }

    /// The ordering rule of each handler as text, to detect changes.
    pub fn rules(&self) -> impl Iterator<Item = (Arc<str>, Option<String>)> {
        self.routes.iter().map(|route| (route.handler.clone(), route.keyed.as_ref().map(ToString::to_string)))
    }

    fn taking<'a>(
        &'a self,
        source: &str,
        event_type: &str,
        document: &LazyBody<'_>,
    ) -> impl Iterator<Item = &'a HandlerRoute> {
        let holds =
            |(place, values): &(usize, Vec<Value>)| document.at(*place).is_some_and(|found| values.contains(found));
        self.routes.iter().filter(move |route| {
            route.takes_source(source) && route.types.takes(event_type) && route.conditions.iter().all(holds)
        })
    }
}

/// A body that is scanned when its first value is needed.
struct LazyBody<'a> {
    body: &'a [u8],
    /// One JSON object, as stored in the inbox.
    headers: &'a str,
    places: &'a JsonPaths,
    found: OnceCell<Vec<Option<Value>>>,
}

impl<'a> LazyBody<'a> {
    fn new(body: &'a [u8], headers: &'a str, places: &'a JsonPaths) -> Self {
        Self { body, headers, places, found: OnceCell::new() }
    }

    /// The scalar at a pointer. A body that cannot be presented as JSON has none.
    fn at(&self, place: usize) -> Option<&Value> {
        let scalar = |raw: Option<&str>| {
            raw.filter(|raw| !raw.starts_with(['{', '['])).and_then(|raw| serde_json::from_str(raw).ok())
        };
        let headers = || BodyHeaders::stored(self.headers);
        let look = || verify::read_values(self.body, headers, self.places, scalar).unwrap_or_default();
        self.found.get_or_init(look).get(place)?.as_ref()
    }
}

impl Routes {
    /// The first handler of these jobs that has `respond`.
    pub fn responder(&self, jobs: &[NewJob]) -> Option<Responder> {
        let responds = |route: &HandlerRoute| {
            let timeout = route.respond.filter(|_| jobs.iter().any(|job| job.handler == route.handler))?;
            Some(Responder { handler: route.handler.clone(), timeout })
        };
        self.routes.iter().find_map(responds)
    }
}

impl HandlerRoute {
    fn key(&self, headers: &str, document: &LazyBody<'_>) -> Option<String> {
        ordering_key::read(self.keyed.as_ref()?, headers, || document.at(self.key_at?))
    }

    fn takes_source(&self, source: &str) -> bool {
        self.sources.as_ref().is_none_or(|names| names.iter().any(|name| name == source))
    }
}

/// Globs over an event's type. `*` crosses dots. A leading `!` excludes and always wins; only exclusions mean everything
/// else. `pull_request` also matches `pull_request.opened`.
#[derive(Debug)]
pub struct TypeGlobs {
    /// `None` matches every type.
    included: Option<GlobSet>,
    excluded: GlobSet,
}

impl TypeGlobs {
    pub fn new(written: &[String]) -> Result<Self, globset::Error> {
        let (excluded, included): (Vec<_>, Vec<_>) = written.iter().partition(|glob| glob.starts_with('!'));
        let takes_all = included.is_empty() || included.iter().any(|glob| *glob == "*");
        Ok(Self {
            included: if takes_all { None } else { Some(compile(included.iter().map(|glob| glob.as_str()))?) },
            excluded: compile(excluded.iter().map(|glob| &glob[1..]))?,
        })
    }

    pub fn takes(&self, event_type: &str) -> bool {
        self.included.as_ref().is_none_or(|globs| globs.is_match(event_type)) && !self.excluded.is_match(event_type)
    }
}

fn compile<'a>(globs: impl Iterator<Item = &'a str>) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(Glob::new(glob)?);
        set.add(Glob::new(&format!("{glob}.*"))?);
    }
    set.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(globs: &[&str], event_type: &str) -> bool {
        TypeGlobs::new(&globs.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>()).unwrap().takes(event_type)
    }

    #[test]
    fn globs_include_and_exclude_types() {
        for (globs, event_type, expected) in [
            (&["*"][..], "push", true),
            (&["*"], "", true),
            (&["push"], "push", true),
            (&["push"], "pushed", false),
            (&["pull_request"], "pull_request.opened", true),
            (&["pull_request"], "pull_request_review.submitted", false),
            (&["pull_request.*"], "pull_request", false),
            (&["invoice.*"], "invoice.payment.failed", true),
            (&["*.failed"], "invoice.payment.failed", true),
            (&["!push"], "push", false),
            (&["!push"], "ping", true),
            (&["!pull_request"], "pull_request.opened", false),
            (&["*", "!push"], "push", false),
            (&["!push", "*"], "push", false),
            (&["invoice.*", "!invoice.paid"], "invoice.paid", false),
            (&["invoice.*", "!invoice.paid"], "charge.refunded", false),
            (&["{push,ping}"], "ping", true),
            (&["Push Hook"], "Push Hook", true),
            (&["orders/*"], "orders/create", true),
        ] {
            assert_eq!(takes(globs, event_type), expected, "{globs:?} {event_type}");
        }
    }
}
