//! What `check` found, as tables for people.
//!
//! Rows go in, lines come out, and nothing is looked up or judged here. Spans are spoken in hours and minutes,
//! commands shown as they were written; the same rows as numbers are `check --json`'s.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use comfy_table::{Table, presets};
use serde_json::Value;

use super::{HandlerRow, Meaning, RunRow, SHORTEST_SECRET, SourceRow, pacing};
use crate::config::Config;

pub(crate) fn write_meaning(out: &mut impl Write, config: &Config, meaning: &Meaning<'_>) -> std::io::Result<()> {
    write_whole(out, config, meaning)?;
    let mut sources = table(&["SOURCE", "PROVIDER", "PATH", "SECRETS", "TIME WINDOW", "LONGEST BODY"]);
    for source in &meaning.sources {
        sources.add_row([
            source.name.to_owned(),
            source.provider.to_owned(),
            source.path.to_owned(),
            source.secrets.to_string(),
            source.tolerance_s.map_or("none".to_owned(), |seconds| spoken(Duration::from_secs(seconds))),
            ByteSize(source.max_body).to_string(),
        ]);
    }
    writeln!(out, "{}\n", trimmed(&sources))?;
    for source in &meaning.sources {
        if let Some(note) = unsigned(source) {
            writeln!(out, "{note}\n")?;
        }
        if source.guessable {
            let name = source.name;
            writeln!(
                out,
                "{name}: a secret has fewer than {SHORTEST_SECRET} characters, and is guessable by whoever has one delivery; if it is \
                 yours to choose, `openssl rand -hex 32` makes a better one.\n"
            )?;
        }
    }
    if meaning.handlers.is_empty() {
        return writeln!(out, "There is no handler: every event is stored and nothing runs.");
    }
    let mut handlers = table(&["HANDLER", "SOURCES", "TYPES", "RUNS", "TIME LIMIT", "RETRIES"]);
    for handler in &meaning.handlers {
        handlers.add_row([
            handler.name.to_owned(),
            handler.sources.map_or("all".to_owned(), |names| names.join(", ")),
            if handler.events == ["*"] { "all".to_owned() } else { handler.events.join(", ") },
            runs(handler, &config.folder),
            spoken(Duration::from_secs_f64(handler.timeout_s)),
            attempts(handler.attempts, Duration::from_secs_f64(handler.retries_span_s)),
        ]);
    }
    writeln!(out, "{}\n", trimmed(&handlers))?;
    for handler in &meaning.handlers {
        if let Some(told) = &handler.contained {
            writeln!(out, "Handler `{}` runs with: {told}\n", handler.name)?;
        }
    }
    for told in config.handlers.iter().flat_map(|handler| pacing::sentences(handler)) {
        writeln!(out, "{told}\n")?;
    }
    writeln!(out, "{}", runs_table(&meaning.runs, config))
}

/// What is said of all of it.
fn write_whole(out: &mut impl Write, config: &Config, meaning: &Meaning<'_>) -> std::io::Result<()> {
    writeln!(out, "{} has no errors.\n", config.file.display())?;
    writeln!(out, "providers reach  {}", meaning.listen)?;
    writeln!(out, "you reach        {}", meaning.admin)?;
    writeln!(out, "inbox            {} (durability: {})", meaning.inbox, meaning.durability)?;
    if let Some(tls) = &meaning.tls {
        writeln!(out, "certificate      {tls}")?;
    }
    match &meaning.alerts {
        Some(alerts) => writeln!(out, "alerts           {alerts}\n")?,
        None => writeln!(out, "alerts           nobody is told: there is no `command` or `url` in [alerts]\n")?,
    }
    if let Some(warning) = meaning.tls.as_ref().and_then(|tls| tls.warning.as_ref()) {
        writeln!(out, "warning: {warning}\n")?;
    }
    Ok(())
}

/// What someone could do with a genuine delivery that he got hold of.
fn unsigned(source: &SourceRow<'_>) -> Option<String> {
    let SourceRow { name, unsigned_id: places, .. } = source;
    if source.is_token {
        return Some(format!(
            "{name}: deliveries are not signed; whoever knows the secret, which is sent with each, can forge them."
        ));
    }
    let held = match (places.is_empty(), source.replay_guard) {
        (true, _) => return None,
        (_, "id") => "replay_guard = \"id+body\" would make such a copy a duplicate",
        _ => "replay_guard makes such a copy a duplicate",
    };
    let places = places.join(", ");
    Some(format!(
        "{name}: the id ({places}) is not covered by the signature, so a copy could come under another id; {held}."
    ))
}

