//! Query strings of lists and JSON bodies.
//!
//! Unknown names are errors: a filter that is ignored would list, or change, too much.

use actix_web::web::Query;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::error::ApiError;
use crate::model::filter::{self, ArrivalFilter, ArrivalText, EventFilter, JobFilter};
use crate::support::time::Millis;

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 1000;

/// The parameters of a list.
pub(super) struct ListQuery(Vec<(String, String)>);

impl ListQuery {
    /// Parses a query with the allowed names, each at most once.
    pub(super) fn parse(query: &str, allowed: &[&str]) -> Result<Self, ApiError> {
        let pairs = Query::<Vec<(String, String)>>::from_query(query);
        let pairs = pairs.map_err(|error| ApiError::BadRequest(error.to_string()))?.into_inner();
        for (index, (name, _)) in pairs.iter().enumerate() {
            if !allowed.contains(&name.as_str()) {
                let allowed = allowed.join(", ");
                return Err(ApiError::BadRequest(format!("unknown parameter `{name}`, expected one of: {allowed}")));
            }
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(ApiError::BadRequest(format!("`{name}` is given twice")));
            }
        }
        Ok(Self(pairs))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let invalid = |text| ApiError::BadRequest(format!("`{name}` is not a valid number: {text}"));
        self.text(name).map(|text| text.parse().map_err(|_| invalid(text))).transpose()
    }

    pub(super) fn before(&self) -> Result<Option<i64>, ApiError> {
        self.number("before")
    }

    pub(super) fn limit(&self) -> Result<u32, ApiError> {
        match self.number("limit")?.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=MAX_LIMIT => Ok(u32::try_from(limit).unwrap_or(u32::MAX)),
            _ => Err(ApiError::BadRequest(format!("`limit` must be from 1 to {MAX_LIMIT}"))),
        }
    }

    pub(super) fn arrival(&self) -> Result<ArrivalFilter, ApiError> {
        let text = ArrivalText {
            source: self.text("source"),
            event_type: self.text("type"),
            since: self.text("since"),
            until: self.text("until"),
        };
        Ok(text.parse(Millis::now())?)
    }

    pub(super) fn events(&self) -> Result<EventFilter, ApiError> {
        let body_text = self.text("text").filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(EventFilter { arrival: self.arrival()?, states: filter::states(self.text("state"))?, body_text })
    }

    pub(super) fn jobs(&self) -> Result<JobFilter, ApiError> {
        Ok(JobFilter {
            arrival: self.arrival()?,
            states: filter::states(self.text("state"))?,
            handler: self.text("handler").map(str::to_owned),
            reason: filter::pattern("reason", self.text("reason"))?,
            events: self.number("event")?.map(|seq| vec![seq]),
            jobs: None,
            finished_before: filter::instant("finished_before", self.text("finished_before"), Millis::now())?,
        })
    }
}

/// The body of retry, replay and skip.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct JobSelection {
    pub(super) state: Vec<String>,
    pub(super) source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    since: Option<String>,
    until: Option<String>,
    pub(super) handler: Option<String>,
    pub(super) reason: Option<String>,
    /// `seq` of each event.
    #[serde(deserialize_with = "whole_numbers")]
    pub(super) events: Option<Vec<i64>>,
    finished_before: Option<String>,
    all: bool,
    pub(super) dry_run: bool,
}

impl JobSelection {
    /// Requires a filter or `all`.
    pub(super) fn filter(&self) -> Result<JobFilter, ApiError> {
        let filters = [&self.source, &self.event_type, &self.since, &self.until, &self.handler, &self.reason];
        let has_filter =
            filters.iter().any(|filter| filter.is_some()) || !self.state.is_empty() || self.events.is_some();
        if !has_filter && !self.all {
            let error = "no jobs are selected: give a filter, `events`, or `all`";
            return Err(ApiError::BadRequest(error.to_owned()));
        }
        filter::check_ids("events", self.events.as_deref().unwrap_or_default())?;
        let arrival = ArrivalText {
            source: self.source.as_deref(),
            event_type: self.event_type.as_deref(),
            since: self.since.as_deref(),
            until: self.until.as_deref(),
        };
        let states = (!self.state.is_empty()).then(|| self.state.join(","));
        Ok(JobFilter {
            arrival: arrival.parse(Millis::now())?,
            states: filter::states(states.as_deref())?,
            handler: self.handler.clone(),
            reason: filter::pattern("reason", self.reason.as_deref())?,
            events: self.events.clone(),
            jobs: None,
            finished_before: filter::instant("finished_before", self.finished_before.as_deref(), Millis::now())?,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PauseRequest {
    pub(super) reason: Option<String>,
}

/// Parses a JSON object. An empty body counts as an empty object.
pub(super) fn parse_body<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, ApiError> {
    if body.is_empty() {
        return Ok(T::default());
    }
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(ApiError::BadRequest("the body is not a JSON object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| ApiError::BadRequest(format!("invalid body: {error}")))
}

/// Whole numbers, which JSON may write as `7.0` too.
fn whole_numbers<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<i64>>, D::Error> {
    let Some(numbers) = Option::<Vec<serde_json::Number>>::deserialize(from)? else { return Ok(None) };
    let parse = |number: &serde_json::Number| {
        let text = number.to_string();
        let parsed = text.strip_suffix(".0").unwrap_or(&text).parse::<i64>();
        parsed.map_err(|_| D::Error::custom(format!("`events`: {number} is not the number of an event")))
    };
    numbers.iter().map(parse).collect::<Result<_, _>>().map(Some)
}
