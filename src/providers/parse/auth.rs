//! Parses the authentication part of a row: algorithms, templates, claims, published keys, timestamp.

use crate::providers::auth::{
    Algorithm, AuthMethod, BuiltinScheme, Encoding, Hash, JwtAlgorithm, JwtScheme, NamedAlgorithms, TemplateSignature,
};
use crate::providers::row::{ProviderRow, RowError};
use crate::providers::scheme::{KeySource, SignatureSyntax, Timestamp, TimestampLocation, TimestampUnit};
use crate::providers::selectors::{Pointer, ValueLocation, header_name};
use crate::providers::template::{self, TemplateSegment};

/// Values of `keys` that are not URLs.
const KEYS_URL: &str = "keys_url";
const PLAID: &str = "plaid";

const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("hmac-sha256", Algorithm::Hmac(Hash::Sha256)),
    ("hmac-sha1", Algorithm::Hmac(Hash::Sha1)),
    ("hmac-sha512", Algorithm::Hmac(Hash::Sha512)),
    ("hmac-md5", Algorithm::Hmac(Hash::Md5)),
    ("sha256", Algorithm::Digest(Hash::Sha256)),
    ("sha1", Algorithm::Digest(Hash::Sha1)),
    ("ed25519", Algorithm::Ed25519),
    ("ecdsa-p256-sha256", Algorithm::EcdsaP256Sha256),
    ("rsa-sha256", Algorithm::Rsa(Hash::Sha256)),
    ("rsa-sha1", Algorithm::Rsa(Hash::Sha1)),
];
const OTHER_METHODS: &[(&str, Option<AuthMethod>)] = &[
    ("jwt", None),
    ("token", Some(AuthMethod::Token)),
    ("basic", Some(AuthMethod::Basic)),
    ("bearer", Some(AuthMethod::Bearer)),
    ("aws-sns", Some(AuthMethod::Builtin(BuiltinScheme::AwsSns))),
    ("paypal", Some(AuthMethod::Builtin(BuiltinScheme::PayPal))),
    ("ebay", Some(AuthMethod::Builtin(BuiltinScheme::Ebay))),
];
const JWT_ALGORITHMS: &[(&str, JwtAlgorithm)] = &[
    ("HS256", JwtAlgorithm::Hs(Hash::Sha256)),
    ("HS384", JwtAlgorithm::Hs(Hash::Sha384)),
    ("HS512", JwtAlgorithm::Hs(Hash::Sha512)),
    ("RS256", JwtAlgorithm::Rs256),
    ("ES256", JwtAlgorithm::Es256),
    ("EdDSA", JwtAlgorithm::EdDsa),
];
const ENCODINGS: &[(&str, Encoding)] =
    &[("hex", Encoding::Hex), ("base64", Encoding::Base64), ("base64url", Encoding::Base64Url)];
const UNITS: &[(&str, TimestampUnit)] = &[
    ("s", TimestampUnit::Seconds),
    ("ms", TimestampUnit::Millis),
    ("rfc3339", TimestampUnit::Rfc3339),
    ("iso8601_naive_utc", TimestampUnit::NaiveUtc),
];

/// Looks a name up in a table; an unknown name is an error that lists the known ones.
pub(super) fn one_of<T: Copy>(key: &'static str, written: &str, known: &[(&str, T)]) -> Result<T, RowError> {
    known.iter().find(|(name, _)| *name == written).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        RowError::new(key, format!("`{written}` is none of {}", names.join(", ")))
    })
}

/// Whether the row's algorithm signs a template.
pub(super) fn signs_template(row: &ProviderRow) -> bool {
    !OTHER_METHODS.iter().any(|(name, _)| *name == row.algorithm)
}

pub(super) fn is_builtin(row: &ProviderRow) -> bool {
    OTHER_METHODS.iter().any(|(name, method)| *name == row.algorithm && matches!(method, Some(AuthMethod::Builtin(_))))
}

