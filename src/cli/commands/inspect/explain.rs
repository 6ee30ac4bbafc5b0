//! `explain`: why a delivery was refused, and which change would have accepted it.
//!
//! A source whose section cannot be read, for example because a variable is set only for the service, is reported: its
//! secrets are not tried.

use std::io::{self, Write as _};
use std::sync::Arc;

use serde::Serialize;

use super::refusals::{find_refusals, parse_id};
use crate::cli::args::{Global, variable};
use crate::cli::commands::setup::learn;
use crate::cli::failure::Failure;
use crate::cli::output::list::print_json;
use crate::cli::output::progress;
use crate::cli::output::terminal::{remark, shown};
use crate::config::{self, ConfigSummary, Source};
use crate::diagnose::{self, Explanation};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::StoredRefusal;

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// Refusal id, from `hookbox refusals`
    #[arg(required = true, value_name = "ID", value_parser = parse_id)]
    ids: Vec<i64>,
    /// Print one JSON array: `id`, `source`, `status`, `reason`, `findings` (`what`, `change`, `settings`), `tried`
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct ExplanationJson<'a> {
    id: i64,
    source: &'a str,
    status: u16,
    reason: &'a str,
    #[serde(flatten)]
    explanation: Explanation,
}

pub(crate) fn run(args: &ExplainArgs, global: &Global) -> Result<(), Failure> {
    let summary = global.summary()?;
    let file = InboxFile::open(&summary.inbox)?;
    let key = file.reader().token_key()?;
    let refusals = find_refusals(&file, &args.ids)?;
    let with_secret = |source| learn::with_learned_secret(source, &file);
    let sources = readable_sources(&summary, global).into_iter().map(with_secret).collect::<Result<Vec<_>, _>>()?;
    let explain = |refusal: &StoredRefusal| diagnose::diagnose(&refusal.refused, &sources, key.as_ref());
    let explanations = progress::spinner("trying", || refusals.iter().map(explain).collect::<Vec<_>>());
    let explained = refusals.iter().zip(explanations);
    if args.json {
        return print_json(explained.map(|(StoredRefusal { row, .. }, explanation)| ExplanationJson {
            id: row.id,
            source: &row.source,
            status: row.status,
            reason: &row.reason,
            explanation,
        }));
    }
    for (refusal, explanation) in explained {
        print(refusal, &explanation)?;
    }
    Ok(())
}

/// Reads every source, and reports those that are invalid.
fn readable_sources(summary: &ConfigSummary, global: &Global) -> Vec<Arc<Source>> {
    let read = |name: &String| match config::read_source(&global.config, &variable, name) {
        Ok(source) => source,
        Err(errors) => {
            remark(format!("{errors}\nwarning: the secrets of `{}` are not tried", shown(name)));
            None
        }
    };
    summary.sources.iter().filter_map(read).collect()
}

fn print(StoredRefusal { row, .. }: &StoredRefusal, explanation: &Explanation) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "refusal {} of `{}`: {}, {}", row.id, shown(&row.source), row.status, shown(&row.reason))?;
    for finding in &explanation.findings {
        writeln!(out, "  {}", shown(&finding.what))?;
        writeln!(out, "  → {}", shown(&finding.change))?;
        for line in finding.settings.iter().flat_map(|settings| settings.lines()) {
            writeln!(out, "      {}", shown(line))?;
        }
    }
    if explanation.findings.is_empty() {
        writeln!(out, "  No change that was tried makes it verify:")?;
        for tried in &explanation.tried {
            writeln!(out, "  - {tried}")?;
        }
        writeln!(out, "  → Compare the secret with the provider's. A forged delivery looks the same.")?;
    }
    Ok(out.flush()?)
}
