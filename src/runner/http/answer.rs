//! The answer of an endpoint: what its status and its headers mean for the attempt, and what is kept of its body.
//!
//! A response whose head has come goes in, how the attempt ended goes out, with what the endpoint has to say to the
//! provider where the handler responds. Promises: no more than [`MAX_KEPT_BYTES`] of a body are kept, and of one without
//! end no more than [`MAX_READ_BYTES`] read; what is told as its length is what was read, whatever was announced; and
//! only a whole body is passed on.

use std::io::Read;
use std::time::Duration;

use jiff::fmt::rfc2822;
use ureq::http::{HeaderMap, Response};
use ureq::{Body, Error};

use super::super::reply::{ReplyParts, plainly};
use super::super::result_file::MAX_RETRY_AFTER;
use super::super::{AttemptInput, CapturedOutput, Run};
use crate::model::response::{self, MAX_RESPONSE_BYTES};
use crate::retry::{AttemptExit, HandlerDirectives};
use crate::support::time::Millis;

/// What is kept of an answer.
const MAX_KEPT_BYTES: usize = MAX_RESPONSE_BYTES;
/// What is read of it; a connection with more is closed.
const MAX_READ_BYTES: u64 = 1024 * 1024;
/// So that nobody is asked again and again without a pause.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
/// How much of an answer stands in the note.
const MAX_QUOTED_BYTES: usize = 200;

/// How a body ended.
#[derive(Debug)]
enum End {
    Whole,
    /// There may be more than was read.
    Left,
    Broken(Error),
}

/// Reads the body, and says how the attempt ended.
pub(super) fn understood(mut response: Response<Body>, attempt: &AttemptInput) -> Run {
    let status = response.status().as_u16();
    let (answer, end) = read(response.body_mut());
    let headers = response.headers();
    let mut notes = Vec::new();
    let is_success = (200..300).contains(&status);
    if !is_success {
        let reason = response.status().canonical_reason().unwrap_or_default();
        notes.push(format!("answered {status} {reason}").trim_end().to_owned());
    }
    if (300..400).contains(&status) {
        let to = text(headers, "location").map(|place| format!(" to {}", shortened(&place))).unwrap_or_default();
        notes.push(format!("a redirect{to}, which is not followed; hint: `url` should name the right address"));
    } else if !is_success {
        notes.extend(first_line(&answer.kept));
    }
    let mut exit = AttemptExit::HttpStatus(status);
    match &end {
        End::Broken(Error::Timeout(_)) => {
            notes.push(format!("answered {status}, but its answer did not end within the time limit"));
            exit = AttemptExit::TimedOut;
        }
        End::Broken(error) => notes.push(format!("its answer broke off: {error}")),
        End::Left => notes.extend(left_unread(answer.total, headers)),
        End::Whole => {}
    }
    let pause = text(headers, "retry-after");
    let retry_after = pause.as_deref().and_then(|value| self::pause(value, Millis::now()));
    if pause.is_some() && retry_after.is_none() && matches!(status, 429 | 503) {
        notes.push("its Retry-After is neither seconds nor a date; ignored".to_owned());
    }
    log::debug!("handler `{}` answered {status}", attempt.handler.name);
    let response = match words(headers, &answer, &end) {
        _ if attempt.handler.respond.is_none() || !is_success || exit == AttemptExit::TimedOut => None,
        Ok(words) => ReplyParts { status: Some(status), ..words }.sendable(&mut notes),
        Err(why) => {
            notes.push(plainly(&why));
            None
        }
    };
    let said = HandlerDirectives { retry_after, ..HandlerDirectives::default() };
    Run { said, response, notes, stdout: answer, ..Run::without_output(exit) }
}

/// What a provider could hear; the error is why it cannot.
fn words(headers: &HeaderMap, answer: &CapturedOutput, end: &End) -> Result<ReplyParts, String> {
    if answer.total > MAX_RESPONSE_BYTES as u64 {
        return Err(response::too_long());
    }
    if !matches!(end, End::Whole) {
        return Err("it is not whole".to_owned());
    }
    let plain = [("content-encoding", "identity"), ("transfer-encoding", "chunked")];
    for (encoding, plain) in plain.into_iter().filter_map(|(name, plain)| Some((text(headers, name)?, plain))) {
        if !encoding.eq_ignore_ascii_case(plain) {
            return Err(format!("it is encoded as {}, which was not asked for", shortened(&encoding)));
        }
    }
    Ok(ReplyParts { status: None, content_type: text(headers, "content-type"), body: answer.kept.clone() })
}

/// The beginning of a body, and how much was read.
fn read(body: &mut Body) -> (CapturedOutput, End) {
    let mut reader = body.as_reader();
    let (mut kept, mut total, mut buffer) = (Vec::new(), 0, vec![0; 16 * 1024]);
    let end = loop {
        match reader.read(&mut buffer) {
            Ok(0) => break End::Whole,
            Ok(read) => {
                let fitting = read.min(MAX_KEPT_BYTES - kept.len());
                kept.extend_from_slice(&buffer[..fitting]);
                total += read as u64;
                if total >= MAX_READ_BYTES {
                    break End::Left;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => break End::Broken(Error::from(error)),
        }
    };
    (CapturedOutput { kept, total }, end)
}

/// `None` when that was all.
fn left_unread(read: u64, headers: &HeaderMap) -> Option<String> {
    let announced = text(headers, "content-length").and_then(|length| length.parse::<u64>().ok());
    let of = announced.map(|bytes| format!(" of the {bytes} that it announced")).unwrap_or_default();
    (announced != Some(read)).then(|| format!("its answer was read no further than {read} bytes{of}"))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
}

/// Retry-After: seconds, or a date.
fn pause(value: &str, now: Millis) -> Option<Duration> {
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

/// The first line of an answer that is text.
fn first_line(answer: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(&answer[..answer.len().min(4 * MAX_QUOTED_BYTES)]);
    let text = text.or_else(|error| std::str::from_utf8(&answer[..error.valid_up_to()])).ok()?;
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    Some(shortened(line.trim()))
}

fn shortened(text: &str) -> String {
    let shown = &text[..text.floor_char_boundary(MAX_QUOTED_BYTES)];
    format!("{}{}", shown.escape_debug(), if shown.len() < text.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_date() {
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
            assert_eq!(pause(value, now).map(|span| span.as_secs()), seconds, "{value}");
        }
    }

    #[test]
    fn the_note_has_the_first_line_of_an_answer() {
        assert_eq!(first_line(b"\n no such user \nmore"), Some("no such user".to_owned()));
        assert_eq!(first_line(b""), None);
        assert_eq!(first_line(b"\x1b[31mred"), Some("\\u{1b}[31mred".to_owned()));
        assert_eq!(first_line("é".repeat(5000).as_bytes()).unwrap().chars().count(), 101);
        assert_eq!(first_line(b"ok\xff"), Some("ok".to_owned()));
    }
}
