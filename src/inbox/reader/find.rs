//! EVENT as people write it: an event id, `source/id` or `#seq`.
//!
//! Ids may hold slashes and hashes, so a text can mean several events: all are handed back, none is guessed at.
//! `#seq` always means the seq.

use rusqlite::{Connection, OptionalExtension, Result};

use super::rows::Event;
use super::{STATE, event, status::sources};
use crate::support::time::Millis;

/// What a text turned out to mean.
#[derive(Debug)]
pub enum Found {
    /// Exactly one event.
    One(Box<Event>),
    /// Several, in order of arrival.
    Several(Vec<Event>),
    /// Only keys of events that are gone.
    Pruned(Vec<Pruned>),
    /// Nothing.
    Nothing,
}

/// A row of `keys`: an event that was pruned and is still known as a duplicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// NAME of `[sources.NAME]`.
    pub source: String,
    /// The provider's id.
    pub event_id: String,
    /// Of the first delivery.
    pub received_at: Millis,
}

/// Finds the event that a person means.
///
/// # Errors
/// What SQLite says.
pub fn find(connection: &Connection, wanted: &str) -> Result<Found> {
    if let Some(seq) = wanted.strip_prefix('#').and_then(|digits| digits.parse().ok()) {
        return Ok(event(connection, seq)?.map_or(Found::Nothing, |event| Found::One(Box::new(event))));
    }
    let mut events = Vec::new();
    for (source, event_id) in readings(wanted, &sources(connection)?) {
        let sql =
            format!("SELECT {}, {STATE} AS state FROM events e WHERE e.source = ? AND e.event_id = ?", Event::COLUMNS);
        events.extend(connection.prepare_cached(&sql)?.query_row([source, event_id], Event::read).optional()?);
    }
    events.sort_by_key(|event| event.seq);
    match events.pop() {
        None => pruned(connection, wanted),
        Some(event) if events.is_empty() => Ok(Found::One(Box::new(event))),
        Some(event) => {
            events.push(event);
            Ok(Found::Several(events))
        }
    }
}

fn pruned(connection: &Connection, wanted: &str) -> Result<Found> {
    let mut keys = Vec::new();
    for (source, event_id) in readings(wanted, &super::status::key_sources(connection)?) {
        let mut statement =
            connection.prepare_cached("SELECT received_at FROM keys WHERE source = ? AND event_id = ?")?;
        let received_at = statement.query_row([source, event_id], |row| row.get(0).map(Millis)).optional()?;
        keys.extend(received_at.map(|received_at| Pruned {
            source: source.to_owned(),
            event_id: event_id.to_owned(),
            received_at,
        }));
    }
    Ok(if keys.is_empty() { Found::Nothing } else { Found::Pruned(keys) })
}

/// Every (source, event id) that a text can mean.
fn readings<'a>(wanted: &'a str, sources: &'a [String]) -> Vec<(&'a str, &'a str)> {
    let plain = sources.iter().map(|source| (source.as_str(), wanted));
    let qualified = wanted.split_once('/').filter(|(source, _)| sources.iter().any(|known| known == source));
    plain.chain(qualified).collect()
}
