//! `events`: the list of events; `events show` and `events body` go on to one.
//!
//! Filters go in, a table or one JSON array comes out, newest first. The body is written as it was received.

use std::io::{self, Write as _};

use comfy_table::Cell;

use super::{event, show};
use crate::cli::args::Global;
use crate::cli::args::{Arrival, Limit, event_state, unknown_name};
use crate::cli::failure::Failure;
use crate::cli::output::list::{self, Array};
use crate::cli::output::table::{Rows, state, text};
use crate::cli::output::terminal::{instant, remark};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::Event;
use crate::model::event::EventState;
use crate::model::filter::EventFilter;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    one: Option<One>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum One {
    /// Shows events with their headers, jobs, attempts and output
    Show(show::Args),
    /// Writes the exact bytes of an event's body to stdout
    Body {
        /// An event id, SOURCE/ID, or '#SEQ' (quoted: to a shell a bare # begins a comment)
        event: String,
    },
}

#[derive(Debug, clap::Args)]
struct List {
    /// Events in this state; several are separated by commas
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = event_state())]
    state: Vec<EventState>,
    #[command(flatten)]
    arrival: Arrival,
    #[command(flatten)]
    limit: Limit,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let file = global.inbox_file()?;
    match &args.one {
        Some(One::Show(args)) => show::run(args, &file),
        Some(One::Body { event }) => body(&file, event),
        None => list(&args.list, &file),
    }
}

fn list(args: &List, file: &InboxFile) -> Result<(), Failure> {
    let filter = EventFilter { arrival: args.arrival.to_filter(), states: args.state.clone(), body_text: None };
    let read = |page| Ok(file.reader().events(&filter, page)?.rows);
    let seq = |event: &Event| event.seq;
    if args.json {
        let mut array = Array::new();
        let is_cut = list::walk(args.limit, read, seq, |event| array.push(event))?;
        array.end()?;
        args.limit.tell(is_cut, "event");
        return Ok(());
    }
    let mut rows =
        Rows::new(&["SEQ", "RECEIVED", "SOURCE", "TYPE", "EVENT ID", "STATE"]).rigid(&["SEQ", "RECEIVED", "STATE"]);
    let is_cut = list::walk(args.limit, read, seq, |event| {
        rows.add_cells([
            Cell::new(format!("#{}", event.seq)),
            Cell::new(instant(event.received_at)),
            text(&event.source),
            text(&event.event_type),
            text(&event.event_id),
            state(event.state.as_str()),
        ]);
        Ok(())
    })?;
    if rows.is_empty() {
        remark(nothing(args, file)?);
        return Ok(());
    }
    rows.print()?;
    args.limit.tell(is_cut, "event");
    Ok(())
}

fn nothing(args: &List, file: &InboxFile) -> Result<String, Failure> {
    if let Some(blame) = unknown_name(file, args.arrival.source(), None)? {
        return Ok(format!("no events: {blame}"));
    }
    Ok(if args.arrival.is_empty() && args.state.is_empty() {
        "no events yet; `hookbox send SOURCE --type TYPE` sends one to try".to_owned()
    } else {
        "no events that match".to_owned()
    })
}

fn body(file: &InboxFile, wanted: &str) -> Result<(), Failure> {
    let event = event::find(file, wanted)?;
    let Some(body) = file.reader().body(event.seq)? else {
        return Err(Failure::failed(format!("the body of #{} is no longer kept", event.seq)));
    };
    let mut out = io::stdout().lock();
    out.write_all(&body)?;
    Ok(out.flush()?)
}
