//! `status`: sources, handlers and what wants a person, in one screen.
//!
//! What the inbox holds and what the configuration names are put side by side: either may know more.

use std::io::{self, Write as _};
use std::path::Path;

use bytesize::ByteSize;
use comfy_table::Cell;
use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::cli::output::progress;
use crate::cli::output::table::{Rows, number, text};
use crate::cli::output::terminal::{relative, shown};
use crate::config::ConfigSummary;
use crate::inbox::operator::{self, DiskUsage, InboxFile};
use crate::inbox::reader::{self, HandlerStats, SourceStats};
use crate::support::time::Millis;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One JSON object: `inbox`, `served_by`, `room`, `sources`, `handlers`
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    inbox: String,
    /// The serving process; 0 when it is not known which.
    served_by: Option<i32>,
    room: Space,
    sources: Vec<SourceRow>,
    handlers: Vec<HandlerRow>,
}

/// What the inbox takes up, and what there is.
#[derive(Debug, Serialize)]
struct Space {
    database_bytes: u64,
    /// Of these, what is used for what comes next.
    free_in_database_bytes: u64,
    wal_bytes: u64,
    disk_free_bytes: Option<u64>,
}

impl Space {
    fn of(inbox: &Path, room: DiskUsage) -> Self {
        let mut wal = inbox.as_os_str().to_owned();
        wal.push("-wal");
        Self {
            database_bytes: room.bytes,
            free_in_database_bytes: room.free_bytes,
            wal_bytes: std::fs::metadata(Path::new(&wal)).map_or(0, |file| file.len()),
            disk_free_bytes: operator::free_disk(inbox),
        }
    }
}

/// A source, and what came in since the full hour.
#[derive(Debug, Serialize)]
struct SourceRow {
    #[serde(flatten)]
    known: Known<SourceStats>,
    accepted_this_hour: i64,
}

/// A handler, and how it is run; `None` where the configuration does not say.
#[derive(Debug, Serialize)]
struct HandlerRow {
    #[serde(flatten)]
    known: Known<HandlerStats>,
    mode: Option<&'static str>,
}

/// A row, and whether the configuration has its name.
#[derive(Debug, Serialize)]
struct Known<T> {
    #[serde(flatten)]
    row: T,
    configured: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let outline = global.outline()?;
    let file = InboxFile::open(&outline.inbox)?;
    let now = Millis::now();
    let report = progress::waiting("counting", || report(&outline, &file, now))?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        return Ok(out.flush()?);
    }
    let served = match report.served_by {
        None => "not served".to_owned(),
        Some(0) => "served".to_owned(),
        Some(pid) => format!("served by process {pid}"),
    };
    writeln!(out, "inbox {}, {served}", shown(&report.inbox))?;
    let Space { database_bytes, free_in_database_bytes, wal_bytes, disk_free_bytes } = report.room;
    let [file, unused, log] = [database_bytes, free_in_database_bytes, wal_bytes].map(ByteSize);
    let disk = disk_free_bytes.map(|bytes| format!("; {} free on the disk", ByteSize(bytes))).unwrap_or_default();
    writeln!(out, "{file}, {unused} of it unused, and {log} of log{disk}\n")?;
    source_table(&report.sources, now).print()?;
    writeln!(out)?;
    handler_table(&report.handlers, now).print()?;
    for line in what_to_do(&report) {
        writeln!(out, "\n{line}")?;
    }
    Ok(out.flush()?)
}

fn report(outline: &ConfigSummary, file: &InboxFile, now: Millis) -> Result<Report, Failure> {
    let mut sources = file.reader().source_stats(now)?;
    for name in &outline.sources {
        if !sources.iter().any(|source| source.source == *name) {
            sources.push(SourceStats { source: name.clone(), ..SourceStats::default() });
        }
    }
    let names: Vec<_> = sources.iter().map(|source| source.source.clone()).collect();
    let days = file.reader().hourly_counts(&names, now)?;
    let known_source = |row: SourceStats| {
        let day = days.iter().find(|day| day.source == row.source);
        let hour = day.map_or(0, |day| day.hours[reader::HOURS_PER_DAY - 1].accepted);
        SourceRow { known: Known { configured: outline.sources.contains(&row.source), row }, accepted_this_hour: hour }
    };
    let handlers = exact(file.reader().handler_stats()?, &outline.handlers);
    let known_handler = |row: HandlerStats| {
        let sound = outline.sound_handlers.iter().find(|handler| *handler.name == *row.handler);
        let mode = sound.map(|handler| handler.mode.as_str());
        HandlerRow { known: Known { configured: outline.handlers.contains(&row.handler), row }, mode }
    };
    Ok(Report {
        inbox: outline.inbox.display().to_string(),
        served_by: operator::served_by(&outline.inbox).unwrap_or_default(),
        room: Space::of(&outline.inbox, file.disk_usage()?),
        sources: sources.into_iter().map(known_source).collect(),
        handlers: handlers.into_iter().map(known_handler).collect(),
    })
}

