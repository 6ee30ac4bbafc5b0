//! The result of `check` as tables and sentences.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;

use super::report::{CheckedConfig, HandlerRow, SHORTEST_SECRET, SourceRow};
use super::runs::{RunRow, with_conditions};
use crate::cli::output::table::{Rows, text};
use crate::config::{Config, Handler, MissingKey, Mode, OrderingMode};

pub(crate) fn write_report(out: &mut impl Write, config: &Config, report: &CheckedConfig<'_>) -> std::io::Result<()> {
    write_header(out, config, report)?;
    let mut sources = Rows::new(&["SOURCE", "PROVIDER", "PATH", "SECRETS", "TIME WINDOW", "LONGEST BODY"]);
    for source in &report.sources {
        let tolerance = source.tolerance_s.map_or("none".to_owned(), |seconds| duration(Duration::from_secs(seconds)));
        let (secrets, max_body) = (source.secrets.to_string(), ByteSize(source.max_body).to_string());
        sources.add_cells([source.name, source.provider, source.path, &secrets, &tolerance, &max_body].map(text));
    }
    writeln!(out, "{sources}\n")?;
    for note in report.sources.iter().flat_map(source_notes) {
        writeln!(out, "{note}\n")?;
    }
    if report.handlers.is_empty() {
        return writeln!(out, "There are no handlers: events are stored and nothing runs.");
    }
    let mut handlers = Rows::new(&["HANDLER", "SOURCES", "TYPES", "RUNS", "TIME LIMIT", "RETRIES"]);
    for handler in &report.handlers {
        let sources = handler.sources.map_or("all".to_owned(), |names| names.join(", "));
        let types = if handler.events == ["*"] { "all".to_owned() } else { handler.events.join(", ") };
        let timeout = duration(Duration::from_secs_f64(handler.timeout_s));
        let attempts = attempts(handler.attempts, Duration::from_secs_f64(handler.retries_span_s));
        let target = target(handler, &config.folder);
        handlers.add_cells([handler.name, &sources, &types, &target, &timeout, &attempts].map(text));
    }
    writeln!(out, "{handlers}\n")?;
    for handler in &report.handlers {
        if let Some(containment) = &handler.contained {
            writeln!(out, "Handler `{}` runs with: {containment}\n", handler.name)?;
        }
    }
    for note in config.handlers.iter().flat_map(|handler| handler_notes(handler)) {
        writeln!(out, "{note}\n")?;
    }
    writeln!(out, "{}", runs_table(&report.runs, config))
}

fn write_header(out: &mut impl Write, config: &Config, report: &CheckedConfig<'_>) -> std::io::Result<()> {
    writeln!(out, "{} has no errors.\n", config.file.display())?;
    writeln!(out, "deliveries   {}", report.listen)?;
    writeln!(out, "admin        {}", report.admin)?;
    writeln!(out, "inbox        {} (durability: {})", report.inbox, report.durability)?;
    if let Some(tls) = &report.tls {
        writeln!(out, "certificate  {tls}")?;
    }
    match &report.alerts {
        Some(alerts) => writeln!(out, "alerts       {alerts}\n")?,
        None => writeln!(out, "alerts       off: `[alerts]` has neither `command` nor `url`\n")?,
    }
    let certificate_warning = report.tls.as_ref().and_then(|tls| tls.warning.as_ref());
    for warning in [certificate_warning, report.inbox_warning.as_ref()].into_iter().flatten() {
        writeln!(out, "warning: {warning}\n")?;
    }
    Ok(())
}

/// Warnings about forgeable or replayable deliveries and short secrets.
fn source_notes(source: &SourceRow<'_>) -> Vec<String> {
    let name = source.name;
    let mut notes = Vec::new();
    if source.unsigned {
        notes.push(format!(
            "{name}: UNSIGNED: deliveries are not verified; anyone who can reach its address and knows its path can forge them."
        ));
    } else if source.is_token {
        notes.push(format!(
            "{name}: deliveries are not signed; the secret is sent with each delivery, and anyone who knows it can forge them."
        ));
    } else if !source.unsigned_id.is_empty() {
        let guard = match source.replay_guard {
            "id" => "set replay_guard = \"id+body\" to treat such a copy as a duplicate",
            _ => "replay_guard treats such a copy as a duplicate",
        };
        let places = source.unsigned_id.join(", ");
        notes.push(format!(
            "{name}: the signature does not cover the id ({places}), so a copy could be sent with another id; {guard}."
        ));
    }
    match source.id_scope {
        "object" => notes.push(format!(
            "{name}: an id identifies something that changes, so a known id with another body is a new event."
        )),
        "none" => notes.push(format!("{name}: no id identifies an event, so every delivery is a new event.")),
        _ => {}
    }
    if let Some(answer) = &source.answer {
        notes.push(format!("{name}: responds to stored deliveries with {answer}."));
    }
    notes.extend(source.suspicions.iter().map(|suspicion| format!("{name}: {suspicion}.")));
    if source.guessable {
        notes.push(format!(
            "{name}: a secret has fewer than {SHORTEST_SECRET} characters, so anyone with one delivery can find it by \
             brute force; if you can choose it, use `openssl rand -hex 32`."
        ));
    }
    notes
}

