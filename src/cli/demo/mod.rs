//! `hookbox demo`: the whole thing in one command, on a scratch inbox.
//!
//! Serves, signs and sends itself deliveries as several providers do (a duplicate, forgeries and stale ones among
//! them), runs example handlers, prints what happened, and tells with its exit status whether it was what should happen.

mod script;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crossbeam_channel::Receiver;

use super::client::{Answer, Server};
use super::{send, table};
use crate::app::{self, App};
use crate::clock::Millis;
use crate::config::{self, Config, Source};
use crate::event::{EventState, JobState};
use crate::inbox::desk::Desk;
use crate::inbox::view::{self, EventFilter, Ledger, Page};
use crate::provider;
use crate::shutdown::{Call, Caller};
use crate::verify::{self, Unsigned};

use script::{ACTS, Act};

/// How long the handlers may take in all.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the inbox.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The whole thing in one command: a scratch inbox, deliveries as providers sign them, handlers that run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End when everything has happened, instead of serving until Ctrl-C.
    #[arg(long)]
    once: bool,
}

/// Plays the demo.
///
/// # Errors
/// When hookbox cannot be started, or something else happened than should.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("hookbox-demo-").tempdir().context("a scratch folder")?;
    let file = script::write(folder.path()).context("the demo's files could not be written")?;
    let config = config::read(&file, &|name| std::env::var(name).ok())?;
    let (caller, calls) = Caller::new();
    app::hear_signals(caller.clone())?;
    let app = App::start(config.clone(), &caller)?;
    println!("hookbox demo, on a scratch inbox that goes when it ends: {}", folder.path().display());
    println!("  hooks  {}", app.hooks_url());
    println!("  admin  {} (/healthz, /readyz)\n", app.admin_url());
    let played = play(&app, &config);
    let played = played.and_then(|surprises| {
        if !args.once && surprises.is_empty() {
            serve_on(app, &calls, &file)?;
        } else {
            app.stop();
        }
        Ok(surprises)
    })?;
    if played.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("something else happened than should:\n  {}", played.join("\n  "))
}

/// What happened that should not have.
fn play(app: &App, config: &Config) -> anyhow::Result<Vec<String>> {
    let mut surprises = Vec::new();
    let mut rows = table::Rows::new(&["provider", "event", "sent", "answer", "so it was"]);
    for act in ACTS {
        let answered = deliver(app, config, act)?;
        let was = act.meaning(answered.status, &answered.text());
        if was != act.expected {
            surprises
                .push(format!("{} {} ({}): {was} instead of {}", act.source, act.event_type, act.sent, act.expected));
        }
        rows.add([act.source, act.event_type, act.sent, &answered.to_string(), was]);
    }
    println!("Deliveries, signed as the providers sign them:\n{rows}\n");
    let desk = Desk::open(&config.inbox.path)?;
    wait_until_quiet(&desk)?;
    surprises.extend(print_events(&desk)?);
    Ok(surprises)
}

fn deliver(app: &App, config: &Config, act: &Act) -> anyhow::Result<Answer> {
    let source = source(config, act.source)?;
    let body = provider::sample(&source.provider, act.event_type, act.id);
    let event = Unsigned {
        event_type: act.event_type.to_owned(),
        event_id: Some(act.id.to_owned()),
        body,
        content_type: None,
        forgery: act.forgery,
    };
    let request = verify::sign(&source, &event, Millis::now()).map_err(anyhow::Error::msg)?;
    send::deliver(&Server::Url(app.hooks_url()), &request).map_err(anyhow::Error::msg)
}

fn source(config: &Config, name: &str) -> anyhow::Result<Arc<Source>> {
    config.sources.iter().find(|source| &*source.name == name).cloned().with_context(|| format!("no source `{name}`"))
}

fn wait_until_quiet(desk: &Desk) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let open = EventFilter { states: vec![EventState::Pending, EventState::Running], ..EventFilter::default() };
    while !desk.read(|inbox| view::events(inbox, &open, Page { before: None, limit: 1 }))?.is_empty() {
        if Instant::now() > deadline {
            bail!("the handlers did not finish within {} s", PATIENCE.as_secs());
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    Ok(())
}

fn print_events(desk: &Desk) -> anyhow::Result<Vec<String>> {
    let mut surprises = Vec::new();
    let mut rows = table::Rows::new(&["event", "handler", "attempts", "state", "output"]);
    let events = desk.read(|inbox| view::events(inbox, &EventFilter::default(), Page { before: None, limit: 100 }))?;
    for event in events.into_iter().rev() {
        let name = format!("{} {}", event.source, event.event_type);
        let detail = desk.read(|inbox| view::detail(inbox, event.seq))?.context("an event is gone")?;
        if detail.jobs.is_empty() {
            rows.add([&name, "(none takes it)", "", event.state.as_str(), ""]);
        }
        for Ledger { job, attempts } in &detail.jobs {
            let endings: Vec<_> = attempts.iter().filter_map(|attempt| Some(attempt.ending?.as_str())).collect();
            let output = attempts.last().and_then(|attempt| attempt.stdout.as_deref()).unwrap_or_default();
            let output = String::from_utf8_lossy(output);
            let last_line = output.lines().last().unwrap_or_default();
            rows.add([&name, &job.handler, &endings.join(", "), job.state.as_str(), last_line]);
            surprises.extend(script::surprise(&job.handler, &endings, job.state));
        }
    }
    surprises.extend(script::missing(|handler, state: JobState| rows.holds(&[handler, state.as_str()])));
    println!("Events, and what became of them:\n{rows}\n");
    Ok(surprises)
}

fn serve_on(app: App, calls: &Receiver<Call>, file: &Path) -> anyhow::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    println!("It goes on serving until Ctrl-C. From another terminal:");
    println!("  sqlite3 -readonly -box {} 'SELECT * FROM inbox'", folder.join("hookbox.db").display());
    println!("  hookbox events --config {}", file.display());
    println!("  hookbox send github --type push --url {}/hooks/github --config {}", app.hooks_url(), file.display());
    app.run(calls, &|| config::read(file, &|name| std::env::var(name).ok()))
}
