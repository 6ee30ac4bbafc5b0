//! `verify = "none"`: sources that accept unsigned deliveries, from known addresses or under a secret path.

use crate::config::reader::TomlTable;
use crate::providers::{OneOrMany, ProviderRow, SelectorEntry};
use crate::support::net::secret_path;

const NONE: &str = "none";
/// Keys that only verification uses.
const VERIFICATION: [&str; 8] =
    ["secret", "public_key", "key_id", "api_key", "url", "topics", "keys_url", "confirm_subscriptions"];

/// Whether the source accepts unsigned deliveries.
pub(in crate::config) fn is_unsigned(table: &TomlTable<'_>) -> bool {
    table.get("verify").is_some_and(|value| value.value.as_str() == Some(NONE))
}

/// A row that says where id and type are, and nothing about signatures. Deliveries of a `custom` sender have no id: each
/// is an event.
pub(in crate::config) fn unsigned_row(provider: &str, row: Option<ProviderRow>) -> ProviderRow {
    let row = row.unwrap_or_else(|| ProviderRow {
        title: provider.to_owned(),
        event_id: vec![SelectorEntry::One(NONE.to_owned())],
        ..ProviderRow::default()
    });
    let is_signed_value = |entry: &SelectorEntry| entry.parts().iter().any(|part| part.starts_with("claim:"));
    ProviderRow {
        // The verifier does not look there.
        signature: OneOrMany::One("header:X-Hookbox-Unsigned".to_owned()),
        algorithm: "token".to_owned(),
        title: row.title,
        provenance: row.provenance,
        confirmed: row.confirmed,
        notes: row.notes,
        private_headers: row.private_headers,
        batch: row.batch,
        event_id: row.event_id.into_iter().filter(|entry| !is_signed_value(entry)).collect(),
        id_scope: row.id_scope,
        event_type: row.event_type.into_iter().filter(|entry| !is_signed_value(entry)).collect(),
        answer_status: row.answer_status,
        answer_body: row.answer_body,
        answer_content_type: row.answer_content_type,
        max_body: row.max_body,
        ..ProviderRow::default()
    }
}

/// Reports keys without effect, and a source that anyone could send to.
pub(super) fn check_unsigned(path: &str, table: &TomlTable<'_>) {
    for key in VERIFICATION.into_iter().filter(|key| table.has(key)) {
        table.report(key, "has no effect: `verify = \"none\"` verifies nothing", "remove it, or `verify`");
    }
    let has_secret_path = path.split('/').any(secret_path::is_secret);
    if !has_secret_path && !table.has("allow_ips") {
        let hint = "set `allow_ips`, or a `path` with a random part of 16 or more characters, such as \"/hooks/$(openssl \
                    rand -hex 16)\"; for a token, use provider = \"custom\" with algorithm = \"token\" under [sources.NAME.verify]";
        table.report("verify", "\"none\" would accept deliveries from anyone", hint);
    }
}

/// How the source verifies, for people.
pub(super) fn unsigned_summary() -> Vec<(&'static str, String)> {
    vec![("Signature", "none: deliveries are not verified".to_owned())]
}
