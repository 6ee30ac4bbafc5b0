//! Describes a row in plain text, for `providers NAME` and the dashboard.
//!
//! Everything is derived from the parsed scheme, so the text cannot claim more than `verify` checks.

use super::auth::{AuthMethod, BuiltinScheme};
use super::identity::IdScope;
use super::row::{ProviderRow, SelectorEntry};
use super::scheme::{RequiredSettings, Scheme};

/// Labels and values in display order, without those that do not apply.
pub fn describe(row: &ProviderRow) -> Vec<(&'static str, String)> {
    let confirmed = if row.confirmed { "confirmed: the provider's own documentation or SDK" } else { "unconfirmed" };
    let mut lines = vec![("provider", row.title.clone())];
    match (&row.unsupported, Scheme::from_row(row)) {
        (Some(reason), _) => lines.push(("support", format!("not yet: {reason}"))),
        (None, Ok(scheme)) => lines.extend(scheme_lines(row, &scheme)),
        (None, Err(_)) => {}
    }
    lines.push(("notes", row.notes.clone()));
    // A user's own `verify` table has no provenance.
    if !row.provenance.is_empty() {
        lines.push(("from", format!("{} ({confirmed})", row.provenance)));
    }
    lines.retain(|(_, text)| !text.is_empty());
    lines
}

fn scheme_lines(row: &ProviderRow, scheme: &Scheme) -> Vec<(&'static str, String)> {
    let aliases = row.header_aliases.iter().map(|(name, others)| format!("{name} or {}", others.join(" or ")));
    let required = row.required_headers.iter().map(|(name, value)| format!("{name}: {value}"));
    let others: Vec<_> = scheme.alternatives.iter().map(alternative).collect();
    vec![
        ("signature", auth_method(row)),
        ("or", others.join("; or ")),
        ("settings", settings(row, scheme.required_settings()).join(", ")),
        ("secret", secret(row, scheme.required_settings())),
        ("keys", keys(row, scheme)),
        ("timestamp", timestamp(row, scheme)),
        ("batch", row.batch.as_deref().map(batch).unwrap_or_default()),
        ("event id", listed(&row.event_id, " and ")),
        ("id scope", id_scope(scheme)),
        ("event type", listed(&row.event_type, " and ")),
        ("unsigned", unsigned(scheme)),
        ("headers", aliases.chain(required).collect::<Vec<_>>().join(", ")),
        ("handshake", row.handshake.clone().unwrap_or_default()),
        ("response", success_response(scheme)),
    ]
}

/// Another way to verify, with what may differ in its text.
fn alternative(other: &Scheme) -> String {
    let row = &other.row;
    let unit = row.timestamp_unit.as_deref().map(|unit| format!(", timestamp in {unit}"));
    let key = row.secret_decoding.as_deref().map(|decoding| format!(", key as {decoding}"));
    format!("{}{}{}", auth_method(row), unit.unwrap_or_default(), key.unwrap_or_default())
}

fn id_scope(scheme: &Scheme) -> String {
    let scope = match scheme.event_id.scope {
        IdScope::Event => "event: a known id is a duplicate",
        IdScope::Object => "object: a known id with another body is a new event",
        IdScope::None => return "none: every delivery is a new event".to_owned(),
    };
    let digest = scheme.event_id.digest;
    let covered = [("type", digest.event_type), ("signed time", digest.timestamp)];
    let covered: Vec<_> = covered.into_iter().filter(|(_, is_covered)| *is_covered).map(|(name, _)| name).collect();
    if covered.is_empty() {
        scope.to_owned()
    } else {
        format!("{scope}; digests cover the {}", covered.join(" and the "))
    }
}

/// Selectors as text. Those of an inner list are joined by `between`.
pub fn listed(entries: &[SelectorEntry], between: &str) -> String {
    entries.iter().map(|entry| entry.parts().join(between)).collect::<Vec<_>>().join(", else ")
}

fn auth_method(row: &ProviderRow) -> String {
    let location = &row.signature;
    let syntax = match row.syntax.as_deref() {
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
        "token" => format!("the secret itself, in {location}{syntax}"),
        "aws-sns" => format!("rsa-sha1 or rsa-sha256 of selected members of the message, base64, in {location}"),
        "paypal" => format!("rsa-sha256 of the id, time, key_id and CRC-32 of the body, base64, in {location}"),
        "ebay" => format!("ecdsa-p256 of the body, with SHA-1 or SHA-256, in base64 in JSON in base64, in {location}"),
        "basic" => format!("user and password, in {location}"),
        "bearer" => format!("the secret itself, as a Bearer token in {location}"),
        "jwt" => {
            let claims = row.claims.iter().map(|(name, value)| format!("{name} = {value}"));
            let claims = claims.chain(row.required_claims.iter().cloned()).collect::<Vec<_>>().join(", ");
            format!("a JSON Web Token ({}) in {location}{syntax}, with {claims}", row.jwt_algorithms.join(", "))
        }
        algorithm => {
            let named: Vec<_> = row.algorithm_names.values().map(String::as_str).collect();
            let choices = row.algorithm_choices.iter().map(String::as_str);
            let algorithm = match &row.algorithm_header {
                Some(header) => format!("{} (named by {header})", named.join(" or ")),
                None => std::iter::once(algorithm).chain(choices).collect::<Vec<_>>().join(" or "),
            };
            let contents = row.signed_content.each();
            let content = if contents.is_empty() { "{body}".to_owned() } else { contents.join("` or `") };
            let encoding = row.encoding.as_deref().unwrap_or("hex");
            format!("{algorithm} of `{}`, {encoding}, in {location}{syntax}", content.replace('\n', "\\n"))
        }
    }
}

