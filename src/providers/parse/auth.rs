//! From a row's words about signatures to a [`AuthMethod`]: algorithms, templates, claims, and what belongs together.
//!
//! All errors of a row come out at once, each with its key. A key that has no effect beside the others is an error too.

use crate::providers::auth::{
    Algorithm, AuthMethod, BuiltinScheme, Encoding, Hash, JwtAlgorithm, JwtScheme, NamedAlgorithms, TemplateSignature,
};
use crate::providers::parse::word;
use crate::providers::place::ValueLocation;
use crate::providers::row::{ProviderRow, RowError};
use crate::providers::scheme::{KeySource, SignatureSyntax, Timestamp, TimestampLocation};
use crate::providers::selectors::{Pointer, header_name};
use crate::providers::template::{self, TemplateSegment};

/// Stands for the source's own setting.
const KEYS_URL: &str = "keys_url";
/// Stands for an API.
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
const OTHER_PROOFS: &[(&str, Option<AuthMethod>)] = &[
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

/// Whether the row's signature is made of a template.
pub(super) fn is_signed(row: &ProviderRow) -> bool {
    !OTHER_PROOFS.iter().any(|(name, _)| *name == row.algorithm)
}

/// Whether what the row's provider signs is checked with a public key.
pub(super) fn takes_public_keys(row: &ProviderRow) -> bool {
    proof(row).is_ok_and(|proof| proof.is_asymmetric())
}

/// Whether the row's scheme takes code.
pub(super) fn is_code(row: &ProviderRow) -> bool {
    OTHER_PROOFS.iter().any(|(name, proof)| *name == row.algorithm && matches!(proof, Some(AuthMethod::Builtin(_))))
}

pub(super) fn proof(row: &ProviderRow) -> Result<AuthMethod, RowError> {
    if let Some((_, simple)) = OTHER_PROOFS.iter().find(|(name, _)| *name == row.algorithm) {
        return simple.clone().map_or_else(|| jwt(row).map(AuthMethod::Jwt), Ok);
    }
    let algorithm = algorithm("algorithm", &row.algorithm)?;
    for choice in &row.algorithm_choices {
        self::algorithm("algorithm_choices", choice)?;
    }
    let encoding = word("encoding", row.encoding.as_deref(), "hex", ENCODINGS)?;
    let written = row.signed_content.each();
    let written = if written.is_empty() { &["{body}".to_owned()][..] } else { written };
    let contents = written.iter().map(|text| template::parse("signed_content", text)).collect::<Result<Vec<_>, _>>()?;
    let signed = TemplateSignature { algorithm, by_header: by_header(row)?, encoding, contents };
    check_contents(row, &signed)?;
    Ok(AuthMethod::Signature(signed))
}

fn algorithm(key: &'static str, written: &str) -> Result<Algorithm, RowError> {
    ALGORITHMS.iter().find(|(name, _)| *name == written).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let others = OTHER_PROOFS.iter().map(|(name, _)| *name).filter(|_| key == "algorithm");
        let names: Vec<_> = ALGORITHMS.iter().map(|(name, _)| *name).chain(others).collect();
        RowError::new(key, format!("`{written}` is none of {}", names.join(", ")))
    })
}

fn by_header(row: &ProviderRow) -> Result<Option<NamedAlgorithms>, RowError> {
    let Some(header) = &row.algorithm_header else {
        return match row.algorithm_names.is_empty() {
            true => Ok(None),
            false => Err(RowError::new("algorithm_names", "means something only with `algorithm_header`")),
        };
    };
    let header = header_name(header).map_err(|why| RowError::new("algorithm_header", why))?;
    if row.algorithm_names.is_empty() {
        return Err(RowError::new("algorithm_names", "is missing, and `algorithm_header` needs it"));
    }
    let named = |(name, written): (&String, &String)| Ok((name.clone(), algorithm("algorithm_names", written)?));
    Ok(Some(NamedAlgorithms { header, names: row.algorithm_names.iter().map(named).collect::<Result<_, RowError>>()? }))
}

fn check_contents(row: &ProviderRow, signed: &TemplateSignature) -> Result<(), RowError> {
    let wrong = |message: &str, hint: &str| Err(RowError::new("signed_content", message).hint(hint));
    for content in &signed.contents {
        let flat: Vec<_> = content.iter().flat_map(TemplateSegment::flat).collect();
        let has = |wanted: &TemplateSegment| flat.contains(&wanted);
        if !row.body_unsigned && !flat.iter().any(|segment| segment.covers_body()) {
            let hint =
                "put {body} where the provider has it; or body_unsigned = true, if the provider really leaves it out";
            return wrong("leaves out the body, so anyone could change it", hint);
        }
        if matches!(signed.algorithm, Algorithm::Digest(_)) != has(&TemplateSegment::Secret) {
            return wrong(
                "has {secret} if and only if the algorithm is a plain hash",
                "sha256 and sha1 are plain hashes",
            );
        }
        if has(&TemplateSegment::Timestamp) && row.timestamp.is_none() {
            return Err(RowError::new("timestamp", "is missing, and what is signed contains {timestamp}"));
        }
        if row.batch.is_none() && flat.iter().any(|segment| matches!(segment, TemplateSegment::Item(_))) {
            return wrong("has {item.…}, and there is no `batch`", "write {json./POINTER}");
        }
    }
    Ok(())
}

