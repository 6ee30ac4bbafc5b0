//! Records requests to paths without a source for `hookbox refusals`, with the path that was probably meant.
//!
//! Which values are tokens is unknown here, so every value whose name sounds like a credential is masked, and no body is
//! kept.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::endpoint::{Endpoints, ReceiverState};
use super::request::{content_length, has_oversized_headers};
use crate::metrics::NO_SOURCE;
use crate::model::refusal::RefusedDelivery;
use crate::support::net::secret_path;
use crate::support::secret::MASK;
use crate::support::time::Millis;

/// Parts of lower-case names whose values are masked.
const CREDENTIALS: [&str; 10] =
    ["auth", "cookie", "sign", "token", "secret", "key", "pass", "credential", "hmac", "session"];
/// Longer targets are cut.
const MAX_TARGET: usize = 2048;

/// Stores the request, unless there were too many of them, and logs it if a source's path was probably meant.
pub(super) fn record(http: &HttpRequest, state: &ReceiverState, endpoints: &Endpoints) {
    state.inbox.record_unknown_path(|| {
        let nearest = endpoints.nearest(http.path());
        let reason = match &nearest {
            Some(path) => format!("no source has this path; did you mean {path}?"),
            None => "no source has this path".to_owned(),
        };
        let client = endpoints.client_address(http);
        let target = target(http);
        if nearest.is_some() {
            // Stored rows are rate-limited, so this line is, too.
            log::info!("refused {} {target:?} from {client}: {reason}", http.method());
        }
        RefusedDelivery {
            source: NO_SOURCE.to_owned(),
            received_at: Millis::now(),
            status: StatusCode::NOT_FOUND.as_u16(),
            reason,
            remote: client.address().map(|address| address.to_string()),
            method: http.method().as_str().to_owned(),
            target,
            headers: if has_oversized_headers(http) { "{}".to_owned() } else { headers(http) },
            tokens: "{}".to_owned(),
            body: Vec::new(),
            body_bytes: content_length(http).unwrap_or(0).min(i64::MAX.unsigned_abs()),
        }
    });
}

fn headers(http: &HttpRequest) -> String {
    let mut fields: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in http.headers() {
        let text = String::from_utf8_lossy(value.as_bytes());
        let stored = if is_credential(name.as_str()) { MASK.to_owned() } else { text.into_owned() };
        let values = fields.entry(name.as_str()).or_default();
        if !values.contains(&stored) {
            values.push(stored);
        }
    }
    let value = |mut values: Vec<String>| if values.len() == 1 { Value::from(values.remove(0)) } else { values.into() };
    let object: serde_json::Map<_, _> = fields.into_iter().map(|(name, all)| (name.to_owned(), value(all))).collect();
    Value::Object(object).to_string()
}

/// Path and query. Masks credentials in the query, and segments of the path that may be a secret.
fn target(http: &HttpRequest) -> String {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) if is_credential(name) || secret_path::is_secret(value) => format!("{name}={MASK}"),
        None if secret_path::is_secret(pair) => MASK.to_owned(),
        _ => pair.to_owned(),
    };
    let mut target = secret_path::masked(http.path());
    if !http.query_string().is_empty() {
        target += "?";
        target += &http.query_string().split('&').map(pair).collect::<Vec<_>>().join("&");
    }
    target.chars().take(MAX_TARGET).collect()
}

fn is_credential(name: &str) -> bool {
    let name = percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
    CREDENTIALS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn credentials_are_masked_and_other_values_kept() {
        let http = TestRequest::with_uri("/Xq9Zt4LmR2vB8nKw/x?a=1&access_token=t&Sig%6eature=2&k=Xq9Zt4LmR2vB8nKw")
            .insert_header(("Authorization", "Bearer t"))
            .insert_header(("X-Hub-Signature-256", "sha256=t"))
            .insert_header(("X-Api-Key", "t"))
            .insert_header(("X-GitHub-Event", "push"))
            .to_http_request();
        assert_eq!(target(&http), "/***/x?a=1&access_token=***&Sig%6eature=***&k=***");
        let expected =
            r#"{"authorization":"***","x-api-key":"***","x-github-event":"push","x-hub-signature-256":"***"}"#;
        assert_eq!(headers(&http), expected);
    }
}
