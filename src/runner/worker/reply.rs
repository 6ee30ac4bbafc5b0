//! Parses the reply line of a worker.
//!
//! Strict: an invalid line is never a success. Durations, reasons and notes have the limits of the result file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::retry::{AttemptExit, HandlerDirectives};
use crate::runner::reply::{ReplyParts, beginning, quoted};
use crate::runner::result_file::{self, dead_reason, shortened};

/// `null` is the same as a missing field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyLine {
    id: Option<i64>,
    ok: Option<bool>,
    error: Option<String>,
    retry_after: Option<Value>,
    dead: Option<String>,
    note: Option<String>,
    response: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseField {
    status: Option<u16>,
    content_type: Option<String>,
    body: Option<String>,
    body_base64: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct ParsedReply {
    pub(super) exit: AttemptExit,
    pub(super) directives: HandlerDirectives,
    pub(super) response: Option<ReplyParts>,
}

/// Parses the reply line for the job `id`, without its newline. The error says what is wrong with it.
pub(super) fn parse(line: &[u8], id: i64) -> Result<ParsedReply, String> {
    let text = std::str::from_utf8(line).map_err(|_| "its answer is not UTF-8".to_owned())?;
    if !text.trim_start().starts_with('{') {
        return Err(format!("its answer `{}` is not a JSON object; hint: logs go to stderr", quoted(text)));
    }
    let invalid = |error: serde_json::Error| {
        // The message quotes the value that it found, however long.
        let (line, column, message) = (error.line(), error.column(), error.to_string());
        let message = match beginning(&message) {
            whole if whole.len() == message.len() => whole,
            start => format!("{start} at line {line} column {column}").into(),
        };
        format!("its answer `{}` is invalid: {message}", quoted(text))
    };
    let reply: ReplyLine = serde_json::from_str(text).map_err(invalid)?;
    match reply.id {
        Some(answered) if answered == id => {}
        Some(other) => return Err(format!("it answered for job {other} instead of job {id}")),
        None => return Err(format!("its answer `{}` has no `id`", quoted(text))),
    }
    interpret(reply)
}

fn interpret(reply: ReplyLine) -> Result<ParsedReply, String> {
    let ReplyLine { ok, error, retry_after, dead, note, response, .. } = reply;
    let response = response.map(parse_response).transpose()?;
    let retry_after = match &retry_after {
        Some(value) => {
            let delay = result_file::retry_after(value);
            Some(delay.ok_or("its `retry_after` is not a duration such as \"5m\"")?)
        }
        None => None,
    };
    let has_failed = error.is_some() || retry_after.is_some() || dead.is_some();
    let exit = match (ok, has_failed) {
        (Some(true), true) => {
            return Err("its answer has both `ok` and one of `error`, `retry_after`, `dead`".to_owned());
        }
        (Some(true), false) => AttemptExit::Completed,
        (None, false) => return Err("its answer has none of `ok`, `error`, `retry_after`, `dead`".to_owned()),
        _ => AttemptExit::Failed(failure(error.as_deref(), retry_after.is_some())),
    };
    let dead = dead.map(|reason| dead_reason(shortened(&reason)));
    let note = note.map(|text| shortened(&text)).filter(|text| !text.is_empty());
    let directives = HandlerDirectives { retry_after, dead, note, ..HandlerDirectives::default() };
    Ok(ParsedReply { exit, directives, response })
}

fn parse_response(response: Map<String, Value>) -> Result<ReplyParts, String> {
    let invalid = |error| format!("its `response` is invalid: {error}");
    let ResponseField { status, content_type, body, body_base64 } =
        serde_json::from_value(Value::Object(response)).map_err(invalid)?;
    let body = match (body, body_base64) {
        (Some(_), Some(_)) => return Err("its `response` has both `body` and `body_base64`".to_owned()),
        (body, None) => body.unwrap_or_default().into_bytes(),
        (None, Some(text)) => {
            let invalid = |error| format!("`body_base64` of its `response` is not base64: {error}");
            STANDARD.decode(text).map_err(invalid)?
        }
    };
    Ok(ReplyParts { status, content_type, body })
}

fn failure(error: Option<&str>, is_deferred: bool) -> String {
    match error.map(shortened) {
        Some(reason) if !reason.is_empty() => reason,
        _ if is_deferred => "not now".to_owned(),
        _ => "the worker reported a failure".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn answers_are_parsed() {
        let failed = |why: &str| AttemptExit::Failed(why.to_owned());
        let later = |seconds| HandlerDirectives {
            retry_after: Some(Duration::from_secs(seconds)),
            ..HandlerDirectives::default()
        };
        let dead = |reason: &str| HandlerDirectives { dead: Some(reason.into()), ..HandlerDirectives::default() };
        let note = |text: &str| HandlerDirectives { note: Some(text.into()), ..HandlerDirectives::default() };
        let silent = HandlerDirectives::default;
        for (line, exit, directives) in [
            (r#"{"id":7,"ok":true}"#, AttemptExit::Completed, silent()),
            (
                r#" {"ok":true, "id":7, "note":"sent 3 mails", "error":null} "#,
                AttemptExit::Completed,
                note("sent 3 mails"),
            ),
            (r#"{"id":7,"error":"no route"}"#, failed("no route"), silent()),
            (r#"{"id":7,"ok":false,"error":"no route"}"#, failed("no route"), silent()),
            (r#"{"id":7,"ok":false}"#, failed("the worker reported a failure"), silent()),
            (r#"{"id":7,"error":""}"#, failed("the worker reported a failure"), silent()),
            (r#"{"id":7,"retry_after":"5m"}"#, failed("not now"), later(300)),
            (r#"{"id":7,"retry_after":90,"error":"busy"}"#, failed("busy"), later(90)),
            (r#"{"id":7,"retry_after":"10years"}"#, failed("not now"), later(result_file::MAX_RETRY_AFTER.as_secs())),
            (r#"{"id":7,"dead":"no such user"}"#, failed("the worker reported a failure"), dead("no such user")),
            (r#"{"id":7,"dead":""}"#, failed("the worker reported a failure"), dead("no reason given")),
        ] {
            assert_eq!(parse(line.as_bytes(), 7), Ok(ParsedReply { exit, directives, response: None }), "{line}");
        }
    }

    #[test]
    fn responses_are_parsed() {
        let parts = |status, content_type: Option<&str>, body: &[u8]| ReplyParts {
            status,
            content_type: content_type.map(str::to_owned),
            body: body.to_vec(),
        };
        for (response, expected) in [
            ("{}", parts(None, None, b"")),
            (r#"{"body":"h\u00e9"}"#, parts(None, None, "hé".as_bytes())),
            (r#"{"body_base64":"/wAK"}"#, parts(None, None, b"\xff\x00\n")),
            (r#"{"status":201,"content_type":"a/b","body":null}"#, parts(Some(201), Some("a/b"), b"")),
        ] {
            let line = format!(r#"{{"id":7,"ok":true,"response":{response}}}"#);
            assert_eq!(parse(line.as_bytes(), 7).unwrap().response, Some(expected), "{line}");
        }
        assert_eq!(parse(br#"{"id":7,"ok":true,"response":null}"#, 7).unwrap().response, None);
    }

    #[test]
    fn invalid_answers_are_explained() {
        for (line, expected) in [
            ("", "is not a JSON object; hint: logs go to stderr"),
            ("handling job 7", "its answer `handling job 7` is not a JSON object"),
            ("[7]", "is not a JSON object"),
            (r#"{"id":7,"ok":true"#, "is invalid: EOF"),
            (r#"{"id":7,"ok":true} x"#, "is invalid: trailing"),
            (r#"{"id":7,"ok":true}{"id":7,"ok":true}"#, "is invalid: trailing"),
            (r#"{"id":7,"ok":true,"ok":true}"#, "duplicate field `ok`"),
            (r#"{"id":"7","ok":true}"#, "invalid type: string"),
            (r#"{"id":7.0,"ok":true}"#, "is invalid"),
            (r#"{"id":8,"ok":true}"#, "it answered for job 8 instead of job 7"),
            (r#"{"ok":true}"#, "has no `id`"),
            (r#"{"id":7}"#, "has none of `ok`, `error`, `retry_after`, `dead`"),
            (r#"{"id":7,"ok":"true"}"#, "invalid type: string"),
            (r#"{"id":7,"okay":true}"#, "unknown field `okay`"),
            (r#"{"id":7,"ok":true,"error":"x"}"#, "has both `ok` and"),
            (r#"{"id":7,"ok":true,"retry_after":1}"#, "has both `ok` and"),
            (r#"{"id":7,"retry_after":"soon"}"#, "its `retry_after` is not a duration"),
            (r#"{"id":7,"error":5}"#, "invalid type"),
            (r#"{"hookbox":1}"#, "unknown field `hookbox`"),
            (r#"{"id":7,"ok":true,"response":"hello"}"#, "invalid type: string"),
            (r#"{"id":7,"ok":true,"response":[200,"a/b","x",null]}"#, "is invalid"),
            (r#"{"id":7,"ok":true,"response":{"text":"x"}}"#, "unknown field `text`"),
            (r#"{"id":7,"ok":true,"response":{"status":"200"}}"#, "invalid type: string"),
            (r#"{"id":7,"ok":true,"response":{"status":-1}}"#, "is invalid"),
            (r#"{"id":7,"ok":true,"response":{"body_base64":"?"}}"#, "`body_base64` of its `response` is not base64"),
            (r#"{"id":7,"ok":true,"response":{"body":"","body_base64":""}}"#, "both `body` and `body_base64`"),
        ] {
            let why = parse(line.as_bytes(), 7).unwrap_err();
            assert!(why.contains(expected), "{line}: {why}");
        }
        assert!(parse(b"{\"id\":7,\"ok\":true,\"note\":\"\xff\"}", 7).unwrap_err().contains("not UTF-8"));
        let deep = "[".repeat(60_000);
        assert!(parse(format!("{{\"id\":7,\"retry_after\":{deep}").as_bytes(), 7).is_err());
        for long in [
            "x".repeat(60_000),
            format!(r#"{{"{}":1}}"#, "é".repeat(30_000)),
            format!(r#"{{"id":"{}"}}"#, "x".repeat(60_000)),
        ] {
            let why = parse(long.as_bytes(), 7).unwrap_err();
            assert!(why.len() < 600 && why.contains('…'), "{why}");
        }
    }

    fn is_done(line: &[u8]) -> bool {
        matches!(parse(line, 7), Ok(ParsedReply { exit: AttemptExit::Completed, .. }))
    }

    fn is_explicit_success(text: &str) -> bool {
        let object: Option<serde_json::Map<String, Value>> = serde_json::from_str(text).ok();
        object.is_some_and(|object| {
            let has_failed =
                ["error", "retry_after", "dead"].iter().any(|key| object.get(*key).is_some_and(|v| !v.is_null()));
            object.get("id").and_then(Value::as_i64) == Some(7)
                && object.get("ok") == Some(&Value::Bool(true))
                && !has_failed
        })
    }

    proptest::proptest! {
        #[test]
        fn noise_is_no_success(line in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            proptest::prop_assert!(!is_done(&line));
        }

        #[test]
        fn only_an_explicit_ok_is_a_success(
            line in r#"\{("id":(7|8|"7"|null|7e0),?|"ok":(true|false|1|null),?|"error":("x"|null),?|"note":"n",?|"dead":("d"|null),?|[a-z\\",:{}\[\]]){0,6}\}?"#
        ) {
            proptest::prop_assert!(!is_done(line.as_bytes()) || is_explicit_success(&line), "{}", line);
        }
    }
}
