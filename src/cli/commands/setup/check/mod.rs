//! `hookbox check`: reads the configuration as `serve` would, and says what is wrong with it or what it means.
//!
//! The file goes in; all its errors come out with exit status 2, or the addresses, sources and handlers, which handlers
//! an event of each type would run, and how long retries span. Nothing is run, opened or
//! written, save for a test alert that was asked for.

mod alerts;
mod pacing;
mod tables;
mod tls;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;

use crate::config::{self, Config, Durability, Handler, Mode, Problem, ReplayGuard, Source};
use crate::providers::Algorithm;
use crate::routing::Routes;

/// Characters; shorter ones of people's own making are found by trying.
const SHORTEST_SECRET: usize = 16;

/// Reads the configuration as `serve` would; says what is wrong, or what each event would run
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only what an event of this type would run
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only events of this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// The event's body, for handlers with `where`
    #[arg(long, value_name = "FILE", requires = "event_type")]
    data: Option<PathBuf>,
    /// Sends a test alert as [alerts] says, and tells whether that was taken
    #[arg(long, conflicts_with_all = ["event_type", "source", "json"])]
    send_test_alert: bool,
    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// Everything that is said; as JSON exactly this.
#[derive(Debug, Serialize)]
struct Report<'a> {
    file: String,
    errors: &'a [Problem],
    #[serde(flatten)]
    meaning: Option<Meaning<'a>>,
}

#[derive(Debug, Serialize)]
struct Meaning<'a> {
    listen: String,
    admin: String,
    inbox: String,
    durability: &'static str,
    alerts: Option<alerts::Row<'a>>,
    tls: Option<tls::Row>,
    sources: Vec<SourceRow<'a>>,
    handlers: Vec<HandlerRow<'a>>,
    runs: Vec<RunRow<'a>>,
}

#[derive(Debug, Serialize)]
struct SourceRow<'a> {
    #[serde(rename = "source")]
    name: &'a str,
    provider: &'a str,
    path: &'a str,
    secrets: usize,
    tolerance_s: Option<u64>,
    #[serde(rename = "max_body_bytes")]
    max_body: u64,
    replay_guard: &'static str,
    /// Places of the id that the signature does not cover.
    unsigned_id: Vec<String>,
    /// Whether the secret itself is sent, and nothing is signed.
    is_token: bool,
    /// Whether a signature is made with a secret so short that who has one delivery can find it by trying.
    guessable: bool,
}

#[derive(Debug, Serialize)]
struct HandlerRow<'a> {
    #[serde(rename = "handler")]
    name: &'a str,
    sources: Option<&'a [String]>,
    events: &'a [String],
    #[serde(rename = "where")]
    conditions: BTreeMap<&'a str, &'a [Value]>,
    mode: &'static str,
    /// Empty where a URL is asked.
    command: &'a [String],
    /// Without its query.
    url: Option<&'a str>,
    /// Whether requests to the URL are signed.
    signed: Option<bool>,
    /// Attempts at once; copies of a worker.
    concurrency: usize,
    timeout_s: f64,
    attempts: u32,
    retries_span_s: f64,
    /// Left out where it runs as hookbox itself does.
    #[serde(skip_serializing_if = "Option::is_none")]
    contained: Option<String>,
    #[serde(flatten)]
    pacing: pacing::Pacing,
}

/// `None` for the type stands for every type that no other row names.
#[derive(Debug, Serialize)]
struct RunRow<'a> {
    source: &'a str,
    #[serde(rename = "type")]
    event_type: Option<&'a str>,
    handlers: Vec<String>,
}

