//! One attempt with a URL: the body is sent by POST, and the status of the answer is how the attempt ended.
//!
//! An attempt comes in, how it ended goes out. Promises: a skip or a shutdown ends a request at once; a kept connection
//! that had died does not cost an attempt. What an answer means is [`answer`]'s to say.

mod answer;
mod client;
mod request;
mod transport;

use ureq::http::Response;
use ureq::{Body, Error, Timeout};

use super::cancel::{CancelToken, StopReason};
use super::{AttemptInput, Run};
use crate::config::HttpTarget;
use crate::retry::AttemptExit;
use crate::support::time::Millis;

use client::Client;
pub(super) use client::Clients;
use request::Headers;

/// Sends the event and reads the answer.
pub(super) fn run(clients: &Clients, attempt: &AttemptInput, http: &HttpTarget, cancel: &CancelToken) -> Run {
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
        Ok(response) => answer::understood(response, attempt),
        Err(error) => failed(&error, attempt, http),
    };
    if let Some(why) = cancel.why().filter(|_| !matches!(run.exit, AttemptExit::HttpStatus(_))) {
        run = Run::without_output(StopReason::exit(why));
    }
    run.notes.extend(headers.left_out);
    clients.give(client);
    run
}

fn send(
    client: &Client,
    attempt: &AttemptInput,
    http: &HttpTarget,
    headers: &Headers,
    (cancel, wants_fresh): (&CancelToken, bool),
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

fn failed(error: &Error, attempt: &AttemptInput, http: &HttpTarget) -> Run {
    let limit = humantime::format_duration(http.connect_timeout);
    let exit = match error {
        Error::Timeout(Timeout::Connect | Timeout::Resolve) if http.connect_timeout < attempt.handler.timeout => {
            AttemptExit::Failed(format!("no connection to {} within {limit}", http.shown()))
        }
        Error::Timeout(_) => AttemptExit::TimedOut,
        Error::HostNotFound => AttemptExit::Failed(format!("no connection to {}: there is no such host", http.shown())),
        error => AttemptExit::Failed(format!("{}: {}", http.shown(), told(error))),
    };
    let mut run = Run::without_output(exit);
    if let AttemptExit::Failed(why) = &run.exit {
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
