//! Parses `event_id`, `id_scope`, `digest_with` and `event_type`.

use crate::providers::identity::{DigestContent, EventId, EventType, IdScope};
use crate::providers::row::{ProviderRow, RowError, SelectorEntry};
use crate::providers::selectors::{SELECTOR_HINT, Selector};

const SCOPE_HINT: &str = "\"event\": one id per event, also for retries; \"object\": the id of something that changes; \
                          \"none\": every delivery is a new event";

/// A row without `event_id` gets no selector, unless every delivery is a new event.
pub(super) fn event_id(row: &ProviderRow, event_type: Option<&EventType>) -> Result<EventId, RowError> {
    let id = if row.event_id.is_empty() { EventId::default() } else { parse_event_id(&row.event_id)? };
    let scope = id_scope(row)?;
    let or_fresh = id.or_fresh || scope == IdScope::None;
    let has_digest = scope == IdScope::Object || id.alternatives.iter().flatten().any(|part| *part == Selector::Body);
    let digest = digest(row, event_type, has_digest)?;
    Ok(EventId { or_fresh, scope, digest, ..id })
}

/// Reads the key `event_id`: at least one entry, of which only the last may be `body` or `none`.
fn parse_event_id(written: &[SelectorEntry]) -> Result<EventId, RowError> {
    let wrong = |message: &str| RowError::new("event_id", message);
    let or_fresh = written.last() == Some(&SelectorEntry::One("none".to_owned()));
    let entries = &written[..written.len() - usize::from(or_fresh)];
    if written.is_empty() {
        return Err(wrong("names no selector").hint("end the list in \"body\" to use the body's SHA-256 as the id"));
    }
    let alternatives = parse_alternatives(entries).map_err(|message| wrong(&message).hint(SELECTOR_HINT))?;
    let always_found = alternatives.iter().position(|parts| parts.iter().all(|part| *part == Selector::Body));
    match always_found {
        Some(index) if index + 1 < written.len() => {
            Err(wrong("`body` is always found, so the entries after it are never used").hint("put it last"))
        }
        _ => Ok(EventId { alternatives, or_fresh, ..EventId::default() }),
    }
}

/// Reads the key `event_type`: any number of entries, none for a provider without types.
pub(super) fn parse_event_type(written: &[SelectorEntry]) -> Result<EventType, RowError> {
    let wrong = |message: &str| RowError::new("event_type", message);
    let alternatives = parse_alternatives(written).map_err(|message| wrong(&message).hint(SELECTOR_HINT))?;
    if alternatives.iter().flatten().any(|part| *part == Selector::Body) {
        return Err(wrong("`body` cannot be an event type"));
    }
    Ok(EventType { alternatives })
}

fn parse_alternatives(written: &[SelectorEntry]) -> Result<Vec<Vec<Selector>>, String> {
    let parse = |entry: &SelectorEntry| match entry.parts() {
        [] => Err("an inner list is empty".to_owned()),
        parts => parts.iter().map(|part| Selector::parse(part)).collect(),
    };
    written.iter().map(parse).collect()
}

fn id_scope(row: &ProviderRow) -> Result<IdScope, RowError> {
    let has_no_id = row.event_id == [SelectorEntry::One("none".to_owned())];
    let wrong = |message: String| Err(RowError::new("id_scope", message).hint(SCOPE_HINT));
    match row.id_scope.as_deref() {
        None if has_no_id => Ok(IdScope::None),
        None => Ok(IdScope::Event),
        Some("none") => Ok(IdScope::None),
        Some(scope @ ("event" | "object")) if has_no_id => {
            wrong(format!("is \"{scope}\", but `event_id` is [\"none\"], so no event has an id"))
        }
        Some("event") => Ok(IdScope::Event),
        Some("object") => Ok(IdScope::Object),
        Some(other) => wrong(format!("`{other}` is none of event, object, none")),
    }
}