/// Runs the verb on the configuration in `file`.
///
/// # Errors
/// The output cannot be written, or the file with the event's body cannot be read.
pub(crate) fn run(args: &Args, file: &Path) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let config = match config::read(file, &|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(errors) if args.json => {
            let report = Report { file: errors.file().to_owned(), errors: errors.problems(), meaning: None };
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
            return Ok(ExitCode::from(2));
        }
        Err(errors) => {
            writeln!(std::io::stderr(), "{errors}")?;
            return Ok(ExitCode::from(2));
        }
    };
    if args.send_test_alert {
        return alerts::send_test(&config, &mut out);
    }
    if let Some(unknown) =
        args.source.as_ref().filter(|name| config.sources.iter().all(|source| *source.name != ***name))
    {
        let known: Vec<_> = config.sources.iter().map(|source| &*source.name).collect();
        let known = known.join(", ");
        writeln!(std::io::stderr(), "error: there is no source `{unknown}`\nhint: the sources are {known}")?;
        return Ok(ExitCode::from(2));
    }
    let runs = runs(args, &config)?;
    if args.json {
        let file = config.file.display().to_string();
        let report = Report { file, errors: &[], meaning: Some(meaning(&config, runs)) };
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else if args.event_type.is_some() || args.source.is_some() {
        writeln!(out, "{}", tables::runs_table(&runs, &config))?;
    } else {
        tables::write_meaning(&mut out, &config, &meaning(&config, runs))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn meaning<'a>(config: &'a Config, runs: Vec<RunRow<'a>>) -> Meaning<'a> {
    Meaning {
        listen: config.server.listen.to_string(),
        admin: config.admin.listen.to_string(),
        inbox: config.inbox.path.display().to_string(),
        durability: match config.inbox.durability {
            Durability::Full => "full",
            Durability::Normal => "normal",
        },
        alerts: config.alerts.as_ref().map(alerts::Row::of),
        tls: config.server.tls.as_ref().map(tls::Row::of),
        sources: config.sources.iter().map(|source| source_row(source)).collect(),
        handlers: config.handlers.iter().map(|handler| handler_row(handler)).collect(),
        runs,
    }
}

fn source_row(source: &Source) -> SourceRow<'_> {
    SourceRow {
        name: &source.name,
        provider: &source.provider,
        path: &source.path,
        secrets: source.secrets.len(),
        tolerance_s: source.scheme.tolerance.map(|span| span.as_secs()),
        max_body: source.max_body,
        replay_guard: match source.admission.replay_guard {
            ReplayGuard::Id => "id",
            ReplayGuard::IdAndBody => "id+body",
        },
        unsigned_id: source.scheme.unsigned_id(),
        is_token: source.scheme.auth.is_token(),
        guessable: source
            .scheme
            .template_signature()
            .is_some_and(|signed| matches!(signed.algorithm, Algorithm::Hmac(_)))
            && source.secrets.iter().any(|secret| secret.reveal().len() < SHORTEST_SECRET),
    }
}

fn handler_row(handler: &Handler) -> HandlerRow<'_> {
    let conditions = handler.filter.conditions.iter();
    let http = match &handler.mode {
        Mode::Http(http) => Some(http),
        Mode::Command | Mode::Worker { .. } => None,
    };
    HandlerRow {
        name: &handler.name,
        sources: handler.filter.sources.as_deref(),
        events: &handler.filter.events,
        conditions: conditions.map(|(pointer, values)| (pointer.as_str(), values.as_slice())).collect(),
        mode: handler.mode.as_str(),
        command: &handler.command,
        url: http.map(|http| http.shown()),
        signed: http.map(|http| !http.secrets.is_empty()),
        concurrency: handler.concurrency,
        timeout_s: handler.timeout.as_secs_f64(),
        attempts: handler.policy.attempts,
        retries_span_s: handler.policy.span().as_secs_f64(),
        contained: Some(handler.process.to_string()).filter(|told| !told.is_empty()),
        pacing: pacing::Pacing::of(handler),
    }
}

fn runs<'a>(args: &'a Args, config: &'a Config) -> anyhow::Result<Vec<RunRow<'a>>> {
    let sources =
        config.sources.iter().filter(|source| args.source.as_deref().is_none_or(|name| *source.name == *name));
    let Some(event_type) = &args.event_type else {
        let routes = Routes::new(&unconditional(config))?;
        return Ok(sources.flat_map(|source| runs_of(source, config, &routes)).collect());
    };
    let (routes, body) = match &args.data {
        Some(file) => {
            let body = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            (Routes::new(&config.handlers)?, body)
        }
        None => (Routes::new(&unconditional(config))?, Vec::new()),
    };
    let run = |source: &'a Arc<Source>| RunRow {
        source: &source.name,
        event_type: Some(event_type),
        handlers: matching(&routes, source, event_type, &body),
    };
    Ok(sources.map(run).collect())
}

