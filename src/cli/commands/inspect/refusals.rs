//! `refusals`, `refusals show` and `refusals body`.
//!
//! Tokens are stored as `***`, and bodies up to 64 KiB.

use std::io::{self, Write as _};

use comfy_table::Cell;
use serde::Serialize;
use serde_json::value::RawValue;

use super::show::print_headers;
use crate::cli::args::{Global, Limit, instant as parse_instant, unknown_in_inbox};
use crate::cli::failure::Failure;
use crate::cli::output::list::{ListFormat, print_json};
use crate::cli::output::table::text;
use crate::cli::output::terminal::{instant, relative, remark, shown};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::{RefusalSummary, StoredRefusal};
use crate::model::filter::ArrivalFilter;
use crate::support::time::Millis;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RefusalsArgs {
    #[command(subcommand)]
    command: Option<RefusalsCommand>,
    #[command(flatten)]
    list: RefusalListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum RefusalsCommand {
    /// Show refusals with their headers
    Show {
        /// Refusal id, from `hookbox refusals`
        #[arg(required = true, value_name = "ID", value_parser = parse_id)]
        ids: Vec<i64>,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Write the stored part of a refusal's body to stdout
    Body {
        /// Refusal id, from `hookbox refusals`
        #[arg(value_name = "ID", value_parser = parse_id)]
        id: i64,
    },
}

#[derive(Debug, clap::Args)]
struct RefusalListArgs {
    /// Only refusals of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only refusals received since WHEN: RFC 3339, or an age such as `2h`
    #[arg(long, value_name = "WHEN", value_parser = parse_instant)]
    since: Option<Millis>,
    #[command(flatten)]
    limit: Limit,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// A refusal for `refusals show --json`.
#[derive(Debug, Serialize)]
struct RefusalJson<'a> {
    #[serde(flatten)]
    row: &'a RefusalSummary,
    headers: Option<Box<RawValue>>,
    body: String,
}

pub(crate) fn run(args: &RefusalsArgs, global: &Global) -> Result<(), Failure> {
    let file = global.inbox_file()?;
    match &args.command {
        Some(RefusalsCommand::Show { ids, json }) => show(&find_refusals(&file, ids)?, *json),
        Some(RefusalsCommand::Body { id }) => body(&file, *id),
        None => list(&args.list, &file),
    }
}

/// Parses a refusal id: `12` or `#12`.
pub(crate) fn parse_id(text: &str) -> Result<i64, String> {
    text.trim_start_matches('#').parse().map_err(|_| "expected a number from `hookbox refusals`".to_owned())
}

pub(crate) fn find_refusal(file: &InboxFile, id: i64) -> Result<StoredRefusal, Failure> {
    file.reader().refusal(id)?.ok_or_else(|| {
        Failure::failed(format!("there is no refusal {id}"))
            .hint("`hookbox refusals` lists them; the newest 1,000 are kept, at most ten per second and source")
    })
}

pub(crate) fn find_refusals(file: &InboxFile, ids: &[i64]) -> Result<Vec<StoredRefusal>, Failure> {
    ids.iter().map(|id| find_refusal(file, *id)).collect()
}

fn list(args: &RefusalListArgs, file: &InboxFile) -> Result<(), Failure> {
    let filter = ArrivalFilter { source: args.source.clone(), since: args.since, ..ArrivalFilter::default() };
    let format = ListFormat {
        limit: args.limit,
        json: args.json,
        noun: "refusal",
        header: &["ID", "RECEIVED", "SOURCE", "STATUS", "FROM", "REASON"],
        rigid: &["ID", "RECEIVED", "STATUS"],
    };
    let cells = |refusal: &RefusalSummary| {
        [
            Cell::new(refusal.id),
            Cell::new(instant(refusal.received_at)),
            text(&refusal.source),
            Cell::new(refusal.status),
            text(refusal.remote.as_deref().unwrap_or("unknown")),
            text(&reason(refusal)),
        ]
    };
    if !format.print(|page| Ok(file.reader().refusals(&filter, page)?), |refusal| refusal.id, cells)? {
        let unknown = unknown_in_inbox(file, args.source.as_deref(), None)?;
        remark(unknown.map_or("no refusals".to_owned(), |reason| format!("no refusals: {reason}")));
    } else if !args.json {
        remark("`hookbox explain ID` shows why, and which change would accept it");
    }
    Ok(())
}

fn reason(refusal: &RefusalSummary) -> String {
    match refusal.taken_at {
        Some(accepted_at) => format!("{} (accepted {})", refusal.reason, instant(accepted_at)),
        None => refusal.reason.clone(),
    }
}

fn show(refusals: &[StoredRefusal], json: bool) -> Result<(), Failure> {
    if json {
        return print_json(refusals.iter().map(|StoredRefusal { row, refused }| RefusalJson {
            row,
            headers: RawValue::from_string(refused.headers.clone()).ok(),
            body: String::from_utf8_lossy(&refused.body).into_owned(),
        }));
    }
    let mut out = io::stdout().lock();
    for StoredRefusal { row, refused } in refusals {
        writeln!(out, "refusal {}: {}, {}", row.id, row.status, shown(&reason(row)))?;
        writeln!(out, "  source      {}", shown(&row.source))?;
        writeln!(out, "  from        {}", shown(row.remote.as_deref().unwrap_or("unknown")))?;
        let received = relative(row.received_at, Millis::now());
        writeln!(out, "  received    {}, {received}", row.received_at.to_rfc3339())?;
        writeln!(out, "  request     {} {}", shown(&row.method), shown(&row.target))?;
        match (row.body_bytes, refused.body.len()) {
            (0, _) => writeln!(out, "  body        none")?,
            (bytes, 0) => writeln!(out, "  body        {bytes} bytes, not stored")?,
            (bytes, _) if refused.is_whole() => writeln!(out, "  body        {bytes} bytes")?,
            (bytes, stored) => writeln!(out, "  body        {bytes} bytes, the first {stored} are stored")?,
        }
        if !refused.body.is_empty() {
            writeln!(out, "              to print it: hookbox refusals body {}", row.id)?;
        }
        print_headers(&mut out, &refused.headers)?;
    }
    Ok(out.flush()?)
}

fn body(file: &InboxFile, id: i64) -> Result<(), Failure> {
    let refused = find_refusal(file, id)?.refused;
    if !refused.is_whole() {
        remark(format!("{} bytes were received, the first {} are stored", refused.body_bytes, refused.body.len()));
    }
    let mut out = io::stdout().lock();
    out.write_all(&refused.body)?;
    Ok(out.flush()?)
}
