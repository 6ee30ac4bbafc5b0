//! `send`: a test delivery, signed as the provider signs; shown, or sent to the server, or made badly on purpose.
//!
//! stdout has the answer, or with `--print` the exact body, ready for a handler's stdin; stderr tells the rest.
//! Tokens are shown as `***`.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::args::{Global, variable};
use crate::cli::client::{Answer, Message, Server};
use crate::cli::commands::setup::learn;
use crate::cli::failure::Failure;
use crate::cli::output::terminal::{remark, shown};
use crate::config::{self, ConfigSummary, Source};
use crate::inbox::operator::InboxFile;
use crate::model::request::Request;
use crate::providers::{self, GeneratedKeys, ProviderRow, Scheme};
use crate::support::secret::{MASK, Secret};
use crate::support::time::Millis;
use crate::verify::{self, Defect, TestEvent, VerifiedRequest, Verifier};

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest body that a throw-away source takes.
const MAX_BODY: u64 = 512 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// NAME of [sources.NAME]; with --print also a provider's, signed with a throw-away secret
    source: String,
    /// The event's type, as hookbox would read it; what --data says unless given
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
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
    /// The private key to sign with, for providers that are checked with a public key: see `providers keygen`
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
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

pub(crate) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let (source, own_key, server) = match args.print {
        true => printable(args, global).map(|(source, key)| (source, key, None))?,
        false => sendable(args, global).map(|(source, server)| (source, None, server))?,
    };
    let event_type = event_type(args, &source)?;
    let unsigned = TestEvent {
        body: body(args, &source, &event_type)?,
        event_type,
        event_id: args.id.clone(),
        content_type: args.content_type.clone(),
        defect: match (args.forge, args.stale) {
            (true, _) => Defect::WrongSignature,
            (_, true) => Defect::Stale,
            _ => Defect::None,
        },
        private_key: private_key(args, &source, own_key)?,
    };
    let request = verify::sign(&source, &unsigned, Millis::now()).map_err(Failure::usage)?;
    match server {
        None => print(&source, &request),
        Some(server) => send(&source, &request, &server),
    }
}

/// The source as configured, and the server that takes its deliveries.
fn sendable(args: &Args, global: &Global) -> Result<(Arc<Source>, Option<Server>), Failure> {
    let outline = if args.url.is_some() { global.outline()? } else { global.addressed()? };
    let source = config::read_source(&global.config, &variable, &args.source)?;
    let source = source.ok_or_else(|| unknown(&args.source, &outline))?;
    let source = match InboxFile::open(&outline.inbox) {
        Ok(file) => learn::taught(source, &file)?,
        Err(_) => source,
    };
    let server = match &args.url {
        Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
            return Err(Failure::usage(format!("`{}` begins neither with http:// nor with https://", shown(url)))
                .hint("for example --url https://example.com/hooks/github"));
        }
        Some(url) => Server::Url(url.clone()),
        None => Server::over(&outline.server, outline.speaks_tls),
    };
    Ok((source, Some(server)))
}

/// The type that was asked for; where it is not said, the body or nothing must say it.
fn event_type(args: &Args, source: &Source) -> Result<String, Failure> {
    let has_types = !source.scheme.event_type.alternatives.is_empty();
    match (&args.event_type, has_types) {
        (Some(_), false) => Err(Failure::usage(format!(
            "--type has no use: deliveries of `{}` ({}) have no type",
            source.name, source.provider
        ))
        .hint("leave it out")),
        (None, true) if args.data.is_none() => {
            Err(Failure::usage("--type is missing, and there is no --data that could say it")
                .hint("`hookbox providers NAME` shows where the provider has its types"))
        }
        (event_type, _) => Ok(event_type.clone().unwrap_or_default()),
    }
}

/// A source, and the private key of a public one that was made up for it.
type Printable = (Arc<Source>, Option<Secret>);

