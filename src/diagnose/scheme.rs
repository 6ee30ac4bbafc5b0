//! Other ways of signing that would have matched: another hash, encoding, prefix or signed content, or a timestamp in
//! another unit.
//!
//! A provider's row is seldom wrong. A `custom` source, or a provider's older way of signing, often is.

use std::sync::Arc;

use super::probe::{Finding, Probe, ProbeResult, combinations};
use crate::config::Source;
use crate::model::request::{Headers, Request};
use crate::providers::{
    Algorithm, AuthMethod, CUSTOM, Encoding, Hash, OneOrMany, ProviderRow, Scheme, SelectorEntry, SignatureSyntax,
    TemplateSegment, TemplateSignature, TimestampLocation, ValueLocation,
};

/// A scheme with a few changes, described for the operator and as keys of a `verify` table.
#[derive(Clone)]
pub(super) struct SchemeVariant {
    scheme: Scheme,
    descriptions: Vec<String>,
    keys: Vec<String>,
}

const ENCODINGS: [(Encoding, &str); 3] =
    [(Encoding::Hex, "hex"), (Encoding::Base64, "base64"), (Encoding::Base64Url, "base64url")];
const HASHES: [(Hash, &str, &str); 4] = [
    (Hash::Sha1, "SHA-1", "hmac-sha1"),
    (Hash::Sha256, "SHA-256", "hmac-sha256"),
    (Hash::Sha512, "SHA-512", "hmac-sha512"),
    (Hash::Md5, "MD5", "hmac-md5"),
];
/// What home-made senders commonly sign.
const CONTENTS: [&str; 8] = [
    "{body}",
    "{timestamp}.{body}",
    "{timestamp}:{body}",
    "{timestamp}{body}",
    "{body}{timestamp}",
    "{timestamp}\n{body}",
    "v0:{timestamp}:{body}",
    "v1:{timestamp}:{body}",
];
const MAX_PREFIX_BYTES: usize = 12;

pub(super) fn other_schemes(probe: &Probe<'_>) -> Vec<Finding> {
    matching_variant(probe).map(|variant| finding(probe, &variant)).into_iter().collect()
}

/// The variant with the fewest changes that matches.
pub(super) fn matching_variant(probe: &Probe<'_>) -> Option<SchemeVariant> {
    let scheme = (*probe.source.scheme).clone();
    let start = SchemeVariant { scheme, descriptions: Vec::new(), keys: Vec::new() };
    let mut variants = combinations(
        start,
        &[&hashes, &encodings, &|variant| prefixes(probe, variant), &|variant| contents(probe, variant)],
    );
    variants.sort_by_key(|variant| variant.descriptions.len());
    variants.into_iter().find(|variant| {
        let source = Source { scheme: Arc::new(variant.scheme.clone()), ..probe.source.clone() };
        probe.check(&source).is_match()
    })
}

impl SchemeVariant {
    fn with(&self, change: impl FnOnce(&mut Scheme), description: impl Into<String>, key: impl Into<String>) -> Self {
        let mut variant = self.clone();
        change(&mut variant.scheme);
        variant.descriptions.push(description.into());
        variant.keys.push(key.into());
        variant
    }

    fn with_signature(&self, change: impl FnOnce(&mut TemplateSignature), description: String, key: String) -> Self {
        let change = |scheme: &mut Scheme| {
            if let AuthMethod::Signature(signature) = &mut scheme.auth {
                change(signature);
            }
        };
        self.with(change, description, key)
    }

    /// `made with SHA-1 and written in base64`
    pub(super) fn description(&self) -> String {
        self.descriptions.join(" and ")
    }
}

fn finding(probe: &Probe<'_>, variant: &SchemeVariant) -> Finding {
    let keys = variant.keys.join(", ");
    let (name, provider) = (&probe.source.name, &probe.source.provider);
    let change = if *provider == CUSTOM {
        format!("Set {keys} under [sources.{name}.verify].")
    } else {
        format!(
            "Make {provider} sign as `hookbox providers {provider}` shows, or describe how it signs in a `custom` source: \
             {keys}."
        )
    };
    Finding::new(format!("It matches if its signature is {}.", variant.description()), change)
}

