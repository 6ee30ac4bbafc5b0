//! `[alerts]`: who is told when something wants a person, and from when on.
//!
//! A section goes in, and with it the `silence` of every source; an [`Alerts`] comes out where there is someone to
//! tell. Nothing is run or sent. An address may hold a token, so it is read as secrets are, and never shown.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::item::Item;
use super::problem::Problem;
use super::read::{Named, Surroundings};
use super::section::Section;
use super::{credential, handler};
use crate::support::secret::Secret;

const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// In place of a span, for a source that is quiet by nature.
const NEVER: &str = "never";

/// `[alerts]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertsConfig {
    /// How someone is told.
    pub channel: AlertChannel,
    /// Names of all sources.
    pub sources: Vec<Arc<str>>,
    /// Refusals of one source within a minute that are too many.
    pub refusals_per_minute: u64,
    /// Per source, how long it may be silent; those that may be for ever are not here.
    pub silence: BTreeMap<Arc<str>, Duration>,
}

/// How someone is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertChannel {
    /// A program that gets the alert as JSON on stdin.
    Command {
        /// argv
        command: Vec<String>,
        /// Where it runs, absolute.
        cwd: PathBuf,
        /// Names of further environment variables handed through.
        env: Vec<String>,
    },
    /// An address that the same JSON is posted to.
    Url(Secret),
}

pub(super) fn read(section: &Section<'_>, around: &Surroundings<'_>, sources: &Named<'_>) -> Option<AlertsConfig> {
    let channel = channel(section, around);
    let most = section.whole("refusals_per_minute", 1..=1_000_000_000).map_or(60, i64::unsigned_abs);
    let silence = silence(section, sources);
    let has_effect = section.has("command") || section.has("url");
    let needless = section.entries().into_iter().next().map(|(key, _)| section.problem(key, NO_EFFECT));
    let needless = needless.or_else(|| {
        let (_, source) = sources.iter().find(|(_, source)| source.has("silence"))?;
        Some(source.problem("silence", NO_EFFECT))
    });
    if let Some(problem) = needless.filter(|_| !has_effect) {
        section.problems().add(problem.hint("name a `command` or a `url` in [alerts]"));
    }
    let names = sources.iter().map(|(name, _)| Arc::from(*name)).collect();
    Some(AlertsConfig { channel: channel?, sources: names, refusals_per_minute: most, silence })
}

const NO_EFFECT: &str = "has no effect: [alerts] names nobody to tell";

fn channel(section: &Section<'_>, around: &Surroundings<'_>) -> Option<AlertChannel> {
    let env = section.list("env", "a list of names, e.g. [\"CHAT_TOKEN\"]", handler::variable).unwrap_or_default();
    let url = section.item("url").and_then(|item| address(&item, section, around));
    if !section.has("command") {
        return url.map(AlertChannel::Url);
    }
    if section.has("url") {
        section.problems().add(section.problem("url", "stands beside `command`").hint("name one of them"));
    }
    let cwd = around.folder.to_owned();
    let command = handler::command(section, around, &cwd)?;
    Some(AlertChannel::Command { command, cwd, env })
}

fn address(item: &Item<'_>, section: &Section<'_>, around: &Surroundings<'_>) -> Option<Secret> {
    let read = credential::read(item, section.sheet(), around);
    let [url] = &read[..] else {
        if read.len() > 1 {
            section.problems().add(item.problem("names several addresses").hint("name one"));
        }
        return None;
    };
    let is_address = |scheme: &str| url.secret.reveal().strip_prefix(scheme).is_some_and(|rest| !rest.is_empty());
    if !is_address("https://") && !is_address("http://") {
        section.problems().add(item.problem("does not begin with https:// or http://"));
        return None;
    }
    Some(url.secret.clone())
}

fn silence(section: &Section<'_>, sources: &Named<'_>) -> BTreeMap<Arc<str>, Duration> {
    let default = section.take("silence", span).flatten();
    let own = |(name, source): &(&str, Section<'_>)| {
        let span = source.take("silence", span).unwrap_or(default)?;
        Some((Arc::from(*name), span))
    };
    sources.iter().filter_map(own).collect()
}

/// `None` is for ever.
fn span(item: &Item<'_>) -> Result<Option<Duration>, Problem> {
    if item.value.as_str() == Some(NEVER) {
        return Ok(None);
    }
    item.duration(&(SECOND..=YEAR)).map(Some)
}
