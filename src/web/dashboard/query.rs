//! What a page was asked for: the filters in its address, read and written.
//!
//! A query string goes in, a filter of the inbox comes out; what cannot be meant is told instead of left out, since a
//! filter that is dropped would show, and change, too much.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::Trouble;
use crate::model::filter::{self, ArrivalFilter, ArrivalText, EventFilter, JobFilter};
use crate::support::time::Millis;

/// Everything that a list can be filtered by. Empty is any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) state: String,
    pub(super) source: String,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) handler: String,
    pub(super) reason: String,
    pub(super) since: String,
    pub(super) until: String,
    /// How an event's id begins, or `#seq`.
    pub(super) id: String,
    /// What stands in its body.
    pub(super) text: String,
    /// One event: its `seq`.
    pub(super) event: String,
    /// Jobs that were picked out: their ids, between commas.
    pub(super) jobs: String,
    /// Not the jobs that have finished since.
    pub(super) finished_before: String,
    /// Where the page before ended.
    pub(super) before: String,
    /// What was done just now, and to how many.
    pub(super) did: String,
    pub(super) n: String,
    /// Shows that we have said so.
    pub(super) seal: String,
    /// The newest job and how many there were when a person was asked.
    pub(super) newest: String,
    pub(super) count: String,
    /// How much of a body is wanted.
    pub(super) body: String,
}

impl Asked {
    pub(super) fn before(&self) -> Result<Option<i64>, Trouble> {
        number("before", &self.before)
    }

    pub(super) fn arrival(&self) -> Result<ArrivalFilter, Trouble> {
        let text = ArrivalText {
            source: some(&self.source),
            event_type: some(&self.event_type),
            since: some(&self.since),
            until: some(&self.until),
        };
        Ok(text.parse(Millis::now())?)
    }

    pub(super) fn events(&self) -> Result<EventFilter, Trouble> {
        let body_text = some(&self.text).map(str::to_owned);
        Ok(EventFilter { arrival: self.arrival()?, states: filter::states(some(&self.state))?, body_text })
    }

    pub(super) fn jobs(&self) -> Result<JobFilter, Trouble> {
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

    /// The filter alone, without the page, what was done and what was asked.
    pub(super) fn filter(&self) -> Self {
        let none = String::new;
        let (did, n, seal, newest, count) = (none(), none(), none(), none(), none());
        Self { before: none(), did, n, seal, newest, count, body: none(), ..self.clone() }
    }

    /// The newest job that a person was asked about, and how many they were; `None` where nobody was asked.
    pub(super) fn confirmed(&self) -> Result<Option<(i64, usize)>, Trouble> {
        let (newest, count) = (number("newest", &self.newest)?, number("count", &self.count)?);
        Ok(newest.zip(count.and_then(|count| usize::try_from(count).ok())))
    }

    /// The event that it is about, if it is one.
    pub(super) fn seq(&self) -> Result<Option<i64>, Trouble> {
        number("event", &self.event)
    }

    /// Whether anything narrows the list.
    pub(super) fn is_narrow(&self) -> bool {
        self.filter() != Self::default()
    }

    /// The names and values that are not empty.
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

    /// The address of `path` with this filter.
    pub(super) fn link(&self, path: &str) -> String {
        let pairs = self.pairs();
        let query =
            pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&");
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }
}

/// A part of an address.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn some(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn number(name: &str, text: &str) -> Result<Option<i64>, Trouble> {
    Ok(some(text).map(|text| filter::id(name, text)).transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_written_as_it_was_read() {
        let asked = Asked { state: "dead".into(), event_type: "a b&c".into(), before: "7".into(), ..Asked::default() };
        assert_eq!(asked.link("/jobs"), "/jobs?state=dead&type=a%20b%26c&before=7");
        assert_eq!(asked.filter().link("/jobs"), "/jobs?state=dead&type=a%20b%26c");
        assert_eq!(Asked::default().link("/jobs"), "/jobs");
        assert!(asked.is_narrow() && !Asked { before: "7".into(), ..Asked::default() }.is_narrow());
        let read = actix_web::web::Query::<Asked>::from_query("state=dead&type=a+b%26c&before=7&unknown=1").unwrap();
        assert_eq!(*read, asked);
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        let with = |change: &dyn Fn(&mut Asked)| {
            let mut asked = Asked::default();
            change(&mut asked);
            asked.jobs().map(|_| ())
        };
        assert!(with(&|asked| asked.state = "dead, pending".into()).is_ok());
        assert!(with(&|asked| asked.state = "deed".into()).is_err());
        assert!(with(&|asked| asked.event = "x".into()).is_err());
        assert!(with(&|asked| asked.since = "yesterday".into()).is_err());
        assert!(Asked { before: "x".into(), ..Asked::default() }.before().is_err());
    }
}
