//! What stands where a provider puts its signature: one signature or several, perhaps a timestamp beside them.
//!
//! Reads and writes every syntax and encoding that a row can name. A list may hold items that nobody asked for
//! (`v0`, `v1a`): they are not looked at. What is there twice and may be there once is refused, not guessed at.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};

use crate::providers::{Encoding, Scheme, SignatureSyntax, TimestampLocation};
use crate::verify::error::{MAX_SIGNATURES, SignatureError};

/// Senders differ on whether to pad (RFC 4648, 3.2).
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_encode_padding(false),
);

/// Signatures as written, and what stands beside them.
#[derive(Debug, Default)]
pub(super) struct Claim<'a> {
    pub(super) signatures: Vec<&'a str>,
    pub(super) timestamp: Option<&'a str>,
    written: &'a str,
    separators: Option<(&'a str, &'a str)>,
}

impl<'a> Claim<'a> {
    /// Another field of the list; of a field that comes twice, nothing.
    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        let (item_separator, kv_separator) = self.separators?;
        let mut values = items(self.written, item_separator, kv_separator).filter(|(key, _)| *key == name);
        let first = values.next().map(|(_, value)| value);
        if values.next().is_some() { None } else { first }
    }
}

/// Items of a list, without the white space that some senders put around them.
fn items<'a>(written: &'a str, item_separator: &str, kv_separator: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    // A separator such as `, ` is read without its blank as well.
    let item_separator = Some(item_separator.trim_end()).filter(|bare| !bare.is_empty()).unwrap_or(item_separator);
    split(written, item_separator).filter_map(move |item| {
        let item = item.trim_ascii();
        match kv_separator.as_bytes() {
            [byte] => item.split_once(char::from(*byte)),
            _ => item.split_once(kv_separator),
        }
    })
}

/// Splits at a separator; most are one character, which is found faster than a text.
fn split<'a>(written: &'a str, separator: &str) -> impl Iterator<Item = &'a str> {
    let single = match separator.as_bytes() {
        [byte] => Some(char::from(*byte)),
        _ => None,
    };
    let by_char = single.map(|separator| written.split(separator));
    let by_text = if single.is_none() { Some(written.split(separator)) } else { None };
    by_char.into_iter().flatten().chain(by_text.into_iter().flatten())
}

/// The values of the syntax that stand in one value of the place.
pub(super) fn sets<'a>(scheme: &Scheme, written: &'a str) -> impl Iterator<Item = &'a str> {
    let separator = scheme.set_separator.as_deref();
    let whole = separator.is_none().then_some(written);
    let parts = separator.map(|separator| written.split(separator).map(str::trim_ascii).filter(|set| !set.is_empty()));
    whole.into_iter().chain(parts.into_iter().flatten())
}

/// Reads one value of the syntax.
pub(super) fn read<'a>(scheme: &'a Scheme, written: &'a str) -> Result<Claim<'a>, SignatureError> {
    let plain = |signature: &'a str| Claim { signatures: vec![signature], ..Claim::default() };
    match &scheme.syntax {
        SignatureSyntax::Plain => Ok(plain(written)),
        SignatureSyntax::Prefixed { prefix, is_optional } => match written.strip_prefix(prefix.as_str()) {
            Some(signature) => Ok(plain(signature)),
            None if *is_optional => Ok(plain(written)),
            None => Err(SignatureError::MissingPrefix(scheme.signature.clone(), prefix.clone())),
        },
        SignatureSyntax::Positional { item_separator } => {
            let mut parts = written.split(item_separator.as_str()).map(str::trim_ascii);
            let timestamp = parts.next();
            let claim = Claim { timestamp, signatures: parts.take(MAX_SIGNATURES + 1).collect(), ..Claim::default() };
            bounded(scheme, claim)
        }
        SignatureSyntax::KvList { item_separator, kv_separator, field, first_only } => {
            let pairs = items(written, item_separator, kv_separator);
            let mut claim = read_list(scheme, field, pairs)?;
            if *first_only {
                claim.signatures.truncate(1);
            }
            Ok(Claim { written, separators: Some((item_separator, kv_separator)), ..claim })
        }
    }
}