pub(super) fn auth_method(row: &ProviderRow) -> Result<AuthMethod, RowError> {
    if let Some((_, method)) = OTHER_METHODS.iter().find(|(name, _)| *name == row.algorithm) {
        return method.clone().map_or_else(|| jwt(row).map(AuthMethod::Jwt), Ok);
    }
    let algorithm = algorithm("algorithm", &row.algorithm)?;
    for choice in &row.algorithm_choices {
        self::algorithm("algorithm_choices", choice)?;
    }
    let encoding = one_of("encoding", row.encoding.as_deref().unwrap_or("hex"), ENCODINGS)?;
    let written = row.signed_content.each();
    let written = if written.is_empty() { &["{body}".to_owned()][..] } else { written };
    let contents = written.iter().map(|text| template::parse("signed_content", text)).collect::<Result<Vec<_>, _>>()?;
    let signature = TemplateSignature { algorithm, by_header: by_header(row)?, encoding, contents };
    check_contents(row, &signature)?;
    Ok(AuthMethod::Signature(signature))
}

fn algorithm(key: &'static str, written: &str) -> Result<Algorithm, RowError> {
    ALGORITHMS.iter().find(|(name, _)| *name == written).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let others = OTHER_METHODS.iter().map(|(name, _)| *name).filter(|_| key == "algorithm");
        let names: Vec<_> = ALGORITHMS.iter().map(|(name, _)| *name).chain(others).collect();
        RowError::new(key, format!("`{written}` is none of {}", names.join(", ")))
    })
}

fn by_header(row: &ProviderRow) -> Result<Option<NamedAlgorithms>, RowError> {
    let wrong = |message: &str| Err(RowError::new("algorithm_names", message));
    match (&row.algorithm_header, row.algorithm_names.is_empty()) {
        (None, true) => Ok(None),
        (None, false) => wrong("has an effect only with `algorithm_header`"),
        (Some(header), is_unnamed) => {
            let header = header_name(header).map_err(|why| RowError::new("algorithm_header", why))?;
            if is_unnamed {
                return wrong("is missing; `algorithm_header` requires it");
            }
            let named =
                |(name, written): (&String, &String)| Ok((name.clone(), algorithm("algorithm_names", written)?));
            let names = row.algorithm_names.iter().map(named).collect::<Result<_, RowError>>()?;
            Ok(Some(NamedAlgorithms { header, names }))
        }
    }
}

fn check_contents(row: &ProviderRow, signature: &TemplateSignature) -> Result<(), RowError> {
    let wrong = |message: &str, hint: &str| Err(RowError::new("signed_content", message).hint(hint));
    for content in &signature.contents {
        let flat: Vec<_> = content.iter().flat_map(TemplateSegment::flatten).collect();
        let has = |wanted: &TemplateSegment| flat.contains(&wanted);
        if !row.body_unsigned && !flat.iter().any(|segment| segment.covers_body()) {
            let hint =
                "put {body} where the provider has it, or set body_unsigned = true if the provider does not sign it";
            return wrong("does not contain the body, so anyone could change it", hint);
        }
        if matches!(signature.algorithm, Algorithm::Digest(_)) != has(&TemplateSegment::Secret) {
            return wrong(
                "must contain {secret} if the algorithm is a plain hash, and must not otherwise",
                "sha256 and sha1 are plain hashes",
            );
        }
        if has(&TemplateSegment::Timestamp) && row.timestamp.is_none() {
            return Err(RowError::new("timestamp", "is missing; the signed content contains {timestamp}"));
        }
        if row.batch.is_none() && flat.iter().any(|segment| matches!(segment, TemplateSegment::Item(_))) {
            return wrong("contains {item.…} without a `batch`", "write {json./POINTER}");
        }
    }
    Ok(())
}

fn jwt(row: &ProviderRow) -> Result<JwtScheme, RowError> {
    let named = |key, name: &String| one_of(key, name, JWT_ALGORITHMS);
    let algorithms =
        row.jwt_algorithms.iter().map(|name| named("jwt_algorithms", name)).collect::<Result<Vec<_>, _>>()?;
    for choice in &row.algorithm_choices {
        named("algorithm_choices", choice)?;
    }
    let asymmetric = algorithms.iter().filter(|algorithm| algorithm.is_asymmetric()).count();
    if algorithms.is_empty() || asymmetric != 0 && asymmetric != algorithms.len() {
        let hint = "if both were accepted, anyone could sign with the public key as the secret";
        let message = "must name some of HS256, HS384 and HS512, or some of RS256, ES256 and EdDSA";
        return Err(RowError::new("jwt_algorithms", message).hint(hint));
    }
    let claim = |(name, written): (&String, &String)| Ok((name.clone(), template::parse("claims", written)?));
    let claims = row.claims.iter().map(claim).collect::<Result<Vec<(String, Vec<TemplateSegment>)>, RowError>>()?;
    let covers = claims.iter().flat_map(|(_, template)| template).any(TemplateSegment::covers_body);
    if !covers && !row.body_unsigned && !row.signature.each().iter().any(|location| location == "body") {
        let hint = "such as { sha256 = \"{sha256_hex(body)}\" }, or set body_unsigned = true";
        return Err(RowError::new("claims", "has no claim about the body, so anyone could change it").hint(hint));
    }
    let required = row.required_claims.clone();
    Ok(JwtScheme { algorithms, claims, required, empty_body_unclaimed: row.empty_body_unclaimed })
}