fn hashes(variant: &SchemeVariant) -> Vec<SchemeVariant> {
    let Some(TemplateSignature { algorithm: Algorithm::Hmac(hash), .. }) = variant.scheme.template_signature() else {
        return Vec::new();
    };
    let change = |(other, name, key): &(Hash, &str, &str)| {
        let set = |signature: &mut TemplateSignature| signature.algorithm = Algorithm::Hmac(*other);
        variant.with_signature(set, format!("made with {name}"), format!("`algorithm = \"{key}\"`"))
    };
    HASHES.iter().filter(|(other, ..)| other != hash).map(change).collect()
}

fn encodings(variant: &SchemeVariant) -> Vec<SchemeVariant> {
    let Some(TemplateSignature { encoding, .. }) = variant.scheme.template_signature() else { return Vec::new() };
    let change = |(other, name): &(Encoding, &str)| {
        let set = |signature: &mut TemplateSignature| signature.encoding = *other;
        variant.with_signature(set, format!("written in {name}"), format!("`encoding = \"{name}\"`"))
    };
    ENCODINGS.iter().filter(|(other, _)| other != encoding).map(change).collect()
}

/// The received signature has no prefix, or another one.
fn prefixes(probe: &Probe<'_>, variant: &SchemeVariant) -> Vec<SchemeVariant> {
    let ValueLocation::Header(name) = &variant.scheme.signature else { return Vec::new() };
    let request = probe.refused.request();
    let Some(value) = variant.scheme.header_names(name).find_map(|name| request.headers.all(name).next()) else {
        return Vec::new();
    };
    let value = String::from_utf8_lossy(value);
    let is_word = |text: &str| {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !text.is_empty() && text.len() <= MAX_PREFIX_BYTES && text.bytes().all(is_valid)
    };
    let prefix = value.split_once(['=', ' ', ':']).map(|(word, rest)| (word, &value[..value.len() - rest.len()]));
    let prefix = prefix.filter(|(word, _)| is_word(word)).map(|(_, prefix)| prefix);
    let with_syntax = |syntax: SignatureSyntax, description: String, keys: String| {
        vec![variant.with(|scheme| scheme.syntax = syntax, description, keys)]
    };
    match (&variant.scheme.syntax, prefix) {
        (SignatureSyntax::Prefixed { prefix: expected, .. }, Some(prefix)) if prefix == expected => Vec::new(),
        (SignatureSyntax::Plain | SignatureSyntax::Prefixed { .. }, Some(prefix)) => with_syntax(
            SignatureSyntax::Prefixed { prefix: prefix.to_owned(), is_optional: false },
            format!("written after `{prefix}`"),
            format!("`syntax = \"prefixed\"`, `prefix = \"{prefix}\"`"),
        ),
        (SignatureSyntax::Prefixed { .. }, None) => with_syntax(
            SignatureSyntax::Plain,
            "written without a prefix".to_owned(),
            "`syntax = \"plain\"`".to_owned(),
        ),
        _ => Vec::new(),
    }
}

/// Only for `custom` sources: the signed content of known providers is known.
fn contents(probe: &Probe<'_>, variant: &SchemeVariant) -> Vec<SchemeVariant> {
    let Some(signature) = variant.scheme.template_signature().filter(|_| probe.source.provider == CUSTOM) else {
        return Vec::new();
    };
    let change = |template: &&'static str| {
        let other = parsed(template)?;
        let needs_time = other.contains(&TemplateSegment::Timestamp);
        if signature.contents.contains(&other) || needs_time && variant.scheme.timestamp.is_none() {
            return None;
        }
        let set = |signature: &mut TemplateSignature| signature.contents = vec![other];
        let key = format!("`signed_content = {template:?}`");
        Some(variant.with_signature(set, format!("made over {template:?}"), key))
    };
    CONTENTS.iter().filter_map(change).collect()
}

fn parsed(template: &str) -> Option<Vec<TemplateSegment>> {
    let row = ProviderRow {
        signature: OneOrMany::One("header:x".to_owned()),
        algorithm: "hmac-sha256".to_owned(),
        signed_content: OneOrMany::One(template.to_owned()),
        timestamp: Some("header:y".to_owned()),
        event_id: vec![SelectorEntry::One("body".to_owned())],
        ..ProviderRow::default()
    };
    Scheme::from_row(&row).ok()?.template_signature()?.contents.first().cloned()
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
