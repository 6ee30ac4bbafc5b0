//! `refusals`: the list of what was turned away; `refusals show` and `refusals body` go on to one.
//!
//! What comes out is what the ring holds: tokens are `***`, bodies end at 64 KiB.

use std::io::{self, Write as _};

use comfy_table::Cell;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::args::Global;
use crate::cli::args::{Limit, instant as when, unknown_name};
use crate::cli::commands::inspect::show::print_headers;
use crate::cli::failure::Failure;
use crate::cli::output::list::{self, Array};
use crate::cli::output::table::{Rows, text};
use crate::cli::output::terminal::{instant, relative, remark, shown};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::{RefusalSummary, StoredRefusal};
use crate::model::filter::ArrivalFilter;
use crate::support::time::Millis;

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
    /// Shows refusals with their headers
    Show {
        /// From the list
        #[arg(required = true, value_name = "ID", value_parser = id)]
        ids: Vec<i64>,
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// Writes what was kept of a refusal's body to stdout
    Body {
        /// From the list
        #[arg(value_name = "ID", value_parser = id)]
        id: i64,
    },
}

#[derive(Debug, clap::Args)]
struct List {
    /// Refusals of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Received since then: RFC 3339, or how long ago (`2h`)
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<Millis>,
    #[command(flatten)]
    limit: Limit,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// A refusal with everything that can be shown as text.
#[derive(Debug, Serialize)]
struct Detail<'a> {
    #[serde(flatten)]
    row: &'a RefusalSummary,
    headers: Option<Box<RawValue>>,
    body: String,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let file = global.inbox_file()?;
    match &args.one {
        Some(One::Show { ids, json }) => show(&file, ids, *json),
        Some(One::Body { id }) => body(&file, *id),
        None => list(&args.list, &file),
    }
}

/// A refusal's id: `12`, or `#12`.
pub(crate) fn id(text: &str) -> Result<i64, String> {
    text.trim_start_matches('#').parse().map_err(|_| "a number from `hookbox refusals`".to_owned())
}

/// The refusal of this id.
pub(crate) fn find(file: &InboxFile, id: i64) -> Result<StoredRefusal, Failure> {
    file.reader().refusal(id)?.ok_or_else(|| {
        Failure::failed(format!("there is no refusal {id}"))
            .hint("`hookbox refusals` lists those that are kept: the newest 1,000, at most ten a second of each source")
    })
}

fn list(args: &List, file: &InboxFile) -> Result<(), Failure> {
    let arrival = ArrivalFilter { source: args.source.clone(), since: args.since, ..ArrivalFilter::default() };
    let read = |page| file.reader().refusals(&arrival, page).map_err(Failure::from);
    let key = |refusal: &RefusalSummary| refusal.id;
    if args.json {
        let mut array = Array::new();
        let is_cut = list::walk(args.limit, read, key, |refusal| array.push(refusal))?;
        array.end()?;
        args.limit.tell(is_cut, "refusal");
        return Ok(());
    }
    let mut rows =
        Rows::new(&["ID", "RECEIVED", "SOURCE", "STATUS", "FROM", "REASON"]).rigid(&["ID", "RECEIVED", "STATUS"]);
    let is_cut = list::walk(args.limit, read, key, |refusal| {
        rows.add_cells([
            Cell::new(refusal.id),
            Cell::new(instant(refusal.received_at)),
            text(&refusal.source),
            Cell::new(refusal.status),
            text(refusal.remote.as_deref().unwrap_or("unknown")),
            text(&told(refusal)),
        ]);
        Ok(())
    })?;
    if rows.is_empty() {
        let blame = unknown_name(file, args.source.as_deref(), None)?;
        remark(blame.map_or("no refusals".to_owned(), |blame| format!("no refusals: {blame}")));
        return Ok(());
    }
    rows.print()?;
    args.limit.tell(is_cut, "refusal");
    remark("`hookbox explain ID` says what would have made one match");
    Ok(())
}

fn told(refusal: &RefusalSummary) -> String {
    match refusal.taken_at {
        Some(taken_at) => format!("{} (taken in {})", refusal.reason, instant(taken_at)),
        None => refusal.reason.clone(),
    }
}

fn show(file: &InboxFile, ids: &[i64], is_json: bool) -> Result<(), Failure> {
    let kept: Vec<StoredRefusal> = ids.iter().map(|id| find(file, *id)).collect::<Result<_, _>>()?;
    if is_json {
        let mut array = Array::new();
        for StoredRefusal { row, refused } in &kept {
            let headers = RawValue::from_string(refused.headers.clone()).ok();
            array.push(&Detail { row, headers, body: String::from_utf8_lossy(&refused.body).into_owned() })?;
        }
        return array.end();
    }
    let mut out = io::stdout().lock();
    for StoredRefusal { row, refused } in &kept {
        writeln!(out, "refusal {}: {}, {}", row.id, row.status, shown(&told(row)))?;
        writeln!(out, "  source      {}", shown(&row.source))?;
        writeln!(out, "  from        {}", shown(row.remote.as_deref().unwrap_or("unknown")))?;
        let received = relative(row.received_at, Millis::now());
        writeln!(out, "  received    {}, {received}", row.received_at.to_rfc3339())?;
        writeln!(out, "  request     {} {}", shown(&row.method), shown(&row.target))?;
        match (row.body_bytes, refused.body.len()) {
            (0, _) => writeln!(out, "  body        none")?,
            (bytes, 0) => writeln!(out, "  body        {bytes} bytes, not kept")?,
            (bytes, _) if refused.is_whole() => writeln!(out, "  body        {bytes} bytes")?,
            (bytes, kept) => writeln!(out, "  body        {bytes} bytes, of which the first {kept} are kept")?,
        }
        if !refused.body.is_empty() {
            writeln!(out, "              `hookbox refusals body {}` writes it", row.id)?;
        }
        print_headers(&mut out, &refused.headers)?;
    }
    Ok(out.flush()?)
}

fn body(file: &InboxFile, id: i64) -> Result<(), Failure> {
    let kept = find(file, id)?;
    if !kept.refused.is_whole() {
        remark(format!("{} bytes came, the first {} are kept", kept.refused.body_bytes, kept.refused.body.len()));
    }
    let mut out = io::stdout().lock();
    out.write_all(&kept.refused.body)?;
    Ok(out.flush()?)
}
