//! `run`: a handler on a stored event, in the foreground, with `HOOKBOX_DRY_RUN=1`; nothing in the inbox changes.
//!
//! What the handler writes passes through as it comes; what its ending would have meant is said on stderr, and is the exit
//! status. With `--last` it runs on many events, and what differs from the ledger is told.

mod many;
mod rehearsal;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;

use crate::cli::args::Arrival;
use crate::cli::args::{Global, variable};
use crate::cli::commands::inspect::event;
use crate::cli::commands::operate::pause::unknown;
use crate::cli::failure::Failure;
use crate::cli::output::terminal::{remark, shown, span};
use crate::config::{self, ConfigSummary, Handler, Mode};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::Event;
use crate::model::event::AttemptStatus;
use crate::retry::{AttemptExit, JobOutcome, RetryDecision};
use crate::routing::Routes;
use crate::runner::AttemptOutput;
use crate::support::time::Millis;

use rehearsal::{Interrupt, Stage};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A handler of the configuration
    #[arg(value_name = "HANDLER")]
    handler: String,
    /// An event id, SOURCE/ID, or '#SEQ' (quoted: to a shell a bare # begins a comment)
    #[arg(value_name = "EVENT", conflicts_with = "last")]
    event: Option<String>,
    /// On the newest N events that the handler takes, and tells which would end differently from what the ledger says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    last: Option<u32>,
    #[command(flatten)]
    arrival: Arrival,
    /// Yes, run it on all of these: a handler that ignores HOOKBOX_DRY_RUN deploys and charges again
    #[arg(long)]
    yes: bool,
    /// With `--last`: one JSON array
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let outline = global.outline()?;
    let file = InboxFile::open(&outline.inbox)?;
    let handler = find(&args.handler, &outline)?;
    let routes = Routes::new(std::slice::from_ref(&handler)).map_err(|error| Failure::usage(error.to_string()))?;
    let private = |source: &str| config::read_private_headers(&global.config, &variable, source);
    let stage = Stage { file: &file, handler: &handler, routes: &routes, private: &private };
    match (&args.event, args.last) {
        (Some(wanted), _) if args.arrival.is_empty() && !args.json => one(&stage, &event::find(&file, wanted)?),
        (None, Some(last)) => many::run(&stage, &args.arrival, last, (args.yes, args.json)),
        (None, None) => Err(Failure::usage("`run` wants an EVENT, or --last N").hint("`hookbox events` lists them")),
        _ => Err(Failure::usage("filters and --json are for `--last`").hint("leave them out, or EVENT")),
    }
}

fn find(name: &str, outline: &ConfigSummary) -> Result<Arc<Handler>, Failure> {
    if !outline.handlers.iter().any(|known| known == name) {
        return Err(unknown(name, &outline.handlers));
    }
    outline.sound_handlers.iter().find(|handler| *handler.name == *name).cloned().ok_or_else(|| {
        Failure::usage(format!("there is something wrong with the section of handler `{}`", shown(name)))
            .hint("`hookbox check` says what")
    })
}

fn one(stage: &Stage<'_>, event: &Event) -> Result<(), Failure> {
    let rehearsal = stage.prepare(event)?.ok_or_else(|| {
        Failure::failed(format!("the body of #{} is no longer kept", event.seq)).hint("choose a newer event")
    })?;
    let name = &stage.handler.name;
    if !stage.takes(event)? {
        let what = format!("{} {}", shown(&event.source), shown(&event.event_type));
        remark(format!("`{name}` does not take this event ({}); it runs all the same", what.trim()));
    }
    let interrupt = Interrupt::listen()?;
    let began = Millis::now();
    let (ended, verdict) = rehearsal.run(&interrupt, true)?;
    if stage.handler.mode != Mode::Command {
        io::stdout().write_all(&ended.stdout.kept)?;
        io::stderr().write_all(&ended.stderr.kept)?;
    }
    if io::stdout().is_terminal() && ended.stdout.kept.last().is_some_and(|byte| *byte != b'\n') {
        writeln!(io::stdout())?;
    }
    if let Some(note) = ended.note() {
        remark(format!("note: {}", shown(&note)));
    }
    if let Some(response) = &ended.response {
        let content_type = response.content_type().unwrap_or("no content type");
        let bytes = response.body().len();
        remark(format!("the provider would hear {}, {}, {bytes} bytes", response.status(), shown(content_type)));
    }
    let took = span(ended.finished_at.since(began));
    remark(format!("`{name}` on #{} {}, after {took}", event.seq, would(&ended, &verdict)));
    if verdict.status == AttemptStatus::Succeeded { Ok(()) } else { Err(Failure::silent()) }
}

/// What the ending would have meant for the job.
fn would(ended: &AttemptOutput, verdict: &RetryDecision) -> String {
    match (&verdict.outcome, &ended.exit) {
        (_, AttemptExit::Stopped | AttemptExit::Skipped) => "was stopped, which would not have counted".to_owned(),
        (_, AttemptExit::NotExecutable(why)) => format!("would pause the handler as broken: {}", shown(why)),
        (_, AttemptExit::Starved(why)) => format!("could not be started: {}", shown(why)),
        (JobOutcome::Succeeded | JobOutcome::Skipped, _) => "would succeed".to_owned(),
        (JobOutcome::Dead { reason, .. }, _) => format!("would be dead: {}", shown(reason)),
        (JobOutcome::Retry { at, reason, .. }, _) => {
            format!("would be tried again in {}: {}", span(at.since(ended.finished_at)), shown(reason))
        }
    }
}
