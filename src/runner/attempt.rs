//! What an attempt needs and what it returns.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::output::CapturedOutput;
use crate::config::Handler;
use crate::model::request::stored_headers;
use crate::model::response::HandlerResponse;
use crate::retry::{AttemptExit, HandlerDirectives};
use crate::support::time::Millis;
use crate::support::trace_context::TraceContext;

/// From SIGTERM to SIGKILL, after the time limit or a skip.
pub const KILL_GRACE: Duration = Duration::from_secs(2);

/// Longest idempotency key without the suffix of a replay. With it, the key stays within the 255 bytes that Stripe and
/// others allow.
const MAX_KEY_BYTES: usize = 240;

/// One run of a job.
#[derive(Debug, Clone)]
pub struct AttemptInput {
    /// The configuration at the time of the claim. A reload does not change a running attempt.
    pub handler: Arc<Handler>,
    pub job_id: i64,
    /// 1, 2, … over all attempts of the job.
    pub number: u32,
    pub replays: u32,
    pub source: String,
    pub event_id: String,
    /// Empty if the provider names none.
    pub event_type: String,
    pub received_at: Millis,
    pub content_type: Option<String>,
    /// A JSON object.
    pub headers: String,
    /// Lower-case names of headers that the handler must not see.
    pub private_headers: Arc<[String]>,
    pub body: Vec<u8>,
    /// Existing folder for result files. Only hookbox and its handlers may write there.
    pub results: PathBuf,
    pub purpose: AttemptPurpose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptPurpose {
    Job,
    /// `hookbox run`: the handler gets `HOOKBOX_DRY_RUN=1`.
    Rehearsal {
        /// Whether the output of a command also goes to the stdout and stderr of hookbox.
        is_shown: bool,
    },
}

/// The result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptOutput {
    pub exit: AttemptExit,
    pub directives: HandlerDirectives,
    /// The response to the provider, if the handler responds and succeeded.
    pub response: Option<HandlerResponse>,
    /// Notes of the handler, then those of hookbox about the attempt.
    pub notes: Vec<String>,
    pub stdout: CapturedOutput,
    pub stderr: CapturedOutput,
    pub started_at: Millis,
    pub finished_at: Millis,
    pub trace: Option<TraceContext>,
}

impl AttemptInput {
    /// The trace context of the delivery, if its headers have one.
    pub(super) fn trace(&self) -> Option<TraceContext> {
        const FIELD: &[u8] = b"traceparent";
        // Cheaper than parsing the headers, since most deliveries have none.
        if !self.headers.as_bytes().windows(FIELD.len()).any(|part| part.eq_ignore_ascii_case(FIELD)) {
            return None;
        }
        let fields = stored_headers(&self.headers);
        TraceContext::from_headers(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// The key by which an application recognises work that it has already done.
    pub(super) fn idempotency_key(&self) -> String {
        idempotency_key(&self.source, &self.event_id, &self.handler.name, self.replays)
    }
}

impl AttemptOutput {
    /// An attempt that ended now and wrote nothing.
    pub fn without_output(exit: AttemptExit) -> Self {
        let now = Millis::now();
        Self {
            exit,
            directives: HandlerDirectives::default(),
            response: None,
            notes: Vec::new(),
            stdout: CapturedOutput::default(),
            stderr: CapturedOutput::default(),
            started_at: now,
            finished_at: now,
            trace: None,
        }
    }

    pub fn note(&self) -> Option<String> {
        (!self.notes.is_empty()).then(|| self.notes.join("; "))
    }
}

/// Returns `github/72d3162e-cc78-11e3-81ab-4c9367dc0958/deploy`, and `…/deploy-r2` for the second replay: the same for
/// every attempt of a job, another one for each replay.
///
/// At most 255 printable ASCII characters without spaces, so that it fits into a header. Parts that do not are hashed.
/// No two jobs share a key.
fn idempotency_key(source: &str, event_id: &str, handler: &str, replays: u32) -> String {
    let fits = |key: &str| key.len() <= MAX_KEY_BYTES && key.bytes().all(|byte| byte.is_ascii_graphic());
    let mut key = format!("{source}/{event_id}/{handler}");
    if !fits(&key) || event_id.starts_with("sha256:") {
        key = format!("{source}/sha256:{}/{handler}", hex::encode(Sha256::digest(event_id)));
    }
    if !fits(&key) {
        key = format!("sha256:{}", hex::encode(Sha256::digest(key)));
    }
    // A handler named `deploy-r1` must not share a key with the first replay of `deploy`.
    if replays > 0 || has_replay_suffix(handler) {
        key.push_str(&format!("-r{replays}"));
    }
    key
}

fn has_replay_suffix(handler: &str) -> bool {
    handler
        .rsplit_once("-r")
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_readable_if_the_id_allows_it() {
        assert_eq!(idempotency_key("github", "72d3-11e3", "deploy", 0), "github/72d3-11e3/deploy");
        assert_eq!(idempotency_key("github", "72d3-11e3", "deploy", 2), "github/72d3-11e3/deploy-r2");
        assert_eq!(idempotency_key("shop", "a/b", "mail", 0), "shop/a/b/mail");
    }

    #[test]
    fn key_is_short_printable_and_without_spaces() {
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
