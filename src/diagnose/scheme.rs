//! Other ways of signing that would have matched: another hash, encoding, prefix or signed content, or a timestamp in
//! another unit.
//!
//! A provider's row is seldom wrong. A `custom` source, or a provider's older way of signing, often is.

use super::probe::{Finding, Probe, ProbeResult, combinations};
use super::variant::RowVariant;
use crate::model::request::{Headers, Request};
use crate::providers::{
    Algorithm, CUSTOM, OneOrMany, ProviderRow, Scheme, TemplateSignature, TimestampLocation, ValueLocation,
};

const ENCODINGS: [&str; 3] = ["hex", "base64", "base64url"];
const HASHES: [(&str, &str); 4] =
    [("SHA-1", "hmac-sha1"), ("SHA-256", "hmac-sha256"), ("SHA-512", "hmac-sha512"), ("MD5", "hmac-md5")];
/// What senders commonly sign.
const CONTENTS: [&str; 22] = [
    "{body}",
    "{timestamp}.{body}",
    "{timestamp}:{body}",
    "{timestamp}{body}",
    "{body}{timestamp}",
    "{body}.{timestamp}",
    "{timestamp}\n{body}",
    "v0:{timestamp}:{body}",
    "v1:{timestamp}:{body}",
    "{url}{body}",
    "{url}|{body}",
    "{body}{url}",
    "{method}{url}{body}",
    "{path}{body}",
    "{method}{path}{body}",
    "{method}\n{path}\n{body}",
    "{url}{timestamp}{body}",
    "{timestamp}{url}{body}",
    "{timestamp}{path}{body}",
    "{timestamp}{method}{path}{body}",
    "{method}{path}{timestamp}{body}",
    "{method}{url}{body}{timestamp}",
];
const MAX_PREFIX_BYTES: usize = 12;

pub(super) fn other_schemes(probe: &Probe<'_>) -> Vec<Finding> {
    matching_variant(probe, RowVariant::of(probe.source)).map(|variant| finding(probe, &variant)).into_iter().collect()
}

/// The variant of `start` with the fewest changes that matches.
pub(super) fn matching_variant(probe: &Probe<'_>, start: RowVariant) -> Option<RowVariant> {
    let mut variants = combinations(
        start,
        &[&hashes, &encodings, &|variant| prefixes(probe, variant), &|variant| contents(probe, variant)],
    );
    variants.sort_by_key(|variant| variant.descriptions.len());
    variants.into_iter().find(|variant| variant.matches(probe))
}

fn finding(probe: &Probe<'_>, variant: &RowVariant) -> Finding {
    let keys = variant.changed_keys(probe.source);
    let (name, provider) = (&probe.source.name, &probe.source.provider);
    let url = variant.url.as_ref().map(|url| format!(" Set `url = {url:?}` for `{name}`.")).unwrap_or_default();
    let change = if *provider == CUSTOM {
        format!("Set {keys} under [sources.{name}.verify].{url}")
    } else {
        format!(
            "Make {provider} sign as `hookbox providers {provider}` shows, or replace the provider of `{name}` with a \
             `custom` scheme: its row with {keys}.{url}"
        )
    };
    Finding::new(format!("It matches if its signature is {}.", variant.description()), change)
        .with_settings(variant.settings(probe.source))
}

/// The parsed row, if it signs a template with an HMAC.
fn hmac(row: &ProviderRow) -> Option<TemplateSignature> {
    let scheme = Scheme::from_row(row).ok()?;
    scheme.template_signature().filter(|signed| matches!(signed.algorithm, Algorithm::Hmac(_))).cloned()
}

fn hashes(variant: &RowVariant) -> Vec<RowVariant> {
    if hmac(&variant.row).is_none() {
        return Vec::new();
    }
    let change = |(name, algorithm): &(&str, &str)| {
        let set = |row: &mut ProviderRow| {
            row.algorithm = (*algorithm).to_owned();
            row.algorithm_choices.clear();
            row.algorithm_names.clear();
            row.algorithm_header = None;
        };
        variant.with(set, format!("made with {name}"))
    };
    HASHES.iter().filter(|(_, algorithm)| *algorithm != variant.row.algorithm).map(change).collect()
}

fn encodings(variant: &RowVariant) -> Vec<RowVariant> {
    if hmac(&variant.row).is_none() {
        return Vec::new();
    }
    let own = variant.row.encoding.as_deref().unwrap_or("hex");
    let change =
        |other: &&str| variant.with(|row| row.encoding = Some((*other).to_owned()), format!("written in {other}"));
    ENCODINGS.iter().filter(|other| **other != own).map(change).collect()
}

/// The received signature has no prefix, or another one.
fn prefixes(probe: &Probe<'_>, variant: &RowVariant) -> Vec<RowVariant> {
    let Ok(scheme) = Scheme::from_row(&variant.row) else { return Vec::new() };
    let ValueLocation::Header(name) = &scheme.signature else { return Vec::new() };
    let request = probe.refused.request();
    let Some(value) = scheme.header_names(name).find_map(|name| request.headers.all(name).next()) else {
        return Vec::new();
    };
    let value = String::from_utf8_lossy(value);
    let is_word = |text: &str| {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !text.is_empty() && text.len() <= MAX_PREFIX_BYTES && text.bytes().all(is_valid)
    };
    let prefix = value.split_once(['=', ' ', ':']).map(|(word, rest)| (word, &value[..value.len() - rest.len()]));
    let prefix = prefix.filter(|(word, _)| is_word(word)).map(|(_, prefix)| prefix);
    let set = |row: &mut ProviderRow, prefix: Option<&str>| {
        row.syntax = prefix.map(|_| "prefixed".to_owned());
        row.prefix = prefix.map(ToOwned::to_owned);
        row.prefix_optional = false;
    };
    match (variant.row.syntax.as_deref().unwrap_or("plain"), prefix) {
        ("prefixed", Some(prefix)) if variant.row.prefix.as_deref() == Some(prefix) => Vec::new(),
        ("plain" | "prefixed", Some(prefix)) => {
            vec![variant.with(|row| set(row, Some(prefix)), format!("written after `{prefix}`"))]
        }
        ("prefixed", None) => vec![variant.with(|row| set(row, None), "written without a prefix")],
        _ => Vec::new(),
    }
}

