//! Secrets that would have matched: another one that is configured, or the same one written otherwise.
//!
//! Each is named by its source and position. What was changed about it is said, what it is never.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::Finding;
use super::probe::{NamedSecret, Probe, ProbeResult};
use crate::config::Source;
use crate::providers::SecretDecoding;
use crate::support::secret::Secret;
use crate::verify::VerifyError;

/// Another secret than the source's own.
pub(super) fn other(case: &Probe<'_>) -> Vec<Finding> {
    let name = &case.source.name;
    let others = case.secrets().into_iter().filter(|secret| !secret.is_of(case.source));
    let found = others.filter(|secret| case.holds_with(secret.secret.clone()));
    let told = |secret: NamedSecret<'_>| {
        Finding::new(
            format!("It matches {}.", secret.name),
            format!("Give `{name}` that secret, or have the provider use the one that `{name}` has."),
        )
    };
    found.map(told).collect()
}

/// The whole delivery is another source's, sent to the wrong path.
pub(super) fn of_another_source(case: &Probe<'_>) -> Option<Finding> {
    let mut others = case.sources.iter().filter(|source| source.name != case.source.name);
    let is_whole = |source: &&std::sync::Arc<Source>| match case.judged_by(source) {
        ProbeResult::Matches => source.provider != case.source.provider,
        ProbeResult::MatchesBut(refusal) => {
            source.provider != case.source.provider && matches!(refusal, VerifyError::NotGenuine(_))
        }
        ProbeResult::Answers | ProbeResult::No(_) => false,
    };
    let found = others.find(is_whole)?;
    Some(Finding::new(
        format!(
            "It is a delivery for `{}` ({}), sent to the path of `{}`.",
            found.name, found.provider, case.source.name
        ),
        format!("Have the provider send it to `{}`.", found.path),
    ))
}

/// A way to write a secret: what is said of it, and what to do.
struct SecretForm {
    /// Takes the text as configured, and whether the scheme decodes it.
    write: fn(&str, bool) -> Option<Vec<u8>>,
    what: &'static str,
    change: &'static str,
}

const WAYS: &[SecretForm] = &[
    SecretForm {
        write: |text, _| differs(text, text.trim()),
        what: "without the white space around it",
        change: "Take the white space or newline off where the secret is configured.",
    },
    SecretForm {
        write: |text, _| Some(format!("{text}\n").into_bytes()),
        what: "with a newline behind it",
        change: "The provider has it with a newline: enter it there again without one.",
    },
    SecretForm {
        write: |text, _| Some(format!("{text}\r\n").into_bytes()),
        what: "with a carriage return and a newline behind it",
        change: "The provider has it with a line end: enter it there again without one.",
    },
    SecretForm {
        write: |text, _| Some(format!("{text} ").into_bytes()),
        what: "with a space behind it",
        change: "The provider has it with a space: enter it there again without one.",
    },
    SecretForm {
        write: |text, _| Some(format!(" {text}").into_bytes()),
        what: "with a space before it",
        change: "The provider has it with a space: enter it there again without one.",
    },
    SecretForm {
        write: |text, _| differs(text, unquoted(text.trim())),
        what: "without the quotes around it",
        change: "Take the quotes off where the secret is configured; an environment file may keep them.",
    },
    SecretForm {
        write: |text, _| Some(format!("\"{text}\"").into_bytes()),
        what: "with quotes around it",
        change: "The provider has it with quotes: enter it there again without them.",
    },
    SecretForm {
        write: |text, decodes| differs(text, without_prefix(text)).filter(|_| !decodes),
        what: "without its prefix",
        change: "Leave the prefix off where the secret is configured.",
    },
    SecretForm {
        write: |text, decodes| decodes.then(|| text.as_bytes().to_vec()),
        what: "as plain text, with its prefix and not decoded",
        change: "The sender uses the text of the secret as it is: set `secret_decoding = \"utf8\"` and no `secret_prefix` \
                 in a `custom` source.",
    },
    SecretForm {
        write: |text, decodes| decodes.then(|| without_prefix(text).as_bytes().to_vec()),
        what: "as plain text without its prefix, not decoded",
        change: "The sender uses the text of the secret: set `secret_decoding = \"utf8\"` in a `custom` source.",
    },
    SecretForm {
        write: |text, _| {
            BASE64.decode(without_prefix(text.trim())).ok().or_else(|| URL.decode(without_prefix(text.trim())).ok())
        },
        what: "decoded from base64",
        change: "The sender decodes the secret: set `secret_decoding = \"base64\"` in a `custom` source.",
    },
    SecretForm {
        write: |text, _| hex::decode(without_prefix(text.trim())).ok(),
        what: "decoded from hex",
        change: "The sender decodes the secret: set `secret_decoding = \"hex\"` in a `custom` source.",
    },
    SecretForm {
        write: |text, _| Some(BASE64.encode(text).into_bytes()),
        what: "written in base64",
        change: "The provider has the secret in base64: configure it as the provider shows it.",
    },
    SecretForm {
        write: |text, _| Some(hex::encode(text).into_bytes()),
        what: "written in hex",
        change: "The provider has the secret in hex: configure it as the provider shows it.",
    },
];

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const URL: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// One of the configured secrets, written otherwise.
pub(super) fn otherwise_written(case: &Probe<'_>) -> Vec<Finding> {
    let decodes = case.source.scheme.secret_decoding != SecretDecoding::Utf8;
    for named in case.secrets() {
        for way in WAYS {
            let Some(bytes) = (way.write)(named.secret.reveal(), decodes).filter(|bytes| !bytes.is_empty()) else {
                continue;
            };
            if holds_with_bytes(case, &bytes) {
                let whose = if named.is_of(case.source) {
                    String::new()
                } else {
                    format!(" It is {}, not one of `{}`.", named.name, case.source.name)
                };
                let name = if whose.is_empty() { named.name.as_str() } else { "another source's secret" };
                return vec![Finding::new(format!("It matches {name} {}.{whose}", way.what), way.change)];
            }
        }
    }
    Vec::new()
}

/// Whether the source's scheme holds with exactly these bytes as its key.
fn holds_with_bytes(case: &Probe<'_>, bytes: &[u8]) -> bool {
    if case.needs_no_body() {
        return std::str::from_utf8(bytes).is_ok_and(|text| case.holds_with(Secret::new(text)));
    }
    let mut source = case.source.clone();
    let mut scheme = (*source.scheme).clone();
    scheme.secret_decoding = SecretDecoding::Hex;
    scheme.secret_prefixes.clear();
    source.scheme = scheme.into();
    source.secrets = vec![Secret::new(hex::encode(bytes))];
    case.judged_by(&source).holds()
}

fn differs(before: &str, after: &str) -> Option<Vec<u8>> {
    (before != after).then(|| after.as_bytes().to_vec())
}

fn unquoted(text: &str) -> &str {
    let quotes = ['"', '\'', '`'];
    quotes.iter().find_map(|quote| text.strip_prefix(*quote).and_then(|rest| rest.strip_suffix(*quote))).unwrap_or(text)
}

/// `whsec_…`, `base64:…`, `Bearer …`: what stands before the first separator, if it is a short word.
fn without_prefix(text: &str) -> &str {
    const LONGEST: usize = 8;
    const SHORTEST_REST: usize = 4;
    let end = text.find(['_', ':', '=', ' ']).filter(|end| *end <= LONGEST && *end > 0);
    match end {
        Some(end)
            if text[..end].bytes().all(|byte| byte.is_ascii_alphanumeric()) && text.len() > end + SHORTEST_REST =>
        {
            &text[end + 1..]
        }
        _ => text,
    }
}
