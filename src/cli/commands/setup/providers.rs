//! `providers`: what is supported, how each signs, where its id and type are; `providers keygen` goes on to keys.
//!
//! All of it comes from the table of rows; nothing here knows a provider. As JSON it is the rows themselves.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::commands::setup::keygen;
use crate::cli::failure::Failure;
use crate::cli::output::list::Array;
use crate::cli::output::table::{Rows, text};
use crate::cli::output::terminal::{remark, shown};
use crate::config::nearest;
use crate::providers::{self, ProviderRow, Scheme};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Keys>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum Keys {
    /// Makes a key pair, or a secret, for trying a source without its provider
    Keygen(keygen::Args),
}

#[derive(Debug, Default, clap::Args)]
struct List {
    /// Only this one, with everything that is known of it
    name: Option<String>,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// A row, and what its scheme comes to.
#[derive(Debug, Serialize)]
struct Named {
    name: &'static str,
    support: Support,
    /// Places of the id that the signature does not cover.
    unsigned_id: Vec<String>,
    /// Places of the type that the signature does not cover.
    unsigned_type: Vec<String>,
    #[serde(flatten)]
    row: &'static ProviderRow,
}

/// How far to trust a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Support {
    Confirmed,
    Unconfirmed,
    None,
}

impl Support {
    fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Unconfirmed => "unconfirmed",
            Self::None => "not yet",
        }
    }
}

impl Named {
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

pub(crate) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    match &args.verb {
        None => list(&args.list),
        Some(Keys::Keygen(args)) => match &args.of {
            Some(of) => keygen::run(of, args, &global.config),
            // There is a provider of that name.
            None => {
                list(&List { name: Some("keygen".to_owned()), ..List::default() })?;
                remark("for a key pair: hookbox providers keygen PROVIDER|ALGORITHM");
                Ok(())
            }
        },
    }
}

fn list(args: &List) -> Result<(), Failure> {
    let wanted = |(name, _): &(&str, &ProviderRow)| args.name.as_deref().is_none_or(|wanted| wanted == *name);
    let rows: Vec<_> = providers::all().filter(wanted).map(Named::new).collect();
    if let (Some(name), true) = (&args.name, rows.is_empty()) {
        let near = nearest(name, providers::names());
        let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let hint = "`hookbox providers` lists them; for any other a source says `provider = \"custom\"`";
        return Err(Failure::usage(format!("no provider is called `{}`", shown(name))).hint(format!("{near}{hint}")));
    }
    if args.json {
        let mut array = Array::new();
        for row in &rows {
            array.push(row)?;
        }
        return array.end();
    }
    match &rows[..] {
        [one] if args.name.is_some() => print_one(one),
        _ => print_all(&rows),
    }
}

fn print_all(rows: &[Named]) -> Result<(), Failure> {
    let mut list = Rows::new(&["NAME", "PROVIDER", "SUPPORT", "PROOF", "EVENT ID", "EVENT TYPE"]).rigid(&["NAME"]);
    for Named { name, row, support, unsigned_id, unsigned_type } in rows {
        let id = marked(providers::listed(&row.event_id, ":"), unsigned_id);
        let event_type = marked(providers::listed(&row.event_type, " . "), unsigned_type);
        let proof = match support {
            Support::None => row.unsupported.clone().unwrap_or_default(),
            _ => format!("{} in {}", row.algorithm, row.signature),
        };
        let cells = [*name, row.title.as_str(), support.word(), &proof, &id, &event_type];
        list.add_cells(cells.map(text));
    }
    list.print()?;
    remark("* the signature does not cover it; `hookbox providers NAME` tells more");
    Ok(())
}

fn marked(text: String, unsigned: &[String]) -> String {
    if unsigned.is_empty() { text } else { format!("{text} *") }
}

fn print_one(Named { name, row, .. }: &Named) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{name}")?;
    for (label, value) in providers::describe(row) {
        writeln!(out, "  {label:<10}  {value}")?;
    }
    Ok(out.flush()?)
}
