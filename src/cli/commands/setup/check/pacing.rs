//! What `check` says of `order_by`, `coalesce`, `rate_limit` and `respond`: as fields for scripts, as sentences for people.
//!
//! A handler goes in, what its settings mean comes out, with what becomes of events that have no value. Nothing is
//! looked up or judged here.

use serde::Serialize;

use super::tables::spoken;
use crate::config::{Handler, MissingKey, Mode, OrderingMode};

/// How jobs of one handler wait for each other, and how many start.
#[derive(Debug, Serialize)]
pub(crate) struct Pacing {
    order_by: Option<String>,
    coalesce: Option<Coalesce>,
    /// What becomes of events without a value: `alone` or `together`.
    missing: Option<String>,
    rate_limit: Option<String>,
    /// How long the provider waits for its words.
    respond_timeout_s: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Coalesce {
    key: String,
    quiet_s: f64,
    max_s: f64,
}

impl Pacing {
    pub(crate) fn of(handler: &Handler) -> Self {
        let keyed = handler.ordering.as_ref();
        let key = keyed.map(|keyed| keyed.key.to_string());
        let (order_by, coalesce) = match keyed.map(|keyed| keyed.mode) {
            None => (None, None),
            Some(OrderingMode::InOrder) => (key, None),
            Some(OrderingMode::Coalesce { quiet, max }) => {
                let [quiet_s, max_s] = [quiet, max].map(|span| span.as_secs_f64());
                (None, key.map(|key| Coalesce { key, quiet_s, max_s }))
            }
        };
        let missing = keyed.map(|keyed| keyed.missing.to_string());
        let respond_timeout_s = handler.respond.map(|timeout| timeout.as_secs_f64());
        let rate_limit = handler.rate_limit.map(|rate| rate.to_string());
        Self { order_by, coalesce, missing, rate_limit, respond_timeout_s }
    }
}

/// One sentence for each that holds.
pub(crate) fn sentences(handler: &Handler) -> Vec<String> {
    let name = &handler.name;
    let mut told = Vec::new();
    if let Some(timeout) = handler.respond {
        let words = match handler.mode {
            Mode::Command => "what it writes",
            Mode::Worker { .. } => "the `response` of its reply",
            Mode::Http(_) => "what it answers",
        };
        let within = spoken(timeout);
        told.push(format!("{name}: {words} is the answer to the provider, if it succeeds within {within}."));
    }
    if let Some(keyed) = &handler.ordering {
        let key = &keyed.key;
        told.push(match (keyed.mode, keyed.missing) {
            (OrderingMode::InOrder, MissingKey::Alone) => format!(
                "{name}: events with the same {key} run one at a time, as they arrived; those without it in no order."
            ),
            (OrderingMode::InOrder, MissingKey::Together) => format!(
                "{name}: events with the same {key} run one at a time, as they arrived; those without it likewise."
            ),
            (OrderingMode::Coalesce { quiet, max }, missing) => {
                let [quiet, max] = [quiet, max].map(spoken);
                let others = match missing {
                    MissingKey::Alone => "each one without it runs",
                    MissingKey::Together => "those without it likewise",
                };
                format!(
                    "{name}: of events with the same {key} only the newest runs, once none has come for {quiet}, at most \
                     {max} after the first; {others}."
                )
            }
        });
    }
    if let Some(rate) = handler.rate_limit {
        told.push(format!("{name}: at most {rate} attempts start, evenly."));
    }
    told
}
