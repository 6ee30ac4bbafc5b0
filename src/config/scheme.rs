//! How a source's deliveries are verified: its provider's row, or its own `verify` table, with the source's settings.

use std::time::Duration;

use super::problem::{Problem, nearest};
use super::reader::{TomlTable, TomlValue};
use super::source::unsigned::{is_unsigned, unsigned_row};
use crate::providers::{self, CUSTOM, ProviderRow, RequiredSettings, RowError, Scheme, SelectorEntry};

/// Longest `answer_body`.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
const MAX_TOLERANCE: Duration = Duration::from_hours(7 * 24);
/// Keys of a source that replace the same key of its row.
const OVERRIDES: [&str; 7] =
    ["event_id", "id_scope", "event_type", "tolerance", "answer_status", "answer_body", "answer_content_type"];
const SECRET_FORMS: &str = "= { env = \"…\" }, { file = \"…\" } or a string";

/// The provider's row, or the one under `verify`, with the source's own settings.
pub(super) fn read_row(provider: Option<&str>, table: &TomlTable<'_>) -> Option<ProviderRow> {
    let unsigned = is_unsigned(table);
    let has_verify = table.has("verify") && !unsigned;
    let row = provider.and_then(|provider| match provider {
        CUSTOM if unsigned => Some(unsigned_row(provider, None)),
        provider if unsigned => known_row(provider, table).map(|row| unsigned_row(provider, Some(row))),
        CUSTOM => custom_row(table),
        provider => {
            if has_verify {
                table.report("verify", "is only read with provider = \"custom\"", "");
            }
            known_row(provider, table)
        }
    });
    let identity = Identity::read(table);
    let answer = Answer::read(table);
    let event_type = table.read("event_type", selections);
    let tolerance = table.duration("tolerance", Duration::from_secs(1)..=MAX_TOLERANCE);
    let algorithm = table.read("algorithm", TomlValue::text);
    let row = with_algorithm(row?, algorithm, table)?;
    let row = answer.over(identity.over(row));
    Some(ProviderRow {
        event_type: event_type.unwrap_or(row.event_type),
        tolerance: tolerance.map(|tolerance| humantime::format_duration(tolerance).to_string()).or(row.tolerance),
        ..row
    })
}

/// A source's own `event_id` and `id_scope`.
struct Identity {
    event_id: Option<Vec<SelectorEntry>>,
    id_scope: Option<String>,
}

impl Identity {
    fn read(table: &TomlTable<'_>) -> Self {
        let id_scope = |value: &TomlValue<'_>| value.text().map(ToOwned::to_owned);
        Self { event_id: table.read("event_id", event_ids), id_scope: table.read("id_scope", id_scope) }
    }

    /// What the row says of its own id does not apply to another one.
    fn over(self, row: ProviderRow) -> ProviderRow {
        let row = match self.event_id {
            Some(event_id) => ProviderRow { event_id, id_scope: None, digest_with: Vec::new(), ..row },
            None => row,
        };
        ProviderRow { id_scope: self.id_scope.or(row.id_scope), ..row }
    }
}

/// A source's own response to a stored delivery.
struct Answer {
    status: Option<u16>,
    body: Option<String>,
    content_type: Option<String>,
}

impl Answer {
    fn read(table: &TomlTable<'_>) -> Self {
        let text = |value: &TomlValue<'_>| value.text().map(ToOwned::to_owned);
        Self {
            status: table.integer("answer_status", 200..=299),
            body: table.read("answer_body", answer_body),
            content_type: table.read("answer_content_type", text),
        }
    }

    fn over(self, row: ProviderRow) -> ProviderRow {
        ProviderRow {
            answer_status: self.status.or(row.answer_status),
            answer_body: self.body.or(row.answer_body),
            answer_content_type: self.content_type.or(row.answer_content_type),
            ..row
        }
    }
}

fn answer_body(value: &TomlValue<'_>) -> Result<String, Problem> {
    let text = value.text()?;
    if text.len() > MAX_ANSWER_BYTES {
        return Err(value.problem(format!("is {} bytes long, more than {MAX_ANSWER_BYTES}", text.len())));
    }
    Ok(text.to_owned())
}