fn digest(row: &ProviderRow, event_type: Option<&EventType>, has_digest: bool) -> Result<DigestContent, RowError> {
    let wrong = |message: &str| Err(RowError::new("digest_with", message));
    if !row.digest_with.is_empty() && !has_digest {
        return wrong("has an effect only with `body` in `event_id`, or with id_scope = \"object\"");
    }
    let mut digest = DigestContent {
        event_type: has_digest && event_type.is_some_and(EventType::is_outside_body),
        ..DigestContent::default()
    };
    for part in &row.digest_with {
        match part.as_str() {
            "type" => digest.event_type = true,
            "timestamp" if row.timestamp.is_none() => {
                return wrong("`timestamp` requires the key `timestamp`, where the signed time is");
            }
            "timestamp" => digest.timestamp = true,
            other => {
                let message = format!("`{other}` is none of type, timestamp");
                return Err(RowError::new("digest_with", message));
            }
        }
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::Scheme;

    fn one(text: &str) -> SelectorEntry {
        SelectorEntry::One(text.to_owned())
    }

    fn read(keys: &str) -> Result<EventId, Vec<&'static str>> {
        let row = format!("signature = 'header:X'\nalgorithm = 'token'\n{keys}");
        let scheme = Scheme::from_row(&toml::from_str(&row).unwrap());
        scheme.map(|scheme| scheme.event_id).map_err(|errors| errors.iter().map(|error| error.key).collect())
    }

    #[test]
    fn scope_defaults_to_event_unless_no_event_has_an_id() {
        let scope = |keys: &str| read(keys).map(|id| (id.scope, id.or_fresh));
        assert_eq!(scope("event_id = ['header:X-Id']"), Ok((IdScope::Event, false)));
        assert_eq!(scope("event_id = ['body']"), Ok((IdScope::Event, false)));
        assert_eq!(scope("event_id = ['json:/id', 'none']"), Ok((IdScope::Event, true)));
        assert_eq!(scope("event_id = ['none']"), Ok((IdScope::None, true)));
        assert_eq!(scope("event_id = ['body']\nid_scope = 'none'"), Ok((IdScope::None, true)));
        assert_eq!(scope("id_scope = 'none'"), Ok((IdScope::None, true)));
        assert_eq!(scope("event_id = ['json:/id']\nid_scope = 'object'"), Ok((IdScope::Object, false)));
    }

    #[test]
    fn contradicting_or_unknown_values_are_rejected() {
        assert_eq!(read("event_id = ['none']\nid_scope = 'event'"), Err(vec!["id_scope"]));
        assert_eq!(read("event_id = ['json:/id']\nid_scope = 'thing'"), Err(vec!["id_scope"]));
        for keys in ["event_id = ['json:/id']\ndigest_with = ['type']", "event_id = ['body']\ndigest_with = ['id']"] {
            assert_eq!(read(keys), Err(vec!["digest_with"]), "{keys}");
        }
        assert_eq!(read("event_id = ['body']\ndigest_with = ['timestamp']"), Err(vec!["digest_with"]));
    }

    #[test]
    fn body_and_none_must_end_a_list_of_ids() {
        assert!(parse_event_id(&[]).is_err());
        assert!(parse_event_id(&[one("body"), one("json:/id")]).is_err());
        assert!(parse_event_id(&[one("none"), one("json:/id")]).is_err());
        assert!(parse_event_id(&[one("body"), one("none")]).is_err());
        assert!(parse_event_id(&[SelectorEntry::Joined(vec![])]).is_err());
        assert!(parse_event_id(&[SelectorEntry::Joined(vec!["json:/id".into(), "none".into()])]).is_err());
        let id = parse_event_id(&[one("json:/id"), one("none")]).unwrap();
        assert_eq!((id.alternatives.len(), id.or_fresh), (1, true));
        assert!(!parse_event_id(&[one("json:/id"), one("body")]).unwrap().or_fresh);
        let joined = SelectorEntry::Joined(vec!["header:X-Id".into(), "body".into()]);
        assert!(parse_event_id(&[joined, one("header:Y-Id")]).is_ok());
    }

    #[test]
    fn body_is_not_an_event_type() {
        assert!(parse_event_type(&[one("body")]).is_err());
        assert!(parse_event_type(&[]).unwrap().alternatives.is_empty());
    }

    #[test]
    fn digest_covers_a_type_that_is_never_in_the_body() {
        let covers_type = |event_type: &str, event_id: &str| {
            read(&format!("event_type = {event_type}\nevent_id = {event_id}")).unwrap().digest.event_type
        };
        assert!(covers_type("['header:X-Type']", "['body']"));
        assert!(covers_type("['header:X-Type', 'query:type']", "['json:/id', 'body']"));
        assert!(!covers_type("[['header:X-Type', 'json:/action']]", "['body']"));
        assert!(!covers_type("['header:X-Type']", "['json:/id']"));
        assert!(!covers_type("[]", "['body']"));
        assert!(read("event_id = ['body']\ndigest_with = ['type']").unwrap().digest.event_type);
    }
}
