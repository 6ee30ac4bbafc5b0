//! Arguments that several verbs share: the configuration file, filters and limits.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::cli::failure::Failure;
use crate::cli::output::terminal::{count, instant as instant_text, remark, shown};
use crate::config::{self, ConfigSummary, nearest};
use crate::inbox::operator::{self, InboxFile};
use crate::inbox::reader::{Event, LookupResult};
use crate::model::event::{EventState, JobState};
use crate::model::filter::{ArrivalFilter, FilterError, JobFilter, parse_instant};
use crate::support::logging;
use crate::support::time::Millis;

/// Options of every verb.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", env = "HOOKBOX_CONFIG", default_value = "hookbox.toml")]
    pub(crate) config: PathBuf,
    /// Format of log lines; `json` is one object per line
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
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
    /// Reads names, paths and addresses. Fails if an address section is invalid.
    pub(crate) fn summary_with_addresses(&self) -> Result<ConfigSummary, Failure> {
        Ok(config::read_summary_with_addresses(&self.config, &variable)?)
    }

    /// Reads names and paths. Tolerates errors in other sections.
    pub(crate) fn summary(&self) -> Result<ConfigSummary, Failure> {
        Ok(config::read_summary(&self.config, &variable)?)
    }

    pub(crate) fn inbox_file(&self) -> Result<InboxFile, Failure> {
        Ok(InboxFile::open(&self.summary()?.inbox)?)
    }
}

/// Looks up an environment variable.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Filters by source, type and time of the event's first delivery.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Arrival {
    /// Only events of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only events of this type and its subtypes (`pull_request` includes `pull_request.opened`); globs allowed
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only events received since WHEN: RFC 3339, or an age such as `2h`
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    since: Option<Millis>,
    /// Only events received before WHEN
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

/// Filters of jobs, for `jobs`, `retry`, `replay` and `skip`.
#[derive(Debug, clap::Args)]
pub(crate) struct JobArgs {
    /// Only jobs in this state; separate several with commas
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = job_state())]
    pub(crate) state: Vec<JobState>,
    /// Only jobs of this handler
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: Option<String>,
    /// Only jobs with this reason; globs allowed
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) arrival: Arrival,
}

impl JobArgs {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { state, handler, reason, arrival } = self;
        state.is_empty() && handler.is_none() && reason.is_none() && arrival.is_empty()
    }

    /// `events` restricts the filter to these sequence numbers.
    pub(crate) fn to_filter(&self, events: Option<Vec<i64>>, finished_before: Option<Millis>) -> JobFilter {
        JobFilter {
            arrival: self.arrival.to_filter(),
            states: self.state.clone(),
            handler: self.handler.clone(),
            reason: self.reason.clone(),
            events,
            jobs: None,
            finished_before,
        }
    }
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Limit {
    /// Maximum number of rows
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

impl Limit {
    /// Prints a remark if the list was cut.
    pub(crate) fn remark_if_cut(self, is_cut: bool, noun: &str) {
        if is_cut {
            remark(format!("showing the newest {}; use `--limit` to show more", count(self.limit as usize, noun)));
        }
    }
}

fn job_state() -> impl TypedValueParser<Value = JobState> {
    PossibleValuesParser::new(JobState::ALL.iter().map(|state| state.as_str()))
        .try_map(|word| JobState::from_str(&word))
}

pub(crate) fn event_state() -> impl TypedValueParser<Value = EventState> {
    PossibleValuesParser::new(EventState::ALL.iter().map(|state| state.as_str()))
        .try_map(|word| EventState::from_str(&word))
}

/// Parses RFC 3339, or an age such as `2h`.
pub(crate) fn instant(text: &str) -> Result<Millis, FilterError> {
    parse_instant(text, Millis::now())
}

/// Returns a failure for a name that does not exist: suggests a similar name, or lists all of them.
pub(crate) fn unknown_name(kind: &str, name: &str, known: &[String]) -> Failure {
    let failure = Failure::usage(format!("there is no {kind} `{}`", shown(name)));
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean `{}`?", shown(near))),
        None if known.is_empty() => failure.hint(format!("the configuration has no {kind}s")),
        None => failure.hint(format!("{kind}s: {}", shown(&known.join(", ")))),
    }
}

/// Explains an empty list: the inbox has nothing from this source or for this handler.
pub(crate) fn unknown_in_inbox(
    file: &InboxFile,
    source: Option<&str>,
    handler: Option<&str>,
) -> Result<Option<String>, Failure> {
    let explain = |kind: &str, name: Option<&str>, known: Vec<String>| {
        let name = name.filter(|name| !known.iter().any(|known| known == name))?;
        let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Some(format!("the inbox has no {kind} `{}` ({kind}s in the inbox: {})", shown(name), shown(&list)))
    };
    let of_source = match source {
        Some(_) => explain("source", source, file.reader().sources()?),
        None => None,
    };
    match (of_source, handler) {
        (None, Some(_)) => Ok(explain("handler", handler, file.reader().handlers()?)),
        (found, _) => Ok(found),
    }
}

/// Warns that nothing will run until hookbox serves this inbox.
pub(crate) fn remark_if_not_served(inbox: &Path, consequence: &str) {
    if matches!(operator::served_by(inbox), Ok(None)) {
        remark(format!("hookbox is not running on this inbox; {consequence}"));
    }
}

/// Candidates that are listed for an ambiguous EVENT.
const LISTED: usize = 10;

/// Finds the event that an EVENT argument names. An ambiguous argument is wrong usage: the failure lists candidates by
/// sequence number, which is never ambiguous.
pub(crate) fn find_event(file: &InboxFile, wanted: &str) -> Result<Event, Failure> {
    match file.reader().lookup(wanted)? {
        LookupResult::Event(event) => Ok(*event),
        LookupResult::Several(events) => {
            let several = Failure::usage(format!("`{}` matches {} events", shown(wanted), events.len()));
            Err(events.iter().take(LISTED).fold(several, |failure, event| failure.hint(candidate(event))))
        }
        LookupResult::Deleted(ids) => {
            let ids = ids.iter().map(|id| {
                format!("{}/{}, received {}", shown(&id.source), shown(&id.event_id), instant_text(id.received_at))
            });
            let ids = ids.collect::<Vec<_>>().join("; ");
            Err(Failure::failed(format!("the event has been pruned; only its id is kept: {ids}"))
                .hint("ids are kept longer than events, to recognize late duplicates"))
        }
        LookupResult::Nothing => Err(Failure::failed(format!("there is no event `{}`", shown(wanted)))
            .hint("`hookbox events` lists them; EVENT is an event id, SOURCE/ID or '#SEQ'")),
    }
}

/// Finds all events, in order and without repetitions.
pub(crate) fn find_events(file: &InboxFile, wanted: &[String]) -> Result<Vec<Event>, Failure> {
    let mut events: Vec<Event> = Vec::new();
    for wanted in wanted {
        let event = find_event(file, wanted)?;
        if events.iter().all(|known| known.seq != event.seq) {
            events.push(event);
        }
    }
    Ok(events)
}

fn candidate(event: &Event) -> String {
    let [source, event_id, event_type] = [&event.source, &event.event_id, &event.event_type].map(|text| shown(text));
    format!("'#{}' is {source}/{event_id} {event_type}, received {}", event.seq, instant_text(event.received_at))
}