/// The source as configured, or else the provider's row; secrets that are not at hand are made up, nobody checks them.
fn printable(args: &Args, global: &Global) -> Result<Printable, Failure> {
    let environment = |name: &str| variable(name).or_else(|| Some(made_up()));
    let configured = config::read_source(&global.config, &environment, &args.source);
    match (configured, providers::find(&args.source)) {
        (Ok(Some(source)), _) => Ok((source, None)),
        (_, Some(row)) => throw_away(&args.source, row),
        (Err(errors), None) => Err(errors.into()),
        (Ok(None), None) => Err(unknown(&args.source, &global.outline()?)),
    }
}

fn unknown(name: &str, outline: &ConfigSummary) -> Failure {
    Failure::usage(format!("there is no source `{}` in the configuration", shown(name)))
        .hint(format!("sources: {}", shown(&outline.sources.join(", "))))
}

/// 32 hexadecimal digits: well-formed in every encoding of secrets.
fn made_up() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A source of the provider's with keys of its own, and the private key where they are a pair.
fn throw_away(name: &str, row: &ProviderRow) -> Result<Printable, Failure> {
    if let Some(reason) = &row.unsupported {
        return Err(Failure::usage(format!("`{name}` is not supported yet: {reason}")));
    }
    let wrong = |_| Failure::failed(format!("the row of provider `{name}` cannot be used"));
    let key_id = "made-up-key";
    let scheme = Scheme::from_row(row).map_err(wrong)?.with_key_id(key_id);
    let needs = scheme.required_settings();
    let (secrets, public_keys, private) = match scheme.generate_keys().map_err(Failure::failed)? {
        GeneratedKeys::Shared(secret) => (vec![secret], Vec::new(), None),
        GeneratedKeys::KeyPair { private, public } => (Vec::new(), vec![Secret::new(public)], Some(private)),
    };
    let source = Source {
        name: Arc::from(name),
        provider: name.to_owned(),
        path: format!("/hooks/{name}"),
        secrets,
        public_keys,
        key_ids: if needs.key_id { vec![Secret::new(key_id)] } else { Vec::new() },
        api_key: needs.api_key.then(|| Secret::new(made_up())),
        verify_token: needs.verify_token.then(|| Secret::new(made_up())),
        topics: if needs.topics { vec!["made-up-topic".to_owned()] } else { Vec::new() },
        confirm_subscriptions: false,
        keys_url: None,
        url: needs.url.then(|| format!("https://example.com/hooks/{name}")),
        max_body: MAX_BODY,
        admission: config::Admission::default(),
        scheme_summary: Vec::new(),
        scheme: Arc::new(scheme),
    };
    Ok((Arc::new(source), private))
}

/// What was given, or an example of what the provider sends.
fn body(args: &Args, source: &Source, event_type: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match args.data.as_deref() {
        None => {
            let id = args.id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
            return Ok(providers::sample(&source.provider, event_type, &id));
        }
        Some("-") => io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        Some(file) => fs::read(file),
    };
    let file = args.data.as_deref().unwrap_or_default();
    read.map_err(|error| Failure::usage(format!("--data {}: {error}", shown(file))))
}

