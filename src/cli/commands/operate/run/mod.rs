//! `run`: runs a handler on a stored event in the foreground, with `HOOKBOX_DRY_RUN=1` and without changing the inbox.
//!
//! The handler's output passes through. What the result would mean for the job is printed on stderr and decides the exit
//! status. With `--last`, the handler runs on many events, and differences from the stored attempts are reported.

mod many;
mod rehearsal;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;

use crate::cli::args::{Arrival, Global, find_event, unknown_name, variable};
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

use rehearsal::{Interrupt, RehearsalContext};

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Name of a configured handler
    #[arg(value_name = "HANDLER")]
    handler: String,
    /// Event id, SOURCE/ID, or '#SEQ' (quoted, since # starts a shell comment)
    #[arg(value_name = "EVENT", conflicts_with = "last")]
    event: Option<String>,
    /// Run on the newest N matching events and compare with the stored attempts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    last: Option<u32>,
    #[command(flatten)]
    arrival: Arrival,
    /// With --last: confirm the run; a handler that ignores HOOKBOX_DRY_RUN deploys and charges again
    #[arg(long)]
    yes: bool,
    /// With --last: print one JSON array
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &RunArgs, global: &Global) -> Result<(), Failure> {
    let summary = global.summary()?;
    let file = InboxFile::open(&summary.inbox)?;
    let handler = find_handler(&args.handler, &summary)?;
    let routes = Routes::new(std::slice::from_ref(&handler)).map_err(|error| Failure::usage(error.to_string()))?;
    let private_headers = |source: &str| config::read_private_headers(&global.config, &variable, source);
    let context =
        RehearsalContext { file: &file, handler: &handler, routes: &routes, private_headers: &private_headers };
    match (&args.event, args.last) {
        (Some(wanted), _) if args.arrival.is_empty() && !args.json => run_one(&context, &find_event(&file, wanted)?),
        (None, Some(last)) => many::run(&context, args, last),
        (None, None) => Err(Failure::usage("`run` needs an EVENT or --last N").hint("`hookbox events` lists events")),
        _ => {
            Err(Failure::usage("filters and --json require `--last`")
                .hint("remove them, or use --last N without EVENT"))
        }
    }
}

fn find_handler(name: &str, summary: &ConfigSummary) -> Result<Arc<Handler>, Failure> {
    if !summary.handlers.iter().any(|known| known == name) {
        return Err(unknown_name("handler", name, &summary.handlers));
    }
    summary.sound_handlers.iter().find(|handler| *handler.name == *name).cloned().ok_or_else(|| {
        Failure::usage(format!("handler `{}` has an invalid configuration", shown(name)))
            .hint("`hookbox check` shows the errors")
    })
}

fn run_one(context: &RehearsalContext<'_>, event: &Event) -> Result<(), Failure> {
    let rehearsal = context.prepare(event)?.ok_or_else(|| {
        Failure::failed(format!("the body of #{} is no longer stored", event.seq)).hint("choose a newer event")
    })?;
    let name = &context.handler.name;
    if !context.matches(event)? {
        let event = format!("{} {}", shown(&event.source), shown(&event.event_type));
        remark(format!("warning: `{name}` does not match this event ({}); running it anyway", event.trim()));
    }
    let interrupt = Interrupt::listen()?;
    let started = Millis::now();
    let (output, decision) = rehearsal.run(&interrupt, true)?;
    if context.handler.mode != Mode::Command {
        io::stdout().write_all(&output.stdout.kept)?;
        io::stderr().write_all(&output.stderr.kept)?;
    }
    if io::stdout().is_terminal() && output.stdout.kept.last().is_some_and(|byte| *byte != b'\n') {
        writeln!(io::stdout())?;
    }
    if let Some(note) = output.note() {
        remark(format!("note: {}", shown(&note)));
    }
    if let Some(response) = &output.response {
        let content_type = response.content_type().unwrap_or("no content type");
        let bytes = response.body().len();
        remark(format!("response to the provider: {}, {}, {bytes} bytes", response.status(), shown(content_type)));
    }
    let took = span(output.finished_at.since(started));
    remark(format!("`{name}` on #{} {}, after {took}", event.seq, describe(&output, &decision)));
    if decision.status == AttemptStatus::Succeeded { Ok(()) } else { Err(Failure::silent()) }
}

/// What the result would mean for the job.
fn describe(output: &AttemptOutput, decision: &RetryDecision) -> String {
    match (&decision.outcome, &output.exit) {
        (_, AttemptExit::Stopped | AttemptExit::Skipped) => "was stopped, which would not be counted".to_owned(),
        (_, AttemptExit::NotExecutable(reason)) => format!("would pause the handler as broken: {}", shown(reason)),
        (_, AttemptExit::Starved(reason)) => format!("could not be started: {}", shown(reason)),
        (JobOutcome::Succeeded | JobOutcome::Skipped, _) => "would succeed".to_owned(),
        (JobOutcome::Dead { reason, .. }, _) => format!("would be dead: {}", shown(reason)),
        (JobOutcome::Retry { at, reason, .. }, _) => {
            format!("would be retried in {}: {}", span(at.since(output.finished_at)), shown(reason))
        }
    }
}
