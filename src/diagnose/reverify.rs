//! Verifies a refused delivery again with the current configuration, as of the time it was received.
//!
//! Masked tokens are restored if a configured secret has the same digest. Only the ordinary verifier can accept a
//! delivery.

use std::net::IpAddr;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::config::Source;
use crate::model::refusal::{BODY_TOKEN, RefusedDelivery};
use crate::model::request::{Headers, Request};
use crate::providers::ValueLocation;
use crate::support::secret::{DigestKey, MASK, Secret};
use crate::verify::{SignatureError, VerifiedDelivery, VerifiedRequest, Verifier, VerifyError};

#[derive(Debug)]
pub enum ReverifyResult {
    Verified(Box<VerifiedDelivery>),
    /// No configuration can make it acceptable. Contains the reason.
    Unrecoverable(String),
    /// Refused again, for this reason.
    StillRefused(String),
}

pub fn reverify(refused: &RefusedDelivery, source: &Source, key: Option<&DigestKey>) -> ReverifyResult {
    let request = with_tokens(refused, &source.secrets, key);
    if !is_whole(refused, &request) {
        return ReverifyResult::Unrecoverable(incomplete_body(refused));
    }
    if let Some(allowed) = &source.admission.allow_ips {
        let address = refused.remote.as_deref().and_then(|remote| remote.parse::<IpAddr>().ok());
        if !address.is_some_and(|address| allowed.contain(address)) {
            return ReverifyResult::StillRefused("its address is not in the source's `allow_ips`".to_owned());
        }
    }
    if has_lost_its_token(source, &request) {
        return ReverifyResult::Unrecoverable(
            "its token was not stored, since it would be valid for other deliveries too; the provider must send it again"
                .to_owned(),
        );
    }
    match Verifier::new(source).check(&request, refused.received_at) {
        Ok(VerifiedRequest::Delivery(verified)) => ReverifyResult::Verified(Box::new(verified)),
        Ok(_) => ReverifyResult::Unrecoverable(
            "it is a handshake, and the provider no longer waits for the response".to_owned(),
        ),
        Err(VerifyError::NotGenuine(why @ (SignatureError::TooOld { .. } | SignatureError::InFuture { .. }))) => {
            ReverifyResult::Unrecoverable(format!(
                "its signature matches, but its timestamp was out of the window when it was received ({why}); the \
                 provider must send it again"
            ))
        }
        Err(error) => ReverifyResult::StillRefused(error.to_string()),
    }
}

/// Whether the signature was a signed token that does not cover the body. Such a token is never stored, and no secret
/// can restore it.
pub(super) fn has_lost_its_token(source: &Source, request: &Request) -> bool {
    let is_masked = |location: &ValueLocation| match location {
        ValueLocation::Header(name) => request.headers.all(name).any(|value| value == MASK.as_bytes()),
        _ => false,
    };
    !source.scheme.auth.is_token() && source.scheme.signature_locations().any(is_masked)
}

/// Whether the body is complete. A body with a masked token that no secret restored counts as complete: it is refused
/// for the token.
fn is_whole(refused: &RefusedDelivery, request: &Request) -> bool {
    let has_token = refused.hidden_tokens().iter().any(|token| token.location == BODY_TOKEN);
    let is_unknown = has_token && request.body == refused.body && !refused.body.is_empty();
    is_unknown || u64::try_from(request.body.len()).is_ok_and(|bytes| bytes == refused.body_bytes)
}

fn incomplete_body(refused: &RefusedDelivery) -> String {
    let problem = match refused.body.len() {
        0 => "its body was not read".to_owned(),
        kept => format!("only {kept} of the {} bytes of its body were stored", refused.body_bytes),
    };
    format!("{problem}, so its signature cannot be checked; the provider must send it again")
}

/// The request with masked tokens restored where they are those of these secrets.
pub(super) fn with_tokens(refused: &RefusedDelivery, secrets: &[Secret], key: Option<&DigestKey>) -> Request {
    let mut request = refused.request();
    let Some(key) = key else { return request };
    for hidden in refused.hidden_tokens() {
        let mut forms = secrets.iter().flat_map(|secret| token_forms(secret.reveal()));
        let Some(token) = forms.find(|form| hidden.is(form.as_bytes(), key)) else { continue };
        match hidden.location.split_once(':') {
            Some(("header", name)) => request.headers = with_header(&request.headers, name, &token),
            Some(("query", name)) => request.query = with_parameter(&request.query, name, &token),
            _ if hidden.location == BODY_TOKEN => {
                request.body = replace_bytes(&request.body, MASK.as_bytes(), token.as_bytes()).into();
            }
            _ => {}
        }
    }
    request
}

/// The ways in which a secret may be sent as a token.
fn token_forms(secret: &str) -> [String; 7] {
    use base64::Engine;
    let basic = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    [
        secret.to_owned(),
        format!("Bearer {secret}"),
        format!("bearer {secret}"),
        format!("Token {secret}"),
        basic(secret),
        basic(&format!(":{secret}")),
        basic(&format!("{secret}:")),
    ]
}

fn with_parameter(query: &str, name: &str, token: &str) -> String {
    let token = utf8_percent_encode(token, NON_ALPHANUMERIC).to_string();
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, MASK)) if percent_decode_str(&key.replace('+', " ")).eq(name.bytes()) => format!("{key}={token}"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn with_header(headers: &Headers, name: &str, token: &str) -> Headers {
    let mut filled = Headers::default();
    for (known, value) in headers.iter() {
        filled.push(known, if known.eq_ignore_ascii_case(name) { token.as_bytes() } else { value });
    }
    filled
}

pub(super) fn replace_bytes(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.windows(old.len()).position(|window| window == old) {
        made.extend_from_slice(&rest[..start]);
        made.extend_from_slice(new);
        rest = &rest[start + old.len()..];
    }
    made.extend_from_slice(rest);
    made
}