pub(crate) fn runs_table(runs: &[RunRow<'_>], config: &Config) -> String {
    let mut table = table(&["SOURCE", "TYPE", "WOULD RUN"]);
    for run in runs {
        let handlers: Vec<_> = run.handlers.iter().map(|name| conditioned(name, config)).collect();
        let is_alone = runs.iter().filter(|other| other.source == run.source).count() == 1;
        table.add_row([
            run.source.to_owned(),
            run.event_type.unwrap_or(if is_alone { "any" } else { "any other" }).to_owned(),
            if handlers.is_empty() { "nothing (stored as unmatched)".to_owned() } else { handlers.join(", ") },
        ]);
    }
    trimmed(&table)
}

/// `deploy (where /ref is "refs/heads/main")`
pub(crate) fn conditioned(name: &str, config: &Config) -> String {
    let handler = config.handlers.iter().find(|handler| *handler.name == *name);
    let condition = |(pointer, values): &(String, Vec<Value>)| {
        let values: Vec<_> = values.iter().map(ToString::to_string).collect();
        format!("{pointer} is {}", values.join(" or "))
    };
    let conditions: Vec<_> =
        handler.into_iter().flat_map(|handler| &handler.filter.conditions).map(condition).collect();
    if conditions.is_empty() { name.to_owned() } else { format!("{name} (where {})", conditions.join(" and ")) }
}

/// What a handler is: its command, or the address that is asked.
fn runs(handler: &HandlerRow<'_>, folder: &Path) -> String {
    match (handler.mode, handler.url) {
        (_, Some(url)) if handler.signed == Some(true) => format!("POST {url}"),
        (_, Some(url)) => format!("POST {url}, not signed"),
        ("worker", None) => {
            let copies = if handler.concurrency == 1 { "copy" } else { "copies" };
            format!("{} (worker, {} {copies})", command(handler.command, folder), handler.concurrency)
        }
        _ => command(handler.command, folder),
    }
}

/// The command as a person would have written it.
fn command(argv: &[String], folder: &Path) -> String {
    let short = |word: &String| match Path::new(word).strip_prefix(folder) {
        Ok(rest) => rest.display().to_string(),
        Err(_) => word.clone(),
    };
    let quoted =
        |word: String| if word.is_empty() || word.contains([' ', '"', '\n']) { format!("{word:?}") } else { word };
    argv.iter().map(short).map(quoted).collect::<Vec<_>>().join(" ")
}

fn attempts(count: u32, span: Duration) -> String {
    if count == 1 { "1 attempt".to_owned() } else { format!("{count} attempts over {}", spoken(span)) }
}

/// `73 h 12 min`: the two largest units that are not zero.
pub(crate) fn spoken(span: Duration) -> String {
    let millis = span.as_millis();
    let [hours, minutes, seconds] = [millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60];
    let parts = [(hours, "h"), (minutes, "min"), (seconds, "s"), (millis % 1000, "ms")];
    let spoken: Vec<_> = parts
        .into_iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if spoken.is_empty() { "0 s".to_owned() } else { spoken.join(" ") }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    table
}

fn trimmed(table: &Table) -> String {
    table.to_string().lines().map(|line| line.trim()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_spoken_in_their_two_largest_units() {
        for (millis, expected) in [
            (0, "0 s"),
            (2_500, "2 s 500 ms"),
            (5_000, "5 s"),
            (300_000, "5 min"),
            (262_173_000, "72 h 49 min"),
            (21_600_000, "6 h"),
            (3_605_000, "1 h"),
        ] {
            assert_eq!(spoken(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn commands_are_shown_as_they_were_written() {
        let argv = ["/srv/app/handlers/a.sh", "--name", "two words", ""].map(ToOwned::to_owned);
        assert_eq!(command(&argv, Path::new("/srv/app")), "handlers/a.sh --name \"two words\" \"\"");
    }
}
