//! JSON Web Tokens (RFC 7519) in the compact form of RFC 7515: three parts, signed, with claims about the delivery.
//!
//! The algorithm is one of those that the scheme allows, and its kind of key; `none` is not among them, and what a
//! token's header says beside it (`jwk`, `jku`, `x5u`) is not looked at. Claims count only once the signature holds.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use crate::providers::{Algorithm, Hash, JwtAlgorithm, JwtScheme, TemplateSegment, TimestampLocation};
use crate::support::time::Millis;
use crate::verify::context::Case;
use crate::verify::error::SignatureError;
use crate::verify::key::{Key, algorithm_of};
use crate::verify::signed_content;

/// How far clocks may differ where the scheme has no window.
const LEEWAY: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    crit: Option<Value>,
}

/// Whether one of the keys signed the token, and its claims hold of this delivery; out go the claims.
pub(super) fn check(
    case: &Case<'_>,
    jwt: &JwtScheme,
    keys: &[(Algorithm, Key)],
    (token, now): (&str, Millis),
) -> Result<Value, SignatureError> {
    let malformed = || SignatureError::Undecodable(case.scheme.signature.clone(), "a JSON Web Token");
    let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
    let (head, body) = message.split_once('.').ok_or_else(malformed)?;
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed());
    let header: Header = serde_json::from_slice(&part(head)?).map_err(|_| malformed())?;
    let allowed = jwt.algorithms.iter().find(|algorithm| name_of(**algorithm) == header.alg);
    let Some(algorithm) = allowed.filter(|_| header.crit.is_none()) else {
        return Err(SignatureError::AlgorithmNotAllowed(case.scheme.signature.clone()));
    };
    let algorithm = algorithm_of(*algorithm);
    let signatures = [part(signature)?];
    let pieces = [Cow::Borrowed(message.as_bytes())];
    let proves = |(own, key): &(Algorithm, Key)| *own == algorithm && key.proves(&pieces, &signatures);
    if !keys.iter().any(proves) {
        return Err(SignatureError::NoMatch(case.scheme.signature.clone()));
    }
    let claims: Value = serde_json::from_slice(&part(body)?).map_err(|_| malformed())?;
    check_claims(case, jwt, &claims)?;
    check_times(case, &claims, now)?;
    Ok(claims)
}

/// Each claim against its template, for any of the addresses that the provider may have.
fn check_claims(case: &Case<'_>, jwt: &JwtScheme, claims: &Value) -> Result<(), SignatureError> {
    if let Some(missing) = jwt.required.iter().find(|name| claims.get(name.as_str()).is_none()) {
        return Err(SignatureError::MissingField(case.scheme.signature.clone(), missing.clone()));
    }
    let is_bare = jwt.empty_body_unclaimed && case.request.body.is_empty();
    for (name, template) in &jwt.claims {
        if is_bare && claims.get(name).is_none() && template.iter().any(TemplateSegment::covers_body) {
            continue;
        }
        let said = match claims.get(name) {
            Some(Value::String(said)) => said.clone(),
            Some(said @ (Value::Bool(_) | Value::Number(_))) => said.to_string(),
            Some(_) => return Err(SignatureError::ClaimMismatch(name.clone())),
            None => return Err(SignatureError::MissingField(case.scheme.signature.clone(), name.clone())),
        };
        let mut is_right = false;
        for url in &case.own.urls {
            let expected = signed_content::text(case, template, url)?;
            is_right |= bool::from(expected.as_bytes().ct_eq(said.as_bytes()));
        }
        if !is_right {
            return Err(SignatureError::ClaimMismatch(name.clone()));
        }
    }
    Ok(())
}

fn check_times(case: &Case<'_>, claims: &Value, now: Millis) -> Result<(), SignatureError> {
    let allowed = case.scheme.tolerance.unwrap_or(LEEWAY);
    let leeway = i64::try_from(allowed.as_secs()).unwrap_or(i64::MAX);
    let now = now.0.div_euclid(1000);
    let off = |seconds: i64| Duration::from_secs(now.abs_diff(seconds));
    for (name, is_past_due) in [("exp", true), ("nbf", false), ("iat", false)] {
        let Some(written) = claims.get(name) else { continue };
        let seconds = seconds_of(written).ok_or(SignatureError::MalformedTimestamp("unix seconds"))?;
        if is_past_due && now.saturating_sub(leeway) >= seconds {
            return Err(SignatureError::TooOld { age: off(seconds), allowed });
        }
        if !is_past_due && now.saturating_add(leeway) < seconds {
            return Err(SignatureError::InFuture { ahead: off(seconds), allowed });
        }
    }
    Ok(())
}

/// NumericDate (RFC 7519, 2): seconds, perhaps with a fraction.
fn seconds_of(written: &Value) -> Option<i64> {
    let text = written.as_number()?.to_string();
    text.split(['.', 'e', 'E']).next().filter(|_| !text.contains(['e', 'E']))?.parse().ok()
}

/// The text of the claim that tells when the token was made.
pub(super) fn timestamp(case: &Case<'_>, claims: &Value) -> Option<String> {
    match &case.scheme.timestamp.as_ref()?.place {
        TimestampLocation::Claim(pointer) => {
            claims.pointer(pointer.as_str()).and_then(seconds_of).map(|seconds| seconds.to_string())
        }
        _ => None,
    }
}

/// The text or number at a place; where a text holds JSON itself, steps lead on into it.
pub(super) fn text<'a>(claims: &'a Value, steps: &[String]) -> Option<Cow<'a, str>> {
    let Some((step, rest)) = steps.split_first() else {
        return match claims {
            Value::String(text) => Some(Cow::Borrowed(text.as_str())),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        };
    };
    match claims {
        Value::Object(members) => text(members.get(step)?, rest),
        Value::Array(elements) => text(elements.get(step.parse::<usize>().ok()?)?, rest),
        Value::String(packed) => {
            let inner: Value = serde_json::from_str(packed).ok().filter(|inner: &Value| !inner.is_string())?;
            text(&inner, steps).map(|found| Cow::Owned(found.into_owned()))
        }
        _ => None,
    }
}

/// Puts a text at a place; below a claim JSON is packed into text, as senders do.
pub(super) fn put(claims: &mut Map<String, Value>, steps: &[String], value: &str) {
    match steps {
        [] => {}
        [name] => _ = claims.insert(name.clone(), value.into()),
        [name, rest @ ..] => {
            let packed = claims.get(name).and_then(Value::as_str).unwrap_or_default();
            let mut inner: Map<String, Value> = serde_json::from_str(packed).unwrap_or_default();
            put(&mut inner, rest, value);
            claims.insert(name.clone(), Value::Object(inner).to_string().into());
        }
    }
}

/// An algorithm's name (RFC 7518, 3.1).
pub(super) fn name_of(algorithm: JwtAlgorithm) -> &'static str {
    match algorithm {
        JwtAlgorithm::Hs(Hash::Sha384) => "HS384",
        JwtAlgorithm::Hs(Hash::Sha512) => "HS512",
        JwtAlgorithm::Hs(_) => "HS256",
        JwtAlgorithm::Rs256 => "RS256",
        JwtAlgorithm::Es256 => "ES256",
        JwtAlgorithm::EdDsa => "EdDSA",
    }
}
