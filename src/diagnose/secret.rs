//! Secrets that would have matched: another configured one, or the same one written in another form.
//!
//! Findings name a secret by its source and position and describe what was changed. They never contain it.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::probe::{Finding, NamedSecret, Probe, ProbeResult};
use super::suspect_secret::{assigned, visible, without_quotes};
use super::variant::RowVariant;
use crate::config::Source;
use crate::providers::{CUSTOM, OneOrMany, Scheme, SecretDecoding};
use crate::support::secret::Secret;
use crate::verify::VerifyError;

/// Secrets of other sources.
pub(super) fn other_secrets(probe: &Probe<'_>) -> Vec<Finding> {
    let name = &probe.source.name;
    let others = probe.secrets().into_iter().filter(|secret| !secret.is_of(probe.source));
    let found = others.filter(|secret| probe.matches_secret(secret.secret.clone()));
    let finding = |secret: NamedSecret<'_>| {
        Finding::new(
            format!("It matches {}.", secret.name),
            format!("Give `{name}` that secret, or configure the secret of `{name}` at the provider."),
        )
    };
    found.map(finding).collect()
}

/// The delivery belongs to a source with another provider and was sent to the wrong path.
pub(super) fn wrong_path(probe: &Probe<'_>) -> Option<Finding> {
    let is_whole = |source: &&std::sync::Arc<Source>| match probe.check(source) {
        ProbeResult::Matches | ProbeResult::MatchesExcept(VerifyError::NotGenuine(_)) => true,
        ProbeResult::MatchesExcept(_) | ProbeResult::Answered | ProbeResult::No(_) => false,
    };
    let own = probe.source;
    let mut others = probe.sources.iter().filter(|other| other.name != own.name && other.provider != own.provider);
    let found = others.find(is_whole)?;
    Some(Finding::new(
        format!("It is a delivery for `{}` ({}), sent to the path of `{}`.", found.name, found.provider, own.name),
        format!("Make the provider send it to `{}`.", found.path),
    ))
}

/// Another form of a secret.
struct SecretForm {
    /// Takes the configured text, and whether the scheme decodes it.
    write: fn(&str, bool) -> Option<Vec<u8>>,
    what: &'static str,
    change: &'static str,
}

const SECRET_FORMS: &[SecretForm] = &[
    SecretForm {
        write: |text, _| differs(text, text.trim()),
        what: "without the white space around it",
        change: "Remove the white space or newline where the secret is configured.",
    },
    SecretForm {
        write: |text, _| visible(text).map(String::into_bytes),
        what: "without the byte order mark or other invisible characters in it",
        change: "Remove the invisible characters where the secret is configured: write it again without copying it.",
    },
    SecretForm {
        write: |text, _| assigned(text).map(|value| value.as_bytes().to_vec()),
        what: "without the name before `=`",
        change: "Configure only the value, without `NAME=`.",
    },
    SecretForm {
        write: |text, _| Some(format!("{text}\n").into_bytes()),
        what: "with a newline after it",
        change: "The provider has a newline after the secret. Enter it there again without one.",
    },
    SecretForm {
        write: |text, _| Some(format!("{text}\r\n").into_bytes()),
        what: "with a carriage return and newline after it",
        change: "The provider has a line end after the secret. Enter it there again without one.",
    },
    SecretForm {
        write: |text, _| Some(format!("{text} ").into_bytes()),
        what: "with a space after it",
        change: "The provider has a space in the secret. Enter it there again without one.",
    },
    SecretForm {
        write: |text, _| Some(format!(" {text}").into_bytes()),
        what: "with a space before it",
        change: "The provider has a space in the secret. Enter it there again without one.",
    },
    SecretForm {
        write: |text, _| differs(text, unquoted(text.trim())),
        what: "without the quotes around it",
        change: "Remove the quotes where the secret is configured. Some environment files keep them.",
    },
    SecretForm {
        write: |text, _| Some(format!("\"{text}\"").into_bytes()),
        what: "with quotes around it",
        change: "The provider has quotes around the secret. Enter it there again without them.",
    },
    SecretForm {
        write: |text, decodes| differs(text, without_prefix(text)).filter(|_| !decodes),
        what: "without its prefix",
        change: "Remove the prefix where the secret is configured.",
    },
    SecretForm {
        write: |text, decodes| decodes.then(|| text.as_bytes().to_vec()),
        what: "as plain text, with its prefix and not decoded",
        change: "The sender does not decode the secret. Compare it with what the provider shows.",
    },
    SecretForm {
        write: |text, decodes| decodes.then(|| without_prefix(text).as_bytes().to_vec()),
        what: "as plain text without its prefix, not decoded",
        change: "The sender does not decode the secret. Compare it with what the provider shows.",
    },
    SecretForm {
        write: |text, _| {
            BASE64.decode(without_prefix(text.trim())).ok().or_else(|| URL.decode(without_prefix(text.trim())).ok())
        },
        what: "decoded from base64",
        change: "The sender decodes the secret from base64. Compare it with what the provider shows.",
    },
    SecretForm {
        write: |text, _| hex::decode(without_prefix(text.trim())).ok(),
        what: "decoded from hex",
        change: "The sender decodes the secret from hex. Compare it with what the provider shows.",
    },
    SecretForm {
        write: |text, _| Some(BASE64.encode(text).into_bytes()),
        what: "written in base64",
        change: "The provider uses the secret in base64. Configure it as the provider shows it.",
    },
    SecretForm {
        write: |text, _| Some(hex::encode(text).into_bytes()),
        what: "written in hex",
        change: "The provider uses the secret in hex. Configure it as the provider shows it.",
    },
];

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const URL: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// Configured secrets, written in another form.
pub(super) fn other_forms(probe: &Probe<'_>) -> Vec<Finding> {
    let decodes = probe.source.scheme.secret_decoding != SecretDecoding::Utf8;
    for named in probe.secrets() {
        for form in SECRET_FORMS {
            let Some(bytes) = (form.write)(named.secret.reveal(), decodes).filter(|bytes| !bytes.is_empty()) else {
                continue;
            };
            if matches_bytes(probe, &bytes) {
                let decoded = if named.is_of(probe.source) { other_decoding(probe) } else { None };
                let what = if named.is_of(probe.source) {
                    format!("It matches {} {}.", named.name, form.what)
                } else {
                    let own = &probe.source.name;
                    format!(
                        "It matches another source's secret {}. It is {}, not one of `{own}`.",
                        form.what, named.name
                    )
                };
                let change = match (&decoded, &*probe.source.provider) {
                    (Some(variant), CUSTOM) => {
                        let keys = variant.changed_keys(probe.source);
                        format!("Set {keys} under [sources.{}.verify].", probe.source.name)
                    }
                    (Some(variant), provider) => format!(
                        "Compare the secret with what {provider} shows. A sender of your own that signs in this way is a \
                         `custom` source: the row of {provider} with {}.",
                        variant.changed_keys(probe.source)
                    ),
                    (None, _) => form.change.to_owned(),
                };
                let settings = decoded.and_then(|variant| variant.settings(probe.source));
                return vec![Finding::new(what, change).with_settings(settings)];
            }
        }
    }
    Vec::new()
}