fn custom_row(table: &TomlTable<'_>) -> Option<ProviderRow> {
    let hint = "a [sources.NAME.verify] table describes how the sender signs; see hookbox.example.toml";
    table.required("verify", hint)?;
    let verify = table.table("verify");
    let signature = verify.required("signature", "where the signature is, e.g. \"header:X-Signature\"");
    let algorithm = verify.required("algorithm", "how it is computed, e.g. \"hmac-sha256\"");
    let event_id = verify.read("event_id", event_ids);
    let event_type = verify.read("event_type", selections);
    let is_other = |key: &&str| !ProviderRow::DESCRIPTIVE.contains(key) && !["event_id", "event_type"].contains(key);
    let row = if signature.is_some() && algorithm.is_some() {
        verify.deserialize(ProviderRow::KEYS.iter().copied().filter(is_other))
    } else {
        ProviderRow::KEYS.iter().filter(|key| is_other(key)).for_each(|key| drop(verify.get(key)));
        None
    };
    verify.report_unknown_keys();
    let row: ProviderRow = row?;
    Some(ProviderRow { event_id: event_id.unwrap_or_default(), event_type: event_type.unwrap_or_default(), ..row })
}

fn known_row(provider: &str, table: &TomlTable<'_>) -> Option<ProviderRow> {
    let Some(row) = providers::find(provider) else {
        let value = table.get("provider")?;
        let mut problem = value.problem(format!("unknown provider {provider:?}"));
        if let Some(near) = nearest(provider, providers::names().chain([CUSTOM])) {
            problem = problem.hint(format!("did you mean \"{near}\"?"));
        }
        let hint = "`hookbox providers` lists them all; \"custom\" takes a [sources.NAME.verify] table";
        value.report(problem.hint(hint));
        return None;
    };
    if let Some(reason) = &row.unsupported {
        let message = format!("\"{provider}\" is not supported yet: {reason}");
        table.report("provider", message, "`hookbox providers` lists those that are");
        return None;
    }
    Some(row.clone())
}

/// Restricts the row to the algorithm that the source chooses from those the row allows.
fn with_algorithm(row: ProviderRow, chosen: Option<&str>, table: &TomlTable<'_>) -> Option<ProviderRow> {
    let Some(chosen) = chosen else { return Some(row) };
    let mut choices: Vec<_> =
        row.algorithm_choices.iter().chain(row.algorithm_names.values()).map(String::as_str).collect();
    if row.algorithm == "jwt" {
        choices.extend(row.jwt_algorithms.iter().map(String::as_str));
    } else {
        choices.push(&row.algorithm);
    }
    choices.sort_unstable();
    choices.dedup();
    if !choices.contains(&chosen) {
        let hint = match &choices[..] {
            [_] => "this provider has one algorithm; remove the line".to_owned(),
            choices => format!("one of {}", choices.join(", ")),
        };
        table.report("algorithm", format!("{chosen:?} is not an algorithm of this provider"), hint);
        return None;
    }
    let chosen = chosen.to_owned();
    Some(if row.algorithm == "jwt" {
        ProviderRow { jwt_algorithms: vec![chosen], ..row }
    } else {
        let algorithm_names = row.algorithm_names.into_iter().filter(|(_, algorithm)| *algorithm == chosen).collect();
        ProviderRow { algorithm: chosen, algorithm_names, ..row }
    })
}

fn selections(value: &TomlValue<'_>) -> Result<Vec<SelectorEntry>, Problem> {
    let expected = "a selector, e.g. \"header:X-Id\", or a list of them";
    let selection = |item: &TomlValue<'_>| match item.items() {
        Some(parts) => parts
            .iter()
            .map(|part| part.text().map(ToOwned::to_owned))
            .collect::<Result<_, _>>()
            .map(SelectorEntry::Joined),
        None => {
            item.value.as_str().map(|text| SelectorEntry::One(text.to_owned())).ok_or_else(|| item.unexpected(expected))
        }
    };
    value.one_or_more().iter().map(selection).collect()
}

/// Selections, at least one.
fn event_ids(value: &TomlValue<'_>) -> Result<Vec<SelectorEntry>, Problem> {
    match selections(value)? {
        selections if selections.is_empty() => {
            Err(value.problem("the list is empty").hint("[\"body\"] identifies events by their body"))
        }
        selections => Ok(selections),
    }
}