/// Body only against timestamp and body, and the reverse; URL, path or method in front.
fn contents(probe: &Probe<'_>, variant: &RowVariant) -> Vec<RowVariant> {
    if hmac(&variant.row).is_none() {
        return Vec::new();
    }
    let has = |placeholder: &str| variant.row.signed_content.each().iter().any(|own| own.contains(placeholder));
    // Without {url} in its content, the source's `url` would have no effect.
    let templates = CONTENTS.iter().filter(|template| !has("{url") || template.contains("{url}"));
    let own = variant.row.signed_content.each();
    let is_own = |template: &str| own.iter().any(|own| own == template) || own.is_empty() && template == "{body}";
    templates.filter(|template| !is_own(template)).flat_map(|template| content(probe, variant, template)).collect()
}

/// The variants that sign a template: one for each header that may contain the timestamp.
fn content(probe: &Probe<'_>, variant: &RowVariant, template: &str) -> Vec<RowVariant> {
    let set = |row: &mut ProviderRow| row.signed_content = OneOrMany::One(template.to_owned());
    let mut signed = variant.with(set, format!("made over {template:?}"));
    if template.contains("{url}") && probe.source.urls.is_empty() {
        let Some(url) = requested_url(&probe.refused.request()) else { return Vec::new() };
        signed.url = Some(url);
    }
    match (template.contains("{timestamp}"), signed.row.timestamp.is_some()) {
        (true, false) => timestamps(probe, &signed),
        (false, true) => {
            // Without a signed timestamp, its age proves nothing.
            signed.row.timestamp = None;
            signed.row.timestamp_unit = None;
            signed.row.tolerance = None;
            signed.row.digest_with.retain(|part| part != "timestamp");
            vec![signed]
        }
        _ => vec![signed],
    }
}

/// Headers with a time in them.
fn timestamps(probe: &Probe<'_>, variant: &RowVariant) -> Vec<RowVariant> {
    let request = probe.refused.request();
    let candidate = |(name, value): (&str, &[u8])| {
        let name_has = |part: &str| name.to_ascii_lowercase().contains(part);
        let value =
            std::str::from_utf8(value).ok().filter(|_| name_has("time") || name_has("date") || name_has("-ts"))?;
        let unit = match value.len() {
            13 if value.bytes().all(|byte| byte.is_ascii_digit()) => Some("ms"),
            9..=11 if value.bytes().all(|byte| byte.is_ascii_digit()) => None,
            20.. if value.contains('T') => Some("rfc3339"),
            _ => return None,
        };
        let mut with_time = variant.clone();
        with_time.row.timestamp = Some(format!("header:{name}"));
        with_time.row.timestamp_unit = unit.map(ToOwned::to_owned);
        Some(with_time)
    };
    request.headers.iter().filter_map(candidate).collect()
}

/// The URL as the provider may have it.
fn requested_url(request: &Request) -> Option<String> {
    let header = |name| request.headers.all(name).next().and_then(|value| std::str::from_utf8(value).ok());
    let host = header("x-forwarded-host").or_else(|| header("host"))?;
    let is_host = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte));
    let scheme = header("x-forwarded-proto").filter(|scheme| *scheme == "http").unwrap_or("https");
    (is_host && request.query.is_empty()).then(|| format!("{scheme}://{host}{}", request.path))
}

/// The timestamp was signed in another unit than it was sent in.
pub(super) fn other_timestamps(probe: &Probe<'_>) -> Vec<Finding> {
    let timestamp = probe.source.scheme.timestamp.as_ref().map(|timestamp| &timestamp.location);
    let Some(TimestampLocation::At(ValueLocation::Header(name))) = timestamp else { return Vec::new() };
    let changes: [(HeaderEdit, &str); 3] = [
        (|text| Some(text.parse::<i64>().ok()?.div_euclid(1000).to_string()), "in seconds, but sent in milliseconds"),
        (|text| Some(text.parse::<i64>().ok()?.checked_mul(1000)?.to_string()), "in milliseconds, but sent in seconds"),
        (|text| Some(text.trim().to_owned()).filter(|trimmed| trimmed != text), "without the white space around it"),
    ];
    let matches = |edit: HeaderEdit| {
        let result = probe.check_changed(|request| edit_header(request, name, edit), &probe.source.secrets);
        !matches!(result, ProbeResult::No(_))
    };
    let found = changes.into_iter().find(|(edit, _)| matches(*edit));
    let finding = |(_, what): (HeaderEdit, &str)| {
        Finding::new(
            format!("It matches if its timestamp was signed {what}."),
            format!("Make the sender put the text that it signs into `{name}`."),
        )
    };
    found.map(finding).into_iter().collect()
}

/// Returns the new value of a header, or `None` to keep it.
type HeaderEdit = fn(&str) -> Option<String>;

fn edit_header(request: &mut Request, name: &str, edit: HeaderEdit) {
    let mut edited = Headers::default();
    for (known, value) in request.headers.iter() {
        let text = std::str::from_utf8(value).ok().filter(|_| known.eq_ignore_ascii_case(name)).and_then(edit);
        edited.push(known, text.as_deref().map_or(value, str::as_bytes));
    }
    request.headers = edited;
}
