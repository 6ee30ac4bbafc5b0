//! Ways of signing that would have matched: another hash, another encoding, another prefix, other content, a time in
//! another unit.
//!
//! What a provider's row says is seldom wrong; a `custom` source, or a provider's older way of signing, often is.

use std::sync::Arc;

use super::Finding;
use super::probe::{Probe, ProbeResult};
use crate::config::Source;
use crate::model::request::{Headers, Request};
use crate::providers::{
    Algorithm, AuthMethod, CUSTOM, Encoding, Hash, OneOrMany, ProviderRow, Scheme, SelectorEntry, SignatureSyntax,
    TemplateSegment, TemplateSignature, TimestampLocation, ValueLocation,
};

/// A scheme that differs in a few knobs, in words and as keys of a `verify` table.
#[derive(Clone)]
pub(super) struct SchemeVariant {
    pub(super) scheme: Scheme,
    words: Vec<String>,
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
/// What senders of their own sign, besides the body.
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

/// Another way of signing.
pub(super) fn otherwise_signed(case: &Probe<'_>) -> Vec<Finding> {
    let variants = variants(case);
    let found = variants.into_iter().find(|variant| holds(case, variant));
    found.map(|variant| told(case, &variant)).into_iter().collect()
}

/// The scheme with up to all of its knobs turned, those with fewest first.
pub(super) fn variants(case: &Probe<'_>) -> Vec<SchemeVariant> {
    let plain = SchemeVariant { scheme: (*case.source.scheme).clone(), words: Vec::new(), keys: Vec::new() };
    let mut variants = vec![plain];
    for turn in [hashes, encodings, prefixes, contents] {
        let turned: Vec<_> = variants.iter().flat_map(|variant| turn(case, variant)).collect();
        variants.extend(turned);
    }
    variants.remove(0);
    variants.sort_by_key(|variant| variant.words.len());
    variants
}

pub(super) fn holds(case: &Probe<'_>, variant: &SchemeVariant) -> bool {
    let source = Source { scheme: Arc::new(variant.scheme.clone()), ..case.source.clone() };
    case.judged_by(&source).holds()
}

impl SchemeVariant {
    fn turned(&self, scheme: Scheme, words: impl Into<String>, key: impl Into<String>) -> Self {
        let [mut all, mut keys] = [self.words.clone(), self.keys.clone()];
        all.push(words.into());
        keys.push(key.into());
        Self { scheme, words: all, keys }
    }

