//! `explain`: why a delivery was turned away, and which change would have made it match.
//!
//! Sources whose section cannot be read (a variable that is set for the service alone, say) are told: their secrets
//! were not tried.

use std::io::{self, Write as _};
use std::sync::Arc;

use serde::Serialize;

use crate::cli::args::{Global, variable};
use crate::cli::commands::inspect::refusals::{find, id};
use crate::cli::commands::setup::learn;
use crate::cli::failure::Failure;
use crate::cli::output::list::Array;
use crate::cli::output::progress;
use crate::cli::output::terminal::{remark, shown};
use crate::config::{self, ConfigSummary, Source};
use crate::diagnose::{self, Explanation};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::StoredRefusal;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// From `hookbox refusals`
    #[arg(required = true, value_name = "ID", value_parser = id)]
    ids: Vec<i64>,
    /// One JSON array: `id`, `source`, `status`, `reason`, `findings` (`what`, `change`), `tried`
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Explained<'a> {
    id: i64,
    source: &'a str,
    status: u16,
    reason: &'a str,
    #[serde(flatten)]
    explanation: Explanation,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let outline = global.outline()?;
    let file = InboxFile::open(&outline.inbox)?;
    let key = file.reader().token_key()?;
    let kept: Vec<StoredRefusal> = args.ids.iter().map(|id| find(&file, *id)).collect::<Result<_, _>>()?;
    let taught = |source| learn::taught(source, &file);
    let sources = sources(&outline, global).into_iter().map(taught).collect::<Result<Vec<_>, _>>()?;
    let explain = |StoredRefusal { refused, .. }: &StoredRefusal| diagnose::diagnose(refused, &sources, key.as_ref());
    let explained = progress::waiting("trying", || kept.iter().map(explain).collect::<Vec<_>>());
    if args.json {
        let mut array = Array::new();
        for (StoredRefusal { row, .. }, explanation) in kept.iter().zip(explained) {
            array.push(&Explained {
                id: row.id,
                source: &row.source,
                status: row.status,
                reason: &row.reason,
                explanation,
            })?;
        }
        return array.end();
    }
    for (kept, explanation) in kept.iter().zip(&explained) {
        print(kept, explanation)?;
    }
    Ok(())
}

/// Every source that can be read; the others are told.
fn sources(outline: &ConfigSummary, global: &Global) -> Vec<Arc<Source>> {
    let read = |name: &String| match config::read_source(&global.config, &variable, name) {
        Ok(source) => source,
        Err(errors) => {
            remark(format!("{errors}\nthe secrets of `{}` are not tried", shown(name)));
            None
        }
    };
    outline.sources.iter().filter_map(read).collect()
}

fn print(StoredRefusal { row, .. }: &StoredRefusal, explanation: &Explanation) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "refusal {} of `{}`: {}, {}", row.id, shown(&row.source), row.status, shown(&row.reason))?;
    for finding in &explanation.findings {
        writeln!(out, "  {}", shown(&finding.what))?;
        writeln!(out, "  → {}", shown(&finding.change))?;
    }
    if explanation.findings.is_empty() {
        writeln!(out, "  Nothing that was tried makes it match:")?;
        for tried in &explanation.tried {
            writeln!(out, "  - {tried}")?;
        }
        writeln!(out, "  → Compare the secret with the one that the provider shows; a forgery looks the same.")?;
    }
    Ok(out.flush()?)
}
