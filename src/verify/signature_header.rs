//! Reads and writes the value that contains signatures: `sha256=…`, `t=…,v1=…`, `v1,… v1,…`.
//!
//! Covers every syntax and encoding that a row can name. Unknown fields of a list (`v0`, `v1a`) are ignored. A field
//! that may occur once and occurs twice is an error.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};

use super::error::{MAX_SIGNATURES, SignatureError, SignatureResult};
use crate::providers::{Encoding, Scheme, SignatureSyntax, TimestampLocation};

/// Accepts base64url with and without padding: senders differ (RFC 4648, 3.2).
pub(super) const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_encode_padding(false),
);

/// The signatures of one value, still encoded, and its other fields.
#[derive(Debug, Default)]
pub(super) struct SignatureHeader<'a> {
    pub(super) signatures: Vec<&'a str>,
    pub(super) timestamp: Option<&'a str>,
    text: &'a str,
    /// Between fields, and between the name and the value of a field.
    separators: Option<(&'a str, &'a str)>,
}

impl<'a> SignatureHeader<'a> {
    /// Another field of the list; `None` if it occurs twice.
    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        let (item_separator, kv_separator) = self.separators?;
        let mut values = fields(self.text, item_separator, kv_separator).filter(|(key, _)| *key == name);
        let first = values.next().map(|(_, value)| value);
        if values.next().is_some() { None } else { first }
    }
}

/// The fields of a list, without the white space that some senders put around them.
fn fields<'a>(text: &'a str, item_separator: &str, kv_separator: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    // A separator such as `, ` also matches without its space.
    let item_separator = Some(item_separator.trim_end()).filter(|bare| !bare.is_empty()).unwrap_or(item_separator);
    split(text, item_separator).filter_map(move |item| {
        let item = item.trim_ascii();
        match kv_separator.as_bytes() {
            [byte] => item.split_once(char::from(*byte)),
            _ => item.split_once(kv_separator),
        }
    })
}

/// Splits at a separator. Most are one character, and searching for a `char` is faster than for a `str`.
fn split<'a>(text: &'a str, separator: &str) -> impl Iterator<Item = &'a str> {
    let single = match separator.as_bytes() {
        [byte] => Some(char::from(*byte)),
        _ => None,
    };
    let by_char = single.map(|separator| text.split(separator));
    let by_text = if single.is_none() { Some(text.split(separator)) } else { None };
    by_char.into_iter().flatten().chain(by_text.into_iter().flatten())
}

/// Splits a value that contains several complete values of the syntax.
pub(super) fn split_sets<'a>(scheme: &Scheme, text: &'a str) -> impl Iterator<Item = &'a str> {
    let separator = scheme.set_separator.as_deref();
    let whole = separator.is_none().then_some(text);
    let parts = separator.map(|separator| text.split(separator).map(str::trim_ascii).filter(|set| !set.is_empty()));
    whole.into_iter().chain(parts.into_iter().flatten())
}

pub(super) fn read<'a>(scheme: &'a Scheme, text: &'a str) -> SignatureResult<SignatureHeader<'a>> {
    let plain = |signature: &'a str| SignatureHeader { signatures: vec![signature], ..SignatureHeader::default() };
    match &scheme.syntax {
        SignatureSyntax::Plain => Ok(plain(text)),
        SignatureSyntax::Prefixed { prefix, is_optional } => match text.strip_prefix(prefix.as_str()) {
            Some(signature) => Ok(plain(signature)),
            None if *is_optional => Ok(plain(text)),
            None => Err(SignatureError::MissingPrefix(scheme.signature.clone(), prefix.clone())),
        },
        SignatureSyntax::Positional { item_separator } => {
            let mut parts = text.split(item_separator.as_str()).map(str::trim_ascii);
            let timestamp = parts.next();
            let signatures = parts.take(MAX_SIGNATURES + 1).collect();
            check_count(scheme, SignatureHeader { timestamp, signatures, ..SignatureHeader::default() })
        }
        SignatureSyntax::KvList { item_separator, kv_separator, field, first_only } => {
            let mut header = read_list(scheme, field, fields(text, item_separator, kv_separator))?;
            if *first_only {
                header.signatures.truncate(1);
            }
            Ok(SignatureHeader { text, separators: Some((item_separator, kv_separator)), ..header })
        }
    }
}

fn read_list<'a>(
    scheme: &Scheme,
    signature_field: &str,
    fields: impl Iterator<Item = (&'a str, &'a str)>,
) -> SignatureResult<SignatureHeader<'a>> {
    let place = || scheme.signature.clone();
    let timestamp_field = timestamp_field(scheme);
    let mut header = SignatureHeader::default();
    for (key, value) in fields {
        if key == signature_field {
            header.signatures.push(value);
        } else if Some(key) == timestamp_field && header.timestamp.replace(value).is_some() {
            return Err(SignatureError::RepeatedField(place(), key.to_owned()));
        }
    }
    match timestamp_field {
        _ if header.signatures.is_empty() => Err(SignatureError::MissingField(place(), signature_field.to_owned())),
        Some(name) if header.timestamp.is_none() => Err(SignatureError::MissingField(place(), name.to_owned())),
        _ => check_count(scheme, header),
    }
}

fn check_count<'a>(scheme: &Scheme, header: SignatureHeader<'a>) -> SignatureResult<SignatureHeader<'a>> {
    if header.signatures.len() > MAX_SIGNATURES {
        return Err(SignatureError::TooManySignatures(scheme.signature.clone()));
    }
    Ok(header)
}