/// Those of the configuration in its order, then others that have jobs or are paused.
fn exact(mut known: Vec<HandlerStats>, configured: &[String]) -> Vec<HandlerStats> {
    let mut rows = Vec::new();
    for name in configured {
        let at = known.iter().position(|row| row.handler == *name);
        let absent = || HandlerStats { handler: name.clone(), ..HandlerStats::default() };
        rows.push(at.map_or_else(absent, |at| known.remove(at)));
    }
    rows.append(&mut known);
    rows
}

fn source_table(sources: &[SourceRow], now: Millis) -> Rows {
    let mut rows = Rows::new(&["SOURCE", "LAST DELIVERY", "THIS HOUR", "ACCEPTED (24 H)", "DUPLICATE", "REFUSED", ""]);
    for SourceRow { known: Known { row, configured }, accepted_this_hour } in sources {
        let last = match (row.last_at, row.last_at_is_hour) {
            (Some(at), true) => format!("up to {}", relative(at, now)),
            (Some(at), false) => relative(at, now),
            (None, _) => "never".to_owned(),
        };
        rows.add_cells([
            text(&row.source),
            Cell::new(last),
            number(*accepted_this_hour),
            number(row.accepted),
            number(row.duplicate),
            number(row.refused),
            Cell::new(if *configured { "" } else { "not in the configuration" }),
        ]);
    }
    rows
}

fn handler_table(handlers: &[HandlerRow], now: Millis) -> Rows {
    let mut rows =
        Rows::new(&["HANDLER", "MODE", "PENDING", "FAILING", "RUNNING", "DEAD", "SUCCEEDED", "OLDEST PENDING", ""])
            .rigid(&["PENDING", "FAILING", "RUNNING", "DEAD", "SUCCEEDED"]);
    for HandlerRow { known: Known { row, configured }, mode } in handlers {
        rows.add_cells([
            text(&row.handler),
            Cell::new(mode.unwrap_or_default()),
            number(row.pending),
            number(row.failing),
            number(row.running),
            number(row.dead),
            number(row.succeeded),
            Cell::new(row.oldest_pending_at.map(|at| relative(at, now)).unwrap_or_default()),
            Cell::new(if *configured { paused(row, now) } else { "not in the configuration".to_owned() }),
        ]);
    }
    rows
}

fn paused(handler: &HandlerStats, now: Millis) -> String {
    if !handler.paused {
        return String::new();
    }
    let mut told = match handler.paused_by.as_deref() {
        Some("hookbox") => "paused as broken".to_owned(),
        by => format!("paused by {}", shown(by.unwrap_or_default())),
    };
    if let Some(paused_at) = handler.paused_at {
        told.push_str(&format!(" {}", relative(paused_at, now)));
    }
    if let Some(reason) = &handler.reason {
        told.push_str(&format!(": {}", shown(reason)));
    }
    if let Some(probe_at) = handler.probe_at {
        told.push_str(&format!("; next probe {}", relative(probe_at, now)));
    }
    told
}

fn what_to_do(report: &Report) -> Vec<&'static str> {
    let some = |wanted: fn(&Known<HandlerStats>) -> bool| report.handlers.iter().any(|handler| wanted(&handler.known));
    let mut lines = Vec::new();
    if some(|handler| handler.row.dead > 0) {
        lines.push(
            "dead jobs wait for a person: `hookbox jobs --state dead` lists them, `hookbox retry` runs them again",
        );
    }
    if some(|handler| handler.row.failing > 0) {
        lines.push("failing jobs have failed and are tried again: `hookbox jobs --state pending` tells when and why");
    }
    if some(|handler| !handler.configured && handler.row.pending > 0) {
        lines.push("pending jobs of a handler that is not in the configuration wait until it is, or `hookbox skip --handler NAME`");
    }
    lines
}
