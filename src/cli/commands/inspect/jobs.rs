//! `jobs`: lists jobs with their events, newest first.

use comfy_table::Cell;

use crate::cli::args::{Global, JobArgs, Limit, find_event, unknown_in_inbox};
use crate::cli::failure::Failure;
use crate::cli::output::list::ListFormat;
use crate::cli::output::table::{number, state, text};
use crate::cli::output::terminal::{relative, remark};
use crate::inbox::reader::Job;
use crate::model::event::JobState;
use crate::support::time::Millis;

#[derive(Debug, clap::Args)]
pub(crate) struct JobsArgs {
    /// Only jobs of this event: an event id, SOURCE/ID, or '#SEQ'
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    #[command(flatten)]
    filter: JobArgs,
    #[command(flatten)]
    limit: Limit,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &JobsArgs, global: &Global) -> Result<(), Failure> {
    let file = global.inbox_file()?;
    let event = args.event.as_ref().map(|event| find_event(&file, event)).transpose()?;
    let filter = args.filter.to_filter(event.map(|event| vec![event.seq]), None);
    let format = ListFormat {
        limit: args.limit,
        json: args.json,
        noun: "job",
        header: &["EVENT", "SOURCE", "TYPE", "HANDLER", "STATE", "ATTEMPT", "WHEN", "REASON"],
        rigid: &["EVENT", "STATE", "ATTEMPT", "WHEN"],
    };
    let now = Millis::now();
    let cells = |job: &Job| {
        [
            Cell::new(format!("#{}", job.event_seq)),
            text(&job.source),
            text(&job.event_type),
            text(&job.handler),
            state(job.state.as_str()),
            number(job.attempt),
            Cell::new(when(job, now)),
            text(job.reason.as_deref().unwrap_or_default()),
        ]
    };
    if !format.print(|page| Ok(file.reader().jobs(&filter, page)?.rows), |job| job.id, cells)? {
        let unknown = unknown_in_inbox(&file, args.filter.arrival.source(), args.filter.handler.as_deref())?;
        remark(unknown.map_or("no matching jobs".to_owned(), |reason| format!("no jobs: {reason}")));
    }
    Ok(())
}

/// When a job runs next or when it finished; empty while it runs.
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
