//! `send`: a test delivery, signed as the provider signs; shown, or sent to the server, or made badly on purpose.
//!
//! stdout has the answer, or with `--print` the exact body, ready for a handler's stdin; stderr tells the rest.
//! Tokens are shown as `***`.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use super::client::{Answer, Message, Server};
use super::failure::Failure;
use super::learn;
use super::terminal::{remark, shown};
use super::{Global, variable};
use crate::clock::Millis;
use crate::config::{self, Outline, Source};
use crate::inbox::desk::Desk;
use crate::provider::{self, Row, Scheme};
use crate::request::Request;
use crate::secret::{MASK, Secret};
use crate::verify::{self, Forgery, Genuine, Unsigned, Verifier};

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest body that a throw-away source takes.
const MAX_BODY: u64 = 512 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// NAME of [sources.NAME]; with --print also a provider's, signed with a throw-away secret
    source: String,
    /// The event's type, as hookbox would read it
    #[arg(long = "type", value_name = "TYPE")]
    event_type: String,
    /// The body: a file, or - for stdin; an example of what the provider sends unless given
    #[arg(long, value_name = "FILE")]
    data: Option<String>,
    /// Of the body; application/json unless given
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// The event's id; the body's own, or a fresh one, unless given
    #[arg(long)]
    id: Option<String>,
    /// Shows it instead: the exact body on stdout, the headers on stderr
    #[arg(long)]
    print: bool,
    /// Signs with a wrong secret
    #[arg(long, conflicts_with = "stale")]
    forge: bool,
    /// Signs with a time that is too old
    #[arg(long)]
    stale: bool,
    /// Sends it there instead of to `server.listen`
    #[arg(long, value_name = "URL", conflicts_with = "print")]
    url: Option<String>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let (source, server) = if args.print { (printable(args, global)?, None) } else { sendable(args, global)? };
    let unsigned = Unsigned {
        event_type: args.event_type.clone(),
        event_id: args.id.clone(),
        body: body(args, &source)?,
        content_type: args.content_type.clone(),
        forgery: match (args.forge, args.stale) {
            (true, _) => Forgery::WrongSignature,
            (_, true) => Forgery::Stale,
            _ => Forgery::None,
        },
        private_key: None,
    };
    let request = verify::sign(&source, &unsigned, Millis::now()).map_err(Failure::usage)?;
    match server {
        None => print(&source, &request),
        Some(server) => send(&source, &request, &server),
    }
}

/// The source as configured, and the server that takes its deliveries.
fn sendable(args: &Args, global: &Global) -> Result<(Arc<Source>, Option<Server>), Failure> {
    let outline = global.outline()?;
    let source = config::source(&global.config, &variable, &args.source)?;
    let source = source.ok_or_else(|| unknown(&args.source, &outline))?;
    let source = match Desk::open(&outline.inbox) {
        Ok(desk) => learn::taught(source, &desk)?,
        Err(_) => source,
    };
    let server = match &args.url {
        Some(url) if !url.starts_with("http://") => {
            return Err(Failure::usage(format!("`{}` does not begin with http://", shown(url)))
                .hint("deliveries are sent without TLS: give the address behind the proxy"));
        }
        Some(url) => Server::Url(url.clone()),
        None => Server::at(&outline.server),
    };
    Ok((source, Some(server)))
}

/// The source as configured, or else the provider's row; secrets that are not at hand are made up, nobody checks them.
fn printable(args: &Args, global: &Global) -> Result<Arc<Source>, Failure> {
    let environment = |name: &str| variable(name).or_else(|| Some(made_up()));
    let configured = config::source(&global.config, &environment, &args.source);
    match (configured, provider::find(&args.source)) {
        (Ok(Some(source)), _) => Ok(source),
        (_, Some(row)) => throw_away(&args.source, row),
        (Err(errors), None) => Err(errors.into()),
        (Ok(None), None) => Err(unknown(&args.source, &global.outline()?)),
    }
}

fn unknown(name: &str, outline: &Outline) -> Failure {
    Failure::usage(format!("there is no source `{}` in the configuration", shown(name)))
        .hint(format!("sources: {}", shown(&outline.sources.join(", "))))
}

/// 32 hexadecimal digits: well-formed in every encoding of secrets.
fn made_up() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn throw_away(name: &str, row: &Row) -> Result<Arc<Source>, Failure> {
    let wrong = |_| Failure::failed(format!("the row of provider `{name}` cannot be used"));
    let scheme = Scheme::from_row(row).map_err(wrong)?;
    Ok(Arc::new(Source {
        name: Arc::from(name),
        provider: name.to_owned(),
        path: format!("/hooks/{name}"),
        secrets: vec![Secret::new(format!(
            "{}{}",
            scheme.secret_prefixes.first().map_or("", String::as_str),
            made_up()
        ))],
        public_keys: Vec::new(),
        key_ids: Vec::new(),
        api_key: None,
        verify_token: None,
        topics: Vec::new(),
        confirm_subscriptions: false,
        keys_url: None,
        url: scheme.needs().url.then(|| format!("https://example.com/hooks/{name}")),
        max_body: MAX_BODY,
        guards: config::Guards::default(),
        scheme: Arc::new(scheme),
    }))
}

/// What was given, or an example of what the provider sends.
fn body(args: &Args, source: &Source) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match args.data.as_deref() {
        None => {
            let id = args.id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
            return Ok(provider::sample(&source.provider, &args.event_type, &id));
        }
        Some("-") => io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        Some(file) => fs::read(file),
    };
    let file = args.data.as_deref().unwrap_or_default();
    read.map_err(|error| Failure::usage(format!("--data {}: {error}", shown(file))))
}

fn print(source: &Source, request: &Request) -> Result<(), Failure> {
    let tokens = source.scheme.token_headers();
    remark(format!("{} {}", request.method, Verifier::new(source).target(request)));
    for (name, value) in request.headers.iter() {
        let is_token = tokens.iter().any(|token| token.eq_ignore_ascii_case(name));
        let value = if is_token { MASK.into() } else { String::from_utf8_lossy(value) };
        remark(format!("{}: {}", shown(name), shown(&value)));
    }
    let mut out = io::stdout().lock();
    out.write_all(&request.body)?;
    Ok(out.flush()?)
}

fn send(source: &Source, request: &Request, server: &Server) -> Result<(), Failure> {
    if let Ok(Genuine::Event(verified)) = Verifier::new(source).check(request, request.received_at) {
        for item in verified.items() {
            remark(format!("sending {} {}", shown(&item.event_type), shown(&item.event_id)));
        }
    }
    let hint = "is `hookbox serve` running? --url sends to another address";
    let answer = deliver(server, request).map_err(|error| Failure::failed(error).hint(hint))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{answer}\n{}", shown(answer.text().trim_end()))?;
    out.flush()?;
    if answer.is_success() { Ok(()) } else { Err(Failure::silent()) }
}

/// Sends a request as it is.
///
/// # Errors
/// Why there is no answer.
pub(super) fn deliver(server: &Server, request: &Request) -> Result<Answer, String> {
    let target = match &*request.query {
        "" => request.path.clone(),
        query => format!("{}?{query}", request.path),
    };
    let headers = request.headers.iter().collect();
    server.exchange(&Message { method: &request.method, target: &target, headers, body: &request.body }, PATIENCE)
}
