//! HTTP mode: posts the body to the URL. The status of the answer decides.
//!
//! A skip or a shutdown ends a running request. A kept connection that has died does not cost an attempt.

mod answer;
mod client;
mod request;
mod transport;

use ureq::http::Response;
use ureq::{Body, Error, Timeout};

use super::attempt::{AttemptInput, AttemptOutput};
use super::cancel::{CancelToken, StopReason};
use crate::config::HttpTarget;
use crate::retry::AttemptExit;
use crate::support::time::Millis;

use client::HttpClient;
pub(super) use client::HttpClients;
use request::RequestHeaders;

/// Sends the event and reads the answer.
pub(super) fn run(
    clients: &HttpClients,
    attempt: &AttemptInput,
    http: &HttpTarget,
    cancel: &CancelToken,
) -> AttemptOutput {
    let client = clients.take();
    let headers = request::headers(attempt, http, Millis::now());
    client.request.set(|state| (state.cancel, state.requires_fresh) = (Some(cancel.clone()), false));
    let mut sent = send(&client, attempt, http, &headers);
    let state = client.request.state();
    // The server had closed a kept connection. If it had seen the request, `webhook-id` makes the second one harmless.
    if matches!(sent, Err(Error::Io(_) | Error::Protocol(_))) && state.is_reused && !state.has_answer {
        log::debug!("handler `{}`: request sent again, since a kept connection was dead", attempt.handler.name);
        client.request.set(|state| state.requires_fresh = true);
        sent = send(&client, attempt, http, &headers);
    }
    let mut output = match sent {
        Ok(response) => answer::read(response, attempt),
        Err(error) => failed(&error, attempt, http),
    };
    if let Some(reason) = cancel.reason().filter(|_| !matches!(output.exit, AttemptExit::HttpStatus(_))) {
        output = AttemptOutput::without_output(StopReason::exit(reason));
    }
    output.notes.extend(headers.omitted);
    clients.give_back(client);
    output
}

fn send(
    client: &HttpClient,
    attempt: &AttemptInput,
    http: &HttpTarget,
    headers: &RequestHeaders,
) -> Result<Response<Body>, Error> {
    client.request.set(|state| (state.is_reused, state.has_answer) = (false, false));
    let mut request = client.agent.post(&http.url);
    for (name, value) in &headers.fields {
        request = request.header(name, value);
    }
    let response = request.send(&attempt.body[..])?;
    client.request.set(|state| state.requires_fresh = false);
    Ok(response)
}

fn failed(error: &Error, attempt: &AttemptInput, http: &HttpTarget) -> AttemptOutput {
    let limit = humantime::format_duration(http.connect_timeout);
    let exit = match error {
        Error::Timeout(Timeout::Connect | Timeout::Resolve) if http.connect_timeout < attempt.handler.timeout => {
            AttemptExit::Failed(format!("no connection to {} within {limit}", http.shown()))
        }
        Error::Timeout(_) => AttemptExit::TimedOut,
        Error::HostNotFound => AttemptExit::Failed(format!("no connection to {}: host not found", http.shown())),
        error => AttemptExit::Failed(format!("{}: {}", http.shown(), explain(error))),
    };
    let mut output = AttemptOutput::without_output(exit);
    if let AttemptExit::Failed(reason) = &output.exit {
        output.notes.push(reason.clone());
    }
    output
}

fn explain(error: &Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().trim_start_matches("io: ");
    match text.contains("certificate") {
        true => format!("{text}; hint: `ca_file` names certificates to trust in addition to those of the system"),
        false => text.to_owned(),
    }
}
