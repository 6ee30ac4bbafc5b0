//! The environment of handlers: a few variables of hookbox's own, those that `env` names, and the event.
//!
//! Handlers get no secret that the configuration does not name, and every value is short enough to execute a program.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use serde_json::Value;

use super::attempt::{AttemptInput, AttemptPurpose};
use crate::config::{Handler, RunAs};
use crate::model::request::header_pairs;

/// Passed on from hookbox's own environment if set.
pub(super) const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

/// Set to those of the `user` of a handler.
const OF_USER: [&str; 3] = ["HOME", "USER", "LOGNAME"];

/// Always set for commands, to an empty value if there is none.
pub(super) const EVENT_VARIABLES: [&str; 10] = [
    "HOOKBOX_SOURCE",
    "HOOKBOX_EVENT_ID",
    "HOOKBOX_EVENT_TYPE",
    "HOOKBOX_RECEIVED_AT",
    "HOOKBOX_HANDLER",
    "HOOKBOX_ATTEMPT",
    "HOOKBOX_IDEMPOTENCY_KEY",
    "HOOKBOX_CONTENT_TYPE",
    "HOOKBOX_HEADERS",
    "HOOKBOX_RESULT",
];

/// W3C trace context, set if the delivery has one.
const TRACE: [&str; 2] = ["TRACEPARENT", "TRACESTATE"];

/// Set to 1 by `hookbox run`.
pub(super) const DRY_RUN: &str = "HOOKBOX_DRY_RUN";

/// Longest `HOOKBOX_HEADERS`, in bytes. With one variable of 128 KiB or more, nothing could be executed at all.
pub(super) const MAX_HEADERS_BYTES: usize = 16 * 1024;

/// Longer content types are dropped.
const MAX_CONTENT_TYPE_BYTES: usize = 1024;

/// PATH of handlers if hookbox has none.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Headers that no handler sees, whatever the provider.
const ALWAYS_PRIVATE: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// Names and values. Each name occurs once.
pub(super) type Environment = Vec<(String, OsString)>;

/// The environment of one attempt in command mode. `own` looks up a variable of hookbox.
pub(super) fn command_environment(
    attempt: &AttemptInput,
    result_file: &Path,
    own: &dyn Fn(&str) -> Option<OsString>,
) -> Environment {
    let mut environment = inherited(&attempt.handler, own);
    for name in EVENT_VARIABLES {
        environment.push((name.to_owned(), without_nul(event_value(name, attempt, result_file))));
    }
    let trace = attempt.trace().map(|trace| TRACE.into_iter().zip([Some(trace.parent), trace.state]));
    let trace = trace.into_iter().flatten().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    environment.extend(trace);
    environment.extend(dry_run(attempt.purpose));
    environment
}

/// The environment of a worker process, which gets its events on stdin. `mark` identifies its processes after a crash of
/// hookbox. It looks like the path of a result file, but workers have none.
pub(super) fn worker_environment(
    handler: &Handler,
    purpose: AttemptPurpose,
    mark: &Path,
    own: &dyn Fn(&str) -> Option<OsString>,
) -> Environment {
    let mut environment = inherited(handler, own);
    environment.push(("HOOKBOX_HANDLER".to_owned(), without_nul(handler.name.to_string().into())));
    environment.push(("HOOKBOX_RESULT".to_owned(), without_nul(mark.into())));
    environment.extend(dry_run(purpose));
    environment
}

fn dry_run(purpose: AttemptPurpose) -> Option<(String, OsString)> {
    (purpose != AttemptPurpose::Job).then(|| (DRY_RUN.to_owned(), "1".into()))
}

fn inherited(handler: &Handler, own: &dyn Fn(&str) -> Option<OsString>) -> Environment {
    let mut environment = Environment::with_capacity(INHERITED.len() + EVENT_VARIABLES.len() + handler.env.len());
    let named = handler.env.iter().map(String::as_str).filter(|name| !is_reserved(name));
    let identity = handler.process.run_as.as_ref();
    for name in INHERITED.into_iter().chain(named).filter(|name| identity.is_none() || !OF_USER.contains(name)) {
        let default = || (name == "PATH").then(|| OsString::from(DEFAULT_PATH));
        if let Some(value) = own(name).or_else(default) {
            environment.push((name.to_owned(), value));
        }
    }
    environment.extend(identity.into_iter().flat_map(of_user));
    environment
}

fn of_user(identity: &RunAs) -> Environment {
    let home = identity.home.as_ref().map_or_else(|| OsString::from("/"), |home| home.clone().into());
    let name = identity.name.iter().flat_map(|name| [("USER", name), ("LOGNAME", name)]);
    let name = name.map(|(variable, name)| (variable.to_owned(), OsString::from(name)));
    std::iter::once(("HOME".to_owned(), home)).chain(name).collect()
}

/// The headers as a JSON object of at most 16 KiB, without those in `private` and those that no handler sees. A header
/// that does not fit is left out.
pub(super) fn visible_headers(headers: &str, private: &[String]) -> String {
    let is_hidden = |name: &str| {
        let mut all = ALWAYS_PRIVATE.into_iter().chain(private.iter().map(String::as_str));
        all.any(|private| private.eq_ignore_ascii_case(name))
    };
    let mut object = String::from("{");
    for (name, value) in header_pairs(headers).into_iter().filter(|(name, _)| !is_hidden(name)) {
        let comma = if object.len() > 1 { "," } else { "" };
        let field = format!("{comma}{}:{value}", Value::from(name));
        if object.len() + field.len() + "}".len() <= MAX_HEADERS_BYTES {
            object.push_str(&field);
        }
    }
    object.push('}');
    object
}

