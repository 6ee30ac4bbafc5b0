//! `send`: signs a test delivery as the provider would, and sends or prints it.
//!
//! stdout gets the response, or with `--print` the exact body, ready for a handler's stdin. stderr gets the rest, with
//! tokens shown as `***`.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::args::{Global, unknown_name, variable};
use crate::cli::client::{ClientRequest, ClientResponse, ServerAddress};
use crate::cli::commands::serve::health::check_scheme;
use crate::cli::commands::setup::learn;
use crate::cli::failure::Failure;
use crate::cli::output::terminal::{remark, shown};
use crate::config::{self, Source};
use crate::inbox::operator::InboxFile;
use crate::model::request::Request;
use crate::providers::{self, GeneratedKeys, ProviderRow, Scheme};
use crate::support::secret::{MASK, Secret};
use crate::support::time::Millis;
use crate::verify::{self, Defect, TestEvent, VerifiedRequest, Verifier};

const TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum body of a temporary source, in bytes.
const MAX_BODY: u64 = 512 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct SendArgs {
    /// NAME of [sources.NAME]; with --print also a provider's name, with a temporary secret
    source: String,
    /// Event type. Defaults to the type in --data
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// File with the body, or - for stdin. Defaults to a sample of the provider's body
    #[arg(long, value_name = "FILE")]
    data: Option<String>,
    /// Content type of the body. Defaults to the provider's
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Event id. Defaults to the body's id, or a random one
    #[arg(long)]
    id: Option<String>,
    /// Print instead of sending: the exact body on stdout, the headers on stderr
    #[arg(long)]
    print: bool,
    /// Private key to sign with, for providers with a public key (see `providers keygen`)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Sign with a wrong secret
    #[arg(long, conflicts_with = "stale")]
    forge: bool,
    /// Sign with an expired timestamp
    #[arg(long)]
    stale: bool,
    /// Send to this URL instead of `server.listen`
    #[arg(long, value_name = "URL", conflicts_with = "print")]
    url: Option<String>,
}

pub(crate) fn run(args: &SendArgs, global: &Global) -> Result<(), Failure> {
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

/// Returns the configured source and the address that accepts its deliveries.
fn sendable(args: &SendArgs, global: &Global) -> Result<(Arc<Source>, Option<ServerAddress>), Failure> {
    let summary = if args.url.is_some() { global.summary()? } else { global.summary_with_addresses()? };
    let source = config::read_source(&global.config, &variable, &args.source)?;
    let source = source.ok_or_else(|| unknown_name("source", &args.source, &summary.sources))?;
    let source = match InboxFile::open(&summary.inbox) {
        Ok(file) => learn::with_learned_secret(source, &file)?,
        Err(_) => source,
    };
    let server = match &args.url {
        Some(url) => {
            check_scheme(url, "https://example.com/hooks/github")?;
            ServerAddress::Url(url.clone())
        }
        None => ServerAddress::of(&summary.server, summary.speaks_tls),
    };
    Ok((source, Some(server)))
}

/// Returns the requested type; empty if the body has it or the source has no types.
fn event_type(args: &SendArgs, source: &Source) -> Result<String, Failure> {
    let has_types = !source.scheme.event_type.alternatives.is_empty();
    match (&args.event_type, has_types) {
        (Some(_), false) => Err(Failure::usage(format!(
            "--type does not apply: deliveries of `{}` ({}) have no type",
            source.name, source.provider
        ))
        .hint("remove --type")),
        (None, true) if args.data.is_none() => {
            Err(Failure::usage("`send` needs --type, or --data with a body that has a type")
                .hint("`hookbox providers NAME` shows where the provider puts the type"))
        }
        (event_type, _) => Ok(event_type.clone().unwrap_or_default()),
    }
}

/// A source, and the private key generated for it if it verifies with a public key.
type SourceWithKey = (Arc<Source>, Option<Secret>);

/// Returns the configured source, or a temporary one of the provider. Missing secrets are random: nothing verifies them.
fn printable(args: &SendArgs, global: &Global) -> Result<SourceWithKey, Failure> {
    let environment = |name: &str| variable(name).or_else(|| Some(random_hex()));
    let configured = config::read_source(&global.config, &environment, &args.source);
    match (configured, providers::find(&args.source)) {
        (Ok(Some(source)), _) => Ok((source, None)),
        (_, Some(row)) => temporary_source(&args.source, row),
        (Err(errors), None) => Err(errors.into()),
        (Ok(None), None) => Err(unknown_name("source", &args.source, &global.summary()?.sources)),
    }
}

/// 32 hexadecimal digits: valid in every encoding of secrets.
fn random_hex() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Creates a source of the provider with generated keys.
fn temporary_source(name: &str, row: &ProviderRow) -> Result<SourceWithKey, Failure> {
    if let Some(reason) = &row.unsupported {
        return Err(Failure::usage(format!("`{name}` is not supported yet: {reason}")));
    }
    let wrong = |_| Failure::failed(format!("the row of provider `{name}` is invalid"));
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
        api_key: needs.api_key.then(|| Secret::new(random_hex())),
        verify_token: needs.verify_token.then(|| Secret::new(random_hex())),
        topics: if needs.topics { vec!["made-up-topic".to_owned()] } else { Vec::new() },
        confirm_subscriptions: false,
        keys_url: None,
        urls: needs.url.then(|| format!("https://example.com/hooks/{name}")).into_iter().collect(),
        max_body: MAX_BODY,
        admission: config::Admission::default(),
        scheme_summary: Vec::new(),
        scheme: Arc::new(scheme),
    };
    Ok((Arc::new(source), private))
}