pub(super) fn key_source(row: &ProviderRow) -> Result<Option<KeySource>, RowError> {
    let wrong = |key, message: &str| Err(RowError::new(key, message));
    let Some(written) = &row.keys else {
        return match row.key_name {
            Some(_) => wrong("key_name", "has an effect only with `keys`"),
            None => Ok(None),
        };
    };
    let is_public = auth_method(row).is_ok_and(|method| method.is_asymmetric());
    if written == KEYS_URL && (is_public || !row.algorithm_choices.is_empty()) {
        return Ok(is_public.then_some(KeySource::OwnSet));
    }
    if written == PLAID && is_public && row.algorithm == "jwt" {
        return Ok(Some(KeySource::Plaid));
    }
    if !written.starts_with("https://") {
        return wrong("keys", &format!("`{written}` does not begin with https://"));
    }
    if !is_public {
        return wrong("keys", "has an effect only with an algorithm that uses a public key");
    }
    Ok(Some(KeySource::Set(written.clone())))
}

pub(super) fn timestamp(row: &ProviderRow) -> Result<Option<Timestamp>, RowError> {
    let unit = one_of("timestamp_unit", row.timestamp_unit.as_deref().unwrap_or("s"), UNITS)?;
    let Some(written) = &row.timestamp else { return Ok(None) };
    let wrong = |message: &str| Err(RowError::new("timestamp", message));
    let syntax = row.syntax.as_deref().unwrap_or("plain");
    let location = match written.split_once(':') {
        Some(("field", field)) if !field.is_empty() && syntax == "kv_list" => {
            TimestampLocation::Field(field.to_owned())
        }
        Some(("field", "0")) if syntax == "positional" => TimestampLocation::First,
        Some(("field", _)) => {
            return wrong("only syntax `kv_list` has named fields, and syntax `positional` has field:0");
        }
        Some(("claim", name)) if row.algorithm == "jwt" => {
            let pointer = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
            TimestampLocation::Claim(Pointer::parse(&pointer).map_err(|why| RowError::new("timestamp", why))?)
        }
        Some(("claim", _)) => return wrong("only algorithm `jwt` has claims"),
        _ => TimestampLocation::At(ValueLocation::parse("timestamp", written)?),
    };
    Ok(Some(Timestamp { location, unit }))
}

/// Rejects a timestamp that is not signed: it would prove nothing.
pub(super) fn check_timestamp(
    timestamp: Option<&Timestamp>,
    auth: &AuthMethod,
    syntax: &SignatureSyntax,
) -> Result<(), RowError> {
    let is_first = timestamp.is_some_and(|timestamp| timestamp.location == TimestampLocation::First);
    if matches!(syntax, SignatureSyntax::Positional { .. }) && !is_first {
        let message = "is missing; syntax `positional` begins with it: write \"field:0\"";
        return Err(RowError::new("timestamp", message));
    }
    let (Some(timestamp), AuthMethod::Signature(signature)) = (timestamp, auth) else { return Ok(()) };
    let is_signed = |content: &Vec<TemplateSegment>| {
        let in_body = matches!(timestamp.location, TimestampLocation::At(ValueLocation::Json(_)));
        content.iter().flat_map(TemplateSegment::flatten).any(|segment| match segment {
            TemplateSegment::Timestamp => true,
            TemplateSegment::Body => in_body,
            _ => false,
        })
    };
    if signature.contents.iter().all(is_signed) {
        return Ok(());
    }
    Err(RowError::new("signed_content", "does not contain the timestamp, so its age proves nothing")
        .hint("put {timestamp} where the provider has it, or remove `timestamp`"))
}
