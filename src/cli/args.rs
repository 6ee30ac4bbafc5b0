//! Filters as they are written on the command line: states, sources, types, handlers, and from when to when.
//!
//! Words go in, what the inbox takes comes out. Instants are those of the event's first delivery.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::cli::failure::Failure;
use crate::cli::output::terminal::{count, remark, shown};
use crate::config::{self, ConfigSummary};
use crate::inbox::operator::InboxFile;
use crate::model::event::{EventState, JobState};
use crate::model::filter::{ArrivalFilter, FilterError, parse_instant};
use crate::support::logging;
use crate::support::time::Millis;

/// What every verb takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// The configuration
    #[arg(long, global = true, value_name = "FILE", env = "HOOKBOX_CONFIG", default_value = "hookbox.toml")]
    pub(crate) config: PathBuf,
    /// How log lines look
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Readable
    Text,
    /// One JSON object per line
    Json,
}

impl From<LogFormat> for logging::LineFormat {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

impl Global {
    /// Where the inbox and the addresses are, for those who ask there.
    pub(crate) fn addressed(&self) -> Result<ConfigSummary, Failure> {
        Ok(config::read_summary_with_addresses(&self.config, &variable)?)
    }

    /// Where the inbox is, and what there is.
    pub(crate) fn outline(&self) -> Result<ConfigSummary, Failure> {
        Ok(config::read_summary(&self.config, &variable)?)
    }

    /// The inbox that the configuration names.
    pub(crate) fn inbox_file(&self) -> Result<InboxFile, Failure> {
        Ok(InboxFile::open(&self.outline()?.inbox)?)
    }
}

/// A variable of the environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Which events, by how they arrival.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Arrival {
    /// Events of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Events of this type and all below it (`pull_request` for `pull_request.opened`), or a glob
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Received since then: RFC 3339, or how long ago (`2h`)
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    since: Option<Millis>,
    /// Received before then
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    until: Option<Millis>,
}

impl Arrival {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { source, event_type, since, until } = self;
        source.is_none() && event_type.is_none() && since.is_none() && until.is_none()
    }

    pub(crate) fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    pub(crate) fn to_filter(&self) -> ArrivalFilter {
        ArrivalFilter {
            source: self.source.clone(),
            event_type: self.event_type.clone(),
            since: self.since,
            until: self.until,
        }
    }
}

/// How many rows of a list.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Limit {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

impl Limit {
    /// Says that a list was cut.
    pub(crate) fn tell(self, is_cut: bool, one: &str) {
        if is_cut {
            remark(format!("the newest {}; `--limit` shows more", count(self.limit as usize, one)));
        }
    }
}

/// Reads the state of a job.
pub(crate) fn job_state() -> impl TypedValueParser<Value = JobState> {
    PossibleValuesParser::new(JobState::ALL.iter().map(|state| state.as_str()))
        .try_map(|word| JobState::from_str(&word))
}

/// Reads the state of an event.
pub(crate) fn event_state() -> impl TypedValueParser<Value = EventState> {
    PossibleValuesParser::new(EventState::ALL.iter().map(|state| state.as_str()))
        .try_map(|word| EventState::from_str(&word))
}

/// Reads a time.
pub(crate) fn instant(text: &str) -> Result<Millis, FilterError> {
    parse_instant(text, Millis::now())
}

/// Why nothing was found, if a name is to blame: the inbox has no such source or handler.
pub(crate) fn unknown_name(
    file: &InboxFile,
    source: Option<&str>,
    handler: Option<&str>,
) -> Result<Option<String>, Failure> {
    if let Some(name) = source {
        let known = file.reader().sources()?;
        if !known.iter().any(|known| known == name) {
            return Ok(Some(blame("source", name, &known)));
        }
    }
    if let Some(name) = handler {
        let known = file.reader().handlers()?;
        if !known.iter().any(|known| known == name) {
            return Ok(Some(blame("handler", name, &known)));
        }
    }
    Ok(None)
}

fn blame(kind: &str, name: &str, known: &[String]) -> String {
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("the inbox holds nothing for a {kind} `{}`; {kind}s in it: {}", shown(name), shown(&known))
}
