//! `providers`: what is supported, how each signs, where its id and type are.
//!
//! All of it comes from the table of rows; nothing here knows a provider. As JSON it is the rows themselves.

use std::io::{self, Write as _};

use serde::Serialize;

use super::failure::Failure;
use super::list::Array;
use super::table::{Rows, text};
use super::terminal::shown;
use crate::provider::{self, Row, Selection};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this one, with everything that is known of it
    name: Option<String>,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Named {
    name: &'static str,
    #[serde(flatten)]
    row: &'static Row,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let wanted = |(name, _): &(&str, &Row)| args.name.as_deref().is_none_or(|wanted| wanted == *name);
    let rows: Vec<_> = provider::all().filter(wanted).map(|(name, row)| Named { name, row }).collect();
    if let (Some(name), true) = (&args.name, rows.is_empty()) {
        return Err(Failure::usage(format!("no provider is called `{}`", shown(name)))
            .hint("`hookbox providers` lists them; for any other a source says `provider = \"custom\"`"));
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
    let mut list = Rows::new(&["NAME", "PROVIDER", "PROOF", "EVENT ID", "EVENT TYPE"]).rigid(&["NAME"]);
    for Named { name, row } in rows {
        let id = row.event_id.iter().map(joined(":")).collect::<Vec<_>>().join(", else ");
        let event_type = row.event_type.iter().map(joined(" . ")).collect::<Vec<_>>().join(", else ");
        let proof = format!("{} in {}", row.algorithm, row.signature);
        list.add_cells([text(name), text(&row.title), text(&proof), text(&id), text(&event_type)]);
    }
    list.print()
}

fn print_one(Named { name, row }: &Named) -> Result<(), Failure> {
    let ids = row.event_id.iter().map(joined(" and ")).collect::<Vec<_>>().join(", else ");
    let types = row.event_type.iter().map(joined(" and ")).collect::<Vec<_>>().join(", else ");
    let confirmed = if row.confirmed { "by the provider itself" } else { "not by the provider itself" };
    let aliases = row.header_aliases.iter().map(|(of, names)| format!("{of} or {}", names.join(" or ")));
    let lines = [
        ("provider", row.title.clone()),
        ("proof", proof(row)),
        ("secret", secret(row)),
        ("timestamp", timestamp(row)),
        ("event id", ids),
        ("event type", types),
        ("headers", aliases.collect::<Vec<_>>().join(", ")),
        ("handshake", row.handshake.clone().unwrap_or_default()),
        ("notes", row.notes.clone()),
        ("from", format!("{} ({confirmed})", row.provenance)),
    ];
    let mut out = io::stdout().lock();
    writeln!(out, "{name}")?;
    for (label, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "  {label:<10}  {value}")?;
    }
    Ok(out.flush()?)
}

fn joined(by: &'static str) -> impl Fn(&Selection) -> String {
    move |selection| selection.parts().join(by)
}

fn proof(row: &Row) -> String {
    if row.algorithm == "token" {
        return format!("the secret itself, in {}", row.signature);
    }
    let encoding = row.encoding.as_deref().unwrap_or("hex");
    let content = row.signed_content.each().first().map_or("{body}", String::as_str);
    let form = match row.syntax.as_deref() {
        Some("prefixed") => format!(", after `{}`", row.prefix.as_deref().unwrap_or_default()),
        Some("kv_list") => format!(
            ", as `{}{}SIGNATURE` in a list",
            row.field.as_deref().unwrap_or_default(),
            row.kv_separator.as_deref().unwrap_or_default()
        ),
        _ => String::new(),
    };
    format!("{} of `{content}`, {encoding}, in {}{form}", row.algorithm, row.signature)
}

fn secret(row: &Row) -> String {
    let text = match row.secret_decoding.as_deref() {
        Some("utf8") | None => "text, as it is".to_owned(),
        Some(encoding) => encoding.to_owned(),
    };
    match row.secret_prefix.each().first() {
        Some(prefix) => format!("{text}, after `{prefix}`"),
        None => text,
    }
}

fn timestamp(row: &Row) -> String {
    let Some(place) = &row.timestamp else { return "none is signed: a captured delivery stays valid".to_owned() };
    let unit = match row.timestamp_unit.as_deref() {
        Some("ms") => "unix milliseconds",
        Some("rfc3339") => "RFC 3339",
        _ => "unix seconds",
    };
    format!("{place}, {unit}, at most {} old or ahead", row.tolerance.as_deref().unwrap_or("5m"))
}