    /// `made with SHA-1 and written in base64`
    pub(super) fn words(&self) -> String {
        self.words.join(" and ")
    }
}

fn told(case: &Probe<'_>, variant: &SchemeVariant) -> Finding {
    let keys = variant.keys.join(", ");
    let name = &case.source.name;
    let change = if case.source.provider == CUSTOM {
        format!("Set {keys} under [sources.{name}.verify].")
    } else {
        format!(
            "Have {} sign as its row says (`hookbox providers {}`), or describe what it does in a `custom` source: {keys}.",
            case.source.provider, case.source.provider
        )
    };
    Finding::new(format!("It matches when its signature is taken to be {}.", variant.words()), change)
}

fn hashes(_: &Probe<'_>, variant: &SchemeVariant) -> Vec<SchemeVariant> {
    let Some(TemplateSignature { algorithm: Algorithm::Hmac(hash), .. }) = variant.scheme.template_signature() else {
        return Vec::new();
    };
    let others = HASHES.iter().filter(|(other, ..)| other != hash);
    let turn = |(other, word, key): &(Hash, &str, &str)| {
        let mut scheme = variant.scheme.clone();
        if let AuthMethod::Signature(signed) = &mut scheme.auth {
            signed.algorithm = Algorithm::Hmac(*other);
        }
        variant.turned(scheme, format!("made with {word}"), format!("`algorithm = \"{key}\"`"))
    };
    others.map(turn).collect()
}

fn encodings(_: &Probe<'_>, variant: &SchemeVariant) -> Vec<SchemeVariant> {
    let Some(signed) = variant.scheme.template_signature() else { return Vec::new() };
    let others = ENCODINGS.iter().filter(|(other, _)| *other != signed.encoding);
    let turn = |(other, word): &(Encoding, &str)| {
        let mut scheme = variant.scheme.clone();
        if let AuthMethod::Signature(signed) = &mut scheme.auth {
            signed.encoding = *other;
        }
        variant.turned(scheme, format!("written in {word}"), format!("`encoding = \"{word}\"`"))
    };
    others.map(turn).collect()
}

/// What came has no prefix, or another one.
fn prefixes(case: &Probe<'_>, variant: &SchemeVariant) -> Vec<SchemeVariant> {
    let ValueLocation::Header(name) = &variant.scheme.signature else { return Vec::new() };
    let request = case.refused.request();
    let Some(written) = variant.scheme.header_names(name).find_map(|name| request.headers.all(name).next()) else {
        return Vec::new();
    };
    let came = String::from_utf8_lossy(written);
    let is_word = |text: &str| {
        !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let prefix = came.split_once(['=', ' ', ':']).map(|(word, rest)| (word, &came[..came.len() - rest.len()]));
    let prefix = prefix.filter(|(word, _)| is_word(word)).map(|(_, prefix)| prefix);
    let turn = |syntax: SignatureSyntax| {
        let mut scheme = variant.scheme.clone();
        scheme.syntax = syntax;
        scheme
    };
    match (&variant.scheme.syntax, prefix) {
        (SignatureSyntax::Prefixed { prefix: expected, .. }, Some(prefix)) if prefix == expected => Vec::new(),
        (SignatureSyntax::Plain | SignatureSyntax::Prefixed { .. }, Some(prefix)) => {
            let keys = format!("`syntax = \"prefixed\"`, `prefix = \"{prefix}\"`");
            vec![variant.turned(
                turn(SignatureSyntax::Prefixed { prefix: prefix.to_owned(), is_optional: false }),
                format!("behind `{prefix}`"),
                keys,
            )]
        }
        (SignatureSyntax::Prefixed { .. }, None) => {
            vec![variant.turned(turn(SignatureSyntax::Plain), "written without a prefix", "`syntax = \"plain\"`")]
        }
        _ => Vec::new(),
    }
}

/// Only a sender of the user's own signs what nobody knows.
fn contents(case: &Probe<'_>, variant: &SchemeVariant) -> Vec<SchemeVariant> {
    let Some(signed) = variant.scheme.template_signature() else { return Vec::new() };
    if case.source.provider != CUSTOM {
        return Vec::new();
    }
    let read = |template: &&'static str| {
        let other = parsed(template)?;
        let needs_time = other.contains(&TemplateSegment::Timestamp);
        (!signed.contents.contains(&other) && (!needs_time || variant.scheme.timestamp.is_some()))
            .then_some((*template, other))
    };
    let turn = |(template, other): (&str, Vec<TemplateSegment>)| {
        let mut scheme = variant.scheme.clone();
        if let AuthMethod::Signature(signed) = &mut scheme.auth {
            signed.contents = vec![other];
        }
        variant.turned(scheme, format!("over {template:?}"), format!("`signed_content = {template:?}`"))
    };
    CONTENTS.iter().filter_map(read).map(turn).collect()
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
    match Scheme::from_row(&row).ok()?.auth {
        AuthMethod::Signature(signed) => signed.contents.into_iter().next(),
        _ => None,
    }
}

/// The time was signed in another unit than it was sent in.
pub(super) fn other_time(case: &Probe<'_>) -> Vec<Finding> {
    let timestamp = case.source.scheme.timestamp.as_ref().map(|timestamp| &timestamp.location);
    let Some(TimestampLocation::At(ValueLocation::Header(name))) = timestamp else { return Vec::new() };
    let changes: [(HeaderEdit, &str); 3] = [
        (
            |text| text.parse::<i64>().ok().map(|number| number.div_euclid(1000).to_string()),
            "in seconds, and sent in milliseconds",
        ),
        (
            |text| {
                text.parse::<i64>().ok().and_then(|number| number.checked_mul(1000)).map(|number| number.to_string())
            },
            "in milliseconds, and sent in seconds",
        ),
        (|text| Some(text.trim().to_owned()).filter(|trimmed| trimmed != text), "without the white space around it"),
    ];
    for (change, what) in changes {
        let verdict = case.judged_as(|request| change_header(request, name, change), &case.source.secrets);
        if verdict.holds() || matches!(verdict, ProbeResult::MatchesBut(_)) {
            return vec![Finding::new(
                format!("It matches when its time was signed {what}."),
                format!("Have the sender put the same text into `{name}` that it signs."),
            )];
        }
    }
    Vec::new()
}

/// What becomes of a header's value.
type HeaderEdit = fn(&str) -> Option<String>;

fn change_header(request: &mut Request, name: &str, change: HeaderEdit) {
    let mut changed = Headers::default();
    for (known, value) in request.headers.iter() {
        let text = std::str::from_utf8(value).ok().filter(|_| known.eq_ignore_ascii_case(name)).and_then(change);
        changed.push(known, text.as_deref().map_or(value, str::as_bytes));
    }
    request.headers = changed;
}
