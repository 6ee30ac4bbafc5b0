//! `tail`: what arrives and what has run, as it happens, one line each, until Ctrl-C.
//!
//! Reads the file a few times a second, with short reads, whether or not it is served. Where it is locked for a moment,
//! the next look shows what happened meanwhile.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::args::Global;
use crate::cli::args::event_state;
use crate::cli::failure::Failure;
use crate::cli::output::terminal::{instant, shown, span};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::TailLine;
use crate::model::event::EventState;
use crate::model::filter::ArrivalFilter;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Starts with so many events that have come before
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 10)]
    lines: u32,
    /// What has to do with this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Events of this type and all below it, or a glob
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Events, and jobs after an attempt, in this state; several are separated by commas
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = event_state())]
    state: Vec<EventState>,
    /// One JSON object a line, with a `kind`: `event`, `attempt` or `refusal`
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let file = global.inbox_file()?;
    check_source(args.source.as_deref(), &file, global)?;
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, is_over.clone())?;
    }
    let arrival =
        ArrivalFilter { source: args.source.clone(), event_type: args.event_type.clone(), ..ArrivalFilter::default() };
    let mut marks = file.reader().tail_cursor(args.lines)?;
    let mut out = io::stdout().lock();
    while !is_over.load(Ordering::Relaxed) {
        let lines = match file.reader().tail(&arrival, &mut marks) {
            Ok(lines) => lines,
            Err(error) if error.is_busy() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let is_wanted = |line: &&TailLine| {
            args.state.is_empty() || args.state.iter().any(|state| line.state() == Some(state.as_str()))
        };
        for line in lines.iter().filter(is_wanted) {
            if args.json {
                writeln!(out, "{}", serde_json::to_string(line)?)?;
            } else {
                writeln!(out, "{}", told(line))?;
            }
        }
        out.flush()?;
        if lines.is_empty() {
            thread::sleep(LOOK_EVERY);
        }
    }
    Ok(())
}

/// Nothing would ever be told of a source that nobody knows.
fn check_source(source: Option<&str>, file: &InboxFile, global: &Global) -> Result<(), Failure> {
    let Some(name) = source else { return Ok(()) };
    let mut known = file.reader().sources()?;
    known.extend(global.outline()?.sources);
    known.sort();
    known.dedup();
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    let failure = Failure::usage(format!("there is no source `{}`", shown(name)));
    Err(failure.hint(format!("sources: {}", shown(&known.join(", ")))))
}

fn told(line: &TailLine) -> String {
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
