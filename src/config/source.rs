//! `[sources.NAME]`: who sends, how deliveries are checked, where they arrive.
//!
//! A section goes in, a [`Source`] comes out, with the source's own keys put over its provider's row and every secret
//! read and decodable. How rows are interpreted is the provider room's; that paths differ is checked by the caller.

use std::sync::Arc;
use std::time::Duration;

use super::item::Item;
use super::keys::{self, nearest};
use super::problem::Problem;
use super::read::Surroundings;
use super::section::Section;
use super::{ServerConfig, Source, guards, keyring, settings};
use crate::providers::{self, CUSTOM, ProviderRow, RowError, Scheme, SelectorEntry};

const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Keys of a source that take the place of the same key of its row.
const OVERRIDES: [&str; 3] = ["event_id", "event_type", "tolerance"];

pub(super) fn read(
    name: &str,
    section: &Section<'_>,
    around: &Surroundings<'_>,
    server: &ServerConfig,
) -> Option<Source> {
    let hint = "a name from `hookbox providers`, or \"custom\" with a [sources.NAME.verify] table";
    let provider = section.required("provider", hint).and_then(|item| section.problems().keep(item.text()));
    let row = provider.and_then(|provider| row(provider, section));
    let own = overrides(section);
    let algorithm = section.take("algorithm", |item| item.text());
    let row = row.and_then(|row| Some(own(with_algorithm(row, algorithm, section)?)));
    let scheme = row.as_ref().and_then(|row| scheme(row, section));
    let keyring = keyring::read(section, scheme.as_ref(), around);
    let path = section.take("path", path).unwrap_or_else(|| default_path(name));
    let max_body = section.size("max_body", 1..=settings::LONGEST_BODY);
    let guards = guards::guards(section);
    let scheme = match keyring.key_ids.first() {
        Some(key_id) => scheme?.with_key_id(key_id.reveal()),
        None => scheme?,
    };
    Some(Source {
        name: Arc::from(name),
        provider: provider?.to_owned(),
        path,
        secrets: keyring.secrets,
        public_keys: keyring.public_keys,
        key_ids: keyring.key_ids,
        api_key: keyring.api_key,
        verify_token: keyring.verify_token,
        url: keyring.url,
        topics: keyring.topics,
        confirm_subscriptions: keyring.confirm_subscriptions,
        keys_url: keyring.keys_url,
        max_body: max_body.or(scheme.max_body).unwrap_or(server.max_body),
        scheme_summary: providers::describe(&row?),
        scheme: Arc::new(scheme),
        admission: guards,
    })
}

/// Where deliveries arrive unless the source says otherwise.
pub(super) fn default_path(name: &str) -> String {
    format!("/hooks/{name}")
}

/// The provider's row, or the one written under `verify`.
fn row(provider: &str, section: &Section<'_>) -> Option<ProviderRow> {
    let problems = section.problems();
    if provider == CUSTOM {
        let hint = "a [sources.NAME.verify] table says how the sender signs; see hookbox.example.toml";
        section.required("verify", hint)?;
        let verify = section.section("verify", &keys::VERIFY);
        verify.required("signature", "where the signature is, e.g. \"header:X-Signature\"");
        verify.required("algorithm", "how it is made, e.g. \"hmac-sha256\"");
        let event_id = verify.take("event_id", places);
        let event_type = verify.take("event_type", selections);
        if !verify.has("signature") || !verify.has("algorithm") {
            return None;
        }
        let row: ProviderRow = verify.decode(&keys::VERIFY, &["event_id", "event_type"])?;
        return Some(ProviderRow {
            event_id: event_id.unwrap_or_default(),
            event_type: event_type.unwrap_or_default(),
            ..row
        });
    }
    if section.has("verify") {
        problems.add(section.problem("verify", "is only read where provider = \"custom\""));
    }
    let found = providers::find(provider).cloned();
    if let Some(reason) = found.as_ref().and_then(|row| row.unsupported.as_deref()) {
        let problem = section.problem("provider", format!("\"{provider}\" is not supported yet: {reason}"));
        problems.add(problem.hint("`hookbox providers` lists those that are"));
        return None;
    }
    if found.is_none() {
        let names = providers::names().chain([CUSTOM]);
        let mut problem = section.problem("provider", format!("unknown provider {provider:?}"));
        if let Some(near) = nearest(provider, names) {
            problem = problem.hint(format!("did you mean \"{near}\"?"));
        }
        problems
            .add(problem.hint("`hookbox providers` lists them all; \"custom\" takes a [sources.NAME.verify] table"));
    }
    found
}

