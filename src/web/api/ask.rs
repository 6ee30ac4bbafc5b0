//! What a request asks for: filters in its query, wishes in its body.
//!
//! Text goes in, filters of the inbox come out. An unknown name is refused, since a filter that is dropped would show, or
//! change, too much.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Query};
use actix_web::{FromRequest, HttpRequest};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::Fault;
use crate::model::filter::{self, ArrivalFilter, ArrivalText, EventFilter, JobFilter};
use crate::support::time::Millis;

const LIMIT: u32 = 50;
const MOST: u32 = 1000;
/// Numbers of queries.
const NUMBERS: [&str; 3] = ["limit", "before", "event"];

/// `GET /events`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Events {
    state: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    since: Option<String>,
    until: Option<String>,
    /// How its id begins.
    pub(super) id: Option<String>,
    /// What stands in its body.
    pub(super) text: Option<String>,
    pub(super) before: Option<i64>,
    limit: Option<u32>,
}

/// `GET /jobs`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Jobs {
    state: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    since: Option<String>,
    until: Option<String>,
    handler: Option<String>,
    reason: Option<String>,
    event: Option<i64>,
    finished_before: Option<String>,
    pub(super) before: Option<i64>,
    limit: Option<u32>,
}

/// `GET /refusals`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Refusals {
    source: Option<String>,
    since: Option<String>,
    until: Option<String>,
    pub(super) before: Option<i64>,
    limit: Option<u32>,
}

/// Which jobs are to change.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Which {
    pub(super) state: Vec<String>,
    pub(super) source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    since: Option<String>,
    until: Option<String>,
    pub(super) handler: Option<String>,
    pub(super) reason: Option<String>,
    /// `seq` of events.
    #[serde(deserialize_with = "whole_numbers")]
    pub(super) events: Option<Vec<i64>>,
    finished_before: Option<String>,
    /// All jobs that this can be done to.
    all: bool,
    /// Only tells how many.
    pub(super) dry_run: bool,
}

/// Why a handler is paused.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Pause {
    pub(super) reason: Option<String>,
}

impl Events {
    pub(super) fn filter(&self) -> Result<EventFilter, Fault> {
        let body_text = self.text.clone().filter(|text| !text.is_empty());
        let arrival = arrival(&self.source, &self.event_type, &self.since, &self.until)?;
        Ok(EventFilter { arrival, states: filter::states(self.state.as_deref())?, body_text })
    }

    pub(super) fn limit(&self) -> Result<u32, Fault> {
        limit(self.limit)
    }
}

impl Jobs {
    pub(super) fn filter(&self) -> Result<JobFilter, Fault> {
        Ok(JobFilter {
            arrival: arrival(&self.source, &self.event_type, &self.since, &self.until)?,
            states: filter::states(self.state.as_deref())?,
            handler: self.handler.clone(),
            reason: filter::pattern("reason", self.reason.as_deref())?,
            events: self.event.map(|seq| vec![seq]),
            jobs: None,
            finished_before: filter::instant("finished_before", self.finished_before.as_deref(), Millis::now())?,
        })
    }

    pub(super) fn limit(&self) -> Result<u32, Fault> {
        limit(self.limit)
    }
}

impl Refusals {
    pub(super) fn filter(&self) -> Result<ArrivalFilter, Fault> {
        arrival(&self.source, &None, &self.since, &self.until)
    }

    pub(super) fn limit(&self) -> Result<u32, Fault> {
        limit(self.limit)
    }
}

impl Which {
    /// Acting on many wants a filter, or `all`.
    pub(super) fn filter(&self) -> Result<JobFilter, Fault> {
        let named = [&self.source, &self.event_type, &self.since, &self.until, &self.handler, &self.reason];
        let is_narrow = named.iter().any(|name| name.is_some()) || !self.state.is_empty() || self.events.is_some();
        if !is_narrow && !self.all {
            return Err(Fault::Asked("which jobs is not said: name a filter, `events`, or `all`".to_owned()));
        }
        filter::check_ids("events", self.events.as_deref().unwrap_or_default())?;
        Ok(JobFilter {
            arrival: arrival(&self.source, &self.event_type, &self.since, &self.until)?,
            states: filter::states((!self.state.is_empty()).then(|| self.state.join(",")).as_deref())?,
            handler: self.handler.clone(),
            reason: filter::pattern("reason", self.reason.as_deref())?,
            events: self.events.clone(),
            jobs: None,
            finished_before: filter::instant("finished_before", self.finished_before.as_deref(), Millis::now())?,
        })
    }
}

/// Reads a query.
pub(super) fn ask<T: DeserializeOwned>(query: &str) -> Result<T, Fault> {
    Query::<T>::from_query(query).map(Query::into_inner).map_err(|error| {
        let what = error.to_string().replace("Query deserialize error: ", "");
        Fault::Asked(not_a_number(query).map_or(what, |name| format!("`{name}` is not a number that can be meant")))
    })
}

/// The first of [`NUMBERS`] that is none; what reads queries does not name it.
fn not_a_number(query: &str) -> Option<&'static str> {
    let pairs = Query::<Vec<(String, String)>>::from_query(query).ok()?.into_inner();
    let is_wrong = |name: &str, value: &str| match name {
        "limit" => value.parse::<u32>().is_err(),
        _ => value.parse::<i64>().is_err(),
    };
    NUMBERS.into_iter().find(|name| pairs.iter().any(|(key, value)| key == name && is_wrong(name, value)))
}

/// A body that came whole and is not too long.
pub(super) struct Sent(pub(super) Bytes);

impl FromRequest for Sent {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = Bytes::from_request(request, payload);
        Box::pin(async move {
            bytes.await.map(Self).map_err(|error| {
                let fault = match error.as_response_error().status_code() {
                    StatusCode::PAYLOAD_TOO_LARGE => Fault::Long,
                    _ => Fault::Asked("the body could not be read".to_owned()),
                };
                InternalError::from_response(error, fault.answer()).into()
            })
        })
    }
}

/// Reads a body; an empty one is an empty object.
pub(super) fn told<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Fault> {
    if body.is_empty() {
        return Ok(T::default());
    }
    let is_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if !is_object {
        return Err(Fault::Asked("the body is not a JSON object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| Fault::Asked(format!("the body: {error}")))
}

/// Whole numbers, which JSON may write as `7.0` too.
fn whole_numbers<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<i64>>, D::Error> {
    let Some(numbers) = Option::<Vec<serde_json::Number>>::deserialize(from)? else { return Ok(None) };
    let whole = |number: &serde_json::Number| {
        let text = number.to_string();
        text.strip_suffix(".0").unwrap_or(&text).parse::<i64>()
    };
    let seqs = numbers.iter().map(|number| {
        whole(number).map_err(|_| D::Error::custom(format!("`events`: {number} is not the number of an event")))
    });
    seqs.collect::<Result<_, _>>().map(Some)
}

fn arrival(
    source: &Option<String>,
    event_type: &Option<String>,
    since: &Option<String>,
    until: &Option<String>,
) -> Result<ArrivalFilter, Fault> {
    let text = ArrivalText {
        source: source.as_deref(),
        event_type: event_type.as_deref(),
        since: since.as_deref(),
        until: until.as_deref(),
    };
    Ok(text.parse(Millis::now())?)
}

fn limit(limit: Option<u32>) -> Result<u32, Fault> {
    match limit.unwrap_or(LIMIT) {
        limit @ 1..=MOST => Ok(limit),
        _ => Err(Fault::Asked(format!("`limit` is from 1 to {MOST}"))),
    }
}
