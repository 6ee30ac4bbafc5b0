//! A worker's answer: one line of JSON with the job's id, how it went, and what the provider is to hear.
//!
//! Bytes go in, an ending goes out, or what is wrong with the line in words for whoever wrote the worker. Strict: what
//! is not understood is never a success. The same pauses, reasons and notes as in a result file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::reply::ReplyParts;
use super::super::result_file::{MAX_RETRY_AFTER, duration, shortened};
use crate::retry::{AttemptExit, HandlerDirectives};

/// How much of a line that is not understood is shown.
const SHOWN_BYTES: usize = 120;

/// How much of what is wrong with it is told.
const WHY_BYTES: usize = 240;

/// `null` is as good as nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    id: Option<i64>,
    ok: Option<bool>,
    error: Option<String>,
    retry_after: Option<Value>,
    dead: Option<String>,
    note: Option<String>,
    response: Option<Map<String, Value>>,
}

/// For the provider.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    status: Option<u16>,
    content_type: Option<String>,
    body: Option<String>,
    body_base64: Option<String>,
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) exit: AttemptExit,
    pub(super) said: HandlerDirectives,
    pub(super) words: Option<ReplyParts>,
}

/// How the job ended, by the line that answers it (its newline not included).
///
/// # Errors
/// What is wrong with the line.
pub(super) fn read(line: &[u8], id: i64) -> Result<Answer, String> {
    let text = std::str::from_utf8(line).map_err(|_| "its answer is not UTF-8".to_owned())?;
    let quoted = || {
        let end = text.floor_char_boundary(SHOWN_BYTES);
        format!("`{}`{}", text[..end].escape_debug(), if end < text.len() { "…" } else { "" })
    };
    if !text.trim_start().starts_with('{') {
        return Err(format!("its answer {} is no JSON object; hint: logs go to stderr", quoted()));
    }
    let misunderstood = |error: serde_json::Error| {
        // It names what it found there, however long.
        let (line, column, mut why) = (error.line(), error.column(), error.to_string());
        if why.len() > WHY_BYTES {
            why.truncate(why.floor_char_boundary(WHY_BYTES));
            why = format!("{why}… at line {line} column {column}");
        }
        format!("its answer {} is not understood: {why}", quoted())
    };
    let reply: Reply = serde_json::from_str(text).map_err(misunderstood)?;
    match reply.id {
        Some(answered) if answered == id => {}
        Some(other) => return Err(format!("it answered for job {other}, and was given job {id}")),
        None => return Err(format!("its answer {} has no `id`", quoted())),
    }
    ending(reply)
}

fn ending(reply: Reply) -> Result<Answer, String> {
    let Reply { ok, error, retry_after, dead, note, response, .. } = reply;
    let words = response.map(words).transpose()?;
    let pause = match &retry_after {
        Some(value) => match duration(value) {
            Some(pause) => Some(pause.min(MAX_RETRY_AFTER)),
            None => return Err("its `retry_after` is not a duration such as \"5m\"".to_owned()),
        },
        None => None,
    };
    let has_failed = error.is_some() || pause.is_some() || dead.is_some();
    let exit = match (ok, has_failed) {
        (Some(true), true) => {
            return Err("its answer says `ok` and `error`, `retry_after` or `dead` at once".to_owned());
        }
        (Some(true), false) => AttemptExit::Completed,
        (None, false) => return Err("its answer has none of `ok`, `error`, `retry_after`, `dead`".to_owned()),
        _ => AttemptExit::Failed(failure(error.as_deref(), pause.is_some())),
    };
    let dead = dead.map(|reason| shortened(&reason)).map(|reason| match reason.as_str() {
        "" => "no reason given".to_owned(),
        _ => reason,
    });
    let note = note.map(|words| shortened(&words)).filter(|words| !words.is_empty());
    Ok(Answer {
        exit,
        said: HandlerDirectives { retry_after: pause, dead, note, ..HandlerDirectives::default() },
        words,
    })
}

