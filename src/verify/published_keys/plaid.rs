//! Plaid's keys: plaid.com/docs/api/webhooks/webhook-verification, `/webhook_verification_key/get`.
//!
//! A key's name and the application's `client_id` and `secret` go out in one question, a JSON Web Key comes back. From
//! its `expired_at` on it proves nothing. Only the error that says that there is no such key means just that: any
//! other may be mended, and so is a failure.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::allowed_hosts::Address;
use super::api::Credentials;
use super::fetch::{self, Question};
use super::jwks_cache::Fetched;
use super::public_key::{self, Jwk};
use crate::support::net::keys_url::KeysUrl;
use crate::support::secret::Secret;
use crate::support::time::Millis;

const ORIGIN: &str = "https://production.plaid.com";
const UNKNOWN: &str = "INVALID_WEBHOOK_VERIFICATION_KEY_ID";

#[derive(Deserialize)]
struct Answer {
    key: Published,
}

#[derive(Deserialize)]
struct Published {
    #[serde(flatten)]
    key: Jwk,
    /// Unix seconds.
    expired_at: Option<i64>,
}

#[derive(Deserialize)]
struct Failure {
    error_code: String,
}

pub(super) fn address(name: &str, base: Option<&KeysUrl>) -> Address {
    let address = Address::of_api(ORIGIN, "/webhook_verification_key/get", base);
    Address { key: Some(name.to_owned()), ..address }
}

pub(super) fn fetch(address: &Address, credentials: &Credentials, time_limit: Duration) -> Fetched {
    let (id, secret) = (credentials.id.reveal(), credentials.secret.reveal());
    let question = json!({ "client_id": id, "secret": secret, "key_id": address.key });
    let document = fetch::ask(address, &Question::Json(Secret::new(question.to_string())), time_limit)?;
    if document.status != 200 {
        return match serde_json::from_slice::<Failure>(&document.body) {
            Ok(failure) if failure.error_code == UNKNOWN => Ok((Vec::new(), None)),
            Ok(failure) if is_word(&failure.error_code) => {
                Err(format!("{} ({})", fetch::answered(address, document.status), failure.error_code))
            }
            _ => Err(fetch::answered(address, document.status)),
        };
    }
    let unusable = || format!("{}: holds no key that can be used", address.url);
    let answer: Answer = serde_json::from_slice(&document.body).map_err(|_| unusable())?;
    let mut key = public_key::of_jwk(&answer.key.key).ok_or_else(unusable)?;
    let until = |seconds: i64| Millis(seconds.saturating_mul(1000).saturating_sub(1));
    key.valid = answer.key.expired_at.map(|seconds| (Millis(i64::MIN), until(seconds)));
    Ok((vec![key], document.max_age))
}

/// As Plaid writes its codes, so that nothing else gets into the log.
fn is_word(code: &str) -> bool {
    code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}
