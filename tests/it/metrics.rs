//! `/metrics` is what Prometheus reads, counts what happened, and is what the page and the dashboard for Grafana say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::hookbox::internals::{Answered, COUNTED_STATES, GaugeValues, HandlerGauges, Metrics, NO_SOURCE};
use ::hookbox::internals::{AttemptStatus, JobState};

use crate::support::delivery::Delivery;
use crate::support::script::{fails, succeeds};
use crate::support::{Hookbox, Running, github, until};

const FILE: &str = "docs/metrics.md";
const GRAFANA: &str = include_str!("../../contrib/grafana.json");

/// One scrape.
#[derive(Debug, Default)]
struct Scrape {
    families: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    /// Name of the sample and its labels → value.
    samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
}

impl Scrape {
    /// Reads a text as OpenMetrics 1.0 has it, and is strict about it.
    fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        let text = text.strip_suffix("# EOF\n").expect("it ends with EOF");
        let mut current = None::<String>;
        for line in text.lines() {
            assert!(!line.is_empty() && line.trim() == line, "{line:?}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(is_name(name), "{name}");
                let known =
                    scrape.families.insert(name.to_owned(), Family { help: help.to_owned(), ..Family::default() });
                assert!(known.is_none(), "{name} comes twice");
                current = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(current.as_deref(), Some(name), "HELP precedes TYPE");
                assert!(["counter", "gauge", "histogram", "info"].contains(&kind), "{kind}");
                scrape.families.get_mut(name).unwrap().kind = kind.to_owned();
            } else {
                let family =
                    scrape.families.get_mut(current.as_deref().expect("a sample belongs to a family")).unwrap();
                family.take(current.as_deref().unwrap(), line);
            }
        }
        for (name, family) in &scrape.families {
            family.check(name);
        }
        scrape
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let key = (name.to_owned(), labels);
        let found = self.families.values().find_map(|family| family.samples.get(&key));
        *found.unwrap_or_else(|| panic!("{key:?} is not there: {:#?}", self.families))
    }
}

impl Family {
    fn take(&mut self, family: &str, line: &str) {
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let (name, labels) = match sample.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("the labels end")),
            None => (sample, ""),
        };
        let suffixes: &[&str] = match self.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            _ => &["_bucket", "_sum", "_count"],
        };
        assert!(suffixes.iter().any(|suffix| name == format!("{family}{suffix}")), "{line} in a {}", self.kind);
        let labels: BTreeMap<_, _> = split_labels(labels).into_iter().collect();
        assert!(value.is_finite() && value >= 0.0, "{line}");
        assert!(self.samples.insert((name.to_owned(), labels), value).is_none(), "{line} comes twice");
    }

    /// Buckets rise, the last one holds all.
    fn check(&self, name: &str) {
        assert!(!self.help.is_empty() && !self.kind.is_empty() && !self.samples.is_empty(), "{name}");
        if self.kind != "histogram" {
            return;
        }
        let mut series: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
        for ((_, labels), value) in self.samples.iter().filter(|((sample, _), _)| sample.ends_with("_bucket")) {
            let mut labels = labels.clone();
            let le = labels.remove("le").expect("a bucket has its bound");
            let le = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap() };
            series.entry(labels).or_default().push((le, *value));
        }
        for (labels, mut buckets) in series {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.windows(2).all(|two| two[0].1 <= two[1].1), "{name}: {buckets:?}");
            let count = self.samples[&(format!("{name}_count"), labels)];
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)), "{name}");
        }
    }

    fn labels(&self) -> Vec<&str> {
        let keys = self.samples.keys().flat_map(|(_, labels)| labels.keys());
        keys.map(String::as_str).filter(|label| *label != "le").collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn split_labels(text: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, after) = rest.split_once("=\"").expect("a label has a value");
        let (value, after) = after.split_once('"').expect("a value ends");
        assert!(is_name(key) && !value.contains('\\'), "{text}");
        labels.push((key.to_owned(), value.to_owned()));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    labels
}

fn scrape(hookbox: &Running) -> Scrape {
    let reply = hookbox.look("/metrics", &[]);
    assert_eq!(reply.status, 200);
    let kind = reply.header("content-type").unwrap();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    Scrape::parse(&reply.text())
}