fn matching(routes: &Routes, source: &Source, event_type: &str, body: &[u8]) -> Vec<String> {
    routes.matching(&source.name, event_type, body).iter().map(ToString::to_string).collect()
}

/// The handlers without their conditions on the body.
fn unconditional(config: &Config) -> Vec<Arc<Handler>> {
    let strip = |handler: &Arc<Handler>| {
        let mut handler = Handler::clone(handler);
        handler.filter.conditions.clear();
        Arc::new(handler)
    };
    config.handlers.iter().map(strip).collect()
}

/// One row for every type that a handler of this source names, and one for all others.
fn runs_of<'a>(source: &'a Source, config: &'a Config, routes: &Routes) -> Vec<RunRow<'a>> {
    let mut types: Vec<&str> = Vec::new();
    let reaches = |handler: &&Arc<Handler>| match &handler.filter.sources {
        Some(names) => names.iter().any(|name| **name == *source.name),
        None => true,
    };
    for glob in config.handlers.iter().filter(reaches).flat_map(|handler| &handler.filter.events) {
        let name = glob.strip_prefix('!').unwrap_or(glob);
        if !name.contains(['[', '{', '\\']) && name != "*" && !types.contains(&name) {
            types.push(name);
        }
    }
    let row = |event_type, sample: &str| RunRow {
        source: &source.name,
        event_type,
        handlers: matching(routes, source, sample, b""),
    };
    // What stands for a glob's wildcards, and for all other types, is no type that anyone would name.
    let sample = |name: &str| name.replace(['*', '?'], "\u{1}");
    let named = types.iter().map(|name| row(Some(name), &sample(name)));
    named.chain([row(None, "\u{1}")]).collect()
}

#[cfg(test)]
mod tests {
    use super::tables::conditioned;
    use super::*;

    fn config(handlers: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookbox.toml");
        let sources = "[sources.github]\nprovider = 'github'\nsecret = 'x'\n\
                       [sources.shop]\nprovider = 'shopify'\nsecret = 'x'\n";
        std::fs::write(&file, format!("{sources}{handlers}")).unwrap();
        config::read(&file, &|_| None).unwrap()
    }

    fn args(event_type: Option<&str>, source: Option<&str>) -> Args {
        let [event_type, source] = [event_type, source].map(|text| text.map(ToOwned::to_owned));
        Args { event_type, source, data: None, send_test_alert: false, json: false }
    }

    #[test]
    fn every_type_that_a_handler_names_is_told_with_what_it_would_run() {
        let config = config(
            "[handlers.deploy]\ncommand = ['sh']\nsources = ['github']\nevents = ['push']\n\
             where = { '/ref' = ['a', 'b'] }\n\
             [handlers.log]\ncommand = ['sh']\nevents = ['!ping', 'pu*', 'orders/create']\n",
        );
        let told = |args: &Args| {
            let runs = runs(args, &config).unwrap();
            let row = |run: &RunRow<'_>| {
                let handlers: Vec<_> = run.handlers.iter().map(|name| conditioned(name, &config)).collect();
                format!("{} {}: {}", run.source, run.event_type.unwrap_or("*"), handlers.join(", "))
            };
            runs.iter().map(row).collect::<Vec<_>>()
        };
        assert_eq!(
            told(&args(None, None)),
            [
                "github push: deploy (where /ref is \"a\" or \"b\"), log",
                "github ping: ",
                "github pu*: log",
                "github orders/create: log",
                "github *: ",
                "shop ping: ",
                "shop pu*: log",
                "shop orders/create: log",
                "shop *: ",
            ]
        );
        assert_eq!(told(&args(Some("pull_request.opened"), Some("shop"))), ["shop pull_request.opened: log"]);
    }
}
