//! `health`: asks the running hookbox whether it would take in a delivery now. For containers, monitors and tests.
//!
//! The admin address is asked, as it is configured or, without a look at the configuration, as `--url` says: it may have
//! been broken since the running hookbox read it. Exit status 0 is yes; no, and no answer in time, is 1.

use std::io::{self, Write as _};
use std::time::Duration;

use serde_json::Value;

use crate::cli::args::Global;
use crate::cli::client::{Answer, Message, Server};
use crate::cli::failure::Failure;
use crate::cli::output::terminal::shown;
use crate::config::AdminConfig;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Asks there, and reads no configuration: http://127.0.0.1:8081
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let answer = match &args.url {
        Some(url) => at(url, "/readyz")?,
        None => {
            let hint = "`hookbox health --url http://127.0.0.1:8081` asks without reading the configuration";
            ask(&global.addressed().map_err(|failure| failure.hint(hint))?.admin, "/readyz")?
        }
    };
    if answer.is_success() {
        return Ok(writeln!(io::stdout(), "ready")?);
    }
    let json = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let why = json.pointer("/reason").and_then(Value::as_str).unwrap_or("it does not say why");
    Err(Failure::failed(format!("not ready ({answer}): {}", shown(why))))
}

/// What a stranger's probe is answered at an address of the operator's.
fn at(url: &str, target: &str) -> Result<Answer, Failure> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Failure::usage(format!("`{}` begins neither with http:// nor with https://", shown(url)))
            .hint("for example --url http://127.0.0.1:8081, as `admin.listen` says"));
    }
    let server = Server::Url(url.trim_end_matches('/').to_owned());
    let message = Message { method: "GET", target, headers: Vec::new(), body: b"" };
    let hint = "is `hookbox serve` running, with this `admin.listen`?";
    server.exchange(&message, PATIENCE).map_err(|error| Failure::failed(error).hint(hint))
}

/// What a probe is answered.
pub(crate) fn ask(admin: &AdminConfig, target: &str) -> Result<Answer, Failure> {
    let bearer = admin.tokens.first().map(|token| format!("Bearer {}", token.reveal()));
    let headers = bearer.iter().map(|bearer| ("Authorization", bearer.as_bytes())).collect();
    let message = Message { method: "GET", target, headers, body: b"" };
    let hint = "is `hookbox serve` running with this configuration? `admin.listen` is its address";
    Server::at(&admin.listen).exchange(&message, PATIENCE).map_err(|error| Failure::failed(error).hint(hint))
}