/// Returns the body from --data, or a sample of the provider's.
fn body(args: &SendArgs, source: &Source, event_type: &str) -> Result<Vec<u8>, Failure> {
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

/// Returns the private key from --key. With `--print`, generates one if needed.
fn private_key(args: &SendArgs, source: &Source, own: Option<Secret>) -> Result<Option<Secret>, Failure> {
    let is_public = source.scheme.key_kind().is_some();
    match &args.key {
        Some(_) if !is_public => Err(Failure::usage(format!(
            "--key does not apply: `send` signs for `{}` with the secret in the configuration",
            source.name
        ))),
        Some(file) => {
            let unreadable = |error| Failure::usage(format!("--key {}: {error}", shown(&file.display().to_string())));
            fs::read_to_string(file).map(|text| Some(Secret::new(text))).map_err(unreadable)
        }
        None if own.is_some() => Ok(own),
        None if is_public && args.print => match source.scheme.generate_keys().map_err(Failure::failed)? {
            GeneratedKeys::KeyPair { private, .. } => Ok(Some(private)),
            GeneratedKeys::Shared(_) => Ok(None),
        },
        None if is_public => Err(Failure::usage(format!(
            "`{}` is verified with a public key, so signing needs --key with the private key",
            source.name
        ))
        .hint(format!("`hookbox providers keygen {}` generates a test key pair", source.provider))),
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

fn send(source: &Source, request: &Request, server: &ServerAddress) -> Result<(), Failure> {
    if let Ok(VerifiedRequest::Delivery(verified)) = Verifier::new(source).check(request, request.received_at) {
        for item in verified.items() {
            remark(format!("sending {} {}", shown(&item.event_type), shown(&item.event_id)));
        }
    }
    let hint = "is `hookbox serve` running? use --url to send to another address";
    let response = deliver(server, request).map_err(|error| Failure::failed(error).hint(hint))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{response}\n{}", shown(response.text().trim_end()))?;
    out.flush()?;
    if response.is_success() { Ok(()) } else { Err(Failure::silent()) }
}

/// Sends a signed request. Returns an error message if there is no response.
fn deliver(server: &ServerAddress, request: &Request) -> Result<ClientResponse, String> {
    let target = match &*request.query {
        "" => request.path.clone(),
        query => format!("{}?{query}", request.path),
    };
    let headers = request.headers.iter().collect();
    server.send(&ClientRequest { method: &request.method, target: &target, headers, body: &request.body }, TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::VerifyError;

    /// Signs as `send --print` does for a provider that is not configured.
    fn signed(name: &str, defect: Defect, given: Option<&str>) -> (Arc<Source>, Result<Request, String>) {
        let (source, private_key) = temporary_source(name, providers::find(name).unwrap()).unwrap();
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
    fn printed_deliveries_verify_and_defective_ones_are_refused() {
        let mut count = 0;
        for (name, row) in providers::all().filter(|(_, row)| row.unsupported.is_none()) {
            let (source, request) = signed(name, Defect::None, None);
            let verified = match check(&source, &request.unwrap_or_else(|why| panic!("{name}: {why}"))) {
                Ok(VerifiedRequest::Delivery(verified)) => verified,
                other => panic!("{name}: {other:?}"),
            };
            let event_type = if row.event_type.is_empty() { "" } else { "Notification" };
            // The second part of Xero's type comes from the body.
            let actual = verified.items()[0].event_type.split('.').next();
            assert_eq!(actual, Some(event_type), "{name}");
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
            count += 1;
        }
        assert!(count > 200, "{count}");
    }

    #[test]
    fn sns_is_signed_in_both_versions_and_wraps_messages() {
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
    fn bodies_have_the_providers_shape() {
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
