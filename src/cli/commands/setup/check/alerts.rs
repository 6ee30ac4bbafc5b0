//! Who is told when something wants a person, for `check`; and a test whether that works.
//!
//! The address is never shown: it may hold a token.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use crate::alerts;
use crate::config::{self, AlertChannel, Config};

/// `[alerts]`, as far as it may be shown.
#[derive(Debug, Serialize)]
pub(crate) struct Row<'a> {
    /// `None` where an address is told.
    command: Option<&'a [String]>,
    refusals_per_minute: u64,
    silence_s: BTreeMap<&'a str, u64>,
}

impl<'a> Row<'a> {
    pub(crate) fn of(alerts: &'a config::AlertsConfig) -> Self {
        let command = match &alerts.channel {
            AlertChannel::Command { command, .. } => Some(command.as_slice()),
            AlertChannel::Url(_) => None,
        };
        let silence_s = alerts.silence.iter().map(|(source, span)| (source.as_ref(), span.as_secs())).collect();
        Self { command, refusals_per_minute: alerts.refusals_per_minute, silence_s }
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.command {
            Some(command) => write!(f, "to {}", command.join(" "))?,
            None => f.write_str("to the address in alerts.url")?,
        }
        write!(f, ": dead jobs, broken handlers, {} refusals a minute, a low disk", self.refusals_per_minute)?;
        for (source, seconds) in &self.silence_s {
            write!(f, ", {source} silent for {}", humantime::format_duration(Duration::from_secs(*seconds)))?;
        }
        Ok(())
    }
}

/// Sends one alert.
pub(crate) fn send_test(config: &Config, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let Some(alerts) = &config.alerts else {
        let hint = "name a `command` or a `url` in [alerts]; hookbox.example.toml says how";
        writeln!(std::io::stderr(), "error: nobody is told of anything\nhint: {hint}")?;
        return Ok(ExitCode::from(2));
    };
    match alerts::test(&alerts.channel) {
        Ok(()) => writeln!(out, "sent, and taken")?,
        Err(why) => {
            writeln!(std::io::stderr(), "error: the test alert could not be sent: {why}")?;
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