fn words(response: Map<String, Value>) -> Result<ReplyParts, String> {
    let wrong = |error| format!("its `response` is not understood: {error}");
    let Response { status, content_type, body, body_base64 } =
        serde_json::from_value(Value::Object(response)).map_err(wrong)?;
    let body = match (body, body_base64) {
        (Some(_), Some(_)) => return Err("its `response` has both `body` and `body_base64`".to_owned()),
        (body, None) => body.unwrap_or_default().into_bytes(),
        (None, Some(text)) => {
            let no_base64 = |error| format!("`body_base64` of its `response` is no base64: {error}");
            STANDARD.decode(text).map_err(no_base64)?
        }
    };
    Ok(ReplyParts { status, content_type, body })
}

fn failure(error: Option<&str>, asks_for_later: bool) -> String {
    match error.map(shortened) {
        Some(words) if !words.is_empty() => words,
        _ if asks_for_later => "not now".to_owned(),
        _ => "the worker said that it failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_is_understood() {
        let failed = |why: &str| AttemptExit::Failed(why.to_owned());
        let later = |seconds| HandlerDirectives {
            retry_after: Some(Duration::from_secs(seconds)),
            ..HandlerDirectives::default()
        };
        let dead = |reason: &str| HandlerDirectives { dead: Some(reason.into()), ..HandlerDirectives::default() };
        let note = |words: &str| HandlerDirectives { note: Some(words.into()), ..HandlerDirectives::default() };
        let silent = HandlerDirectives::default;
        for (line, exit, said) in [
            (r#"{"id":7,"ok":true}"#, AttemptExit::Completed, silent()),
            (
                r#" {"ok":true, "id":7, "note":"sent 3 mails", "error":null} "#,
                AttemptExit::Completed,
                note("sent 3 mails"),
            ),
            (r#"{"id":7,"error":"no route"}"#, failed("no route"), silent()),
            (r#"{"id":7,"ok":false,"error":"no route"}"#, failed("no route"), silent()),
            (r#"{"id":7,"ok":false}"#, failed("the worker said that it failed"), silent()),
            (r#"{"id":7,"error":""}"#, failed("the worker said that it failed"), silent()),
            (r#"{"id":7,"retry_after":"5m"}"#, failed("not now"), later(300)),
            (r#"{"id":7,"retry_after":90,"error":"busy"}"#, failed("busy"), later(90)),
            (r#"{"id":7,"retry_after":"10years"}"#, failed("not now"), later(MAX_RETRY_AFTER.as_secs())),
            (r#"{"id":7,"dead":"no such user"}"#, failed("the worker said that it failed"), dead("no such user")),
            (r#"{"id":7,"dead":""}"#, failed("the worker said that it failed"), dead("no reason given")),
        ] {
            assert_eq!(read(line.as_bytes(), 7), Ok(Answer { exit, said, words: None }), "{line}");
        }
    }

    #[test]
    fn what_the_provider_is_to_hear_is_understood() {
        let words = |status, content_type: Option<&str>, body: &[u8]| ReplyParts {
            status,
            content_type: content_type.map(str::to_owned),
            body: body.to_vec(),
        };
        for (response, expected) in [
            ("{}", words(None, None, b"")),
            (r#"{"body":"h\u00e9"}"#, words(None, None, "hé".as_bytes())),
            (r#"{"body_base64":"/wAK"}"#, words(None, None, b"\xff\x00\n")),
            (r#"{"status":201,"content_type":"a/b","body":null}"#, words(Some(201), Some("a/b"), b"")),
        ] {
            let line = format!(r#"{{"id":7,"ok":true,"response":{response}}}"#);
            assert_eq!(read(line.as_bytes(), 7).unwrap().words, Some(expected), "{line}");
        }
        assert_eq!(read(br#"{"id":7,"ok":true,"response":null}"#, 7).unwrap().words, None);
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_told() {
        for (line, expected) in [
            ("", "is no JSON object; hint: logs go to stderr"),
            ("handling job 7", "its answer `handling job 7` is no JSON object"),
            ("[7]", "is no JSON object"),
            (r#"{"id":7,"ok":true"#, "is not understood: EOF"),
            (r#"{"id":7,"ok":true} x"#, "is not understood: trailing"),
            (r#"{"id":7,"ok":true}{"id":7,"ok":true}"#, "is not understood: trailing"),
            (r#"{"id":7,"ok":true,"ok":true}"#, "duplicate field `ok`"),
            (r#"{"id":"7","ok":true}"#, "invalid type: string"),
            (r#"{"id":7.0,"ok":true}"#, "is not understood"),
            (r#"{"id":8,"ok":true}"#, "it answered for job 8, and was given job 7"),
            (r#"{"ok":true}"#, "has no `id`"),
            (r#"{"id":7}"#, "has none of `ok`, `error`, `retry_after`, `dead`"),
            (r#"{"id":7,"ok":"true"}"#, "invalid type: string"),
            (r#"{"id":7,"okay":true}"#, "unknown field `okay`"),
            (r#"{"id":7,"ok":true,"error":"x"}"#, "says `ok` and `error`"),
            (r#"{"id":7,"ok":true,"retry_after":1}"#, "says `ok` and"),
            (r#"{"id":7,"retry_after":"soon"}"#, "its `retry_after` is not a duration"),
            (r#"{"id":7,"error":5}"#, "invalid type"),
            (r#"{"hookbox":1}"#, "unknown field `hookbox`"),
            (r#"{"id":7,"ok":true,"response":"hello"}"#, "invalid type: string"),
            (r#"{"id":7,"ok":true,"response":[200,"a/b","x",null]}"#, "is not understood"),
            (r#"{"id":7,"ok":true,"response":{"text":"x"}}"#, "unknown field `text`"),
            (r#"{"id":7,"ok":true,"response":{"status":"200"}}"#, "invalid type: string"),
            (r#"{"id":7,"ok":true,"response":{"status":-1}}"#, "is not understood"),
            (r#"{"id":7,"ok":true,"response":{"body_base64":"?"}}"#, "`body_base64` of its `response` is no base64"),
            (r#"{"id":7,"ok":true,"response":{"body":"","body_base64":""}}"#, "both `body` and `body_base64`"),
        ] {
            let why = read(line.as_bytes(), 7).unwrap_err();
            assert!(why.contains(expected), "{line}: {why}");
        }
        assert!(read(b"{\"id\":7,\"ok\":true,\"note\":\"\xff\"}", 7).unwrap_err().contains("not UTF-8"));
        let deep = "[".repeat(60_000);
        assert!(read(format!("{{\"id\":7,\"retry_after\":{deep}").as_bytes(), 7).is_err());
        for long in [
            "x".repeat(60_000),
            format!(r#"{{"{}":1}}"#, "é".repeat(30_000)),
            format!(r#"{{"id":"{}"}}"#, "x".repeat(60_000)),
        ] {
            let why = read(long.as_bytes(), 7).unwrap_err();
            assert!(why.len() < 600 && why.contains('…'), "{why}");
        }
    }

    fn is_done(line: &[u8]) -> bool {
        matches!(read(line, 7), Ok(Answer { exit: AttemptExit::Completed, .. }))
    }

    fn is_plain_success(text: &str) -> bool {
        let object: Option<serde_json::Map<String, Value>> = serde_json::from_str(text).ok();
        object.is_some_and(|object| {
            let says_no =
                ["error", "retry_after", "dead"].iter().any(|key| object.get(*key).is_some_and(|v| !v.is_null()));
            object.get("id").and_then(Value::as_i64) == Some(7)
                && object.get("ok") == Some(&Value::Bool(true))
                && !says_no
        })
    }

    proptest::proptest! {
        #[test]
        fn noise_is_no_success(line in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            proptest::prop_assert!(!is_done(&line));
        }

        #[test]
        fn only_what_plainly_says_so_is_a_success(
            line in r#"\{("id":(7|8|"7"|null|7e0),?|"ok":(true|false|1|null),?|"error":("x"|null),?|"note":"n",?|"dead":("d"|null),?|[a-z\\",:{}\[\]]){0,6}\}?"#
        ) {
            proptest::prop_assert!(!is_done(line.as_bytes()) || is_plain_success(&line), "{}", line);
        }
    }
}
