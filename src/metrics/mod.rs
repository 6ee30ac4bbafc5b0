//! All metrics: what is counted as it happens, and the gauges that are read for each scrape.
//!
//! Modules count through handles that they look up once, so that counting costs an atomic addition. Labels are configured
//! names and words of this module, so their number is bounded. docs/metrics.md is generated from this file.

mod answered;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use self::answered::Answered;
use crate::model::event::{AttemptStatus, JobState};
use crate::support::locks;
use crate::support::time::Millis;

pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Label of requests to paths without a source. No source can have this name.
pub const NO_SOURCE: &str = "(none)";

/// Only these states are counted: counting finished jobs would read the whole inbox.
pub const COUNTED_STATES: [JobState; 3] = [JobState::Pending, JobState::Running, JobState::Dead];

const LATENCIES: [f64; 15] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const RUNS: [f64; 14] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];
const SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

type Name = [(&'static str, Arc<str>); 1];
type NameAndWord = (Name, [(&'static str, &'static str); 1]);
/// Also used as the counter itself.
pub type Bytes = Gauge<u64, AtomicU64>;
type Seconds = Gauge<f64, AtomicU64>;
type Histograms = Family<Name, Histogram, fn() -> Histogram>;

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    deliveries: Family<NameAndWord, Counter>,
    refusals: Family<NameAndWord, Counter>,
    events: Family<NameAndWord, Counter>,
    acknowledgement: Histogram,
    commit: Histogram,
    batch: Histogram,
    attempts: Family<NameAndWord, Counter>,
    attempt: Histograms,
    /// Bytes of bodies that are received and not yet stored.
    pub in_flight: Bytes,
    /// Expiry of the TLS certificate, in unix seconds.
    pub certificate_expiry: Gauge,
    gauges: Mutex<Gauges>,
}

/// Set for each scrape.
#[derive(Debug, Default)]
struct Gauges {
    jobs: Family<NameAndWord, Bytes>,
    oldest_pending: Family<Name, Seconds>,
    paused: Family<Name, Bytes>,
    queue: Bytes,
    disk_free: Bytes,
    wal: Bytes,
    database: Bytes,
    ready: Bytes,
}

/// The values of the gauges.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GaugeValues {
    /// Handlers that are configured, have open jobs or are paused.
    pub handlers: Vec<HandlerGauges>,
    pub queue: usize,
    /// Bytes.
    pub disk_free: Option<u64>,
    /// Bytes.
    pub wal: u64,
    /// Bytes.
    pub database: u64,
    pub is_ready: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct HandlerGauges {
    pub name: Arc<str>,
    /// Jobs in each of [`COUNTED_STATES`].
    pub jobs: [u64; COUNTED_STATES.len()],
    /// Age of the oldest pending job.
    pub oldest_pending: Option<Duration>,
    pub is_paused: bool,
}

/// The counters of one source.
#[derive(Debug)]
pub struct SourceMeter {
    source: Arc<str>,
    metrics: Arc<Metrics>,
    answers: [OnceLock<(Counter, Option<Counter>)>; Answered::COUNT],
    accepted: Counter,
    duplicates: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let runs: fn() -> Histogram = || Histogram::new(RUNS);
        let mut metrics = Self {
            registry: Registry::default(),
            deliveries: Family::default(),
            refusals: Family::default(),
            events: Family::default(),
            acknowledgement: Histogram::new(LATENCIES),
            commit: Histogram::new(LATENCIES),
            batch: Histogram::new(SIZES),
            attempts: Family::default(),
            attempt: Family::new_with_constructor(runs),
            in_flight: Bytes::default(),
            certificate_expiry: Gauge::default(),
            gauges: Mutex::default(),
        };
        metrics.register_counted();
        metrics.register_read();
        metrics
    }
}

impl Metrics {
    fn register_counted(&mut self) {
        let r = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        r.register("hookbox_build", "The version of hookbox", build);
        let started = Seconds::default();
        started.set(seconds(Millis::now()));
        r.register("hookbox_start_time_seconds", "When hookbox was started, in seconds since 1970", started);
        let help = "Deliveries by response: `accepted`, `duplicate`, `handshake`, or the HTTP status of a rejection";
        r.register("hookbox_deliveries", help, self.deliveries.clone());
        let help = "Deliveries that were rejected or not stored, by reason";
        r.register("hookbox_refusals", help, self.refusals.clone());
        let help =
            "Verified events: `accepted` ones were new, `duplicate` ones already stored. A delivery may carry several";
        r.register("hookbox_events", help, self.events.clone());
        let help = "Time from the last byte of a verified delivery to its response, including the synced commit";
        r.register("hookbox_acknowledgement_seconds", help, self.acknowledgement.clone());
        r.register("hookbox_commit_seconds", "Duration of a commit, including its sync", self.commit.clone());
        r.register("hookbox_batch_events", "Events per commit, for commits with events", self.batch.clone());
        let help = "Finished attempts by status (the column `status` of `attempts`)";
        r.register("hookbox_attempts", help, self.attempts.clone());
        r.register("hookbox_attempt_seconds", "Duration of an attempt", self.attempt.clone());
        let help = "Bytes of bodies received and not yet stored (limit: `server.max_in_flight`)";
        r.register("hookbox_in_flight_bytes", help, self.in_flight.clone());
        let help = "When the certificate of `server.tls` expires, in seconds since 1970; 0 without a certificate";
        r.register("hookbox_tls_certificate_expiry_seconds", help, self.certificate_expiry.clone());
    }

