//! `health`: asks the running hookbox whether it would take in a delivery now. For containers, monitors and tests.

use std::io::{self, Write as _};
use std::time::Duration;

use serde_json::Value;

use super::Global;
use super::client::{Message, Server};
use super::failure::Failure;
use super::terminal::shown;
use crate::config::Listen;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn run(global: &Global) -> Result<(), Failure> {
    let (status, answer) = ask(&global.outline()?.admin, "/readyz")?;
    if (200..300).contains(&status) {
        return Ok(writeln!(io::stdout(), "ready")?);
    }
    let why = answer.pointer("/reason").and_then(Value::as_str).unwrap_or("it does not say why");
    Err(Failure::failed(format!("not ready ({status}): {}", shown(why))))
}

/// Status and JSON of a probe.
pub(super) fn ask(admin: &Listen, target: &str) -> Result<(u16, Value), Failure> {
    let message = Message { method: "GET", target, headers: Vec::new(), body: b"" };
    let answer = Server::at(admin).exchange(&message, PATIENCE).map_err(|error| {
        Failure::failed(error).hint("is `hookbox serve` running with this configuration? `admin.listen` is its address")
    })?;
    Ok((answer.status, serde_json::from_slice(&answer.body).unwrap_or_default()))
}