fn jwt(row: &ProviderRow) -> Result<JwtScheme, RowError> {
    let one = |name: &String| word("jwt_algorithms", Some(name), "", JWT_ALGORITHMS);
    let algorithms = row.jwt_algorithms.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    for choice in &row.algorithm_choices {
        word("algorithm_choices", Some(choice), "", JWT_ALGORITHMS)?;
    }
    let asymmetric = algorithms.iter().filter(|algorithm| algorithm.is_asymmetric()).count();
    if algorithms.is_empty() || asymmetric != 0 && asymmetric != algorithms.len() {
        let hint = "a public key that is taken for a secret would let anyone sign";
        let message = "names HS256, HS384 and HS512, or else RS256, ES256 and EdDSA";
        return Err(RowError::new("jwt_algorithms", message).hint(hint));
    }
    let claim = |(name, written): (&String, &String)| Ok((name.clone(), template::parse("claims", written)?));
    let claims = row.claims.iter().map(claim).collect::<Result<Vec<(String, Vec<TemplateSegment>)>, RowError>>()?;
    let covers = claims.iter().flat_map(|(_, template)| template).any(TemplateSegment::covers_body);
    if !covers && !row.body_unsigned && !row.signature.each().iter().any(|place| place == "body") {
        let hint = "such as { sha256 = \"{sha256_hex(body)}\" }; or body_unsigned = true";
        return Err(RowError::new("claims", "none is about the body, so anyone could change it").hint(hint));
    }
    let required = row.required_claims.clone();
    Ok(JwtScheme { algorithms, claims, required, empty_body_unclaimed: row.empty_body_unclaimed })
}

pub(super) fn keys(row: &ProviderRow) -> Result<Option<KeySource>, RowError> {
    let Some(written) = &row.keys else {
        return match row.key_name {
            Some(_) => Err(RowError::new("key_name", "means something only with `keys`")),
            None => Ok(None),
        };
    };
    let is_public = takes_public_keys(row);
    if written == KEYS_URL && (is_public || !row.algorithm_choices.is_empty()) {
        return Ok(is_public.then_some(KeySource::OwnSet));
    }
    if written == PLAID && is_public && row.algorithm == "jwt" {
        return Ok(Some(KeySource::Plaid));
    }
    if !written.starts_with("https://") {
        return Err(RowError::new("keys", format!("`{written}` does not begin with https://")));
    }
    if !is_public {
        return Err(RowError::new("keys", "means something only with an algorithm that takes a public key"));
    }
    Ok(Some(KeySource::Set(written.clone())))
}

pub(super) fn timestamp(
    row: &ProviderRow,
    units: &[(&str, crate::providers::scheme::TimestampUnit)],
) -> Result<Option<Timestamp>, RowError> {
    let unit = word("timestamp_unit", row.timestamp_unit.as_deref(), "s", units)?;
    let Some(written) = &row.timestamp else { return Ok(None) };
    let wrong = |message: &str| Err(RowError::new("timestamp", message));
    let syntax = row.syntax.as_deref().unwrap_or("plain");
    let place = match written.split_once(':') {
        Some(("field", field)) if !field.is_empty() && syntax == "kv_list" => {
            TimestampLocation::Field(field.to_owned())
        }
        Some(("field", "0")) if syntax == "positional" => TimestampLocation::First,
        Some(("field", _)) => {
            return wrong("only a signature of syntax `kv_list` has fields, and of `positional` field:0");
        }
        Some(("claim", name)) if row.algorithm == "jwt" => {
            let pointer = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
            TimestampLocation::Claim(Pointer::parse(&pointer).map_err(|why| RowError::new("timestamp", why))?)
        }
        Some(("claim", _)) => return wrong("only a signature of algorithm `jwt` has claims"),
        _ => TimestampLocation::At(ValueLocation::parse("timestamp", written)?),
    };
    Ok(Some(Timestamp { place, unit }))
}

/// A timestamp that nobody signed proves nothing.
pub(super) fn check_timestamp(
    timestamp: Option<&Timestamp>,
    proof: &AuthMethod,
    syntax: &SignatureSyntax,
) -> Result<(), RowError> {
    let is_first = timestamp.is_some_and(|timestamp| timestamp.place == TimestampLocation::First);
    if matches!(syntax, SignatureSyntax::Positional { .. }) && !is_first {
        return Err(RowError::new(
            "timestamp",
            "is missing, and syntax `positional` begins with it: write \"field:0\"",
        ));
    }
    let (Some(timestamp), AuthMethod::Signature(signed)) = (timestamp, proof) else { return Ok(()) };
    let is_signed = |content: &Vec<TemplateSegment>| {
        let mut flat = content.iter().flat_map(TemplateSegment::flat);
        match &timestamp.place {
            TimestampLocation::At(ValueLocation::Json(_)) => {
                flat.any(|segment| matches!(segment, TemplateSegment::Body | TemplateSegment::Timestamp))
            }
            _ => flat.any(|segment| *segment == TemplateSegment::Timestamp),
        }
    };
    if signed.contents.iter().all(is_signed) {
        return Ok(());
    }
    Err(RowError::new("signed_content", "leaves out the timestamp, so its age proves nothing")
        .hint("put {timestamp} where the provider has it, or drop `timestamp`"))
}
