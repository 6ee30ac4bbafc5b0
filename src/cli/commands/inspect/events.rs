//! `events`, `events show` and `events body`.

use std::io::{self, Write as _};

use comfy_table::Cell;

use super::show;
use crate::cli::args::{Arrival, Global, Limit, event_state, find_event, unknown_in_inbox};
use crate::cli::failure::Failure;
use crate::cli::output::list::ListFormat;
use crate::cli::output::table::{state, text};
use crate::cli::output::terminal::{instant, remark};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::Event;
use crate::model::event::EventState;
use crate::model::filter::EventFilter;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct EventsArgs {
    #[command(subcommand)]
    command: Option<EventsCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum EventsCommand {
    /// Show events with headers, jobs, attempts and output
    Show(show::ShowArgs),
    /// Write the exact bytes of an event's body to stdout
    Body {
        /// Event id, SOURCE/ID, or '#SEQ' (quoted, since # starts a shell comment)
        event: String,
    },
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only events in this state; separate several with commas
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = event_state())]
    state: Vec<EventState>,
    #[command(flatten)]
    arrival: Arrival,
    #[command(flatten)]
    limit: Limit,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &EventsArgs, global: &Global) -> Result<(), Failure> {
    let file = global.inbox_file()?;
    match &args.command {
        Some(EventsCommand::Show(args)) => show::run(args, &file),
        Some(EventsCommand::Body { event }) => body(&file, event),
        None => list(&args.list, &file),
    }
}

fn list(args: &ListArgs, file: &InboxFile) -> Result<(), Failure> {
    let filter = EventFilter { arrival: args.arrival.to_filter(), states: args.state.clone(), body_text: None };
    let format = ListFormat {
        limit: args.limit,
        json: args.json,
        noun: "event",
        header: &["SEQ", "RECEIVED", "SOURCE", "TYPE", "EVENT ID", "STATE"],
        rigid: &["SEQ", "RECEIVED", "STATE"],
    };
    let cells = |event: &Event| {
        [
            Cell::new(format!("#{}", event.seq)),
            Cell::new(instant(event.received_at)),
            text(&event.source),
            text(&event.event_type),
            event_id(event),
            state(event.state.as_str()),
        ]
    };
    if !format.print(|page| Ok(file.reader().events(&filter, page)?.rows), |event| event.seq, cells)? {
        remark(explain_empty(args, file)?);
    }
    Ok(())
}

/// The id, with a remark if bodies of duplicates were not stored.
fn event_id(event: &Event) -> Cell {
    match event.deviating_deliveries {
        0 => text(&event.event_id),
        deviating => text(&format!("{} ({deviating} duplicates had another body)", event.event_id)),
    }
}

fn explain_empty(args: &ListArgs, file: &InboxFile) -> Result<String, Failure> {
    if let Some(reason) = unknown_in_inbox(file, args.arrival.source(), None)? {
        return Ok(format!("no events: {reason}"));
    }
    Ok(if args.arrival.is_empty() && args.state.is_empty() {
        "no events yet; send a test event with `hookbox send SOURCE --type TYPE`".to_owned()
    } else {
        "no matching events".to_owned()
    })
}

fn body(file: &InboxFile, wanted: &str) -> Result<(), Failure> {
    let event = find_event(file, wanted)?;
    let Some(body) = file.reader().body(event.seq)? else {
        return Err(Failure::failed(format!("the body of #{} is no longer stored", event.seq)));
    };
    let mut out = io::stdout().lock();
    out.write_all(&body)?;
    Ok(out.flush()?)
}
