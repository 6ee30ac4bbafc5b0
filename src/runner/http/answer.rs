//! The answer of a URL: its status and headers decide, and a part of its body is kept.
//!
//! At most [`MAX_KEPT_BYTES`] of the body are kept and [`MAX_READ_BYTES`] read. The recorded length is what was read, not
//! what was announced. Only a complete body becomes a response to the provider.

use std::io::Read;
use std::time::Duration;

use jiff::fmt::rfc2822;
use ureq::http::{HeaderMap, Response};
use ureq::{Body, Error};

use crate::model::response::{self, MAX_RESPONSE_BYTES};
use crate::retry::{AttemptExit, HandlerDirectives};
use crate::runner::attempt::{AttemptInput, AttemptOutput};
use crate::runner::output::CapturedOutput;
use crate::runner::reply::{ReplyParts, not_sent, quoted};
use crate::runner::result_file::MAX_RETRY_AFTER;
use crate::support::time::Millis;

const MAX_KEPT_BYTES: usize = MAX_RESPONSE_BYTES;
/// A connection whose answer is longer is closed.
const MAX_READ_BYTES: u64 = 1024 * 1024;
/// So that a URL is not asked again without a pause.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
/// How much of an answer is searched for its first line.
const FIRST_LINE_BYTES: usize = 800;

#[derive(Debug)]
enum BodyEnd {
    Complete,
    /// The read limit was reached.
    Unread,
    Broken(Error),
}

/// Reads the body and decides how the attempt ended.
pub(super) fn read(mut response: Response<Body>, attempt: &AttemptInput) -> AttemptOutput {
    let status = response.status().as_u16();
    let (body, end) = read_body(response.body_mut());
    let headers = response.headers();
    let is_success = (200..300).contains(&status);
    let mut notes = if is_success { Vec::new() } else { failure_notes(&response, &body) };
    let mut exit = AttemptExit::HttpStatus(status);
    match &end {
        BodyEnd::Broken(Error::Timeout(_)) => {
            notes.push(format!("answered {status}, but its answer did not end within the time limit"));
            exit = AttemptExit::TimedOut;
        }
        BodyEnd::Broken(error) => notes.push(format!("its answer broke off: {error}")),
        BodyEnd::Unread => notes.extend(unread_note(body.total, headers)),
        BodyEnd::Complete => {}
    }
    let retry_after = text(headers, "retry-after");
    let delay = retry_after.as_deref().and_then(|value| retry_delay(value, Millis::now()));
    if retry_after.is_some() && delay.is_none() && matches!(status, 429 | 503) {
        notes.push("its Retry-After is neither seconds nor a date; ignored".to_owned());
    }
    log::debug!("handler `{}` answered {status}", attempt.handler.name);
    let reply = match reply_parts(headers, &body, &end) {
        _ if attempt.handler.respond.is_none() || !is_success || exit == AttemptExit::TimedOut => None,
        Ok(parts) => ReplyParts { status: Some(status), ..parts }.into_response(&mut notes),
        Err(reason) => {
            notes.push(not_sent(&reason));
            None
        }
    };
    let directives = HandlerDirectives { retry_after: delay, ..HandlerDirectives::default() };
    AttemptOutput { directives, response: reply, notes, stdout: body, ..AttemptOutput::without_output(exit) }
}

fn failure_notes(response: &Response<Body>, body: &CapturedOutput) -> Vec<String> {
    let status = response.status();
    let answered = format!("answered {} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let detail = if status.is_redirection() {
        let to = text(response.headers(), "location").map(|url| format!(" to {}", quoted(&url))).unwrap_or_default();
        Some(format!("a redirect{to}, which is not followed; hint: set `url` to the final address"))
    } else {
        first_line(&body.kept)
    };
    std::iter::once(answered.trim_end().to_owned()).chain(detail).collect()
}

