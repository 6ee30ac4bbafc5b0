//! What is said: one JSON object per alert, with a line of text for people and fields for programs.
//!
//! What began or ended goes in. Nothing of a body, a header or a secret is in it: ids, names, counts, and the reason
//! that a job or handler has. The text holds nothing that a chat program would take for more than text.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::inbox::reader::DeadJob;
use crate::support::time::Millis;

/// Characters of a reason.
const LONGEST_REASON: usize = 300;

/// What has begun or is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// Jobs of a handler have died: so many since the last message, so many in all.
    Dead {
        handler: String,
        count: u64,
        all: u64,
        last: Option<DeadJob>,
    },
    /// None of its jobs is dead any more.
    NoneDead {
        handler: String,
    },
    /// hookbox has paused a handler.
    Broken {
        handler: String,
        reason: String,
    },
    /// It runs again, or a person has paused it.
    Mended {
        handler: String,
    },
    /// Within a minute.
    Refusals {
        source: Arc<str>,
        count: u64,
    },
    FewRefusals {
        source: Arc<str>,
    },
    Silent {
        source: Arc<str>,
        silent: Duration,
    },
    HeardAgain {
        source: Arc<str>,
    },
    Disk {
        is_over: bool,
    },
    Test,
}

/// An alert as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alert {
    /// `dead`, `paused`, `refusals`, `silence`, `disk` or `test`
    pub(super) kind: &'static str,
    /// Whether what it tells of is over.
    pub(super) is_over: bool,
    /// One line for a person.
    pub(super) text: String,
    /// The whole of it.
    pub(super) json: String,
}

impl Alert {
    pub(super) fn new(what: &What, at: Millis) -> Self {
        let (kind, is_over) = what.kind();
        let text = format!("hookbox on {}: {}", host(), plain(&what.text()));
        let mut object = Map::new();
        for (key, value) in [
            ("text", json!(text)),
            ("alert", json!(kind)),
            ("state", json!(if is_over { "over" } else { "begun" })),
            ("at", json!(at.to_rfc3339())),
            ("host", json!(host())),
        ] {
            object.insert(key.to_owned(), value);
        }
        what.fields(&mut object);
        Self { kind, is_over, text, json: Value::Object(object).to_string() }
    }
}

impl What {
    fn kind(&self) -> (&'static str, bool) {
        match self {
            Self::Dead { .. } => ("dead", false),
            Self::NoneDead { .. } => ("dead", true),
            Self::Broken { .. } => ("paused", false),
            Self::Mended { .. } => ("paused", true),
            Self::Refusals { .. } => ("refusals", false),
            Self::FewRefusals { .. } => ("refusals", true),
            Self::Silent { .. } => ("silence", false),
            Self::HeardAgain { .. } => ("silence", true),
            Self::Disk { is_over } => ("disk", *is_over),
            Self::Test => ("test", false),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Dead { handler, count, all, last } => {
                let jobs = if *count == 1 { "a job".to_owned() } else { format!("{count} jobs") };
                let last = last.as_ref().map(|last| {
                    let what = [&last.event_type, " ", &last.source, "/", &last.event_id].concat();
                    format!(": {}: {}", what.trim_start(), short(&last.reason))
                });
                let in_all = if all > count { format!(" ({all} in all)") } else { String::new() };
                let hint = format!("`hookbox jobs --state dead --handler {handler}` lists them");
                format!("{jobs} of handler `{handler}` died{in_all}{}; {hint}", last.unwrap_or_default())
            }
            Self::NoneDead { handler } => format!("no job of handler `{handler}` is dead any more"),
            Self::Broken { handler, reason } => {
                format!("handler `{handler}` is broken and pauses, its jobs wait: {}", short(reason))
            }
            Self::Mended { handler } => format!("handler `{handler}` is no longer paused as broken"),
            Self::Refusals { source, count } => {
                format!(
                    "{count} deliveries of source `{source}` were refused within a minute; `hookbox refusals` says why"
                )
            }
            Self::FewRefusals { source } => format!("few deliveries of source `{source}` are refused now"),
            Self::Silent { source, silent } => {
                let silent = humantime::format_duration(Duration::from_secs(silent.as_secs()));
                format!("nothing has come from source `{source}` for {silent}")
            }
            Self::HeardAgain { source } => format!("source `{source}` was heard of again"),
            Self::Disk { is_over: false } => {
                "the inbox's disk is low on space: deliveries get 503 until there is room".to_owned()
            }
            Self::Disk { is_over: true } => "the inbox's disk has room again: deliveries are taken in".to_owned(),
            Self::Test => "this is a test; alerts arrive".to_owned(),
        }
    }

