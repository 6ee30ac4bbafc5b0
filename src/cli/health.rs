//! `health`: asks the running hookbox whether it would take in a delivery now. For containers, monitors and tests.
//!
//! The admin address is asked, as it is configured. Exit status 0 is yes; no, and no answer in time, is 1.

use std::io::{self, Write as _};
use std::time::Duration;

use serde_json::Value;

use super::Global;
use super::client::{Answer, Message, Server};
use super::failure::Failure;
use super::terminal::shown;
use crate::config::Admin;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn run(global: &Global) -> Result<(), Failure> {
    let answer = ask(&global.outline()?.admin, "/readyz")?;
    if answer.is_success() {
        return Ok(writeln!(io::stdout(), "ready")?);
    }
    let json = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let why = json.pointer("/reason").and_then(Value::as_str).unwrap_or("it does not say why");
    Err(Failure::failed(format!("not ready ({answer}): {}", shown(why))))
}

/// What a probe is answered.
pub(super) fn ask(admin: &Admin, target: &str) -> Result<Answer, Failure> {
    let bearer = admin.tokens.first().map(|token| format!("Bearer {}", token.reveal()));
    let headers = bearer.iter().map(|bearer| ("Authorization", bearer.as_bytes())).collect();
    let message = Message { method: "GET", target, headers, body: b"" };
    let hint = "is `hookbox serve` running with this configuration? `admin.listen` is its address";
    Server::at(&admin.listen).exchange(&message, PATIENCE).map_err(|error| Failure::failed(error).hint(hint))
}
