//! The query string of a dashboard page: filter, position in the list, flash message, confirmation.
//!
//! Invalid values are errors: a page that ignores a filter would show, or change, too much.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::model::filter::{self, ArrivalFilter, ArrivalText, EventFilter, FilterError, JobFilter};
use crate::support::time::Millis;

/// An empty value means that the parameter is not given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct PageQuery {
    pub(super) state: String,
    pub(super) source: String,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) handler: String,
    pub(super) reason: String,
    pub(super) since: String,
    pub(super) until: String,
    /// Prefix of an event's id, or `#seq`.
    pub(super) id: String,
    /// Text that the body contains.
    pub(super) text: String,
    /// An event's `seq`.
    pub(super) event: String,
    /// Ids of selected jobs, separated by commas.
    pub(super) jobs: String,
    /// Excludes jobs that finished at this time or later.
    pub(super) finished_before: String,
    /// Where the previous page of the list ended.
    pub(super) before: String,
    /// The last change and the number of jobs that it changed, with a signature.
    pub(super) did: String,
    pub(super) n: String,
    pub(super) seal: String,
    /// The newest job and the number of jobs that the confirmation showed.
    pub(super) newest: String,
    pub(super) count: String,
    /// `all` shows more of a body.
    pub(super) body: String,
}

/// The jobs that a user confirmed to change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Confirmation {
    pub(super) newest: i64,
    pub(super) count: usize,
}

impl PageQuery {
    pub(super) fn before(&self) -> Result<Option<i64>, FilterError> {
        number("before", &self.before)
    }

    pub(super) fn arrival(&self) -> Result<ArrivalFilter, FilterError> {
        let text = ArrivalText {
            source: some(&self.source),
            event_type: some(&self.event_type),
            since: some(&self.since),
            until: some(&self.until),
        };
        text.parse(Millis::now())
    }

    pub(super) fn events(&self) -> Result<EventFilter, FilterError> {
        let body_text = some(&self.text).map(str::to_owned);
        Ok(EventFilter { arrival: self.arrival()?, states: filter::states(some(&self.state))?, body_text })
    }

    pub(super) fn jobs(&self) -> Result<JobFilter, FilterError> {
        Ok(JobFilter {
            arrival: self.arrival()?,
            states: filter::states(some(&self.state))?,
            handler: some(&self.handler).map(str::to_owned),
            reason: filter::pattern("reason", some(&self.reason))?,
            events: self.seq()?.map(|seq| vec![seq]),
            jobs: some(&self.jobs).map(|jobs| filter::ids("jobs", jobs)).transpose()?,
            finished_before: filter::instant("finished_before", some(&self.finished_before), Millis::now())?,
        })
    }

    /// The filter alone.
    pub(super) fn filter(&self) -> Self {
        let none = String::new;
        let (did, n, seal, newest, count) = (none(), none(), none(), none(), none());
        Self { before: none(), did, n, seal, newest, count, body: none(), ..self.clone() }
    }

    pub(super) fn confirmation(&self) -> Result<Option<Confirmation>, FilterError> {
        let (newest, count) = (number("newest", &self.newest)?, number("count", &self.count)?);
        let count = count.and_then(|count| usize::try_from(count).ok());
        Ok(newest.zip(count).map(|(newest, count)| Confirmation { newest, count }))
    }

    pub(super) fn seq(&self) -> Result<Option<i64>, FilterError> {
        number("event", &self.event)
    }

    pub(super) fn has_filter(&self) -> bool {
        self.filter() != Self::default()
    }

    /// Names and values of the parameters that are given.
    pub(super) fn pairs(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("state", &self.state),
            ("source", &self.source),
            ("type", &self.event_type),
            ("handler", &self.handler),
            ("reason", &self.reason),
            ("since", &self.since),
            ("until", &self.until),
            ("id", &self.id),
            ("text", &self.text),
            ("event", &self.event),
            ("jobs", &self.jobs),
            ("finished_before", &self.finished_before),
            ("before", &self.before),
            ("did", &self.did),
            ("n", &self.n),
            ("seal", &self.seal),
            ("body", &self.body),
        ];
        all.into_iter().map(|(name, value)| (name, value.as_str())).filter(|(_, value)| !value.is_empty()).collect()
    }

    /// The address of `path` with this query.
    pub(super) fn link(&self, path: &str) -> String {
        let pairs = self.pairs();
        let query =
            pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&");
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }
}

/// Percent-encodes a value for an address.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn some(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn number(name: &str, text: &str) -> Result<Option<i64>, FilterError> {
    some(text).map(|text| filter::id(name, text)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_reads_back_as_the_same_query() {
        let query =
            PageQuery { state: "dead".into(), event_type: "a b&c".into(), before: "7".into(), ..PageQuery::default() };
        assert_eq!(query.link("/jobs"), "/jobs?state=dead&type=a%20b%26c&before=7");
        assert_eq!(query.filter().link("/jobs"), "/jobs?state=dead&type=a%20b%26c");
        assert_eq!(PageQuery::default().link("/jobs"), "/jobs");
        assert!(query.has_filter() && !PageQuery { before: "7".into(), ..PageQuery::default() }.has_filter());
        let read =
            actix_web::web::Query::<PageQuery>::from_query("state=dead&type=a+b%26c&before=7&unknown=1").unwrap();
        assert_eq!(*read, query);
    }

    #[test]
    fn invalid_values_are_errors() {
        let with = |change: &dyn Fn(&mut PageQuery)| {
            let mut query = PageQuery::default();
            change(&mut query);
            query.jobs().map(|_| ())
        };
        assert!(with(&|query| query.state = "dead, pending".into()).is_ok());
        assert!(with(&|query| query.state = "deed".into()).is_err());
        assert!(with(&|query| query.event = "x".into()).is_err());
        assert!(with(&|query| query.since = "yesterday".into()).is_err());
        assert!(PageQuery { before: "x".into(), ..PageQuery::default() }.before().is_err());
    }
}