/// What the source's own keys do to its row.
fn overrides(section: &Section<'_>) -> impl FnOnce(ProviderRow) -> ProviderRow {
    let event_id = section.take("event_id", places);
    let event_type = section.take("event_type", selections);
    let tolerance = section.duration("tolerance", Duration::from_secs(1)..=WEEK);
    move |row| ProviderRow {
        event_id: event_id.unwrap_or(row.event_id),
        event_type: event_type.unwrap_or(row.event_type),
        tolerance: tolerance.map(|span| humantime::format_duration(span).to_string()).or(row.tolerance),
        ..row
    }
}

/// The row with the algorithm that the source has chosen of those the row allows.
fn with_algorithm(row: ProviderRow, chosen: Option<&str>, section: &Section<'_>) -> Option<ProviderRow> {
    let Some(chosen) = chosen else { return Some(row) };
    let mut choices: Vec<_> =
        row.algorithm_choices.iter().chain(row.algorithm_names.values()).map(String::as_str).collect();
    choices.extend(if row.algorithm == "jwt" {
        row.jwt_algorithms.iter().map(String::as_str).collect()
    } else {
        vec![row.algorithm.as_str()]
    });
    choices.sort_unstable();
    choices.dedup();
    if !choices.contains(&chosen) {
        let hint = match &choices[..] {
            [_] => "this provider has one algorithm; leave it out".to_owned(),
            choices => format!("one of {}", choices.join(", ")),
        };
        let message = format!("{chosen:?} is not an algorithm of this provider");
        section.problems().add(section.problem("algorithm", message).hint(hint));
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

fn selections(item: &Item<'_>) -> Result<Vec<SelectorEntry>, Problem> {
    let expected = "a selector, e.g. \"header:X-Id\", or a list of them";
    let one = |item: &Item<'_>| match item.items() {
        Some(parts) => parts
            .iter()
            .map(|part| part.text().map(ToOwned::to_owned))
            .collect::<Result<_, _>>()
            .map(SelectorEntry::Joined),
        None => {
            item.value.as_str().map(|text| SelectorEntry::One(text.to_owned())).ok_or_else(|| item.unexpected(expected))
        }
    };
    item.one_or_more().iter().map(one).collect()
}

/// Selections, at least one.
fn places(item: &Item<'_>) -> Result<Vec<SelectorEntry>, Problem> {
    match selections(item)? {
        places if places.is_empty() => {
            Err(item.problem("names no place").hint("[\"body\"] tells events by their body"))
        }
        places => Ok(places),
    }
}

fn scheme(row: &ProviderRow, section: &Section<'_>) -> Option<Scheme> {
    let problems = section.problems();
    let verify = section.item("verify").and_then(|item| Section::open(&item, section.sheet()).ok());
    let is_written = section.has("event_id") || verify.as_ref().is_some_and(|verify| verify.has("event_id"));
    if !is_written && row.event_id.is_empty() {
        let hint = "say where it is: \"header:X-Event-Id\" or \"json:/id\", or \"body\" to tell events by their body";
        problems.add(section.problem("event_id", "is missing").hint(hint));
    }
    match Scheme::from_row(row) {
        Ok(scheme) => Some(scheme),
        Err(errors) => {
            errors.into_iter().for_each(|error| problems.add(row_problem(error, section, verify.as_ref())));
            None
        }
    }
}

fn row_problem(error: RowError, section: &Section<'_>, verify: Option<&Section<'_>>) -> Problem {
    let problem = match verify {
        _ if OVERRIDES.contains(&error.key) && section.has(error.key) => section.problem(error.key, error.message),
        Some(verify) => verify.problem(error.key, error.message),
        None => section.problem("provider", format!("its row is wrong: `{}` {}", error.key, error.message)),
    };
    match error.hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

fn path(item: &Item<'_>) -> Result<String, Problem> {
    let text = item.text()?;
    let message = match text {
        _ if !text.starts_with('/') => "does not start with a slash",
        _ if text.contains(['?', '#']) => "must be a path alone, without `?` or `#`",
        _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => "may hold only visible ASCII characters",
        _ if text.len() > 1024 => "is longer than 1024 bytes",
        _ => return Ok(text.to_owned()),
    };
    Err(item.problem(format!("{text:?} {message}")).hint("e.g. path = \"/hooks/github\""))
}
