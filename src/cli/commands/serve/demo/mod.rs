//! `demo`: serves a scratch inbox, sends itself deliveries as several providers would (with duplicates, forged and stale
//! ones), runs example handlers and prints the results. The exit status says whether they are as expected.

mod script;

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::cli::args::variable;
use crate::cli::client::{ClientRequest, ClientResponse, ServerAddress};
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

use script::{DELIVERIES, DemoDelivery, JobResult};

/// Time limit for a delivery, and for all handlers.
const TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Exit after the demo instead of serving until Ctrl-C
    #[arg(long)]
    once: bool,
}

/// Runs the demo. Fails if a result is not as expected.
pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let scratch = tempfile::Builder::new().prefix("hookbox-demo-").tempdir().and_then(|folder| {
        let file = script::write(folder.path())?;
        Ok((folder, file))
    });
    let (folder, file) =
        scratch.map_err(|error| Failure::failed(format!("cannot create a temporary folder: {error}")))?;
    let config = config::read(&file, &variable)?;
    let (control, messages) = ControlHandle::new();
    let failed = |error| Failure::failed(format!("cannot install signal handlers: {error}"));
    server::handle_signals(control.clone()).map_err(failed)?;
    let app = App::start(config.clone(), InheritedSockets::none(), &control)?;
    let mut out = io::stdout();
    writeln!(out, "hookbox demo: using a temporary inbox in {}", folder.path().display())?;
    writeln!(out, "  deliveries  {}", app.hooks_url())?;
    writeln!(out, "  dashboard   {}\n", app.admin_url())?;
    let problems = run_deliveries(&app, &config)?;
    if args.once || !problems.is_empty() {
        app.stop();
    } else {
        serve_until_stopped(app, &messages, &file)?;
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!("unexpected results:\n  {}", problems.join("\n  "))))
}

/// Sends all deliveries and waits for the handlers. Returns the unexpected results.
fn run_deliveries(app: &App, config: &Config) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    let mut rows = Rows::new(&["PROVIDER", "EVENT", "DELIVERY", "RESPONSE", "RESULT"]);
    for delivery in DELIVERIES {
        let response = deliver(app, config, delivery)?;
        let meaning = delivery.meaning(response.status, &response.text());
        if meaning != delivery.expected {
            let DemoDelivery { source, event_type, sent, expected, .. } = delivery;
            problems.push(format!("{source} {event_type} ({sent}): {meaning} instead of {expected}"));
        }
        rows.add([delivery.source, delivery.event_type, delivery.sent, &response.to_string(), meaning]);
    }
    writeln!(io::stdout(), "Deliveries, signed as the providers would:\n")?;
    rows.print()?;
    let file = InboxFile::open(&config.inbox.path)?;
    wait_for_handlers(&file)?;
    problems.extend(print_events(&file)?);
    Ok(problems)
}

fn deliver(app: &App, config: &Config, delivery: &DemoDelivery) -> Result<ClientResponse, Failure> {
    let source = source(config, delivery.source)?;
    let event = TestEvent {
        event_type: delivery.event_type.to_owned(),
        event_id: Some(delivery.id.to_owned()),
        body: providers::sample(&source.provider, delivery.event_type, delivery.id),
        defect: delivery.defect,
        ..TestEvent::default()
    };
    let request = verify::sign(&source, &event, Millis::now()).map_err(Failure::failed)?;
    let headers = request.headers.iter().collect();
    let request = ClientRequest { method: &request.method, target: &request.path, headers, body: &request.body };
    ServerAddress::Url(app.hooks_url()).send(&request, TIMEOUT).map_err(Failure::failed)
}

fn source(config: &Config, name: &str) -> Result<Arc<Source>, Failure> {
    let found = config.sources.iter().find(|source| &*source.name == name).cloned();
    found.ok_or_else(|| Failure::failed(format!("the demo has no source `{name}`")))
}

fn wait_for_handlers(file: &InboxFile) -> Result<(), Failure> {
    let deadline = Instant::now() + TIMEOUT;
    let open = EventFilter { states: vec![EventState::Pending, EventState::Running], ..EventFilter::default() };
    while !file.reader().events(&open, Page { before: None, limit: 1, deadline: None })?.rows.is_empty() {
        if Instant::now() > deadline {
            return Err(Failure::failed(format!("handlers did not finish within {} s", TIMEOUT.as_secs())));
        }
        std::thread::park_timeout(POLL_INTERVAL);
    }
    Ok(())
}

/// Prints every event with its jobs. Returns the unexpected results.
fn print_events(file: &InboxFile) -> Result<Vec<String>, Failure> {
    let mut results = Vec::new();
    let mut rows = Rows::new(&["EVENT", "HANDLER", "ATTEMPTS", "STATE", "RESULT", "LAST LINE OF OUTPUT"]);
    let events = file.reader().events(&EventFilter::default(), Page { before: None, limit: 100, deadline: None })?.rows;
    for event in events.into_iter().rev() {
        let name = format!("{} {}", event.source, event.event_type);
        let jobs = file.reader().event_detail(event.seq)?.map(|detail| detail.jobs).unwrap_or_default();
        if jobs.is_empty() {
            rows.add_cells([
                text(&name),
                text("(none matches)"),
                text(""),
                state(event.state.as_str()),
                text("stored"),
                text(""),
            ]);
        }
        for JobDetail { job, attempts } in jobs {
            let statuses: Vec<_> =
                attempts.iter().filter_map(|attempt| attempt.status).map(AttemptStatus::as_str).collect();
            let output = attempts.last().and_then(|attempt| attempt.stdout.as_deref()).unwrap_or_default();
            let output = String::from_utf8_lossy(output);
            let last = output.lines().last().unwrap_or_default();
            rows.add_cells([
                text(&name),
                text(&job.handler),
                text(&statuses.join(", ")),
                state(job.state.as_str()),
                text(script::describe(&statuses, job.state)),
                text(last),
            ]);
            results.push(JobResult { handler: job.handler, statuses, state: job.state });
        }
    }
    writeln!(io::stdout(), "\nEvents and their jobs:\n")?;
    rows.print()?;
    writeln!(io::stdout())?;
    Ok(script::unexpected(&results))
}

fn serve_until_stopped(app: App, messages: &Receiver<ControlMessage>, file: &Path) -> Result<(), Failure> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let (file_shown, url) = (file.display(), app.hooks_url());
    let mut out = io::stdout();
    writeln!(out, "Serving until Ctrl-C. Open {} in a browser, or in another terminal run:\n", app.admin_url())?;
    writeln!(out, "  sqlite3 -readonly -box {} 'select * from inbox'", folder.join("hookbox.db").display())?;
    writeln!(out, "  hookbox events --config {file_shown}")?;
    writeln!(out, "  hookbox send github --type push --url {url} --config {file_shown}")?;
    Ok(app.run(messages, &|| config::read(file, &variable))?)
}