fn is_reserved(name: &str) -> bool {
    INHERITED.contains(&name) || EVENT_VARIABLES.contains(&name) || TRACE.contains(&name) || name == DRY_RUN
}

fn event_value(name: &str, attempt: &AttemptInput, result_file: &Path) -> OsString {
    let content_type = attempt.content_type.as_deref().filter(|text| text.len() <= MAX_CONTENT_TYPE_BYTES);
    match name {
        "HOOKBOX_SOURCE" => attempt.source.clone().into(),
        "HOOKBOX_EVENT_ID" => attempt.event_id.clone().into(),
        "HOOKBOX_EVENT_TYPE" => attempt.event_type.clone().into(),
        "HOOKBOX_RECEIVED_AT" => attempt.received_at.to_rfc3339().into(),
        "HOOKBOX_HANDLER" => attempt.handler.name.to_string().into(),
        "HOOKBOX_ATTEMPT" => attempt.number.to_string().into(),
        "HOOKBOX_IDEMPOTENCY_KEY" => attempt.idempotency_key().into(),
        "HOOKBOX_CONTENT_TYPE" => content_type.unwrap_or_default().into(),
        "HOOKBOX_HEADERS" => visible_headers(&attempt.headers, &attempt.private_headers).into(),
        "HOOKBOX_RESULT" => result_file.into(),
        _ => OsString::new(),
    }
}

/// A NUL byte in a value would make the program impossible to start.
fn without_nul(value: OsString) -> OsString {
    if !value.as_bytes().contains(&0) {
        return value;
    }
    OsString::from_vec(value.into_vec().into_iter().filter(|byte| *byte != 0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::tests::attempt;

    fn none(_: &str) -> Option<OsString> {
        None
    }

    fn value<'a>(environment: &'a Environment, name: &str) -> &'a str {
        let found: Vec<_> = environment.iter().filter(|(listed, _)| listed == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0].1.to_str().unwrap()
    }

    #[test]
    fn handler_sees_listed_variables_only() {
        let mut attempt = attempt(&["true"]);
        attempt.handler_mut().env = ["DEPLOY_KEY", "UNSET", "PATH", "HOOKBOX_SOURCE"].map(String::from).to_vec();
        let own = |name: &str| (name != "UNSET").then(|| OsString::from(format!("own {name}")));
        let environment = command_environment(&attempt, Path::new("/r/7-2.json"), &own);
        let names: Vec<&str> = environment.iter().map(|(name, _)| name.as_str()).collect();
        let expected: Vec<&str> = INHERITED.into_iter().chain(["DEPLOY_KEY"]).chain(EVENT_VARIABLES).collect();
        assert_eq!(names, expected);
        assert_eq!(value(&environment, "DEPLOY_KEY"), "own DEPLOY_KEY");
        assert_eq!(value(&environment, "HOOKBOX_SOURCE"), "github");
    }

    #[test]
    fn event_variables_have_the_values_of_the_event() {
        let environment = command_environment(&attempt(&["true"]), Path::new("/r/7-2.json"), &none);
        let values = EVENT_VARIABLES.map(|name| value(&environment, name));
        let expected = [
            "github",
            "72d3162e",
            "push",
            "2026-01-31T12:00:00.007Z",
            "deploy",
            "2",
            "github/72d3162e/deploy-r1",
            "application/json",
            r#"{"X-GitHub-Event":"push"}"#,
            "/r/7-2.json",
        ];
        assert_eq!(values, expected);
        assert_eq!(value(&environment, "PATH"), DEFAULT_PATH);
        assert_eq!(environment.len(), 1 + EVENT_VARIABLES.len());
    }

    #[test]
    fn no_event_can_prevent_the_start_of_a_program() {
        let mut attempt = attempt(&["true"]);
        attempt.event_id = "a\0b".to_owned();
        attempt.content_type = Some("x".repeat(1 << 20));
        attempt.headers = format!(r#"{{"X":"{}"}}"#, "x".repeat(1 << 20));
        let environment = command_environment(&attempt, Path::new("/r"), &none);
        assert_eq!(value(&environment, "HOOKBOX_EVENT_ID"), "ab");
        assert_eq!(value(&environment, "HOOKBOX_CONTENT_TYPE"), "");
        assert_eq!(value(&environment, "HOOKBOX_HEADERS"), "{}");
    }

    #[test]
    fn visible_headers_lack_tokens_and_signatures() {
        let headers = r#"{"Host":"h","AUTHORIZATION":"***","X-Hub-Signature-256":"s","b":"1, 2","Cookie":"c",
            "Proxy-Authorization":"p","a":"\u00e9\" \\"}"#;
        let private = ["x-hub-signature-256".to_owned()];
        assert_eq!(visible_headers(headers, &private), r#"{"Host":"h","b":"1, 2","a":"é\" \\"}"#);
        assert_eq!(visible_headers("{}", &private), "{}");
        assert_eq!(visible_headers("not JSON", &private), "{}");
    }

    #[test]
    fn visible_headers_are_valid_json_within_the_limit() {
        for length in [1, 5, 4000, 8166, 8167, 8168, 8169, 16_000, 17_000] {
            let fields: Vec<String> = (0..9).map(|i| format!(r#""h{i}":"{}""#, "x".repeat(length))).collect();
            let visible = visible_headers(&format!("{{{},\"last\":\"1\"}}", fields.join(",")), &[]);
            assert!(visible.len() <= MAX_HEADERS_BYTES);
            let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&visible).unwrap();
            let room = MAX_HEADERS_BYTES - "{}".len();
            let expected = 9.min(room / (length + r#""h0":"","#.len()));
            assert!(object.len() >= expected.min(9), "{length}: {} of {expected}", object.len());
            assert!(object.contains_key("last") || room - visible.len() < 12, "{length}");
        }
    }
}
