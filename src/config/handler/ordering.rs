//! `order_by` and `coalesce`: jobs of a handler with the same ordering key run in order, or only the newest runs.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::problem::Problem;
use crate::config::reader::{TomlTable, TomlValue};

const PERIODS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);
const KEY_FORMS: &str = "write a JSON pointer such as \"/data/object/customer\", or \"header:NAME\"";

/// How jobs with the same ordering key are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderingRule {
    pub key: OrderingKey,
    pub missing: MissingKey,
    pub mode: OrderingMode,
}

/// Where the ordering key is in a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderingKey {
    /// JSON pointer into the body.
    Pointer(String),
    /// Name of a header.
    Header(String),
}

/// How jobs without an ordering key are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// Independently of each other.
    #[default]
    Alone,
    /// As if they had the same key.
    Together,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderingMode {
    /// One job at a time, in the order of their events.
    InOrder,
    /// Only the newest job of a burst.
    Coalesce {
        /// How long no further job may have arrived.
        quiet: Duration,
        /// The longest delay of the oldest job; at least `quiet`.
        max: Duration,
    },
}

impl fmt::Display for OrderingKey {
    /// The configuration's notation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pointer(pointer) => f.write_str(pointer),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl fmt::Display for MissingKey {
    /// The configuration's notation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "alone",
            Self::Together => "together",
        })
    }
}

impl fmt::Display for OrderingRule {
    /// The same for rules that assign the same ordering keys; periods do not count.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            OrderingMode::InOrder => "order_by",
            OrderingMode::Coalesce { .. } => "coalesce",
        };
        write!(f, "{mode} {}, {}", self.key, self.missing)
    }
}

pub(super) fn read_ordering(table: &TomlTable<'_>) -> Option<OrderingRule> {
    let (in_order, coalesced) = (order_by(table), coalesce(table));
    if table.has("order_by") && table.has("coalesce") {
        let hint = "`order_by` runs every event in turn, `coalesce` only the newest: choose one";
        table.report("coalesce", "cannot be combined with `order_by`", hint);
    }
    in_order.or(coalesced)
}

/// A key alone, or a table with it.
fn order_by(table: &TomlTable<'_>) -> Option<OrderingRule> {
    let value = table.get("order_by")?;
    let (key, missing) = if value.value.is_table() {
        let order_by = table.table("order_by");
        let read = key_and_missing(&order_by);
        order_by.report_unknown_keys();
        read
    } else if value.value.is_str() {
        (table.read("order_by", key), MissingKey::default())
    } else {
        value.report(value.unexpected("a key or a table").hint(KEY_FORMS));
        return None;
    };
    Some(OrderingRule { key: key?, missing, mode: OrderingMode::InOrder })
}

fn coalesce(table: &TomlTable<'_>) -> Option<OrderingRule> {
    let value = table.get("coalesce")?;
    if !value.value.is_table() {
        value.report(value.unexpected("a table").hint("coalesce = { key = \"/repository/full_name\" }"));
        return None;
    }
    let coalesce = table.table("coalesce");
    let (key, missing) = key_and_missing(&coalesce);
    let quiet = coalesce.duration("quiet", PERIODS).unwrap_or(Duration::from_secs(5));
    let max = coalesce.duration("max", PERIODS).unwrap_or_else(|| Duration::from_mins(1).max(quiet));
    coalesce.report_unknown_keys();
    if quiet > max {
        let [quiet, max] = [quiet, max].map(humantime::format_duration);
        coalesce.report("quiet", format!("`quiet` ({quiet}) is longer than `max` ({max})"), "");
    }
    Some(OrderingRule { key: key?, missing, mode: OrderingMode::Coalesce { quiet, max } })
}

fn key_and_missing(table: &TomlTable<'_>) -> (Option<OrderingKey>, MissingKey) {
    let choices = [("alone", MissingKey::Alone), ("together", MissingKey::Together)];
    let missing = table.read("missing", |value| value.choice(choices)).unwrap_or_default();
    table.required("key", KEY_FORMS);
    (table.read("key", key), missing)
}

fn key(value: &TomlValue<'_>) -> Result<OrderingKey, Problem> {
    let text = value.text()?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if let Some(name) = text.strip_prefix("header:") {
        return match !name.is_empty() && name.bytes().all(is_token) {
            true => Ok(OrderingKey::Header(name.to_owned())),
            false => Err(value.problem(format!("{name:?} is not the name of a header")).hint(KEY_FORMS)),
        };
    }
    match is_json_pointer(text) {
        true => Ok(OrderingKey::Pointer(text.to_owned())),
        false => Err(value.problem(format!("{text:?} is not a JSON pointer")).hint(KEY_FORMS)),
    }
}

/// Whether it is a JSON pointer (RFC 6901) to something below the root.
pub(super) fn is_json_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}
