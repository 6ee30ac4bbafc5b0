//! `providers`: lists supported providers, how each signs, and where its id and type are. Everything comes from the
//! provider table.

use std::io::{self, Write as _};

use serde::Serialize;

use super::keygen;
use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::cli::output::list::print_json;
use crate::cli::output::table::{Rows, text};
use crate::cli::output::terminal::{remark, shown};
use crate::config::nearest;
use crate::providers::{self, ProviderRow, Scheme};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ProvidersArgs {
    #[command(subcommand)]
    command: Option<ProvidersCommand>,
    #[command(flatten)]
    list: ProviderListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum ProvidersCommand {
    /// Generate a key pair or a secret, to try a source without its provider
    Keygen(keygen::KeygenArgs),
}

#[derive(Debug, Default, clap::Args)]
struct ProviderListArgs {
    /// Show all details of one provider
    name: Option<String>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// A row with derived fields.
#[derive(Debug, Serialize)]
struct ProviderJson {
    name: &'static str,
    support: Support,
    /// Locations of the id that the signature does not cover.
    unsigned_id: Vec<String>,
    /// Locations of the type that the signature does not cover.
    unsigned_type: Vec<String>,
    #[serde(flatten)]
    row: &'static ProviderRow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Support {
    Confirmed,
    Unconfirmed,
    None,
}

impl Support {
    fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Unconfirmed => "unconfirmed",
            Self::None => "not yet",
        }
    }
}

impl ProviderJson {
    fn new((name, row): (&'static str, &'static ProviderRow)) -> Self {
        let scheme = Scheme::from_row(row).ok();
        Self {
            name,
            support: match (&row.unsupported, row.confirmed) {
                (Some(_), _) => Support::None,
                (None, true) => Support::Confirmed,
                (None, false) => Support::Unconfirmed,
            },
            unsigned_id: scheme.as_ref().map(Scheme::unsigned_id).unwrap_or_default(),
            unsigned_type: scheme.as_ref().map(Scheme::unsigned_type).unwrap_or_default(),
            row,
        }
    }
}

pub(crate) fn run(args: &ProvidersArgs, global: &Global) -> Result<(), Failure> {
    match &args.command {
        None => list(&args.list),
        Some(ProvidersCommand::Keygen(args)) => match &args.target {
            Some(target) => keygen::run(target, args, &global.config),
            // There is also a provider called "keygen".
            None => {
                list(&ProviderListArgs { name: Some("keygen".to_owned()), ..ProviderListArgs::default() })?;
                remark("to generate keys: hookbox providers keygen PROVIDER|ALGORITHM");
                Ok(())
            }
        },
    }
}

fn list(args: &ProviderListArgs) -> Result<(), Failure> {
    let wanted = |(name, _): &(&str, &ProviderRow)| args.name.as_deref().is_none_or(|wanted| wanted == *name);
    let rows: Vec<_> = providers::all().filter(wanted).map(ProviderJson::new).collect();
    if let (Some(name), true) = (&args.name, rows.is_empty()) {
        let near = nearest(name, providers::names());
        let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let hint = "`hookbox providers` lists them; for any other sender use `provider = \"custom\"`";
        return Err(Failure::usage(format!("there is no provider `{}`", shown(name))).hint(format!("{near}{hint}")));
    }
    if args.json {
        return print_json(&rows);
    }
    match &rows[..] {
        [one] if args.name.is_some() => print_one(one),
        _ => print_all(&rows),
    }
}

fn print_all(rows: &[ProviderJson]) -> Result<(), Failure> {
    let mut list = Rows::new(&["NAME", "PROVIDER", "SUPPORT", "SIGNATURE", "EVENT ID", "EVENT TYPE"]).rigid(&["NAME"]);
    for ProviderJson { name, row, support, unsigned_id, unsigned_type } in rows {
        let id = marked(providers::listed(&row.event_id, ":"), unsigned_id);
        let event_type = marked(providers::listed(&row.event_type, " . "), unsigned_type);
        let signature = match support {
            Support::None => row.unsupported.clone().unwrap_or_default(),
            _ => format!("{} in {}", row.algorithm, row.signature),
        };
        let cells = [*name, row.title.as_str(), support.as_str(), &signature, &id, &event_type];
        list.add_cells(cells.map(text));
    }
    list.print()?;
    remark("* not covered by the signature; `hookbox providers NAME` shows details");
    Ok(())
}

fn marked(text: String, unsigned: &[String]) -> String {
    if unsigned.is_empty() { text } else { format!("{text} *") }
}

fn print_one(ProviderJson { name, row, .. }: &ProviderJson) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{name}")?;
    for (label, value) in providers::describe(row) {
        writeln!(out, "  {label:<10}  {value}")?;
    }
    Ok(out.flush()?)
}