/// The provider's part of a key pair that someone made for trying; where nobody checks, one is made up.
fn private_key(args: &Args, source: &Source, own: Option<Secret>) -> Result<Option<Secret>, Failure> {
    let is_public = source.scheme.key_kind().is_some();
    match &args.key {
        Some(_) if !is_public => Err(Failure::usage(format!(
            "--key has no use: `{}` is checked with its secret, which `send` takes from the configuration",
            source.name
        ))),
        Some(file) => {
            let unread = |error| Failure::usage(format!("--key {}: {error}", shown(&file.display().to_string())));
            fs::read_to_string(file).map(|text| Some(Secret::new(text))).map_err(unread)
        }
        None if own.is_some() => Ok(own),
        None if is_public && args.print => match source.scheme.generate_keys().map_err(Failure::failed)? {
            GeneratedKeys::KeyPair { private, .. } => Ok(Some(private)),
            GeneratedKeys::Shared(_) => Ok(None),
        },
        None if is_public => Err(Failure::usage(format!(
            "`{}` is checked with a public key, so only its provider's private key can sign",
            source.name
        ))
        .hint(format!("`hookbox providers keygen {}` makes a pair for trying; then say --key FILE", source.provider))),
        None => Ok(None),
    }
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
    if let Ok(VerifiedRequest::Delivery(verified)) = Verifier::new(source).check(request, request.received_at) {
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
pub(crate) fn deliver(server: &Server, request: &Request) -> Result<Answer, String> {
    let target = match &*request.query {
        "" => request.path.clone(),
        query => format!("{}?{query}", request.path),
    };
    let headers = request.headers.iter().collect();
    server.exchange(&Message { method: &request.method, target: &target, headers, body: &request.body }, PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::VerifyError;

    /// What `send --print` signs for a provider that is not configured.
    fn signed(name: &str, defect: Defect, given: Option<&str>) -> (Arc<Source>, Result<Request, String>) {
        let (source, private_key) = throw_away(name, providers::find(name).unwrap()).unwrap();
        let has_types = !source.scheme.event_type.alternatives.is_empty();
        let event_type = if has_types { "Notification".to_owned() } else { String::new() };
        let sample = || providers::sample(name, &event_type, "id-17");
        let unsigned = TestEvent {
            body: given.map_or_else(sample, |given| given.as_bytes().to_vec()),
            event_type,
            defect,
            private_key,
            ..TestEvent::default()
        };
        let request = verify::sign(&source, &unsigned, Millis::now());
        (source, request)
    }

    fn check(source: &Source, request: &Request) -> Result<VerifiedRequest, VerifyError> {
        Verifier::new(source).check(request, request.received_at)
    }

    #[test]
    fn what_is_printed_for_any_provider_is_accepted_and_what_is_bad_on_purpose_is_refused() {
        let mut walked = 0;
        for (name, row) in providers::all().filter(|(_, row)| row.unsupported.is_none()) {
            let (source, request) = signed(name, Defect::None, None);
            let verified = match check(&source, &request.unwrap_or_else(|why| panic!("{name}: {why}"))) {
                Ok(VerifiedRequest::Delivery(verified)) => verified,
                other => panic!("{name}: {other:?}"),
            };
            let event_type = if row.event_type.is_empty() { "" } else { "Notification" };
            // Of Xero's two parts the second is the body's.
            let said = verified.items()[0].event_type.split('.').next();
            assert_eq!(said, Some(event_type), "{name}");
            for defect in [Defect::WrongSignature, Defect::Stale] {
                match signed(name, defect, None) {
                    (source, Ok(request)) => {
                        assert!(
                            matches!(check(&source, &request), Err(VerifyError::NotGenuine(_))),
                            "{name}: {defect:?}"
                        );
                    }
                    (source, Err(why)) => {
                        assert!(defect == Defect::Stale && source.scheme.timestamp.is_none(), "{name}: {why}");
                    }
                }
            }
            walked += 1;
        }
        assert!(walked > 200, "{walked}");
    }

    #[test]
    fn sns_is_signed_in_both_versions_and_what_is_published_is_wrapped() {
        let body = |request: &Request| serde_json::from_slice::<serde_json::Value>(&request.body).unwrap();
        for (given, message) in [
            (r#"{"Message":"a","SignatureVersion":"1"}"#, "a"),
            (r#"{"Message":"a","SignatureVersion":"2"}"#, "a"),
            (r#"{"order":17}"#, r#"{"order":17}"#),
        ] {
            let (source, request) = signed("aws-sns", Defect::None, Some(given));
            let request = request.unwrap();
            assert_eq!(body(&request)["Message"], message);
            assert!(matches!(check(&source, &request), Ok(VerifiedRequest::Delivery(_))), "{given}");
        }
    }

    #[test]
    fn bodies_are_shaped_as_the_provider_has_them() {
        let (_, request) = signed("braintree", Defect::None, None);
        let text = String::from_utf8(request.unwrap().body.to_vec()).unwrap();
        assert!(text.starts_with("bt_payload=") && text.contains("&bt_signature="), "{text}");
        let (source, request) = signed("adyen", Defect::None, None);
        match check(&source, &request.unwrap()).unwrap() {
            VerifiedRequest::Delivery(verified) => assert_eq!(verified.items()[0].event_id, "id-17:Notification:true"),
            other => panic!("{other:?}"),
        }
    }
}
