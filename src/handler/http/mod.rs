//! One attempt with a URL: the body is sent by POST, and the status of the answer is how the attempt ended.
//!
//! An attempt comes in, how it ended goes out. Promises: no more than [`MAX_KEPT_BYTES`] of an answer are kept, and of
//! one without end no more than [`MAX_READ_BYTES`] read; a skip or a shutdown ends a request at once; a kept connection
//! that had died does not cost an attempt.

mod client;
mod request;
mod transport;

use std::io::Read;
use std::time::Duration;

use jiff::fmt::rfc2822;
use ureq::http::Response;
use ureq::{Body, Error, Timeout};

use super::cancel::{Cancel, Why};
use super::result::MAX_RETRY_AFTER;
use super::{Attempt, Captured, Run};
use crate::clock::Millis;
use crate::config::Http;
use crate::outcome::{Exit, Said};

use client::Client;
pub(super) use client::Clients;
use request::Headers;

/// What is kept of an answer.
const MAX_KEPT_BYTES: usize = 64 * 1024;
/// What is read of it; a connection with more is closed.
const MAX_READ_BYTES: usize = 1024 * 1024;
/// So that nobody is asked again and again without a pause.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
/// How much of an answer stands in the note.
const MAX_QUOTED_BYTES: usize = 200;

/// Sends the event and reads the answer.
pub(super) fn run(clients: &Clients, attempt: &Attempt, http: &Http, cancel: &Cancel) -> Run {
    let client = clients.take();
    let headers = request::headers(attempt, http, Millis::now());
    let mut sent = send(&client, attempt, http, &headers, (cancel, false));
    let state = client.under_way.state();
    // The server had closed a connection that was kept; the key in `webhook-id` makes a second request harmless even
    // where it had seen the first.
    if matches!(sent, Err(Error::Io(_) | Error::Protocol(_))) && state.is_reused && !state.has_heard {
        log::debug!("handler `{}`: a kept connection was dead; sent again on a fresh one", attempt.handler.name);
        sent = send(&client, attempt, http, &headers, (cancel, true));
    }
    let mut run = match sent {
        Ok(response) => answered(response, attempt),
        Err(error) => failed(&error, attempt, http),
    };
    if let Some(why) = cancel.why().filter(|_| !matches!(run.exit, Exit::Answered(_))) {
        run = Run::without_output(Why::exit(why));
    }
    run.notes.extend(headers.left_out);
    clients.give(client);
    run
}

fn send(
    client: &Client,
    attempt: &Attempt,
    http: &Http,
    headers: &Headers,
    (cancel, wants_fresh): (&Cancel, bool),
) -> Result<Response<Body>, Error> {
    client.under_way.set(|state| {
        state.cancel = Some(cancel.clone());
        (state.wants_fresh, state.is_reused, state.has_heard) = (wants_fresh, false, false);
    });
    let mut request = client.agent.post(&http.url);
    for (name, value) in &headers.fields {
        request = request.header(name, value);
    }
    let response = request.send(&attempt.body[..])?;
    client.under_way.set(|state| state.wants_fresh = false);
    Ok(response)
}

fn answered(mut response: Response<Body>, attempt: &Attempt) -> Run {
    let status = response.status().as_u16();
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (retry_after, location) = (text("retry-after"), text("location"));
    let announced = text("content-length").and_then(|length| length.parse::<u64>().ok());
    let (answer, trouble) = read(response.body_mut());
    let mut notes = Vec::new();
    let reason = response.status().canonical_reason().unwrap_or_default();
    if !(200..300).contains(&status) {
        notes.push(format!("answered {status} {reason}").trim_end().to_owned());
    }
    if (300..400).contains(&status) {
        let to = location.map(|place| format!(" to {}", shortened(&place))).unwrap_or_default();
        notes.push(format!("a redirect{to}, which is not followed; hint: `url` should name the right address"));
    } else if !(200..300).contains(&status) {
        notes.extend(first_line(&answer.kept));
    }
    let mut exit = Exit::Answered(status);
    match trouble {
        Some(Error::Timeout(_)) => {
            notes.push(format!("answered {status}, but its answer did not end within the time limit"));
            exit = Exit::TimedOut;
        }
        Some(error) => notes.push(format!("its answer broke off: {error}")),
        None => {}
    }
    let pause = retry_after.as_deref().and_then(|value| pause(value, Millis::now()));
    if retry_after.is_some() && pause.is_none() && matches!(status, 429 | 503) {
        notes.push("its Retry-After is neither seconds nor a date; ignored".to_owned());
    }
    log::debug!("handler `{}` answered {status}", attempt.handler.name);
    let said = Said { retry_after: pause, ..Said::default() };
    let total = announced.unwrap_or(0).max(answer.total);
    Run { said, notes, stdout: Captured { total, ..answer }, ..Run::without_output(exit) }
}

/// The beginning of an answer, and why there is no more of it.
fn read(body: &mut Body) -> (Captured, Option<Error>) {
    let mut reader = body.as_reader();
    let (mut kept, mut total, mut buffer) = (Vec::new(), 0, vec![0; 16 * 1024]);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return (Captured { kept, total }, None),
            Ok(read) => {
                let fitting = read.min(MAX_KEPT_BYTES - kept.len());
                kept.extend_from_slice(&buffer[..fitting]);
                total += read as u64;
                if total >= MAX_READ_BYTES as u64 {
                    return (Captured { kept, total }, None);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return (Captured { kept, total }, Some(Error::from(error))),
        }
    }
}

fn failed(error: &Error, attempt: &Attempt, http: &Http) -> Run {
    let limit = humantime::format_duration(http.connect_timeout);
    let exit = match error {
        Error::Timeout(Timeout::Connect | Timeout::Resolve) if http.connect_timeout < attempt.handler.timeout => {
            Exit::Failed(format!("no connection to {} within {limit}", http.shown()))
        }
        Error::Timeout(_) => Exit::TimedOut,
        Error::HostNotFound => Exit::Failed(format!("no connection to {}: there is no such host", http.shown())),
        error => Exit::Failed(format!("{}: {}", http.shown(), told(error))),
    };
    let mut run = Run::without_output(exit);
    if let Exit::Failed(why) = &run.exit {
        run.notes.push(why.clone());
    }
    run
}

fn told(error: &Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().trim_start_matches("io: ");
    match text.contains("certificate") {
        true => format!("{text}; hint: `ca_file` names certificates to believe beside those of the system"),
        false => text.to_owned(),
    }
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
