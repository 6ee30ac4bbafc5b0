//! `check`: validates the configuration as `serve` would, and shows its errors or what it does.
//!
//! Errors exit with status 2. `check` runs, opens and writes nothing, except for a requested test alert.

mod report;
mod runs;
mod tables;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::alerts;
use crate::cli::args::{unknown_name, variable};
use crate::config::{self, Config};
use report::{CheckReport, CheckedConfig};

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Only show what an event of this type would run
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only show events of this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// File with the event's body, for handlers with `where`
    #[arg(long, value_name = "FILE", requires = "event_type")]
    data: Option<PathBuf>,
    /// Send a test alert as configured in [alerts]
    #[arg(long, conflicts_with_all = ["event_type", "source", "json"])]
    send_test_alert: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &CheckArgs, file: &Path) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let config = match config::read(file, &variable) {
        Ok(config) => config,
        Err(errors) if args.json => {
            let report = CheckReport { file: errors.file().to_owned(), errors: errors.problems(), config: None };
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
            return Ok(ExitCode::from(2));
        }
        Err(errors) => {
            writeln!(std::io::stderr(), "{errors}")?;
            return Ok(ExitCode::from(2));
        }
    };
    if args.send_test_alert {
        return send_test_alert(&config, &mut out);
    }
    let sources: Vec<_> = config.sources.iter().map(|source| source.name.to_string()).collect();
    if let Some(unknown) = args.source.as_ref().filter(|name| !sources.contains(name)) {
        return Ok(unknown_name("source", unknown, &sources).report());
    }
    let runs = runs::runs(args.event_type.as_deref(), args.source.as_deref(), args.data.as_deref(), &config)?;
    if args.json {
        let file = config.file.display().to_string();
        let report = CheckReport { file, errors: &[], config: Some(CheckedConfig::new(&config, runs)) };
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else if args.event_type.is_some() || args.source.is_some() {
        writeln!(out, "{}", tables::runs_table(&runs, &config))?;
    } else {
        tables::write_report(&mut out, &config, &CheckedConfig::new(&config, runs))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn send_test_alert(config: &Config, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let Some(alerts) = &config.alerts else {
        let hint = "set one of them; hookbox.example.toml shows how";
        writeln!(std::io::stderr(), "error: `[alerts]` has neither `url` nor `command`\nhint: {hint}")?;
        return Ok(ExitCode::from(2));
    };
    if let Err(error) = alerts::test(&alerts.channel) {
        writeln!(std::io::stderr(), "error: the test alert could not be sent: {error}")?;
        return Ok(ExitCode::FAILURE);
    }
    writeln!(out, "test alert sent")?;
    Ok(ExitCode::SUCCESS)
}
