//! `tail`: prints events, attempts and refusals as they happen, until Ctrl-C.
//!
//! Polls the inbox file, so it works whether or not hookbox is running. If the file is briefly locked, the next poll
//! catches up.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::args::{Global, event_state, unknown_name};
use crate::cli::failure::Failure;
use crate::cli::output::terminal::{instant, shown, span};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::TailLine;
use crate::model::event::EventState;
use crate::model::filter::ArrivalFilter;

const POLL_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(crate) struct TailArgs {
    /// Start with the last N events
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 10)]
    lines: u32,
    /// Only events, attempts and refusals of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only events of this type and its subtypes; globs allowed
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only events and jobs in this state; separate several with commas
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = event_state())]
    state: Vec<EventState>,
    /// Print one JSON object per line, with a `kind`: `event`, `attempt` or `refusal`
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &TailArgs, global: &Global) -> Result<(), Failure> {
    let file = global.inbox_file()?;
    check_source(args.source.as_deref(), &file, global)?;
    let is_stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, is_stopped.clone())?;
    }
    let arrival =
        ArrivalFilter { source: args.source.clone(), event_type: args.event_type.clone(), ..ArrivalFilter::default() };
    let mut cursor = file.reader().tail_cursor(args.lines)?;
    let mut out = io::stdout().lock();
    while !is_stopped.load(Ordering::Relaxed) {
        let lines = match file.reader().tail(&arrival, &mut cursor) {
            Ok(lines) => lines,
            Err(error) if error.is_busy() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let matches_state = |line: &&TailLine| {
            args.state.is_empty() || args.state.iter().any(|state| line.state() == Some(state.as_str()))
        };
        for line in lines.iter().filter(matches_state) {
            if args.json {
                writeln!(out, "{}", serde_json::to_string(line)?)?;
            } else {
                writeln!(out, "{}", describe(line))?;
            }
        }
        out.flush()?;
        if lines.is_empty() {
            thread::sleep(POLL_INTERVAL);
        }
    }
    Ok(())
}

/// Rejects an unknown source, which would never print anything.
fn check_source(source: Option<&str>, file: &InboxFile, global: &Global) -> Result<(), Failure> {
    let Some(name) = source else { return Ok(()) };
    let mut known = file.reader().sources()?;
    known.extend(global.summary()?.sources);
    known.sort();
    known.dedup();
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    Err(unknown_name("source", name, &known))
}

fn describe(line: &TailLine) -> String {
    match line {
        TailLine::Event { at, seq, source, event_type, event_id, state } => {
            let [source, event_type, event_id] = [source, event_type, event_id].map(|text| shown(text));
            format!("{}  #{seq}  {source}  {event_type}  {event_id}  {state}", instant(*at))
        }
        TailLine::Attempt { at, seq, handler, attempt, status, took_ms, state, reason, .. } => {
            let took = span(Duration::from_millis(took_ms.unsigned_abs()));
            let reason = reason.as_ref().map(|reason| format!(": {}", shown(reason))).unwrap_or_default();
            let handler = shown(handler);
            format!("{}  #{seq}  {handler}  attempt {attempt} {status} after {took}, {state}{reason}", instant(*at))
        }
        TailLine::Refusal { at, id, source, status, reason } => {
            format!(
                "{}  {}  refused with {status}: {} (`hookbox explain {id}`)",
                instant(*at),
                shown(source),
                shown(reason)
            )
        }
    }
}
