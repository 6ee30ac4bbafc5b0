//! eBay's keys: developer.ebay.com, Notification API, `getPublicKey`, and the OAuth client credentials grant.
//!
//! The application's credentials are exchanged for a token, which is kept until it expires; with it a key is asked for
//! by its name. Requests that eBay calls wrong are so for that name, which is all that varies in them.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::allowed_hosts::Address;
use super::api::{Credentials, Token};
use super::fetch::{self, Question};
use super::jwks_cache::Fetched;
use super::public_key;
use crate::support::locks;
use crate::support::net::keys_url::KeysUrl;
use crate::support::secret::Secret;
use crate::support::time::Millis;

const ORIGIN: &str = "https://api.ebay.com";
const GRANT: &str = "grant_type=client_credentials&scope=https%3A%2F%2Fapi.ebay.com%2Foauth%2Fapi_scope";
/// How long before its end a token is no longer used, and how long at most it is, in seconds.
const TOKEN_AGES: (i64, i64) = (60, 24 * 3600);

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds.
    #[serde(default)]
    expires_in: i64,
}

#[derive(Deserialize)]
struct Published {
    key: String,
}

pub(super) fn address(name: &str, base: Option<&KeysUrl>) -> Address {
    Address::of_api(ORIGIN, &format!("/commerce/notification/v1/public_key/{name}"), base)
}

pub(super) fn fetch(
    address: &Address,
    credentials: &Credentials,
    (kept, base): (&Mutex<Option<Token>>, Option<&KeysUrl>),
    (time_limit, now): (Duration, Millis),
) -> Fetched {
    let begun = Instant::now();
    let known = locks::lock(&kept).clone().filter(|token| now < token.until);
    let token = match known {
        Some(token) => token,
        None => {
            let token = grant(credentials, base, (time_limit, now))?;
            *locks::lock(&kept) = Some(token.clone());
            token
        }
    };
    let bearer = Question::Authorized(Secret::new(format!("Bearer {}", token.text.reveal())));
    let document = fetch::ask(address, &bearer, time_limit.saturating_sub(begun.elapsed()))?;
    match document.status {
        200 => {}
        400 | 404 => return Ok((Vec::new(), None)),
        status => {
            // A token may be taken back before its time.
            *locks::lock(&kept) = None;
            return Err(fetch::answered(address, status));
        }
    }
    let key = serde_json::from_slice::<Published>(&document.body).ok();
    let key = key.and_then(|published| public_key::of_p256_pem(&published.key));
    let key = key.ok_or_else(|| format!("{}: holds no key that can be used", address.url))?;
    Ok((vec![key], document.max_age))
}

fn grant(
    credentials: &Credentials,
    base: Option<&KeysUrl>,
    (time_limit, now): (Duration, Millis),
) -> Result<Token, String> {
    let address = Address::of_api(ORIGIN, "/identity/v1/oauth2/token", base);
    let pair = STANDARD.encode(format!("{}:{}", credentials.id.reveal(), credentials.secret.reveal()));
    let question = Question::Form(GRANT, Secret::new(format!("Basic {pair}")));
    let document = fetch::ask(&address, &question, time_limit)?;
    if document.status != 200 {
        let hint = if matches!(document.status, 400 | 401) { ": are `api_key` and `secret` right?" } else { "" };
        return Err(format!("{}{hint}", fetch::answered(&address, document.status)));
    }
    let granted = serde_json::from_slice::<Granted>(&document.body).ok();
    let visible = |granted: &Granted| granted.access_token.bytes().all(|byte| byte.is_ascii_graphic());
    let granted = granted.filter(visible).ok_or_else(|| format!("{}: holds no token", address.url))?;
    let seconds = granted.expires_in.min(TOKEN_AGES.1).saturating_sub(TOKEN_AGES.0);
    Ok(Token { text: Secret::new(granted.access_token), until: Millis(now.0.saturating_add(seconds * 1000)) })
}