fn timestamp_field(scheme: &Scheme) -> Option<&str> {
    match &scheme.timestamp.as_ref()?.location {
        TimestampLocation::Field(name) => Some(name),
        _ => None,
    }
}

/// Writes a value that [`read`] accepts; `further` are other fields of a list.
pub(super) fn write(scheme: &Scheme, signature: &str, timestamp: &str, further: &[(String, String)]) -> String {
    match &scheme.syntax {
        SignatureSyntax::Plain => signature.to_owned(),
        SignatureSyntax::Prefixed { prefix, .. } => format!("{prefix}{signature}"),
        SignatureSyntax::Positional { item_separator } => format!("{timestamp}{item_separator}{signature}"),
        SignatureSyntax::KvList { item_separator, kv_separator, field, .. } => {
            let time = timestamp_field(scheme).map(|name| (name, timestamp));
            let further = further.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let fields = time.into_iter().chain(further).chain([(field.as_str(), signature)]);
            fields.map(|(key, value)| format!("{key}{kv_separator}{value}")).collect::<Vec<_>>().join(item_separator)
        }
    }
}

pub(super) fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Utf8 => Some(text.as_bytes().to_vec()),
        Encoding::Hex => base16ct::mixed::decode_vec(text).ok(),
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Base64Url => BASE64_URL.decode(text).ok(),
    }
}

pub(super) fn encode(encoding: Encoding, signature: &[u8]) -> String {
    match encoding {
        Encoding::Utf8 => String::from_utf8_lossy(signature).into_owned(),
        Encoding::Hex => hex::encode(signature),
        Encoding::Base64 => STANDARD.encode(signature),
        Encoding::Base64Url => BASE64_URL.encode(signature),
    }
}

/// The name of an encoding in messages.
pub(super) fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Utf8 => "UTF-8",
        Encoding::Hex => "hex",
        Encoding::Base64 => "base64",
        Encoding::Base64Url => "base64url",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::find;

    fn scheme(provider: &str) -> Scheme {
        Scheme::from_row(find(provider).unwrap()).unwrap()
    }

    fn signatures(provider: &str, written: &str) -> Result<Vec<String>, SignatureError> {
        read(&scheme(provider), written).map(|header| header.signatures.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn list_yields_all_signatures_and_ignores_other_fields() {
        assert_eq!(signatures("stripe", "t=1,v1=a,v0=b,v1=c,x,=,v1").unwrap(), ["a", "c"]);
        assert_eq!(signatures("standard-webhooks", "v1a,b v1,a= v1,c,d  v2,e").unwrap(), ["a=", "c,d"]);
        assert_eq!(signatures("github", "sha256=a").unwrap(), ["a"]);
        assert_eq!(signatures("shopify", "a=").unwrap(), ["a="]);
    }

    #[test]
    fn malformed_values_are_rejected() {
        assert!(matches!(signatures("github", "sha1=a"), Err(SignatureError::MissingPrefix(..))));
        assert!(matches!(signatures("github", "SHA256=a"), Err(SignatureError::MissingPrefix(..))));
        assert!(matches!(signatures("github", "a"), Err(SignatureError::MissingPrefix(..))));
        assert!(matches!(signatures("stripe", "t=1,v0=a"), Err(SignatureError::MissingField(..))));
        assert!(matches!(signatures("stripe", "v1=a"), Err(SignatureError::MissingField(..))));
        assert!(matches!(signatures("stripe", "t=1,v1=a,t=2"), Err(SignatureError::RepeatedField(..))));
        assert!(matches!(signatures("stripe", "t=1,v1=a,t=1"), Err(SignatureError::RepeatedField(..))));
        assert!(matches!(
            signatures("stripe", &format!("t=1{}", ",v1=a".repeat(17))),
            Err(SignatureError::TooManySignatures(..))
        ));
        assert!(signatures("stripe", &format!("t=1{}", ",v1=a".repeat(16))).is_ok());
        assert!(matches!(signatures("svix", "v1a,a"), Err(SignatureError::MissingField(..))));
    }

    #[test]
    fn encodings_round_trip_and_hex_ignores_case() {
        let bytes: Vec<u8> = (0..=255).collect();
        for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
            assert_eq!(decode(encoding, &encode(encoding, &bytes)).as_ref(), Some(&bytes), "{encoding:?}");
        }
        assert_eq!(decode(Encoding::Hex, "aBCd"), decode(Encoding::Hex, "AbcD"));
        assert_eq!(decode(Encoding::Base64Url, "_-8="), decode(Encoding::Base64Url, "_-8"));
        for (encoding, text) in [
            (Encoding::Hex, "abc"),
            (Encoding::Hex, "0x00"),
            (Encoding::Hex, "ab "),
            (Encoding::Base64, "YWI"),
            (Encoding::Base64, "_-8="),
            (Encoding::Base64, "YWJ="),
            (Encoding::Base64Url, "+/8="),
        ] {
            assert_eq!(decode(encoding, text), None, "{text}");
        }
    }

    #[test]
    fn every_provider_syntax_round_trips() {
        for (name, row) in crate::providers::all().filter(|(_, row)| row.unsupported.is_none()) {
            let scheme = Scheme::from_row(row).unwrap();
            let written = write(&scheme, "c2ln", "17", &[]);
            let header = read(&scheme, &written).unwrap();
            assert_eq!(header.signatures, ["c2ln"], "{name}");
            let has_time =
                timestamp_field(&scheme).is_some() || matches!(scheme.syntax, SignatureSyntax::Positional { .. });
            assert_eq!(header.timestamp, has_time.then_some("17"), "{name}");
        }
    }
}
