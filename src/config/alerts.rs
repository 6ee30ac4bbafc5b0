//! `[alerts]`: how the operator is notified, and the thresholds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::handler::command::{read_command, variable_names};
use super::problem::Problem;
use super::reader::{TomlTable, TomlValue};
use super::secrets::read_secret;
use crate::support::secret::Secret;

const MAX_SILENCE: Duration = Duration::from_hours(366 * 24);

/// `[alerts]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertsConfig {
    pub channel: AlertChannel,
    /// Names of all sources.
    pub sources: Vec<Arc<str>>,
    /// Refusals of one source within a minute from which on an alert is sent.
    pub refusals_per_minute: u64,
    /// Per source, how long it may be silent. Sources without an alert are not in the map.
    pub silence: BTreeMap<Arc<str>, Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertChannel {
    /// A program that gets the alert as JSON on stdin.
    Command {
        command: Vec<String>,
        /// Absolute.
        cwd: PathBuf,
        /// Names of environment variables that are passed on.
        env: Vec<String>,
    },
    /// A URL that the JSON is posted to. It may contain a token.
    Url(Secret),
}

/// `silence`: when a source without deliveries is an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SilenceAlert {
    Never,
    After(Duration),
}

/// Reads `[alerts]`; `None` if it has neither a command nor a URL. `sources` are the tables of all sources.
pub(super) fn read_alerts(table: &TomlTable<'_>, sources: &[(&str, TomlTable<'_>)]) -> Option<AlertsConfig> {
    let channel = channel(table);
    let refusals_per_minute = table.integer("refusals_per_minute", 1..=1_000_000_000).unwrap_or(60);
    let default = table.read("silence", silence).unwrap_or(SilenceAlert::Never);
    table.report_unknown_keys();
    if !table.has("command") && !table.has("url") {
        let message = "has no effect: [alerts] has neither `command` nor `url`";
        let needless = table.entries().into_iter().next().map(|(_, value)| value);
        let needless = needless.or_else(|| sources.iter().find_map(|(_, source)| source.get("silence")));
        if let Some(value) = needless {
            value.report(value.problem(message).hint("add a `command` or a `url` to [alerts]"));
        }
    }
    let silence = |(name, source): &(&str, TomlTable<'_>)| {
        let own = source.get("silence").and_then(|value| silence(&value).ok());
        match own.unwrap_or(default) {
            SilenceAlert::Never => None,
            SilenceAlert::After(duration) => Some((Arc::from(*name), duration)),
        }
    };
    Some(AlertsConfig {
        channel: channel?,
        sources: sources.iter().map(|(name, _)| Arc::from(*name)).collect(),
        refusals_per_minute,
        silence: sources.iter().filter_map(silence).collect(),
    })
}

fn channel(table: &TomlTable<'_>) -> Option<AlertChannel> {
    let env = variable_names(table, "a list of names, e.g. [\"CHAT_TOKEN\"]");
    let url = table.get("url").and_then(|value| {
        read_secret(&value, "", |url| {
            let rest = ["https://", "http://"].iter().find_map(|scheme| url.reveal().strip_prefix(scheme));
            match rest {
                Some(rest) if !rest.is_empty() => Ok(()),
                _ => Err("does not begin with https:// or http://".to_owned()),
            }
        })
    });
    if !table.has("command") {
        return url.map(AlertChannel::Url);
    }
    if table.has("url") {
        table.report("url", "cannot be combined with `command`", "keep one of them");
    }
    let cwd = table.context.folder.to_owned();
    let command = read_command(table, &cwd)?;
    Some(AlertChannel::Command { command, cwd, env })
}

pub(super) fn silence(value: &TomlValue<'_>) -> Result<SilenceAlert, Problem> {
    match value.value.as_str() {
        Some("never") => Ok(SilenceAlert::Never),
        _ => value.duration(&(Duration::from_secs(1)..=MAX_SILENCE)).map(SilenceAlert::After),
    }
}