/// The row that decodes the source's own secrets in another way and accepts the delivery.
fn other_decoding(probe: &Probe<'_>) -> Option<RowVariant> {
    let row = RowVariant::of(probe.source);
    let own = row.row.secret_decoding.clone().unwrap_or_else(|| "utf8".to_owned());
    let decodings = ["utf8", "base64", "hex"].into_iter().filter(|decoding| *decoding != own);
    let variants = decodings.flat_map(|decoding| {
        let decoded = row.with(|row| row.secret_decoding = Some(decoding.to_owned()), decoding);
        let whole = decoded.with(|row| row.secret_prefix = OneOrMany::default(), "with its prefix");
        [decoded, whole]
    });
    variants.into_iter().find(|variant| {
        let is_valid = |scheme: &Scheme| probe.source.secrets.iter().all(|secret| scheme.check_secret(secret).is_ok());
        variant.source(probe.source).is_some_and(|source| is_valid(&source.scheme)) && variant.accepts(probe)
    })
}

/// Whether the signature matches with exactly these bytes as the key.
fn matches_bytes(probe: &Probe<'_>, bytes: &[u8]) -> bool {
    if probe.ignores_body() {
        return std::str::from_utf8(bytes).is_ok_and(|text| probe.matches_secret(Secret::new(text)));
    }
    let mut scheme = (*probe.source.scheme).clone();
    scheme.secret_decoding = SecretDecoding::Hex;
    scheme.secret_prefixes.clear();
    let secrets = vec![Secret::new(hex::encode(bytes))];
    probe.check(&Source { scheme: scheme.into(), secrets, ..probe.source.clone() }).is_match()
}

fn differs(before: &str, after: &str) -> Option<Vec<u8>> {
    (before != after).then(|| after.as_bytes().to_vec())
}

fn unquoted(text: &str) -> &str {
    without_quotes(text).unwrap_or(text)
}

/// Removes `whsec_`, `base64:`, `Bearer ` and the like: a short word before the first separator.
fn without_prefix(text: &str) -> &str {
    const MAX_PREFIX: usize = 8;
    const MIN_REST: usize = 4;
    let end = text.find(['_', ':', '=', ' ']).filter(|end| *end <= MAX_PREFIX && *end > 0);
    match end {
        Some(end) if text[..end].bytes().all(|byte| byte.is_ascii_alphanumeric()) && text.len() > end + MIN_REST => {
            &text[end + 1..]
        }
        _ => text,
    }
}
