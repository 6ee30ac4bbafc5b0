//! APIs that return one key at a time to an application with credentials: eBay's and Plaid's.
//!
//! Key names come from unverified deliveries, so they are checked before they become part of a request. A name that the
//! API does not know yields no key; any other failure is an error.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::allowed_hosts::KeyUrl;
use super::fetch::{self, KeyRequest};
use super::public_key::{self, FetchedKeys, Jwk, PublishedKey};
use crate::support::locks;
use crate::support::net::keys_url::KeysUrl;
use crate::support::secret::Secret;
use crate::support::time::Millis;

/// Longest name of a key, in bytes. UUIDs have 36.
const MAX_KEY_NAME: usize = 128;
const EBAY: &str = "https://api.ebay.com";
const PLAID: &str = "https://production.plaid.com";
const EBAY_GRANT: &str = "grant_type=client_credentials&scope=https%3A%2F%2Fapi.ebay.com%2Foauth%2Fapi_scope";
/// An access token is not used in its last seconds.
const TOKEN_MARGIN_SECONDS: i64 = 60;
/// An access token is used for at most a day.
const MAX_TOKEN_SECONDS: i64 = 24 * 3600;
const PLAID_UNKNOWN_KEY: &str = "INVALID_WEBHOOK_VERIFICATION_KEY_ID";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyApi {
    /// `/commerce/notification/v1/public_key/NAME`
    Ebay,
    /// `/webhook_verification_key/get`
    Plaid,
}

/// The client id and the client secret of the application.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub id: Secret,
    pub secret: Secret,
}

/// An OAuth access token.
#[derive(Debug, Clone)]
pub(super) struct AccessToken {
    text: Secret,
    expires_at: Millis,
}

/// The context of a request for a key.
pub(super) struct KeyApiCall<'a> {
    pub(super) credentials: &'a Credentials,
    pub(super) base: Option<&'a KeysUrl>,
    /// The access token of earlier calls. Not locked while a request runs.
    pub(super) token: &'a Mutex<Option<AccessToken>>,
    pub(super) time_limit: Duration,
    pub(super) now: Millis,
}

impl KeyApi {
    /// The URL of a key; `None` if this cannot be the name of a key.
    pub(super) fn url(self, name: &str, base: Option<&KeysUrl>) -> Option<KeyUrl> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_name = (1..=MAX_KEY_NAME).contains(&name.len()) && name.bytes().all(is_allowed);
        is_name.then(|| match self {
            Self::Ebay => KeyUrl::of_api(EBAY, &format!("/commerce/notification/v1/public_key/{name}"), base),
            Self::Plaid => {
                let url = KeyUrl::of_api(PLAID, "/webhook_verification_key/get", base);
                KeyUrl { key_name: Some(name.to_owned()), ..url }
            }
        })
    }

    pub(super) fn fetch(self, url: &KeyUrl, call: &KeyApiCall<'_>) -> Result<FetchedKeys, String> {
        match self {
            Self::Ebay => ebay_key(url, call),
            Self::Plaid => plaid_key(url, call),
        }
    }
}

fn unusable(url: &KeyUrl) -> String {
    format!("{}: contains no usable key", url.url)
}

#[derive(Deserialize)]
struct EbayKey {
    key: String,
}

#[derive(Deserialize)]
struct EbayGrant {
    access_token: String,
    /// Seconds.
    #[serde(default)]
    expires_in: i64,
}

/// See developer.ebay.com, Notification API, `getPublicKey`.
fn ebay_key(url: &KeyUrl, call: &KeyApiCall<'_>) -> Result<FetchedKeys, String> {
    let begun = Instant::now();
    let set_token = |token| *locks::lock(call.token) = token;
    let known = locks::lock(call.token).clone();
    let token = match known.filter(|token| call.now < token.expires_at) {
        Some(token) => token,
        None => {
            let token = ebay_grant(call)?;
            set_token(Some(token.clone()));
            token
        }
    };
    let bearer = Secret::new(format!("Bearer {}", token.text.reveal()));
    let response = fetch::send(url, &KeyRequest::Authorized(bearer), call.time_limit.saturating_sub(begun.elapsed()))?;
    match response.status {
        200 => {}
        // Only the name varies between requests, so the name is what eBay rejects.
        400 | 404 => return Ok(FetchedKeys::default()),
        status => {
            // A token may be revoked before it expires.
            set_token(None);
            return Err(fetch::unexpected_status(url, status));
        }
    }
    let key = serde_json::from_slice::<EbayKey>(&response.body).ok();
    let key = key.and_then(|key| public_key::from_p256_pem(&key.key)).ok_or_else(|| unusable(url))?;
    Ok(FetchedKeys { keys: vec![key], max_age: response.max_age })
}