/// Sentences about `respond`, `order_by`, `coalesce` and `rate_limit`.
fn handler_notes(handler: &Handler) -> Vec<String> {
    let name = &handler.name;
    let mut notes = Vec::new();
    if let Some(timeout) = handler.respond {
        let output = match handler.mode {
            Mode::Command => "its output",
            Mode::Worker { .. } => "the `response` of its reply",
            Mode::Http(_) => "its response",
        };
        let timeout = duration(timeout);
        notes.push(format!("{name}: {output} is sent to the provider if it succeeds within {timeout}."));
    }
    if let Some(ordering) = &handler.ordering {
        let key = &ordering.key;
        notes.push(match (ordering.mode, ordering.missing) {
            (OrderingMode::InOrder, MissingKey::Alone) => format!(
                "{name}: events with the same {key} run one at a time, in order of arrival; events without it run in any order."
            ),
            (OrderingMode::InOrder, MissingKey::Together) => format!(
                "{name}: events with the same {key} run one at a time, in order of arrival; so do events without it."
            ),
            (OrderingMode::Coalesce { quiet, max }, missing) => {
                let [quiet, max] = [quiet, max].map(duration);
                let others = match missing {
                    MissingKey::Alone => "each event without it runs",
                    MissingKey::Together => "the same applies to events without it",
                };
                format!(
                    "{name}: of events with the same {key}, only the newest runs, after {quiet} without another and at \
                     most {max} after the first; {others}."
                )
            }
        });
    }
    if let Some(rate) = handler.rate_limit {
        notes.push(format!("{name}: starts at most {rate} attempts, evenly spaced."));
    }
    notes
}

pub(crate) fn runs_table(runs: &[RunRow<'_>], config: &Config) -> Rows {
    let mut table = Rows::new(&["SOURCE", "TYPE", "WOULD RUN"]);
    for run in runs {
        let handlers: Vec<_> = run.handlers.iter().map(|name| with_conditions(name, config)).collect();
        let is_only = runs.iter().filter(|other| other.source == run.source).count() == 1;
        let event_type = run.event_type.unwrap_or(if is_only { "any" } else { "any other" });
        let handlers =
            if handlers.is_empty() { "nothing (stored as unmatched)".to_owned() } else { handlers.join(", ") };
        table.add_cells([run.source, event_type, &handlers].map(text));
    }
    table
}

/// The command, or the URL.
fn target(handler: &HandlerRow<'_>, folder: &Path) -> String {
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

/// The command as written in the configuration.
fn command(argv: &[String], folder: &Path) -> String {
    let relative = |word: &String| match Path::new(word).strip_prefix(folder) {
        Ok(rest) => rest.display().to_string(),
        Err(_) => word.clone(),
    };
    let quote =
        |word: String| if word.is_empty() || word.contains([' ', '"', '\n']) { format!("{word:?}") } else { word };
    argv.iter().map(relative).map(quote).collect::<Vec<_>>().join(" ")
}

fn attempts(count: u32, span: Duration) -> String {
    if count == 1 { "1 attempt".to_owned() } else { format!("{count} attempts over {}", duration(span)) }
}

/// `73 h 12 min`: the two largest units that are not zero.
fn duration(span: Duration) -> String {
    let millis = span.as_millis();
    let [hours, minutes, seconds] = [millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60];
    let parts = [(hours, "h"), (minutes, "min"), (seconds, "s"), (millis % 1000, "ms")];
    let shown: Vec<_> = parts
        .into_iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if shown.is_empty() { "0 s".to_owned() } else { shown.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        for (millis, expected) in [
            (0, "0 s"),
            (2_500, "2 s 500 ms"),
            (5_000, "5 s"),
            (300_000, "5 min"),
            (262_173_000, "72 h 49 min"),
            (21_600_000, "6 h"),
            (3_605_000, "1 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn commands_are_shown_as_written() {
        let argv = ["/srv/app/handlers/a.sh", "--name", "two words", ""].map(ToOwned::to_owned);
        assert_eq!(command(&argv, Path::new("/srv/app")), "handlers/a.sh --name \"two words\" \"\"");
    }
}