/// Settings that a source must or may have.
fn settings(row: &ProviderRow, required: RequiredSettings) -> Vec<&'static str> {
    let has_choice = !row.algorithm_choices.is_empty() || !row.algorithm_names.is_empty();
    let settings = [
        ("secret", required.secret == Some(true) || required.credentials),
        ("public_key", required.public_key),
        ("key_id", required.key_id),
        ("api_key", required.api_key || required.credentials),
        ("verify_token", required.verify_token),
        ("url", required.url),
        ("topics", required.topics),
        ("confirm_subscriptions (optional)", required.confirm_subscriptions),
        ("algorithm (if not the first)", has_choice),
    ];
    settings.into_iter().filter(|(_, is_required)| *is_required).map(|(name, _)| name).collect()
}

fn secret(row: &ProviderRow, required: RequiredSettings) -> String {
    match required.secret {
        Some(true) => {}
        Some(false) => return String::new(),
        None => return "sent by the provider in its handshake (`hookbox learn`), or configured".to_owned(),
    }
    let text = match row.secret_decoding.as_deref() {
        _ if row.algorithm == "basic" => "user:password",
        Some("utf8") | None => "text",
        Some("nfkd") => "text, normalised (NFKD)",
        Some("sha1") => "text, whose SHA-1 digest is the key",
        Some("base64-if-prefixed") => "base64 if it has its prefix, else text",
        Some(encoding) => encoding,
    };
    match row.secret_prefix.each() {
        [] => text.to_owned(),
        prefixes => format!("{text}, after `{}`", prefixes.join("` or `")),
    }
}

/// Where public keys are fetched from, if they are.
fn keys(row: &ProviderRow, scheme: &Scheme) -> String {
    let origin = match (row.keys.as_deref(), &scheme.auth) {
        (Some("keys_url"), _) => "the source's keys_url",
        (Some("plaid"), _) => "Plaid's API with api_key (the client_id) and secret",
        (None, AuthMethod::Builtin(BuiltinScheme::Ebay)) => {
            "eBay's API with api_key (the App ID) and secret (the Cert ID)"
        }
        (Some(url), _) => url,
        (None, AuthMethod::Builtin(_)) => "the provider's own hosts",
        _ => return String::new(),
    };
    format!("fetched from {origin}, unless the source has a public_key")
}

fn timestamp(row: &ProviderRow, scheme: &Scheme) -> String {
    let Some(location) = &row.timestamp else {
        return if row.required_claims.iter().any(|claim| claim == "exp") {
            "the token contains its expiry".to_owned()
        } else {
            "not signed: a captured delivery stays valid".to_owned()
        };
    };
    let unit = match row.timestamp_unit.as_deref() {
        Some("ms") => "unix milliseconds",
        Some("rfc3339") => "RFC 3339",
        Some("iso8601_naive_utc") => "ISO 8601 in UTC, without a zone",
        _ => "unix seconds",
    };
    let window = humantime::format_duration(scheme.tolerance.unwrap_or_default());
    format!("{location}, {unit}, at most {window} in the past or future")
}

fn batch(written: &str) -> String {
    match (written, written.strip_prefix("form:")) {
        ("", _) => "each element of the body is an event".to_owned(),
        (_, Some(field)) => format!("each element of the form field {field} is an event"),
        (pointer, None) => format!("each element at {pointer} is an event"),
    }
}

/// The parts that anyone who has a genuine delivery could change.
fn unsigned(scheme: &Scheme) -> String {
    if scheme.auth.is_token() {
        return "everything: anyone who has seen a delivery can forge others".to_owned();
    }
    let body = (!scheme.covers_body()).then(|| "the body".to_owned());
    let named = |label: &str, selectors: Vec<String>| {
        (!selectors.is_empty()).then(|| format!("the {label} ({})", selectors.join(", ")))
    };
    let id = named("event id", scheme.unsigned_id());
    let event_type = named("event type", scheme.unsigned_type());
    body.into_iter().chain(id).chain(event_type).collect::<Vec<_>>().join(", ")
}

fn success_response(scheme: &Scheme) -> String {
    scheme.success_response.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::all;

    #[test]
    fn every_row_is_described_on_single_lines() {
        for (name, row) in all() {
            let lines = describe(row);
            let labels: Vec<_> = lines.iter().map(|(label, _)| *label).collect();
            assert_eq!((labels[0], labels[labels.len() - 1]), ("provider", "from"), "{name}");
            assert!(labels.contains(&"support") || labels.contains(&"signature"), "{name}");
            assert!(lines.iter().all(|(_, text)| !text.contains('\n')), "{name}");
        }
    }

    #[test]
    fn unsigned_parts_and_settings_are_listed() {
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
        assert!(line("mailgun", "unsigned").starts_with("the body, the event id (json:/event-data/id"));
        assert!(line("contentful", "support").starts_with("not yet: "));
        assert_eq!(line("livekit", "settings"), "secret, api_key");
        assert_eq!(line("sendgrid", "settings"), "public_key");
    }
}
