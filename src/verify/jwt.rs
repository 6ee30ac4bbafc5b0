//! JSON Web Tokens (RFC 7519) in compact form (RFC 7515): three parts, signed, with claims about the delivery.
//!
//! The scheme lists the allowed algorithms, so `none` is never among them. `jwk`, `jku` and `x5u` in the token's header
//! are ignored. Claims are read only after the signature has been verified.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::context::Context;
use super::error::{SignatureError, SignatureResult};
use super::key::{SignatureKey, jwt_signature_algorithm};
use super::signed_content;
use crate::providers::{Hash, JwtAlgorithm, JwtScheme, TemplateSegment, TimestampLocation};
use crate::support::time::Millis;

/// Allowed clock difference if the scheme has no tolerance.
const LEEWAY: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct JwtHeader {
    alg: String,
    #[serde(default)]
    crit: Option<Value>,
}

/// Succeeds with the claims if one of the keys signed the token and the claims match the delivery.
pub(super) fn check(
    context: &Context<'_>,
    jwt: &JwtScheme,
    keys: &[SignatureKey],
    token: &str,
    now: Millis,
) -> SignatureResult<Value> {
    let malformed = || SignatureError::Undecodable(context.signature_place(), "a JSON Web Token");
    let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
    let (header, body) = message.split_once('.').ok_or_else(malformed)?;
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed());
    let header: JwtHeader = serde_json::from_slice(&part(header)?).map_err(|_| malformed())?;
    let allowed = jwt.algorithms.iter().find(|algorithm| algorithm_name(**algorithm) == header.alg);
    let Some(algorithm) = allowed.filter(|_| header.crit.is_none()) else {
        return Err(SignatureError::AlgorithmNotAllowed(context.signature_place()));
    };
    let algorithm = jwt_signature_algorithm(*algorithm);
    let signatures = [part(signature)?];
    let pieces = [Cow::Borrowed(message.as_bytes())];
    if !keys.iter().any(|key| key.algorithm == algorithm && key.verifies(&pieces, &signatures)) {
        return Err(SignatureError::NoMatch(context.signature_place()));
    }
    let claims: Value = serde_json::from_slice(&part(body)?).map_err(|_| malformed())?;
    check_claims(context, jwt, &claims)?;
    check_times(context, &claims, now)?;
    Ok(claims)
}

/// Compares each claim with its template, for any form of the source's URL.
fn check_claims(context: &Context<'_>, jwt: &JwtScheme, claims: &Value) -> SignatureResult<()> {
    if let Some(missing) = jwt.required.iter().find(|name| claims.get(name.as_str()).is_none()) {
        return Err(SignatureError::MissingField(context.signature_place(), missing.clone()));
    }
    let may_lack_body_claims = jwt.empty_body_unclaimed && context.request.body.is_empty();
    for (name, template) in &jwt.claims {
        let claim = match claims.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
            Some(_) => return Err(SignatureError::ClaimMismatch(name.clone())),
            None if may_lack_body_claims && template.iter().any(TemplateSegment::covers_body) => continue,
            None => return Err(SignatureError::MissingField(context.signature_place(), name.clone())),
        };
        // An audience is not the URL of the request: it has neither its query nor the rest of its path.
        let mut matches = matches!(template[..], [TemplateSegment::Url])
            && context.source.urls.iter().any(|url| bool::from(url.as_bytes().ct_eq(claim.as_bytes())));
        for url in context.urls {
            let expected = signed_content::text(context, template, url)?;
            matches |= bool::from(expected.as_bytes().ct_eq(claim.as_bytes()));
        }
        if !matches {
            return Err(SignatureError::ClaimMismatch(name.clone()));
        }
    }
    Ok(())
}

fn check_times(context: &Context<'_>, claims: &Value, now: Millis) -> SignatureResult<()> {
    let allowed = context.scheme.tolerance.unwrap_or(LEEWAY);
    let leeway = i64::try_from(allowed.as_secs()).unwrap_or(i64::MAX);
    let now = now.0.div_euclid(1000);
    let difference = |seconds: i64| Duration::from_secs(now.abs_diff(seconds));
    for (name, is_expiry) in [("exp", true), ("nbf", false), ("iat", false)] {
        let Some(value) = claims.get(name) else { continue };
        let seconds = numeric_date(value).ok_or(SignatureError::MalformedTimestamp("unix seconds"))?;
        if is_expiry && now.saturating_sub(leeway) >= seconds {
            return Err(SignatureError::TooOld { age: difference(seconds), allowed });
        }
        if !is_expiry && now.saturating_add(leeway) < seconds {
            return Err(SignatureError::InFuture { ahead: difference(seconds), allowed });
        }
    }
    Ok(())
}

/// NumericDate (RFC 7519, 2): unix seconds; a fraction is dropped.
fn numeric_date(value: &Value) -> Option<i64> {
    let text = value.as_number()?.to_string();
    text.split(['.', 'e', 'E']).next().filter(|_| !text.contains(['e', 'E']))?.parse().ok()
}

/// The claim that says when the token was made, as unix seconds.
pub(super) fn timestamp(context: &Context<'_>, claims: &Value) -> Option<String> {
    match &context.scheme.timestamp.as_ref()?.location {
        TimestampLocation::Claim(pointer) => {
            claims.pointer(pointer.as_str()).and_then(numeric_date).map(|seconds| seconds.to_string())
        }
        _ => None,
    }
}

/// The string or number that steps lead to. They lead into JSON inside a string, too.
pub(super) fn claim_text<'a>(claims: &'a Value, steps: &[String]) -> Option<Cow<'a, str>> {
    let Some((step, rest)) = steps.split_first() else {
        return match claims {
            Value::String(text) => Some(Cow::Borrowed(text.as_str())),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        };
    };
    match claims {
        Value::Object(members) => claim_text(members.get(step)?, rest),
        Value::Array(elements) => claim_text(elements.get(step.parse::<usize>().ok()?)?, rest),
        Value::String(packed) => {
            let inner: Value = serde_json::from_str(packed).ok().filter(|inner: &Value| !inner.is_string())?;
            claim_text(&inner, steps).map(|found| Cow::Owned(found.into_owned()))
        }
        _ => None,
    }
}

/// Sets a claim, for test deliveries. Below the first step, JSON is packed into a string, as providers do.
pub(super) fn put_claim(claims: &mut Map<String, Value>, steps: &[String], value: &str) {
    match steps {
        [] => {}
        [name] => _ = claims.insert(name.clone(), value.into()),
        [name, rest @ ..] => {
            let packed = claims.get(name).and_then(Value::as_str).unwrap_or_default();
            let mut inner: Map<String, Value> = serde_json::from_str(packed).unwrap_or_default();
            put_claim(&mut inner, rest, value);
            claims.insert(name.clone(), Value::Object(inner).to_string().into());
        }
    }
}

/// An algorithm's name (RFC 7518, 3.1).
pub(super) fn algorithm_name(algorithm: JwtAlgorithm) -> &'static str {
    match algorithm {
        JwtAlgorithm::Hs(Hash::Sha384) => "HS384",
        JwtAlgorithm::Hs(Hash::Sha512) => "HS512",
        JwtAlgorithm::Hs(_) => "HS256",
        JwtAlgorithm::Rs256 => "RS256",
        JwtAlgorithm::Es256 => "ES256",
        JwtAlgorithm::EdDsa => "EdDSA",
    }
}
