//! What a row says, in words for people: the lines of `providers NAME`, and of the page about providers.
//!
//! A scheme goes in, sentences come out. What stands here is read off the scheme alone, so that it cannot say more than
//! the engine does.

use super::auth::{AuthMethod, BuiltinScheme};
use super::row::{ProviderRow, SelectorEntry};
use super::scheme::{RequiredSettings, Scheme};

/// What a row says, by label, in the order to be shown; what a row does not say is left out.
#[must_use]
pub fn describe(row: &ProviderRow) -> Vec<(&'static str, String)> {
    let own = if row.confirmed { "confirmed: the provider's own documentation or SDK" } else { "unconfirmed" };
    let mut lines = vec![("provider", row.title.clone())];
    match (&row.unsupported, Scheme::from_row(row)) {
        (Some(reason), _) => lines.push(("support", format!("not yet: {reason}"))),
        (None, Ok(scheme)) => lines.extend(scheme_lines(row, &scheme)),
        (None, Err(_)) => {}
    }
    lines.push(("notes", row.notes.clone()));
    // A table of the user's own comes from nowhere else.
    let is_known = !row.provenance.is_empty();
    lines.push(("from", if is_known { format!("{} ({own})", row.provenance) } else { String::new() }));
    lines.retain(|(_, text)| !text.is_empty());
    lines
}

fn scheme_lines(row: &ProviderRow, scheme: &Scheme) -> Vec<(&'static str, String)> {
    let aliases = row.header_aliases.iter().map(|(of, names)| format!("{of} or {}", names.join(" or ")));
    let required = row.required_headers.iter().map(|(name, value)| format!("{name}: {value}"));
    vec![
        ("proof", proof(row)),
        ("settings", settings(row, scheme.required_settings()).join(", ")),
        ("secret", said_secret(row, scheme.required_settings())),
        ("keys", keys(row, scheme)),
        ("timestamp", timestamp(row, scheme)),
        ("batch", row.batch.as_deref().map(batch).unwrap_or_default()),
        ("event id", listed(&row.event_id, " and ")),
        ("event type", listed(&row.event_type, " and ")),
        ("unsigned", unsigned(scheme)),
        ("headers", aliases.chain(required).collect::<Vec<_>>().join(", ")),
        ("handshake", row.handshake.clone().unwrap_or_default()),
        ("answer", answer(scheme)),
    ]
}

/// Entries of a list of selectors, those of an inner list joined.
#[must_use]
pub fn listed(entries: &[SelectorEntry], between: &str) -> String {
    entries.iter().map(|entry| entry.parts().join(between)).collect::<Vec<_>>().join(", else ")
}

/// How a row's deliveries are proven, in a few words.
#[must_use]
pub fn proof(row: &ProviderRow) -> String {
    let place = &row.signature;
    let form = match row.syntax.as_deref() {
        Some("prefixed") => format!(", after `{}`", row.prefix.as_deref().unwrap_or_default()),
        Some("kv_list") => format!(
            ", as `{}{}SIGNATURE` in a list",
            row.field.as_deref().unwrap_or_default(),
            row.kv_separator.as_deref().unwrap_or_default()
        ),
        Some("positional") => ", after the timestamp in a list".to_owned(),
        _ => String::new(),
    };
    match row.algorithm.as_str() {
        "token" => format!("the secret itself, in {place}{form}"),
        "aws-sns" => format!("rsa-sha1 or rsa-sha256 of the message's members, base64, in {place}"),
        "paypal" => format!("rsa-sha256 of id, time, key_id and the body's CRC-32, base64, in {place}"),
        "ebay" => {
            format!("ecdsa-p256 of the body, with SHA-1 or SHA-256 as it says, in base64 in JSON in base64 in {place}")
        }
        "basic" => format!("user and password, in {place}"),
        "bearer" => format!("the secret itself, as a Bearer token in {place}"),
        "jwt" => {
            let claims = row.claims.iter().map(|(name, says)| format!("{name} = {says}"));
            let required = row.required_claims.iter().cloned();
            let claims = claims.chain(required).collect::<Vec<_>>().join(", ");
            format!("a JSON Web Token ({}) in {place}{form}, with {claims}", row.jwt_algorithms.join(", "))
        }
        algorithm => {
            let names: Vec<_> = row.algorithm_names.values().map(String::as_str).collect();
            let algorithm = match &row.algorithm_header {
                Some(header) => format!("{} as {header} says", names.join(" or ")),
                None => std::iter::once(algorithm)
                    .chain(row.algorithm_choices.iter().map(String::as_str))
                    .collect::<Vec<_>>()
                    .join(" or "),
            };
            let contents = row.signed_content.each();
            let content = if contents.is_empty() { "{body}".to_owned() } else { contents.join("` or `") };
            let encoding = row.encoding.as_deref().unwrap_or("hex");
            format!("{algorithm} of `{}`, {encoding}, in {place}{form}", content.replace('\n', "\\n"))
        }
    }
}

/// Settings that a source must have.
#[must_use]
pub fn settings(row: &ProviderRow, needs: RequiredSettings) -> Vec<&'static str> {
    let has_choice = !row.algorithm_choices.is_empty() || !row.algorithm_names.is_empty();
    let settings = [
        ("secret", needs.secret == Some(true) || needs.credentials),
        ("public_key", needs.public_key),
        ("key_id", needs.key_id),
        ("api_key", needs.api_key || needs.credentials),
        ("verify_token", needs.verify_token),
        ("url", needs.url),
        ("topics", needs.topics),
        ("confirm_subscriptions (if wanted)", needs.confirm_subscriptions),
        ("algorithm (if not the first)", has_choice),
    ];
    settings.into_iter().filter(|(_, is_needed)| *is_needed).map(|(name, _)| name).collect()
}

