//! An alert as it is sent: a JSON object with a line of text for people and fields for programs.
//!
//! It contains ids, names, counts and the reason of a job or pause; never a body, a header or a secret.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::inbox::reader::DeadJob;
use crate::support::time::Millis;

/// Longer reasons are cut, in characters.
const MAX_REASON: usize = 300;

/// A condition that has begun or is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AlertEvent {
    /// `count` jobs have died since the last alert, `all` are dead.
    Dead {
        handler: String,
        count: u64,
        all: u64,
        last: Option<DeadJob>,
    },
    NoneDead {
        handler: String,
    },
    /// hookbox has paused the handler.
    Broken {
        handler: String,
        reason: String,
    },
    /// The handler runs again, or the operator has paused it.
    NotBroken {
        handler: String,
    },
    /// `count` refusals within a minute.
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alert {
    /// `dead`, `paused`, `refusals`, `silence`, `disk` or `test`.
    pub(super) kind: &'static str,
    pub(super) is_over: bool,
    /// One line.
    pub(super) text: String,
    pub(super) json: String,
}

impl Alert {
    pub(super) fn new(event: &AlertEvent, at: Millis) -> Self {
        let (kind, is_over) = event.kind();
        let host = host();
        let text = format!("hookbox on {host}: {}", plain_text(&event.text()));
        let state = if is_over { "over" } else { "begun" };
        let mut object = event.fields();
        for (key, value) in [
            ("text", json!(text)),
            ("alert", json!(kind)),
            ("state", json!(state)),
            ("at", json!(at.to_rfc3339())),
            ("host", json!(host)),
        ] {
            object.insert(key.to_owned(), value);
        }
        Self { kind, is_over, text, json: Value::Object(object).to_string() }
    }
}

impl AlertEvent {
    fn kind(&self) -> (&'static str, bool) {
        match self {
            Self::Dead { .. } => ("dead", false),
            Self::NoneDead { .. } => ("dead", true),
            Self::Broken { .. } => ("paused", false),
            Self::NotBroken { .. } => ("paused", true),
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
                let in_all = if all > count { format!(" ({all} in all)") } else { String::new() };
                let last = last.as_ref().map_or_else(String::new, |last| {
                    let event = format!("{} {}/{}", last.event_type, last.source, last.event_id);
                    format!(": {}: {}", event.trim_start(), shortened(&last.reason))
                });
                format!(
                    "{jobs} of handler `{handler}` died{in_all}{last}; to list them: \
                     `hookbox jobs --state dead --handler {handler}`"
                )
            }
            Self::NoneDead { handler } => format!("handler `{handler}` has no dead jobs any more"),
            Self::Broken { handler, reason } => {
                format!("handler `{handler}` is paused as broken, its jobs are waiting: {}", shortened(reason))
            }
            Self::NotBroken { handler } => format!("handler `{handler}` is no longer paused as broken"),
            Self::Refusals { source, count } => {
                format!("{count} deliveries of source `{source}` were refused within a minute; see `hookbox refusals`")
            }
            Self::FewRefusals { source } => format!("few deliveries of source `{source}` are refused now"),
            Self::Silent { source, silent } => {
                let silent = humantime::format_duration(Duration::from_secs(silent.as_secs()));
                format!("source `{source}` has sent nothing for {silent}")
            }
            Self::HeardAgain { source } => format!("source `{source}` sends again"),
            Self::Disk { is_over: false } => {
                "the inbox's disk is low on space, deliveries get 503 until space is freed".to_owned()
            }
            Self::Disk { is_over: true } => {
                "the inbox's disk has enough space again, deliveries are accepted".to_owned()
            }
            Self::Test => "this is a test alert".to_owned(),
        }
    }

    fn fields(&self) -> Map<String, Value> {
        let object = match self {
            Self::Dead { handler, count, all, last } => {
                let mut object = json!({ "handler": handler, "count": count, "dead": all });
                if let Some(last) = last {
                    object["source"] = json!(last.source);
                    object["event_id"] = json!(last.event_id);
                    object["type"] = json!(last.event_type);
                    object["reason"] = json!(shortened(&last.reason));
                }
                object
            }
            Self::Broken { handler, reason } => json!({ "handler": handler, "reason": shortened(reason) }),
            Self::NoneDead { handler } | Self::NotBroken { handler } => json!({ "handler": handler }),
            Self::Refusals { source, count } => json!({ "source": source.as_ref(), "count": count }),
            Self::Silent { source, silent } => json!({ "source": source.as_ref(), "silent_s": silent.as_secs() }),
            Self::FewRefusals { source } | Self::HeardAgain { source } => json!({ "source": source.as_ref() }),
            Self::Disk { .. } | Self::Test => json!({}),
        };
        if let Value::Object(object) = object { object } else { Map::new() }
    }
}

fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// Replaces what chat programs take for mentions, links or line breaks.
fn plain_text(text: &str) -> String {
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

    fn sent(event: &AlertEvent) -> Value {
        serde_json::from_str(&Alert::new(event, Millis(0)).json).unwrap()
    }

    #[test]
    fn alert_has_a_line_of_text_and_fields() {
        let last = DeadJob {
            source: "github".into(),
            event_id: "abc".into(),
            event_type: "push".into(),
            reason: format!("<!channel>\n{}", "x".repeat(500)),
        };
        let alert = sent(&AlertEvent::Dead { handler: "deploy".into(), count: 2, all: 5, last: Some(last) });
        let text = alert["text"].as_str().unwrap();
        assert!(text.contains("2 jobs of handler `deploy` died (5 in all): push github/abc: ‹!channel› xx"), "{text}");
        assert!(text.contains("…; to list them: `hookbox jobs --state dead --handler deploy`"), "{text}");
        let fields = ["alert", "state", "handler", "count", "dead", "source", "event_id", "type", "at"];
        let values: Vec<_> = fields.iter().map(|field| alert[field].to_string().replace('"', "")).collect();
        let at = "1970-01-01T00:00:00.000Z";
        assert_eq!(values, ["dead", "begun", "deploy", "2", "5", "github", "abc", "push", at]);
    }

    #[test]
    fn end_of_a_condition_has_state_over() {
        for (event, kind) in [
            (AlertEvent::NoneDead { handler: "h".into() }, "dead"),
            (AlertEvent::NotBroken { handler: "h".into() }, "paused"),
            (AlertEvent::FewRefusals { source: "s".into() }, "refusals"),
            (AlertEvent::HeardAgain { source: "s".into() }, "silence"),
            (AlertEvent::Disk { is_over: true }, "disk"),
        ] {
            let alert = sent(&event);
            assert_eq!((alert["alert"].as_str(), alert["state"].as_str()), (Some(kind), Some("over")));
        }
        let silent = sent(&AlertEvent::Silent { source: "s".into(), silent: Duration::from_millis(21_600_500) });
        assert!(silent["text"].as_str().unwrap().ends_with("source `s` has sent nothing for 6h"), "{silent}");
    }
}