    fn fields(&self, object: &mut Map<String, Value>) {
        let mut add = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
        match self {
            Self::Dead { handler, count, all, last } => {
                add("handler", json!(handler));
                add("count", json!(count));
                add("dead", json!(all));
                if let Some(last) = last {
                    add("source", json!(last.source));
                    add("event_id", json!(last.event_id));
                    add("type", json!(last.event_type));
                    add("reason", json!(short(&last.reason)));
                }
            }
            Self::Broken { handler, reason } => {
                add("handler", json!(handler));
                add("reason", json!(short(reason)));
            }
            Self::NoneDead { handler } | Self::Mended { handler } => add("handler", json!(handler)),
            Self::Refusals { source, count } => {
                add("source", json!(source.as_ref()));
                add("count", json!(count));
            }
            Self::Silent { source, silent } => {
                add("source", json!(source.as_ref()));
                add("silent_s", json!(silent.as_secs()));
            }
            Self::FewRefusals { source } | Self::HeardAgain { source } => add("source", json!(source.as_ref())),
            Self::Disk { .. } | Self::Test => {}
        }
    }
}

fn short(reason: &str) -> String {
    match reason.char_indices().nth(LONGEST_REASON) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// Without what mentions people, makes links or breaks lines where it is shown.
fn plain(text: &str) -> String {
    let plain = |character: char| match character {
        '<' => '‹',
        '>' => '›',
        '&' => '＆',
        control if control.is_control() => ' ',
        other => other,
    };
    text.chars().map(plain).collect()
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "this machine".to_owned() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(what: &What) -> Value {
        serde_json::from_str(&Alert::new(what, Millis(0)).json).unwrap()
    }

    #[test]
    fn an_alert_has_a_line_for_people_and_fields_for_programs() {
        let last = DeadJob {
            source: "github".into(),
            event_id: "abc".into(),
            event_type: "push".into(),
            reason: format!("<!channel>\n{}", "x".repeat(500)),
        };
        let alert = sent(&What::Dead { handler: "deploy".into(), count: 2, all: 5, last: Some(last) });
        let text = alert["text"].as_str().unwrap();
        assert!(text.contains("2 jobs of handler `deploy` died (5 in all): push github/abc: ‹!channel› xx"), "{text}");
        assert!(text.contains("…; `hookbox jobs --state dead --handler deploy` lists them"), "{text}");
        let fields = ["alert", "state", "handler", "count", "dead", "source", "event_id", "type", "at"];
        let told: Vec<_> = fields.iter().map(|field| alert[field].to_string().replace('"', "")).collect();
        let at = "1970-01-01T00:00:00.000Z";
        assert_eq!(told, ["dead", "begun", "deploy", "2", "5", "github", "abc", "push", at]);
    }

    #[test]
    fn what_is_over_is_told_as_that() {
        for (what, kind) in [
            (What::NoneDead { handler: "h".into() }, "dead"),
            (What::Mended { handler: "h".into() }, "paused"),
            (What::FewRefusals { source: "s".into() }, "refusals"),
            (What::HeardAgain { source: "s".into() }, "silence"),
            (What::Disk { is_over: true }, "disk"),
        ] {
            let alert = sent(&what);
            assert_eq!((alert["alert"].as_str(), alert["state"].as_str()), (Some(kind), Some("over")));
        }
        let silent = sent(&What::Silent { source: "s".into(), silent: Duration::from_millis(21_600_500) });
        assert!(silent["text"].as_str().unwrap().ends_with("source `s` for 6h"), "{silent}");
    }
}