pub(super) fn read_scheme(row: &ProviderRow, table: &TomlTable<'_>) -> Option<Scheme> {
    let verify = table.get("verify").and_then(|value| value.table().ok());
    let has_event_id = table.has("event_id") || verify.as_ref().is_some_and(|verify| verify.has("event_id"));
    if !has_event_id && row.event_id.is_empty() && row.id_scope.as_deref() != Some("none") {
        let hint = "where it is: \"header:X-Event-Id\" or \"json:/id\", or \"body\" to identify events by their body";
        table.report("event_id", "is missing", hint);
    }
    let errors = match Scheme::from_row(row) {
        Ok(scheme) => return Some(scheme),
        Err(errors) => errors,
    };
    for RowError { key, message, hint } in errors {
        let hint = hint.unwrap_or_default();
        match &verify {
            _ if OVERRIDES.contains(&key) && table.has(key) => table.report(key, message, hint),
            Some(verify) => verify.report(key, message, hint),
            None => table.report("provider", format!("its row is wrong: `{key}` {message}"), hint),
        }
    }
    None
}

/// How a scheme uses a key of the source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyUse {
    Required,
    Optional,
    Unused,
}

impl KeyUse {
    fn required_if(is_needed: bool) -> Self {
        if is_needed { Self::Required } else { Self::Unused }
    }

    fn optional_if(has_effect: bool) -> Self {
        if has_effect { Self::Optional } else { Self::Unused }
    }
}

/// Reports keys that the scheme needs and the source lacks, and keys that have no effect. Without a scheme the source needs
/// a `secret` or a `public_key`.
pub(super) fn check_needs(needs: Option<RequiredSettings>, table: &TomlTable<'_>) {
    let form = |key: &str| format!("{key} {SECRET_FORMS}");
    let Some(needs) = needs else {
        if !table.has("public_key") {
            table.required("secret", &form("secret"));
        }
        return;
    };
    if needs.own_keys && !table.has("keys_url") && !table.has("public_key") {
        let hint = "the URL of the provider's key set, e.g. \"https://auth.example.com/.well-known/jwks.json\"";
        table.report("keys_url", "is missing, and so is `public_key`", hint);
    }
    for (key, key_use, hint, reason) in key_uses(needs, table.has("public_key"), form) {
        match key_use {
            KeyUse::Required if !table.has(key) => table.report(key, "is missing", hint),
            KeyUse::Unused if table.has(key) => {
                table.report(key, format!("has no effect: deliveries of this provider {reason}"), "remove it");
            }
            _ => {}
        }
    }
}

/// The keys, each with the hint if it is missing and the reason if it has no effect.
fn key_uses(
    needs: RequiredSettings,
    has_public_key: bool,
    form: impl Fn(&str) -> String,
) -> [(&'static str, KeyUse, String, &'static str); 9] {
    let [required, optional] = [KeyUse::required_if, KeyUse::optional_if];
    let fetches = needs.credentials && !has_public_key;
    let (secret, api_key) = match (needs.credentials, needs.secret) {
        (true, _) => (required(fetches), required(fetches)),
        (false, None) => (KeyUse::Optional, required(needs.api_key)),
        (false, Some(secret)) => (required(secret), required(needs.api_key)),
    };
    let secret = if needs.may_have_public_key && has_public_key { KeyUse::Optional } else { secret };
    let public_key =
        if needs.may_fetch || needs.may_have_public_key { KeyUse::Optional } else { required(needs.public_key) };
    let credential = |key: &str, what: &str| match needs.credentials {
        true => format!("{}: the client {what} of your application, with which hookbox fetches public keys", form(key)),
        false => form(key),
    };
    let verified_by = match needs.public_key || needs.credentials {
        true => "are verified with `public_key`",
        false => "are verified with fetched keys",
    };
    let no_api_key = if needs.credentials { verified_by } else { "contain no API key" };
    let url = "the URL as the provider has it: https, host and path; a query only if it never changes".to_owned();
    let topics = "the topics to accept, e.g. [\"arn:aws:sns:eu-west-1:123456789012:orders\"]".to_owned();
    [
        ("secret", secret, credential("secret", "secret"), verified_by),
        ("public_key", public_key, form("public_key"), "are verified with `secret`"),
        ("key_id", required(needs.key_id), form("key_id"), "name no key"),
        ("api_key", api_key, credential("api_key", "id"), no_api_key),
        ("verify_token", required(needs.verify_token), form("verify_token"), "begin with no handshake that needs it"),
        ("url", required(needs.url), url, "do not sign their URL"),
        ("topics", required(needs.topics), topics, "have no topic"),
        ("keys_url", optional(needs.keys_url), String::new(), "are verified with no key that is fetched"),
        ("confirm_subscriptions", optional(needs.confirm_subscriptions), String::new(), "need no confirmation"),
    ]
}
