//! The key under which an application remembers that it has done this piece of work.
//!
//! From source, event id and handler: the same for every attempt of a job, another one for every replay, since a
//! person who replays wants it done again. Readable where the id allows it, hashed where not.

use sha2::{Digest, Sha256};

/// Longest key without the ending of a replay; with it, within the 255 that Stripe and others allow.
const MAX_BYTES: usize = 240;

/// `github/72d3162e-cc78-11e3-81ab-4c9367dc0958/deploy`, and `…/deploy-r2` for the second replay.
///
/// At most 255 printable ASCII characters without spaces, so that it can stand in a header. No two jobs share one.
#[must_use]
pub fn idempotency_key(source: &str, event_id: &str, handler: &str, replays: u32) -> String {
    let fits = |key: &str| key.len() <= MAX_BYTES && key.bytes().all(|byte| byte.is_ascii_graphic());
    let mut key = format!("{source}/{event_id}/{handler}");
    if !fits(&key) || event_id.starts_with("sha256:") {
        key = format!("{source}/sha256:{}/{handler}", hex::encode(Sha256::digest(event_id)));
    }
    if !fits(&key) {
        key = format!("sha256:{}", hex::encode(Sha256::digest(key)));
    }
    // A handler named `deploy-r1` must not share a key with the first replay of `deploy`.
    if replays > 0 || ends_like_a_replay(handler) {
        key.push_str(&format!("-r{replays}"));
    }
    key
}

fn ends_like_a_replay(handler: &str) -> bool {
    handler
        .rsplit_once("-r")
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_readable_where_the_id_allows_it() {
        assert_eq!(idempotency_key("github", "72d3-11e3", "deploy", 0), "github/72d3-11e3/deploy");
        assert_eq!(idempotency_key("github", "72d3-11e3", "deploy", 2), "github/72d3-11e3/deploy-r2");
        assert_eq!(idempotency_key("shop", "a/b", "mail", 0), "shop/a/b/mail");
    }

    #[test]
    fn a_key_is_always_short_printable_and_without_spaces() {
        let long = "x".repeat(255);
        for (source, event_id, handler) in [
            ("github", long.as_str(), "deploy"),
            ("github", "with space", "deploy"),
            ("github", "zażółć\u{1F4E6}", "deploy"),
            (long.as_str(), "1", "deploy"),
            ("github", "1", long.as_str()),
        ] {
            let key = idempotency_key(source, event_id, handler, u32::MAX);
            assert!(key.len() <= 255 && key.bytes().all(|byte| byte.is_ascii_graphic()), "{key}");
            assert_eq!(key, idempotency_key(source, event_id, handler, u32::MAX), "not stable");
            assert_ne!(key, idempotency_key(source, "another", handler, u32::MAX));
        }
    }

    #[test]
    fn no_two_jobs_share_a_key() {
        let hashed = idempotency_key("s", "a b", "h", 0);
        let inner = hashed.strip_prefix("s/").unwrap().strip_suffix("/h").unwrap();
        let mut keys = vec![
            hashed.clone(),
            idempotency_key("s", inner, "h", 0),
            idempotency_key("s", "a", "deploy", 0),
            idempotency_key("s", "a", "deploy", 1),
            idempotency_key("s", "a", "deploy-r1", 0),
            idempotency_key("s", "a", "deploy-r1", 1),
            idempotency_key("s", "a", "deploy-r1-r0", 0),
            idempotency_key("s", "a-r1", "deploy", 0),
        ];
        keys.sort();
        let before = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), before, "{keys:?}");
    }
}