    fn register_read(&mut self) {
        let r = &mut self.registry;
        let gauges = self.gauges.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let help = "Jobs that are `pending`, `running` or `dead`. Finished jobs are counted in `hookbox_attempts`";
        r.register("hookbox_jobs", help, gauges.jobs.clone());
        let help = "Age of the oldest pending job, whatever it waits for: its due time, a retry, another job of its ordering key or a paused \
            handler. 0 without pending jobs";
        r.register("hookbox_oldest_pending_seconds", help, gauges.oldest_pending.clone());
        r.register("hookbox_handler_paused", "1 while the handler is paused", gauges.paused.clone());
        r.register("hookbox_queue_depth", "Commands that wait for the writer thread", gauges.queue.clone());
        let help = "Bytes free on the inbox's disk (limit: `inbox.min_free_disk`)";
        r.register("hookbox_disk_free_bytes", help, gauges.disk_free.clone());
        let help = "Size of the inbox's write-ahead log. It can shrink only while nobody reads an old snapshot";
        r.register("hookbox_wal_bytes", help, gauges.wal.clone());
        r.register("hookbox_database_bytes", "Size of the inbox's database file", gauges.database.clone());
        r.register("hookbox_ready", "1 while new events are accepted, like `/readyz`", gauges.ready.clone());
    }

    /// The counters of a source. Repeated calls return the same counters.
    #[must_use]
    pub fn source(self: &Arc<Self>, source: Arc<str>) -> SourceMeter {
        let events = |word| self.events.get_or_create_owned(&labels(("source", &source), ("answer", word)));
        SourceMeter {
            accepted: events("accepted"),
            duplicates: events("duplicate"),
            answers: [const { OnceLock::new() }; Answered::COUNT],
            source,
            metrics: self.clone(),
        }
    }

    /// Observes the time from the last byte of an accepted or duplicate delivery to now.
    pub fn acknowledged(&self, after: Duration) {
        self.acknowledgement.observe(after.as_secs_f64());
    }

    pub fn committed(&self, took: Duration, events: u32) {
        self.commit.observe(took.as_secs_f64());
        if events > 0 {
            self.batch.observe(f64::from(events));
        }
    }

    pub fn attempt(&self, handler: &Arc<str>, status: AttemptStatus, took: Duration) {
        self.attempts.get_or_create(&labels(("handler", handler), ("status", status.as_str()))).inc();
        self.attempt.get_or_create(&[("handler", handler.clone())]).observe(took.as_secs_f64());
    }

    /// The text for Prometheus (OpenMetrics 1.0).
    ///
    /// # Errors
    /// Formatting fails; none of our metrics does.
    pub fn text(&self, now: &GaugeValues) -> Result<String, std::fmt::Error> {
        // Locked until the end, so that concurrent scrapes do not mix their values.
        let gauges = locks::lock(&self.gauges);
        gauges.set(now);
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Gauges {
    fn set(&self, now: &GaugeValues) {
        self.jobs.clear();
        self.oldest_pending.clear();
        self.paused.clear();
        for handler in &now.handlers {
            for (state, count) in COUNTED_STATES.iter().zip(handler.jobs) {
                let labels = labels(("handler", &handler.name), ("state", state.as_str()));
                self.jobs.get_or_create(&labels).set(count);
            }
            let name = [("handler", handler.name.clone())];
            let oldest = handler.oldest_pending.unwrap_or_default();
            self.oldest_pending.get_or_create(&name).set(oldest.as_secs_f64());
            self.paused.get_or_create(&name).set(u64::from(handler.is_paused));
        }
        self.queue.set(u64::try_from(now.queue).unwrap_or(u64::MAX));
        self.disk_free.set(now.disk_free.unwrap_or_default());
        self.wal.set(now.wal);
        self.database.set(now.database);
        self.ready.set(u64::from(now.is_ready));
    }
}

impl SourceMeter {
    /// Counts a response.
    pub fn answered(&self, how: Answered) {
        let (answer, reason) = self.answers[how as usize].get_or_init(|| {
            let labels = |word| labels(("source", &self.source), word);
            let refusal = |reason| self.metrics.refusals.get_or_create_owned(&labels(("reason", reason)));
            let answer = self.metrics.deliveries.get_or_create_owned(&labels(("answer", how.answer())));
            (answer, how.reason().map(refusal))
        });
        answer.inc();
        if let Some(reason) = reason {
            reason.inc();
        }
    }

    /// Counts the events of a delivery, of which some were duplicates.
    pub fn events(&self, all: u32, duplicates: u32) {
        self.accepted.inc_by(u64::from(all.saturating_sub(duplicates)));
        self.duplicates.inc_by(u64::from(duplicates));
    }
}

fn labels((key, name): (&'static str, &Arc<str>), word: (&'static str, &'static str)) -> NameAndWord {
    ([(key, name.clone())], [word])
}

fn seconds(instant: Millis) -> f64 {
    Duration::from_millis(u64::try_from(instant.0).unwrap_or_default()).as_secs_f64()
}