/// The response to the provider, or why the answer cannot be one.
fn reply_parts(headers: &HeaderMap, body: &CapturedOutput, end: &BodyEnd) -> Result<ReplyParts, String> {
    if body.total > MAX_RESPONSE_BYTES as u64 {
        return Err(response::too_long());
    }
    if !matches!(end, BodyEnd::Complete) {
        return Err("it is incomplete".to_owned());
    }
    let plain = [("content-encoding", "identity"), ("transfer-encoding", "chunked")];
    for (encoding, plain) in plain.into_iter().filter_map(|(name, plain)| Some((text(headers, name)?, plain))) {
        if !encoding.eq_ignore_ascii_case(plain) {
            return Err(format!("it is encoded as {}, which hookbox did not ask for", quoted(&encoding)));
        }
    }
    Ok(ReplyParts { status: None, content_type: text(headers, "content-type"), body: body.kept.clone() })
}

/// Returns the beginning of a body and how it ended.
fn read_body(body: &mut Body) -> (CapturedOutput, BodyEnd) {
    let mut reader = body.as_reader();
    let (mut kept, mut total, mut buffer) = (Vec::new(), 0, vec![0; 16 * 1024]);
    let end = loop {
        match reader.read(&mut buffer) {
            Ok(0) => break BodyEnd::Complete,
            Ok(read) => {
                let fitting = read.min(MAX_KEPT_BYTES - kept.len());
                kept.extend_from_slice(&buffer[..fitting]);
                total += read as u64;
                if total >= MAX_READ_BYTES {
                    break BodyEnd::Unread;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => break BodyEnd::Broken(Error::from(error)),
        }
    };
    (CapturedOutput { kept, total }, end)
}

/// `None` if the body was announced to be that long.
fn unread_note(read: u64, headers: &HeaderMap) -> Option<String> {
    let announced = text(headers, "content-length").and_then(|length| length.parse::<u64>().ok());
    let length = announced.map(|bytes| format!(" (Content-Length {bytes})")).unwrap_or_default();
    (announced != Some(read)).then(|| format!("its answer was cut after {read} bytes{length}"))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
}

/// Retry-After: seconds, or a date.
fn retry_delay(value: &str, now: Millis) -> Option<Duration> {
    let value = value.trim();
    let span = match value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        true => Duration::from_secs(value.parse().unwrap_or(u64::MAX)),
        false => {
            let at = rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(value).ok()?;
            Millis(at.as_millisecond()).since(now)
        }
    };
    Some(span.clamp(MIN_RETRY_AFTER, MAX_RETRY_AFTER))
}

/// The first non-empty line of an answer that is text.
fn first_line(answer: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(&answer[..answer.len().min(FIRST_LINE_BYTES)]);
    let text = text.or_else(|error| std::str::from_utf8(&answer[..error.valid_up_to()])).ok()?;
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    Some(quoted(line.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Millis(784_111_777_000);
        for (value, seconds) in [
            ("120", Some(120)),
            (" 5 ", Some(5)),
            ("0", Some(1)),
            ("99999999999999999999999", Some(MAX_RETRY_AFTER.as_secs())),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(1)),
            ("Sat, 05 Nov 1994 08:49:37 GMT", Some(1)),
            ("Sun, 06 Nov 2094 08:49:37 GMT", Some(MAX_RETRY_AFTER.as_secs())),
            ("soon", None),
            ("", None),
            ("-5", None),
            ("1.5", None),
        ] {
            assert_eq!(retry_delay(value, now).map(|span| span.as_secs()), seconds, "{value}");
        }
    }

    #[test]
    fn note_has_the_first_line_of_the_answer() {
        assert_eq!(first_line(b"\n no such user \nmore"), Some("no such user".to_owned()));
        assert_eq!(first_line(b""), None);
        assert_eq!(first_line(b"\x1b[31mred"), Some("\\u{1b}[31mred".to_owned()));
        assert_eq!(first_line("é".repeat(5000).as_bytes()).unwrap().chars().count(), 101);
        assert_eq!(first_line(b"ok\xff"), Some("ok".to_owned()));
    }
}