fn said_secret(row: &ProviderRow, needs: RequiredSettings) -> String {
    match needs.secret {
        Some(true) => secret(row),
        Some(false) => String::new(),
        None => "taught by the handshake: `hookbox learn`; or configured".to_owned(),
    }
}

/// Where public keys come from that are not configured.
fn keys(row: &ProviderRow, scheme: &Scheme) -> String {
    match (&row.keys, &scheme.auth) {
        (Some(address), _) if address == "keys_url" => {
            "of a pair: fetched from the source's keys_url, unless it has a public_key".to_owned()
        }
        (Some(api), _) if api == "plaid" => {
            "fetched from Plaid's API with api_key (the client_id) and secret, unless the source has a public_key".to_owned()
        }
        (None, AuthMethod::Builtin(BuiltinScheme::Ebay)) => {
            "fetched from eBay's API with api_key (the App ID) and secret (the Cert ID), unless the source has a public_key"
                .to_owned()
        }
        (Some(address), _) => format!("fetched from {address}, unless the source has a public_key"),
        (None, AuthMethod::Builtin(_)) => {
            "fetched from the provider's own hosts, unless the source has a public_key".to_owned()
        }
        _ => String::new(),
    }
}

fn secret(row: &ProviderRow) -> String {
    let text = match row.secret_decoding.as_deref() {
        _ if row.algorithm == "basic" => "user:password",
        Some("utf8") | None => "text, as it is",
        Some("nfkd") => "text, normalised (NFKD)",
        Some("sha1") => "text, of which the SHA-1 is the key",
        Some("base64-if-prefixed") => "base64 with its prefix, or else text",
        Some(encoding) => encoding,
    };
    match row.secret_prefix.each() {
        [] => text.to_owned(),
        prefixes => format!("{text}, after `{}`", prefixes.join("` or `")),
    }
}

fn timestamp(row: &ProviderRow, scheme: &Scheme) -> String {
    let Some(place) = &row.timestamp else {
        return if row.required_claims.iter().any(|claim| claim == "exp") {
            "the token tells how long it is good".to_owned()
        } else {
            "none is signed: a captured delivery stays valid".to_owned()
        };
    };
    let unit = match row.timestamp_unit.as_deref() {
        Some("ms") => "unix milliseconds",
        Some("rfc3339") => "RFC 3339",
        Some("iso8601_naive_utc") => "ISO 8601 in UTC, without a zone",
        _ => "unix seconds",
    };
    let window = humantime::format_duration(scheme.tolerance.unwrap_or_default());
    format!("{place}, {unit}, at most {window} old or ahead")
}

fn batch(written: &str) -> String {
    match written {
        "" => "each element of the body is an event".to_owned(),
        _ => match written.strip_prefix("form:") {
            Some(field) => format!("each element of the form field {field} is an event"),
            None => format!("each element at {written} is an event"),
        },
    }
}

/// What anyone could change who holds a genuine delivery.
fn unsigned(scheme: &Scheme) -> String {
    if scheme.auth.is_token() {
        return "everything: whoever has seen a delivery can make others".to_owned();
    }
    let body = if scheme.covers_body() { Vec::new() } else { vec!["the body".to_owned()] };
    let names = |label: &str, places: Vec<String>| {
        if places.is_empty() { None } else { Some(format!("the {label} ({})", places.join(", "))) }
    };
    let id = names("event id", scheme.unsigned_id());
    let event_type = names("event type", scheme.unsigned_type());
    body.into_iter().chain(id).chain(event_type).collect::<Vec<_>>().join(", ")
}

fn answer(scheme: &Scheme) -> String {
    let Some(reply) = &scheme.success_response else { return String::new() };
    match reply.body.as_deref() {
        None => reply.status.to_string(),
        Some("") => format!("{}, empty", reply.status),
        Some(body) => format!("{}, `{body}`", reply.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::all;

    #[test]
    fn every_row_is_described_without_gaps() {
        for (name, row) in all() {
            let lines = describe(row);
            let labels: Vec<_> = lines.iter().map(|(label, _)| *label).collect();
            assert_eq!((labels[0], labels[labels.len() - 1]), ("provider", "from"), "{name}");
            assert!(labels.contains(&"support") || labels.contains(&"proof"), "{name}");
            assert!(lines.iter().all(|(_, text)| !text.contains('\n')), "{name}");
        }
    }

    #[test]
    fn what_is_not_signed_is_told() {
        let line = |name: &str, label: &str| {
            let lines = describe(crate::providers::find(name).unwrap());
            lines.into_iter().find(|(own, _)| *own == label).map(|(_, text)| text).unwrap_or_default()
        };
        assert_eq!(
            line("github", "unsigned"),
            "the event id (header:X-GitHub-Delivery), the event type (header:X-GitHub-Event)"
        );
        assert_eq!(line("stripe", "unsigned"), "");
        assert_eq!(line("standard-webhooks", "unsigned"), "");
        assert!(line("gitlab", "unsigned").starts_with("everything"));
        assert!(line("mailgun", "unsigned").starts_with("the body, the event id (json:/event-data/id)"));
        assert!(line("contentful", "support").starts_with("not yet: "));
        assert_eq!(line("livekit", "settings"), "secret, api_key");
        assert_eq!(line("sendgrid", "settings"), "public_key");
    }
}
