//! `status`: sources, handlers and open problems on one screen.
//!
//! Lists the names of the inbox and those of the configuration: either may have more.

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
use crate::inbox::reader::{self, HandlerStats, SourceStats, UnknownPath};
use crate::support::time::Millis;

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Print one JSON object: `inbox`, `served_by`, `room`, `sources`, `handlers`, `unknown_paths`
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct StatusOutput {
    inbox: String,
    /// Process id of the serving hookbox, or 0 if unknown.
    served_by: Option<i32>,
    room: DiskSpace,
    sources: Vec<SourceStatusRow>,
    handlers: Vec<HandlerStatusRow>,
    /// Requests of the last day to paths that no source has.
    unknown_paths: Vec<UnknownPath>,
}

#[derive(Debug, Serialize)]
struct DiskSpace {
    database_bytes: u64,
    /// Part of `database_bytes`, reused for new rows.
    free_in_database_bytes: u64,
    wal_bytes: u64,
    disk_free_bytes: Option<u64>,
}

impl DiskSpace {
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

#[derive(Debug, Serialize)]
struct SourceStatusRow {
    #[serde(flatten)]
    known: KnownRow<SourceStats>,
    accepted_this_hour: i64,
    /// Accepts deliveries without verifying them.
    unsigned: bool,
}

#[derive(Debug, Serialize)]
struct HandlerStatusRow {
    #[serde(flatten)]
    known: KnownRow<HandlerStats>,
    /// `None` if the configuration does not have the handler.
    mode: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct KnownRow<T> {
    #[serde(flatten)]
    row: T,
    /// Whether the configuration has the name.
    configured: bool,
}

pub(crate) fn run(args: &StatusArgs, global: &Global) -> Result<(), Failure> {
    let summary = global.summary()?;
    let file = InboxFile::open(&summary.inbox)?;
    let now = Millis::now();
    let report = progress::spinner("counting", || report(&summary, &file, now))?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        return Ok(out.flush()?);
    }
    let served = match report.served_by {
        None => "not running".to_owned(),
        Some(0) => "running".to_owned(),
        Some(pid) => format!("running as process {pid}"),
    };
    writeln!(out, "inbox {}, {served}", shown(&report.inbox))?;
    let DiskSpace { database_bytes, free_in_database_bytes, wal_bytes, disk_free_bytes } = report.room;
    let [file, unused, log] = [database_bytes, free_in_database_bytes, wal_bytes].map(ByteSize);
    let disk = disk_free_bytes.map(|bytes| format!("; {} free on disk", ByteSize(bytes))).unwrap_or_default();
    writeln!(out, "database {file} ({unused} unused), write-ahead log {log}{disk}\n")?;
    source_table(&report.sources, now).print()?;
    writeln!(out)?;
    handler_table(&report.handlers, now).print()?;
    for UnknownPath { target, reason, count, last_at } in &report.unknown_paths {
        let last = relative(*last_at, now);
        writeln!(out, "\n{} ({count} in 24 h, last {last}): {}", shown(target), shown(reason))?;
    }
    for source in report.sources.iter().map(|source| &source.known.row).filter(|row| row.deviating > 0) {
        let (name, events) = (shown(&source.source), source.deviating);
        writeln!(
            out,
            "\n{name}: duplicates of {events} events had another body, which was not stored. If the ids are not those of \
             single events, set id_scope = \"object\" in [sources.{name}]."
        )?;
    }
    for line in next_steps(&report) {
        writeln!(out, "\n{line}")?;
    }
    Ok(out.flush()?)
}

fn report(summary: &ConfigSummary, file: &InboxFile, now: Millis) -> Result<StatusOutput, Failure> {
    let mut sources = file.reader().source_stats(now)?;
    for name in &summary.sources {
        if !sources.iter().any(|source| source.source == *name) {
            sources.push(SourceStats { source: name.clone(), ..SourceStats::default() });
        }
    }
    let names: Vec<_> = sources.iter().map(|source| source.source.clone()).collect();
    let days = file.reader().hourly_counts(&names, now)?;
    let known_source = |row: SourceStats| {
        let day = days.iter().find(|day| day.source == row.source);
        let hour = day.map_or(0, |day| day.hours[reader::HOURS_PER_DAY - 1].accepted);
        SourceStatusRow {
            unsigned: summary.unsigned_sources.contains(&row.source),
            known: KnownRow { configured: summary.sources.contains(&row.source), row },
            accepted_this_hour: hour,
        }
    };
    let handlers = in_configured_order(file.reader().handler_stats()?, &summary.handlers);
    let known_handler = |row: HandlerStats| {
        let valid = summary.sound_handlers.iter().find(|handler| *handler.name == *row.handler);
        let mode = valid.map(|handler| handler.mode.as_str());
        HandlerStatusRow { known: KnownRow { configured: summary.handlers.contains(&row.handler), row }, mode }
    };
    Ok(StatusOutput {
        inbox: summary.inbox.display().to_string(),
        served_by: operator::served_by(&summary.inbox).unwrap_or_default(),
        room: DiskSpace::of(&summary.inbox, file.disk_usage()?),
        sources: sources.into_iter().map(known_source).collect(),
        handlers: handlers.into_iter().map(known_handler).collect(),
        unknown_paths: file.reader().unknown_paths(now)?,
    })
}

/// Returns the configured handlers in their order, then others that have jobs or are paused.
fn in_configured_order(mut known: Vec<HandlerStats>, configured: &[String]) -> Vec<HandlerStats> {
    let mut rows = Vec::new();
    for name in configured {
        let at = known.iter().position(|row| row.handler == *name);
        let absent = || HandlerStats { handler: name.clone(), ..HandlerStats::default() };
        rows.push(at.map_or_else(absent, |at| known.remove(at)));
    }
    rows.append(&mut known);
    rows
}

fn source_table(sources: &[SourceStatusRow], now: Millis) -> Rows {
    let mut rows = Rows::new(&["SOURCE", "LAST DELIVERY", "THIS HOUR", "ACCEPTED (24 H)", "DUPLICATE", "REFUSED", ""]);
    for SourceStatusRow { known: KnownRow { row, configured }, accepted_this_hour, unsigned } in sources {
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
            Cell::new(match (configured, unsigned) {
                (false, _) => "not in the configuration",
                (true, true) => "unsigned",
                (true, false) => "",
            }),
        ]);
    }
    rows
}