/// See developer.ebay.com, OAuth client credentials grant.
fn ebay_grant(call: &KeyApiCall<'_>) -> Result<AccessToken, String> {
    let url = KeyUrl::of_api(EBAY, "/identity/v1/oauth2/token", call.base);
    let pair = format!("{}:{}", call.credentials.id.reveal(), call.credentials.secret.reveal());
    let request = KeyRequest::Form(EBAY_GRANT, Secret::new(format!("Basic {}", STANDARD.encode(pair))));
    let response = fetch::send(&url, &request, call.time_limit)?;
    if response.status != 200 {
        let hint = if matches!(response.status, 400 | 401) { " (hint: check `api_key` and `secret`)" } else { "" };
        return Err(format!("{}{hint}", fetch::unexpected_status(&url, response.status)));
    }
    let grant = serde_json::from_slice::<EbayGrant>(&response.body).ok();
    let is_visible = |grant: &EbayGrant| grant.access_token.bytes().all(|byte| byte.is_ascii_graphic());
    let grant = grant.filter(is_visible).ok_or_else(|| format!("{}: contains no access token", url.url))?;
    let seconds = grant.expires_in.min(MAX_TOKEN_SECONDS).saturating_sub(TOKEN_MARGIN_SECONDS);
    let expires_at = Millis(call.now.0.saturating_add(seconds * 1000));
    Ok(AccessToken { text: Secret::new(grant.access_token), expires_at })
}

#[derive(Deserialize)]
struct PlaidResponse {
    key: PlaidKey,
}

#[derive(Deserialize)]
struct PlaidKey {
    #[serde(flatten)]
    key: Jwk,
    /// Unix seconds. From then on the key is not valid.
    expired_at: Option<i64>,
}

#[derive(Deserialize)]
struct PlaidError {
    error_code: String,
}

/// See plaid.com/docs/api/webhooks/webhook-verification, `/webhook_verification_key/get`.
fn plaid_key(url: &KeyUrl, call: &KeyApiCall<'_>) -> Result<FetchedKeys, String> {
    let (id, secret) = (call.credentials.id.reveal(), call.credentials.secret.reveal());
    let body = json!({ "client_id": id, "secret": secret, "key_id": url.key_name }).to_string();
    let response = fetch::send(url, &KeyRequest::Json(Secret::new(body)), call.time_limit)?;
    if response.status != 200 {
        let unexpected = fetch::unexpected_status(url, response.status);
        return match serde_json::from_slice::<PlaidError>(&response.body) {
            Ok(error) if error.error_code == PLAID_UNKNOWN_KEY => Ok(FetchedKeys::default()),
            Ok(error) if is_plaid_error_code(&error.error_code) => Err(format!("{unexpected} ({})", error.error_code)),
            _ => Err(unexpected),
        };
    }
    let response_key: PlaidResponse = serde_json::from_slice(&response.body).map_err(|_| unusable(url))?;
    let key = public_key::from_jwk(&response_key.key.key).ok_or_else(|| unusable(url))?;
    let last_valid = |seconds: i64| Millis(seconds.saturating_mul(1000).saturating_sub(1));
    let validity = response_key.key.expired_at.map(|seconds| (Millis(i64::MIN), last_valid(seconds)));
    Ok(FetchedKeys { keys: vec![PublishedKey { validity, ..key }], max_age: response.max_age })
}

/// Keeps anything else out of the log.
fn is_plaid_error_code(code: &str) -> bool {
    code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}