#[test]
fn deliveries_and_attempts_are_counted() {
    let hookbox = Hookbox::new()
        .handler_with("good", "sources = [\"github\"]", succeeds())
        .handler_with("bad", "sources = [\"stripe\"]\nretry = { attempts = 2, initial = \"10ms\" }", fails(9))
        .expect_failures()
        .start();
    let before = scrape(&hookbox);
    assert_eq!(before.value("hookbox_jobs", &[("handler", "good"), ("state", "dead")]), 0.0, "from the beginning");
    let push = github::push();
    let good = hookbox.deliver(&push);
    hookbox.deliver(&push);
    let bad = hookbox.deliver(Delivery::from("stripe"));
    assert_eq!(hookbox.send(&github::push().forged()).status, 401);
    for path in ["/nowhere", "/hooks/unknown", "/hooks/also-unknown"] {
        assert_eq!(hookbox.request("POST", path).status, 404);
    }
    assert_eq!(hookbox.request("GET", "/hooks/github").status, 405);
    hookbox.wait_for(&good, "succeeded");
    hookbox.wait_for(&bad, "dead");
    let now = until("the last attempt to be counted", || {
        let now = scrape(&hookbox);
        (now.value("hookbox_jobs", &[("handler", "bad"), ("state", "dead")]) > 0.0).then_some(now)
    });
    let source = |source| ("source", source);
    for (name, labels, expected) in [
        ("hookbox_deliveries_total", &[source("github"), ("answer", "accepted")][..], 1.0),
        ("hookbox_deliveries_total", &[source("github"), ("answer", "duplicate")], 1.0),
        ("hookbox_deliveries_total", &[source("github"), ("answer", "401")], 1.0),
        ("hookbox_deliveries_total", &[source("github"), ("answer", "405")], 1.0),
        ("hookbox_deliveries_total", &[source(NO_SOURCE), ("answer", "404")], 3.0),
        ("hookbox_refusals_total", &[source("github"), ("reason", "not_genuine")], 1.0),
        ("hookbox_refusals_total", &[source(NO_SOURCE), ("reason", "no_such_source")], 3.0),
        ("hookbox_events_total", &[source("github"), ("answer", "accepted")], 1.0),
        ("hookbox_events_total", &[source("github"), ("answer", "duplicate")], 1.0),
        ("hookbox_events_total", &[source("gitlab"), ("answer", "accepted")], 0.0),
        ("hookbox_acknowledgement_seconds_count", &[], 3.0),
        ("hookbox_batch_events_sum", &[], 3.0),
        ("hookbox_attempts_total", &[("handler", "good"), ("status", "succeeded")], 1.0),
        ("hookbox_attempts_total", &[("handler", "bad"), ("status", "failed")], 2.0),
        ("hookbox_attempt_seconds_count", &[("handler", "bad")], 2.0),
        ("hookbox_jobs", &[("handler", "bad"), ("state", "dead")], 1.0),
        ("hookbox_jobs", &[("handler", "good"), ("state", "pending")], 0.0),
        ("hookbox_oldest_pending_seconds", &[("handler", "good")], 0.0),
        ("hookbox_handler_paused", &[("handler", "good")], 0.0),
        ("hookbox_in_flight_bytes", &[], 0.0),
        ("hookbox_ready", &[], 1.0),
        ("hookbox_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ] {
        assert_eq!(now.value(name, labels), expected, "{name} {labels:?}");
    }
    for name in ["hookbox_disk_free_bytes", "hookbox_database_bytes", "hookbox_commit_seconds_count"] {
        assert!(now.value(name, &[]) > 0.0, "{name}");
    }
}

#[test]
fn paused_handler_and_its_pending_jobs_are_reported() {
    let mut hookbox = Hookbox::new().handler("deploy", succeeds()).start();
    assert!(hookbox.stop().success());
    hookbox.ok(&["pause", "deploy"]);
    hookbox.start_again();
    hookbox.deliver(github::push());
    let scraped = |name: &str, labels: &[(&str, &str)]| scrape(&hookbox).value(name, labels);
    let deploy = ("handler", "deploy");
    assert_eq!(scraped("hookbox_handler_paused", &[deploy]), 1.0);
    assert_eq!(scraped("hookbox_jobs", &[deploy, ("state", "pending")]), 1.0);
    until("its age", || (scraped("hookbox_oldest_pending_seconds", &[deploy]) > 0.0).then_some(()));
}

/// A scrape with every family in it.
fn whole() -> Scrape {
    let metrics = Arc::new(Metrics::default());
    let source = metrics.source("NAME".into());
    Answered::ALL.iter().for_each(|how| source.answered(*how));
    AttemptStatus::ALL.iter().for_each(|ending| metrics.attempt(&"NAME".into(), *ending, Duration::ZERO));
    let handler = HandlerGauges { name: "NAME".into(), jobs: [0; 3], oldest_pending: None, is_paused: false };
    Scrape::parse(&metrics.text(&GaugeValues { handlers: vec![handler], ..GaugeValues::default() }).unwrap())
}

#[test]
fn metrics_page_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let page = page(&whole());
    if std::env::var_os("HOOKBOX_WRITE_DOCS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == page, "{FILE} is out of date: HOOKBOX_WRITE_DOCS=1 cargo test --test it metrics");
}

fn page(scrape: &Scrape) -> String {
    let mut page =
        "# Metrics\n\nA test generates this page from the code. The metrics are at `/metrics` on the admin address, in the text format \
         of OpenMetrics 1.0\nfor Prometheus. Units are seconds and bytes. [contrib/grafana.json](../contrib/grafana.json) is a \
         dashboard for Grafana.\n\n| metric | type | labels | what |\n| --- | --- | --- | --- |\n"
            .to_owned();
    for (name, family) in &scrape.families {
        let suffix = match family.kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: Vec<_> = family.labels().iter().map(|label| format!("`{label}`")).collect();
        writeln!(page, "| `{name}{suffix}` | {} | {} | {} |", family.kind, labels.join(", "), family.help).unwrap();
    }
    page += "\n## Labels\n\nThe configuration bounds their number: all paths without a source share one label.\n\n";
    page += "| label | values |\n| --- | --- |\n";
    let words = |words: BTreeSet<&str>| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    writeln!(page, "| `source` | NAME of `[sources.NAME]`; `{NO_SOURCE}` for all other paths |").unwrap();
    page += "| `handler` | NAME of `[handlers.NAME]` |\n";
    let answers = Answered::ALL.iter().map(|how| how.answer()).collect();
    writeln!(page, "| `answer` | {} |", words(answers)).unwrap();
    writeln!(page, "| `reason` | {} |", words(Answered::ALL.iter().filter_map(|how| how.reason()).collect())).unwrap();
    writeln!(page, "| `status` | {} |", words(AttemptStatus::ALL.iter().map(|ending| ending.as_str()).collect()))
        .unwrap();
    writeln!(page, "| `state` | {} |", words(COUNTED_STATES.iter().copied().map(JobState::as_str).collect())).unwrap();
    page
}

#[test]
fn grafana_dashboard_uses_existing_metrics_and_labels() {
    let whole = whole();
    let mut known = BTreeMap::new();
    for family in whole.families.values() {
        for (name, labels) in family.samples.keys() {
            known.entry(name.as_str()).or_insert_with(BTreeSet::new).extend(labels.keys().map(String::as_str));
        }
    }
    let dashboard: serde_json::Value = serde_json::from_str(GRAFANA).unwrap();
    let mut queries = Vec::new();
    collect(&dashboard, &mut queries);
    assert!(queries.len() > 10, "{queries:?}");
    let mut asked = BTreeSet::new();
    for query in &queries {
        for word in query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
            if word.starts_with("hookbox") {
                let (name, _) = known.get_key_value(word).unwrap_or_else(|| panic!("{word} in {query}"));
                asked.insert(*name);
            }
        }
        let labels = query.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
        for label in labels.flat_map(|labels| labels.split(", ")) {
            let is_known = label == "le" || known.values().any(|labels| labels.contains(label));
            assert!(is_known, "{label} in {query}");
        }
    }
    let families = whole.families.keys().filter(|name| !asked.iter().any(|asked| asked.starts_with(name.as_str())));
    let unasked: Vec<_> = families.collect();
    assert_eq!(unasked, ["hookbox_build", "hookbox_start_time_seconds"], "all others are on the dashboard");
}

fn collect<'a>(value: &'a serde_json::Value, queries: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::Object(map) => {
            queries.extend(map.get("expr").and_then(serde_json::Value::as_str));
            map.values().for_each(|value| collect(value, queries));
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| collect(value, queries)),
        _ => {}
    }
}