fn read_list<'a>(
    scheme: &Scheme,
    field: &str,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Claim<'a>, SignatureError> {
    let place = || scheme.signature.clone();
    let timestamp_field = timestamp_field(scheme);
    let mut claim = Claim::default();
    for (key, value) in pairs {
        if key == field {
            claim.signatures.push(value);
        } else if Some(key) == timestamp_field && claim.timestamp.replace(value).is_some() {
            return Err(SignatureError::RepeatedField(place(), key.to_owned()));
        }
    }
    match timestamp_field {
        _ if claim.signatures.is_empty() => Err(SignatureError::MissingField(place(), field.to_owned())),
        Some(name) if claim.timestamp.is_none() => Err(SignatureError::MissingField(place(), name.to_owned())),
        _ => bounded(scheme, claim),
    }
}

fn bounded<'a>(scheme: &Scheme, claim: Claim<'a>) -> Result<Claim<'a>, SignatureError> {
    if claim.signatures.len() > MAX_SIGNATURES {
        Err(SignatureError::TooManySignatures(scheme.signature.clone()))
    } else {
        Ok(claim)
    }
}

fn timestamp_field(scheme: &Scheme) -> Option<&str> {
    match &scheme.timestamp.as_ref()?.place {
        TimestampLocation::Field(name) => Some(name),
        _ => None,
    }
}

/// Writes the value that [`read`] reads; `further` are other fields of a list.
pub(super) fn write(scheme: &Scheme, signature: &str, timestamp: &str, further: &[(String, String)]) -> String {
    match &scheme.syntax {
        SignatureSyntax::Plain => signature.to_owned(),
        SignatureSyntax::Prefixed { prefix, .. } => format!("{prefix}{signature}"),
        SignatureSyntax::Positional { item_separator } => format!("{timestamp}{item_separator}{signature}"),
        SignatureSyntax::KvList { item_separator, kv_separator, field, .. } => {
            let own = [(field.as_str(), signature)];
            let time = timestamp_field(scheme).map(|name| (name, timestamp));
            let further = further.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let pairs = time.into_iter().chain(further).chain(own);
            pairs.map(|(key, value)| format!("{key}{kv_separator}{value}")).collect::<Vec<_>>().join(item_separator)
        }
    }
}

/// The bytes of a signature.
pub(super) fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Utf8 => Some(text.as_bytes().to_vec()),
        Encoding::Hex => base16ct::mixed::decode_vec(text).ok(),
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Base64Url => BASE64_URL.decode(text).ok(),
    }
}

/// The text of a signature.
pub(super) fn encode(encoding: Encoding, signature: &[u8]) -> String {
    match encoding {
        Encoding::Utf8 => String::from_utf8_lossy(signature).into_owned(),
        Encoding::Hex => hex::encode(signature),
        Encoding::Base64 => STANDARD.encode(signature),
        Encoding::Base64Url => BASE64_URL.encode(signature),
    }
}

/// An encoding's name for people.
pub(super) fn name_of(encoding: Encoding) -> &'static str {
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
        read(&scheme(provider), written).map(|claim| claim.signatures.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn all_signatures_of_a_list_are_taken_and_foreign_items_are_not() {
        assert_eq!(signatures("stripe", "t=1,v1=a,v0=b,v1=c,x,=,v1").unwrap(), ["a", "c"]);
        assert_eq!(signatures("standard-webhooks", "v1a,b v1,a= v1,c,d  v2,e").unwrap(), ["a=", "c,d"]);
        assert_eq!(signatures("github", "sha256=a").unwrap(), ["a"]);
        assert_eq!(signatures("shopify", "a=").unwrap(), ["a="]);
    }

    #[test]
    fn what_is_not_as_the_scheme_has_it_is_refused() {
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
    fn encodings_read_what_they_write_and_hex_in_either_case() {
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
    fn what_is_written_reads_back() {
        for (name, row) in crate::providers::all().filter(|(_, row)| row.unsupported.is_none()) {
            let scheme = Scheme::from_row(row).unwrap();
            let written = write(&scheme, "c2ln", "17", &[]);
            let claim = read(&scheme, &written).unwrap();
            assert_eq!(claim.signatures, ["c2ln"], "{name}");
            let has_time =
                timestamp_field(&scheme).is_some() || matches!(scheme.syntax, SignatureSyntax::Positional { .. });
            assert_eq!(claim.timestamp, has_time.then_some("17"), "{name}");
        }
    }
}
