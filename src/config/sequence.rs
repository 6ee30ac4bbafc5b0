//! `order_by` and `coalesce`: which jobs of a handler belong together, and what that means for when they run.
//!
//! A handler's section goes in, a [`Keyed`] comes out where one of the two is there; both together are a mistake. What a
//! value is, is `route`'s to find; which job comes first, the inbox's to decide.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::item::Item;
use super::keys;
use super::problem::Problem;
use super::section::Section;

const SPANS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);
const PLACES: &str = "write a JSON pointer such as \"/data/object/customer\", or \"header:NAME\"";

/// Jobs of a handler that have the same value belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderingRule {
    /// Where the value is.
    pub key: OrderingKey,
    /// What becomes of jobs without one.
    pub missing: MissingKey,
    /// How they belong together.
    pub mode: OrderingMode,
}

/// Where a value is in a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderingKey {
    /// A JSON pointer into the body.
    Pointer(String),
    /// A header, by its name.
    Header(String),
}

/// What becomes of jobs that have no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// Each is on its own.
    #[default]
    Alone,
    /// They belong together, as if they had one value.
    Together,
}

/// How jobs that have the same value belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderingMode {
    /// One at a time, in the order of their events.
    InOrder,
    /// The newest runs in place of all.
    Coalesce {
        /// How long no other may have come.
        quiet: Duration,
        /// The longest wait of the oldest; at least `quiet`.
        max: Duration,
    },
}

impl fmt::Display for OrderingKey {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pointer(pointer) => f.write_str(pointer),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl fmt::Display for OrderingRule {
    /// What two rules have in common when the same jobs belong together in the same way, but for the spans.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            OrderingMode::InOrder => "order_by",
            OrderingMode::Coalesce { .. } => "coalesce",
        };
        write!(f, "{mode} {}, {}", self.key, self.missing)
    }
}

impl fmt::Display for MissingKey {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "alone",
            Self::Together => "together",
        })
    }
}

pub(super) fn keyed(section: &Section<'_>) -> Option<OrderingRule> {
    let (ordered, burst) = (ordered(section), burst(section));
    if section.has("order_by") && section.has("coalesce") {
        let problem = section.problem("coalesce", "cannot be together with `order_by`");
        let hint = "`order_by` runs every event in turn, `coalesce` only the newest: choose one";
        section.problems().add(problem.hint(hint));
    }
    if section.has("coalesce") && section.item("respond").is_some_and(|item| item.value.as_bool() == Some(true)) {
        let problem = section.problem("coalesce", "cannot be together with `respond`");
        section.problems().add(problem.hint("a provider that waits for its answer cannot wait for the end of a burst"));
    }
    ordered.or(burst)
}

/// A place alone, or a table with it.
fn ordered(section: &Section<'_>) -> Option<OrderingRule> {
    let item = section.item("order_by")?;
    let (key, missing) = match item.value.as_table() {
        Some(_) => parts(&section.section("order_by", &keys::ORDER_BY)),
        None if item.value.is_str() => (section.problems().keep(key(&item)), MissingKey::default()),
        None => {
            section.problems().add(item.unexpected("a place or a table").hint(PLACES));
            return None;
        }
    };
    Some(OrderingRule { key: key?, missing, mode: OrderingMode::InOrder })
}

fn burst(section: &Section<'_>) -> Option<OrderingRule> {
    let item = section.item("coalesce")?;
    if item.value.as_table().is_none() {
        section.problems().add(item.unexpected("a table").hint("coalesce = { key = \"/repository/full_name\" }"));
        return None;
    }
    let coalesce = section.section("coalesce", &keys::COALESCE);
    let (key, missing) = parts(&coalesce);
    let quiet = coalesce.duration("quiet", SPANS).unwrap_or(Duration::from_secs(5));
    let max = coalesce.duration("max", SPANS).unwrap_or_else(|| Duration::from_secs(60).max(quiet));
    if quiet > max {
        let [shown_quiet, shown_max] = [quiet, max].map(humantime::format_duration);
        let message = format!("`quiet` ({shown_quiet}) is longer than `max` ({shown_max})");
        coalesce.problems().add(coalesce.problem("quiet", message));
    }
    Some(OrderingRule { key: key?, missing, mode: OrderingMode::Coalesce { quiet, max } })
}

fn parts(section: &Section<'_>) -> (Option<OrderingKey>, MissingKey) {
    let missing = section.take("missing", |item| match item.text()? {
        "alone" => Ok(MissingKey::Alone),
        "together" => Ok(MissingKey::Together),
        other => Err(item.problem(format!("{other:?} is neither \"alone\" nor \"together\""))),
    });
    let written = section.required("key", PLACES);
    (written.and_then(|item| section.problems().keep(key(&item))), missing.unwrap_or_default())
}

fn key(item: &Item<'_>) -> Result<OrderingKey, Problem> {
    let written = item.text()?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if let Some(name) = written.strip_prefix("header:") {
        return match !name.is_empty() && name.bytes().all(is_token) {
            true => Ok(OrderingKey::Header(name.to_owned())),
            false => Err(item.problem(format!("{name:?} is not the name of a header")).hint(PLACES)),
        };
    }
    let escapes = written.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    match written.starts_with('/') && escapes {
        true => Ok(OrderingKey::Pointer(written.to_owned())),
        false => Err(item.problem(format!("{written:?} is not a JSON pointer")).hint(PLACES)),
    }
}
