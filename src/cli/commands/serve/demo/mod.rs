//! `hookbox demo`: the whole thing in one command, on a scratch inbox.
//!
//! Serves, signs and sends itself deliveries as several providers do (a duplicate, forgeries and stale ones among
//! them), runs example handlers, prints what happened, and tells with its exit status whether it was what should happen.

mod script;

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::cli::args::variable;
use crate::cli::client::{Answer, Message, Server};
use crate::cli::failure::Failure;
use crate::cli::output::table::{Rows, state, text};
use crate::config::{self, Config, Source};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::JobDetail;
use crate::model::event::{AttemptStatus, EventState};
use crate::model::filter::{EventFilter, Page};
use crate::providers;
use crate::server::{self, App};
use crate::support::control::{ControlHandle, ControlMessage};
use crate::support::net::socket::InheritedSockets;
use crate::support::time::Millis;
use crate::verify::{self, TestEvent};

use script::{ACTS, Act};

/// How long the handlers may take in all.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the inbox.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The whole thing in one command: a scratch inbox, deliveries as providers sign them, handlers that run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End when everything has happened, instead of serving until Ctrl-C.
    #[arg(long)]
    once: bool,
}

/// Plays the demo; a failure when something else happened than should.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let written = tempfile::Builder::new().prefix("hookbox-demo-").tempdir().and_then(|folder| {
        let file = script::write(folder.path())?;
        Ok((folder, file))
    });
    let (folder, file) =
        written.map_err(|error| Failure::failed(format!("no scratch folder could be made: {error}")))?;
    let config = config::read(&file, &variable)?;
    let (caller, calls) = ControlHandle::new();
    let deaf = |error| Failure::failed(format!("signals cannot be heard: {error}"));
    server::hear_signals(caller.clone()).map_err(deaf)?;
    let app = App::start(config.clone(), InheritedSockets::none(), &caller)?;
    let mut out = io::stdout();
    writeln!(out, "hookbox demo: a scratch inbox, which goes when it ends, in {}", folder.path().display())?;
    writeln!(out, "  deliveries to  {}", app.hooks_url())?;
    writeln!(out, "  dashboard at   {}\n", app.admin_url())?;
    let surprises = play(&app, &config)?;
    if args.once || !surprises.is_empty() {
        app.stop();
    } else {
        serve_on(app, &calls, &file)?;
    }
    if surprises.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!("something else happened than should:\n  {}", surprises.join("\n  "))))
}

/// Plays every act; returns what happened that should not have.
fn play(app: &App, config: &Config) -> Result<Vec<String>, Failure> {
    let mut surprises = Vec::new();
    let mut rows = Rows::new(&["provider", "event", "sent", "answer", "outcome"]);
    for act in ACTS {
        let answer = deliver(app, config, act)?;
        let meaning = act.meaning(answer.status, &String::from_utf8_lossy(&answer.body));
        if meaning != act.expected {
            let Act { source, event_type, sent, expected, .. } = act;
            surprises.push(format!("{source} {event_type} ({sent}): {meaning} instead of {expected}"));
        }
        rows.add([act.source, act.event_type, act.sent, &answer.to_string(), meaning]);
    }
    writeln!(io::stdout(), "Deliveries, signed as the providers sign them:\n")?;
    rows.print()?;
    let file = InboxFile::open(&config.inbox.path)?;
    wait_until_quiet(&file)?;
    surprises.extend(print_events(&file)?);
    Ok(surprises)
}

fn deliver(app: &App, config: &Config, act: &Act) -> Result<Answer, Failure> {
    let source = source(config, act.source)?;
    let event = TestEvent {
        event_type: act.event_type.to_owned(),
        event_id: Some(act.id.to_owned()),
        body: providers::sample(&source.provider, act.event_type, act.id),
        defect: act.defect,
        ..TestEvent::default()
    };
    let request = verify::sign(&source, &event, Millis::now()).map_err(Failure::failed)?;
    let headers = request.headers.iter().collect();
    let message = Message { method: &request.method, target: &request.path, headers, body: &request.body };
    Server::Url(app.hooks_url()).exchange(&message, PATIENCE).map_err(Failure::failed)
}

fn source(config: &Config, name: &str) -> Result<Arc<Source>, Failure> {
    let found = config.sources.iter().find(|source| &*source.name == name).cloned();
    found.ok_or_else(|| Failure::failed(format!("the demo has no source `{name}`")))
}

fn wait_until_quiet(file: &InboxFile) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    let open = EventFilter { states: vec![EventState::Pending, EventState::Running], ..EventFilter::default() };
    while !file.reader().events(&open, Page { before: None, limit: 1, deadline: None })?.rows.is_empty() {
        if Instant::now() > deadline {
            return Err(Failure::failed(format!("the handlers did not finish within {} s", PATIENCE.as_secs())));
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    Ok(())
}

/// Prints what became of every event; returns what should not have.
fn print_events(file: &InboxFile) -> Result<Vec<String>, Failure> {
    let mut ran = Vec::new();
    let mut rows = Rows::new(&["event", "handler", "attempts", "state", "what happened", "last line of output"]);
    let events = file.reader().events(&EventFilter::default(), Page { before: None, limit: 100, deadline: None })?.rows;
    for event in events.into_iter().rev() {
        let name = format!("{} {}", event.source, event.event_type);
        let jobs = file.reader().event_detail(event.seq)?.map(|detail| detail.jobs).unwrap_or_default();
        if jobs.is_empty() {
            rows.add_cells([
                text(&name),
                text("(none takes it)"),
                text(""),
                state(event.state.as_str()),
                text("kept"),
                text(""),
            ]);
        }
        for JobDetail { job, attempts } in jobs {
            let endings: Vec<_> =
                attempts.iter().filter_map(|attempt| attempt.status).map(AttemptStatus::as_str).collect();
            let output = attempts.last().and_then(|attempt| attempt.stdout.as_deref()).unwrap_or_default();
            let output = String::from_utf8_lossy(output);
            let last = output.lines().last().unwrap_or_default();
            rows.add_cells([
                text(&name),
                text(&job.handler),
                text(&endings.join(", ")),
                state(job.state.as_str()),
                text(script::in_words(&endings, job.state)),
                text(last),
            ]);
            ran.push((job.handler, endings, job.state));
        }
    }
    writeln!(io::stdout(), "\nEvents, and what became of them:\n")?;
    rows.print()?;
    writeln!(io::stdout())?;
    Ok(script::surprises(&ran))
}

fn serve_on(app: App, calls: &Receiver<ControlMessage>, file: &Path) -> Result<(), Failure> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let (file_shown, url) = (file.display(), app.hooks_url());
    let mut out = io::stdout();
    writeln!(
        out,
        "It goes on serving until Ctrl-C. Open {} in a browser, or from another terminal:\n",
        app.admin_url()
    )?;
    writeln!(out, "  sqlite3 -readonly -box {} 'select * from inbox'", folder.join("hookbox.db").display())?;
    writeln!(out, "  hookbox events --config {file_shown}")?;
    writeln!(out, "  hookbox send github --type push --url {url} --config {file_shown}")?;
    Ok(app.run(calls, &|| config::read(file, &variable))?)
}
