//! `jobs`: the list of jobs, each with its event, newest first.
//!
//! Filters go in, a table or one JSON array comes out.

use comfy_table::Cell;

use crate::cli::args::Global;
use crate::cli::args::{Arrival, Limit, job_state, unknown_name};
use crate::cli::failure::Failure;
use crate::cli::output::list::{self, Array};
use crate::cli::output::table::{Rows, number, state, text};
use crate::cli::output::terminal::{relative, remark};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::Job;
use crate::model::event::JobState;
use crate::model::filter::JobFilter;
use crate::support::time::Millis;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Jobs of this event: an event id, SOURCE/ID, or '#SEQ'
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Jobs in this state; several are separated by commas
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = job_state())]
    state: Vec<JobState>,
    /// Jobs of this handler
    #[arg(long, value_name = "NAME")]
    handler: Option<String>,
    /// Jobs with this reason, or a glob
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
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
    let event =
        args.event.as_ref().map(|event| crate::cli::commands::inspect::event::find(&file, event)).transpose()?;
    let filter = JobFilter {
        jobs: None,
        finished_before: None,
        arrival: args.arrival.to_filter(),
        states: args.state.clone(),
        handler: args.handler.clone(),
        reason: args.reason.clone(),
        events: event.map(|event| vec![event.seq]),
    };
    let read = |page| Ok(file.reader().jobs(&filter, page)?.rows);
    let id = |job: &Job| job.id;
    if args.json {
        let mut array = Array::new();
        let is_cut = list::walk(args.limit, read, id, |job| array.push(job))?;
        array.end()?;
        args.limit.tell(is_cut, "job");
        return Ok(());
    }
    let now = Millis::now();
    let mut rows = Rows::new(&["EVENT", "SOURCE", "TYPE", "HANDLER", "STATE", "ATTEMPT", "WHEN", "REASON"])
        .rigid(&["EVENT", "STATE", "ATTEMPT", "WHEN"]);
    let is_cut = list::walk(args.limit, read, id, |job| {
        rows.add_cells([
            Cell::new(format!("#{}", job.event_seq)),
            text(&job.source),
            text(&job.event_type),
            text(&job.handler),
            state(job.state.as_str()),
            number(job.attempt),
            Cell::new(when(job, now)),
            text(job.reason.as_deref().unwrap_or_default()),
        ]);
        Ok(())
    })?;
    if rows.is_empty() {
        remark(nothing(args, &file)?);
        return Ok(());
    }
    rows.print()?;
    args.limit.tell(is_cut, "job");
    Ok(())
}

/// When it runs next, or ended; nothing while it runs.
pub(crate) fn when(job: &Job, now: Millis) -> String {
    match (job.state, job.finished_at) {
        (_, Some(finished_at)) => relative(finished_at, now),
        (JobState::Pending, None) if job.blocked == 1 => match job.behind {
            Some(seq) => format!("behind #{seq}"),
            None => "blocked".to_owned(),
        },
        (JobState::Pending, None) if job.run_at > now => relative(job.run_at, now),
        (JobState::Pending, None) => "due".to_owned(),
        (_, None) => String::new(),
    }
}

fn nothing(args: &Args, file: &InboxFile) -> Result<String, Failure> {
    Ok(match unknown_name(file, args.arrival.source(), args.handler.as_deref())? {
        Some(blame) => format!("no jobs: {blame}"),
        None => "no jobs that match".to_owned(),
    })
}
