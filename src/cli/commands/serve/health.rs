//! `health`: asks the running hookbox whether it can accept deliveries. For containers, monitors and tests.
//!
//! `--url` needs no configuration, which may have become invalid since hookbox read it. The exit status is 0 if hookbox
//! is ready, and 1 if it is not or does not respond in time.

use std::time::Duration;

use serde_json::Value;

use crate::cli::args::Global;
use crate::cli::client::{ClientRequest, ClientResponse, ServerAddress};
use crate::cli::failure::Failure;
use crate::cli::output::terminal::{print_line, shown};
use crate::config::AdminConfig;

const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(crate) struct HealthArgs {
    /// Admin address, such as http://127.0.0.1:8081; the configuration is then not read
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

pub(crate) fn run(args: &HealthArgs, global: &Global) -> Result<(), Failure> {
    let response = match &args.url {
        Some(url) => probe(url, "/readyz")?,
        None => {
            let hint = "`hookbox health --url http://127.0.0.1:8081` does not read the configuration";
            get(&global.summary_with_addresses().map_err(|failure| failure.hint(hint))?.admin, "/readyz")?
        }
    };
    if response.is_success() {
        return Ok(print_line("ready")?);
    }
    let json = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
    let reason = json.pointer("/reason").and_then(Value::as_str).unwrap_or("no reason given");
    Err(Failure::failed(format!("not ready ({response}): {}", shown(reason))))
}

fn probe(url: &str, target: &str) -> Result<ClientResponse, Failure> {
    check_scheme(url, "http://127.0.0.1:8081, the address in `admin.listen`")?;
    let server = ServerAddress::Url(url.trim_end_matches('/').to_owned());
    let request = ClientRequest { method: "GET", target, headers: Vec::new(), body: b"" };
    let hint = "is `hookbox serve` running with this `admin.listen`?";
    server.send(&request, TIMEOUT).map_err(|error| Failure::failed(error).hint(hint))
}

/// Rejects a `--url` without http:// or https://.
pub(crate) fn check_scheme(url: &str, example: &str) -> Result<(), Failure> {
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(());
    }
    let message = format!("`{}` does not start with http:// or https://", shown(url));
    Err(Failure::usage(message).hint(format!("for example --url {example}")))
}

/// Sends a GET request to the admin address, with the first token.
pub(crate) fn get(admin: &AdminConfig, target: &str) -> Result<ClientResponse, Failure> {
    let bearer = admin.tokens.first().map(|token| format!("Bearer {}", token.reveal()));
    let headers = bearer.iter().map(|bearer| ("Authorization", bearer.as_bytes())).collect();
    let request = ClientRequest { method: "GET", target, headers, body: b"" };
    let hint = "is `hookbox serve` running with this configuration? its address is `admin.listen`";
    ServerAddress::of(&admin.listen, false).send(&request, TIMEOUT).map_err(|error| Failure::failed(error).hint(hint))
}
