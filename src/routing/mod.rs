//! Which handlers take an event: by source, by globs over its type, and by values in its body; and by which value its
//! jobs belong together.
//!
//! Pure, and made once per configuration. The body is looked through only where a handler that could take the event asks
//! for values in it, and then once, without building what is not asked for.

mod ordering_key;

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde_json::Value;

use crate::config::{Handler, OrderingKey, OrderingMode, OrderingRule};
use crate::providers::Pointer;
use crate::support::json_paths::JsonPaths;
use crate::verify::{VerifiedDelivery, VerifiedEvent};

/// The routing table of one configuration.
#[derive(Debug, Default)]
pub struct Routes {
    routes: Vec<HandlerRoute>,
    /// Where in the bodies all of them look.
    places: JsonPaths,
}

/// The handler that answers the provider.
#[derive(Debug, Clone)]
pub struct Responder {
    /// Its name.
    pub handler: Arc<str>,
    /// How long the provider waits for it.
    pub timeout: Duration,
}

#[derive(Debug)]
struct HandlerRoute {
    handler: Arc<str>,
    respond: Option<Duration>,
    sources: Option<Vec<String>>,
    types: TypeGlobs,
    /// Number of a place, and the values that may stand there.
    conditions: Vec<(usize, Vec<Value>)>,
    keyed: Option<OrderingRule>,
    /// Number of the place of its key, where that is in the body.
    key_at: Option<usize>,
}

/// What routing looks at.
#[derive(Debug, Clone, Copy)]
pub struct RoutedEvent<'a> {
    /// NAME of the source.
    pub source: &'a str,
    /// The event's type.
    pub event_type: &'a str,
    /// One JSON object, as stored.
    pub headers: &'a str,
    /// The exact bytes.
    pub body: &'a [u8],
}

/// A verified delivery with the jobs of its events.
#[derive(Debug)]
pub struct RoutedDelivery {
    delivery: VerifiedDelivery,
    /// For each event, in order.
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

/// A job that an event is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Name of the handler.
    pub handler: Arc<str>,
    /// Its value, where the handler has it belong together with others.
    pub order_key: Option<String>,
    /// Whether the newest of its value runs in place of all.
    pub is_burst: bool,
}

impl Routes {
    /// One route per handler, in their order.
    ///
    /// # Errors
    /// A glob that does not compile: which one, and why. The configuration has checked them before.
    pub fn new(handlers: &[Arc<Handler>]) -> Result<Self, globset::Error> {
        let mut places = JsonPaths::default();
        let mut number = |pointer: &str| Pointer::parse(pointer).ok().map(|pointer| places.add(pointer.steps()));
        let mut route = |handler: &Arc<Handler>| {
            let conditions = handler.filter.conditions.iter();
            // A place that cannot be is nowhere.
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

    /// The names of all handlers, in the order of the configuration.
    #[must_use]
    pub fn handlers(&self) -> Vec<Arc<str>> {
        self.routes.iter().map(|route| route.handler.clone()).collect()
    }

    /// The names of the handlers that take the event, in the order of the configuration.
    #[must_use]
    pub fn matching(&self, source: &str, event_type: &str, body: &[u8]) -> Vec<Arc<str>> {
        let document = LazyBody::new(body, &self.places);
        self.taking(source, event_type, &document).map(|route| route.handler.clone()).collect()
    }

    /// Decides which handlers take the events of a delivery.
    #[must_use]
    pub fn route(&self, delivery: VerifiedDelivery) -> RoutedDelivery {
        let jobs_of = |event: &VerifiedEvent| {
            self.drafts(RoutedEvent {
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

    /// The jobs that the event is to have, in the order of the configuration.
    #[must_use]
    pub fn drafts(&self, event: RoutedEvent<'_>) -> Vec<NewJob> {
        let document = LazyBody::new(event.body, &self.places);
        let draft = |route: &HandlerRoute| NewJob {
            handler: route.handler.clone(),
            order_key: route.key(event.headers, &document),
            is_burst: route.keyed.as_ref().is_some_and(|keyed| matches!(keyed.mode, OrderingMode::Coalesce { .. })),
        };
        self.taking(event.source, event.event_type, &document).map(draft).collect()
    }

    /// An event's value for a handler, whether or not the handler takes it.
    #[must_use]
    pub fn key_for(&self, handler: &str, headers: &str, body: &[u8]) -> Option<String> {
        let route = self.routes.iter().find(|route| *route.handler == *handler)?;
        route.key(headers, &LazyBody::new(body, &self.places))
    }

    /// By which rule jobs of each handler belong together, in words that change with it.
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

/// A body that is looked through when the first value in it is asked for.
struct LazyBody<'a> {
    body: &'a [u8],
    places: &'a JsonPaths,
    found: OnceCell<Vec<Option<Value>>>,
}

impl<'a> LazyBody<'a> {
    fn new(body: &'a [u8], places: &'a JsonPaths) -> Self {
        Self { body, places, found: OnceCell::new() }
    }

    /// The text, number, boolean or null at a place. What is no JSON holds no values.
    fn at(&self, place: usize) -> Option<&Value> {
        let scalar = |raw: &str| if raw.starts_with(['{', '[']) { None } else { serde_json::from_str(raw).ok() };
        let look = || {
            let found = self.places.read(self.body).unwrap_or_default();
            found.into_iter().map(|raw| scalar(raw?)).collect()
        };
        self.found.get_or_init(look).get(place)?.as_ref()
    }
}

impl Routes {
    /// The handler among those of these jobs that answers the provider.
    #[must_use]
    pub fn responder(&self, drafts: &[NewJob]) -> Option<Responder> {
        let responds = |route: &HandlerRoute| {
            let timeout = route.respond.filter(|_| drafts.iter().any(|draft| draft.handler == route.handler))?;
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

/// Globs over an event's type. `*` crosses dots, a leading `!` excludes and always wins, negatives alone mean all but
/// these, and `pull_request` also takes `pull_request.opened`.
#[derive(Debug)]
pub struct TypeGlobs {
    wanted: Option<GlobSet>,
    unwanted: GlobSet,
}

impl TypeGlobs {
    /// Compiles the globs as written.
    ///
    /// # Errors
    /// The first that does not compile.
    pub fn new(written: &[String]) -> Result<Self, globset::Error> {
        let (unwanted, wanted): (Vec<_>, Vec<_>) = written.iter().partition(|glob| glob.starts_with('!'));
        let takes_all = wanted.is_empty() || wanted.iter().any(|glob| *glob == "*");
        Ok(Self {
            wanted: if takes_all { None } else { Some(compile(wanted.iter().map(|glob| glob.as_str()))?) },
            unwanted: compile(unwanted.iter().map(|glob| &glob[1..]))?,
        })
    }

    /// Whether an event of this type is taken.
    #[must_use]
    pub fn takes(&self, event_type: &str) -> bool {
        self.wanted.as_ref().is_none_or(|globs| globs.is_match(event_type)) && !self.unwanted.is_match(event_type)
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
    fn globs_take_and_exclude_types() {
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
