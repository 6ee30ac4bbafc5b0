//! How a refused delivery stands under today's configuration, as of the moment it came.
//!
//! Tokens that were hidden are put back where a configured one is known by its digest; the ordinary verifier then
//! judges, and its word is the only one that lets anything through.

use std::net::IpAddr;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::body;
use crate::config::Source;
use crate::model::refusal::{BODY_PLACE, RefusedDelivery};
use crate::model::request::{Headers, Request};
use crate::providers::ValueLocation;
use crate::support::secret::{DigestKey, MASK, Secret};
use crate::verify::{SignatureError, VerifiedDelivery, VerifiedRequest, Verifier, VerifyError};

/// How it stands.
#[derive(Debug)]
pub enum ReverifyResult {
    /// Everything that the source asks for holds.
    Verified(Box<VerifiedDelivery>),
    /// It cannot be taken in, whatever is configured.
    Unrecoverable(String),
    /// It is refused as before, or for another reason.
    StillRefused(String),
}

/// Judges a refused delivery again.
#[must_use]
pub fn reverify(refused: &RefusedDelivery, source: &Source, key: Option<&DigestKey>) -> ReverifyResult {
    let request = with_tokens(refused, &source.secrets, key);
    if !is_whole(refused, &request) {
        return ReverifyResult::Unrecoverable(incomplete(refused));
    }
    if let Some(allowed) = &source.admission.allow_ips {
        let address = refused.remote.as_deref().and_then(|remote| remote.parse::<IpAddr>().ok());
        if !address.is_some_and(|address| allowed.contain(address)) {
            return ReverifyResult::StillRefused("its address is not in the source's `allow_ips`".to_owned());
        }
    }
    if has_lost_its_proof(source, &request) {
        return ReverifyResult::Unrecoverable(
            "its proof was not kept, since it is good for other deliveries too; the provider must send it again"
                .to_owned(),
        );
    }
    match Verifier::new(source).check(&request, refused.received_at) {
        Ok(VerifiedRequest::Delivery(verified)) => ReverifyResult::Verified(Box::new(verified)),
        Ok(_) => {
            ReverifyResult::Unrecoverable("a handshake, which only a provider that waits can be answered".to_owned())
        }
        Err(VerifyError::NotGenuine(why @ (SignatureError::TooOld { .. } | SignatureError::InFuture { .. }))) => {
            ReverifyResult::Unrecoverable(format!(
                "its signature matches, but the time window of its provider did not hold when it came ({why}); the provider \
             must send it again"
            ))
        }
        Err(refusal) => ReverifyResult::StillRefused(refusal.to_string()),
    }
}

/// Whether a signed token that covers no body stood there: such a one is not kept, and no secret brings it back.
pub(super) fn has_lost_its_proof(source: &Source, request: &Request) -> bool {
    let is_gone = |place: &ValueLocation| match place {
        ValueLocation::Header(name) => request.headers.all(name).any(|value| value == MASK.as_bytes()),
        _ => false,
    };
    !source.scheme.auth.is_token() && source.scheme.signature_locations().any(is_gone)
}

/// Whether the body is as it came. One with a token that nobody knows is taken to be: it is refused for that.
fn is_whole(refused: &RefusedDelivery, request: &Request) -> bool {
    let has_token = refused.hidden().iter().any(|hidden| hidden.place == BODY_PLACE);
    let is_unknown = has_token && request.body == refused.body && !refused.body.is_empty();
    is_unknown || u64::try_from(request.body.len()).is_ok_and(|bytes| bytes == refused.body_bytes)
}

/// SignatureError its body cannot be looked at.
pub(super) fn incomplete(refused: &RefusedDelivery) -> String {
    let bytes = refused.body_bytes;
    match refused.body.len() {
        0 => "its body was not read, so its signature cannot be computed; the provider must send it again".to_owned(),
        kept => format!(
            "its body of {bytes} bytes was cut after {kept}, so its signature cannot be computed; the provider must \
             send it again"
        ),
    }
}

/// The request, with tokens in their places again where they are those of these secrets.
pub(super) fn with_tokens(refused: &RefusedDelivery, secrets: &[Secret], key: Option<&DigestKey>) -> Request {
    let mut request = refused.request();
    let Some(key) = key else { return request };
    for hidden in refused.hidden() {
        let mut forms = secrets.iter().flat_map(|secret| forms(secret.reveal()));
        let Some(token) = forms.find(|form| hidden.is(form.as_bytes(), key)) else { continue };
        match hidden.place.split_once(':') {
            Some(("header", name)) => request.headers = replaced(&request.headers, name, &token),
            Some(("query", name)) => request.query = filled(&request.query, name, &token),
            _ if hidden.place == BODY_PLACE => {
                request.body = body::replaced(&request.body, MASK.as_bytes(), token.as_bytes()).into();
            }
            _ => {}
        }
    }
    request
}

/// What a secret looks like where it is sent as a token.
fn forms(secret: &str) -> Vec<String> {
    use base64::Engine;
    let basic = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    vec![
        secret.to_owned(),
        format!("Bearer {secret}"),
        format!("bearer {secret}"),
        format!("Token {secret}"),
        format!("Basic {}", basic(secret)),
        format!("Basic {}", basic(&format!(":{secret}"))),
        format!("Basic {}", basic(&format!("{secret}:"))),
    ]
}

fn filled(query: &str, name: &str, token: &str) -> String {
    let token = utf8_percent_encode(token, NON_ALPHANUMERIC).to_string();
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, MASK)) if percent_decode_str(&key.replace('+', " ")).eq(name.bytes()) => format!("{key}={token}"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn replaced(headers: &Headers, name: &str, token: &str) -> Headers {
    let mut filled = Headers::default();
    for (known, value) in headers.iter() {
        let value = if known.eq_ignore_ascii_case(name) { token.as_bytes() } else { value };
        filled.push(known, value);
    }
    filled
}