fn handler_table(handlers: &[HandlerStatusRow], now: Millis) -> Rows {
    let mut rows =
        Rows::new(&["HANDLER", "MODE", "PENDING", "FAILING", "RUNNING", "DEAD", "SUCCEEDED", "OLDEST PENDING", ""])
            .rigid(&["PENDING", "FAILING", "RUNNING", "DEAD", "SUCCEEDED"]);
    for HandlerStatusRow { known: KnownRow { row, configured }, mode } in handlers {
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
    let mut text = match handler.paused_by.as_deref() {
        Some("hookbox") => "paused as broken".to_owned(),
        by => format!("paused by {}", shown(by.unwrap_or_default())),
    };
    if let Some(paused_at) = handler.paused_at {
        text.push_str(&format!(" {}", relative(paused_at, now)));
    }
    if let Some(reason) = &handler.reason {
        text.push_str(&format!(": {}", shown(reason)));
    }
    if let Some(probe_at) = handler.probe_at {
        text.push_str(&format!("; next probe {}", relative(probe_at, now)));
    }
    text
}

fn next_steps(report: &StatusOutput) -> Vec<&'static str> {
    let any =
        |matches: fn(&KnownRow<HandlerStats>) -> bool| report.handlers.iter().any(|handler| matches(&handler.known));
    let mut lines = Vec::new();
    if any(|handler| handler.row.dead > 0) {
        lines.push(
            "Dead jobs need attention: list them with `hookbox jobs --state dead`, run them again with `hookbox retry`.",
        );
    }
    if any(|handler| handler.row.failing > 0) {
        lines.push("Failing jobs will be retried: `hookbox jobs --state pending` shows when and why.");
    }
    if any(|handler| !handler.configured && handler.row.pending > 0) {
        lines.push("Pending jobs wait for a handler that is not in the configuration: add it, or cancel them with `hookbox skip --handler NAME`.");
    }
    lines
}
