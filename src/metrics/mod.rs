//! Every metric there is: what is counted and measured as it happens, and what is read when somebody asks.
//!
//! Rooms count into [`Metrics`] through handles that were looked up once, so that counting costs an atomic addition; the
//! text for Prometheus (OpenMetrics 1.0) goes out. Labels hold configured names and words from this file only, so their
//! number is bounded: whoever asks for paths that nobody configured is counted under one name. docs/metrics.md is made
//! from this file.

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

/// What the text is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Stands for all paths without a source; no source can have this name.
pub const NO_SOURCE: &str = "(none)";

/// States of which jobs are counted: a look at all that is done would read the whole inbox.
pub const COUNTED_STATES: [JobState; 3] = [JobState::Pending, JobState::Running, JobState::Dead];

const LATENCIES: [f64; 15] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const RUNS: [f64; 14] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];
const SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

type Name = [(&'static str, Arc<str>); 1];
type NameAndWord = (Name, [(&'static str, &'static str); 1]);
/// A gauge that is also the number itself.
pub type Bytes = Gauge<u64, AtomicU64>;
type Seconds = Gauge<f64, AtomicU64>;
type Histograms = Family<Name, Histogram, fn() -> Histogram>;

/// All of them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    deliveries: Family<NameAndWord, Counter>,
    refusals: Family<NameAndWord, Counter>,
    events: Family<NameAndWord, Counter>,
    /// From the last byte of a delivery that is stored to its answer, in seconds.
    acknowledgement: Histogram,
    commit: Histogram,
    batch: Histogram,
    attempts: Family<NameAndWord, Counter>,
    attempt: Histograms,
    /// Bytes received and not yet stored.
    pub in_flight: Bytes,
    /// Until when the certificate of the providers' address is valid, in unix seconds.
    pub certificate_expiry: Gauge,
    gauges: Mutex<Gauges>,
}

/// What is set when somebody asks.
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

/// How things stand when somebody asks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GaugeValues {
    /// Every handler that is configured, has open jobs or is paused.
    pub handlers: Vec<HandlerGauges>,
    /// Commands that wait for the writer.
    pub queue: usize,
    /// Bytes free on the inbox's disk, where the system tells.
    pub disk_free: Option<u64>,
    /// Length of the write-ahead log.
    pub wal: u64,
    /// Length of the database.
    pub database: u64,
    /// Whether a new event would be stored.
    pub is_ready: bool,
}

/// One handler.
#[derive(Debug, Clone, PartialEq)]
pub struct HandlerGauges {
    /// NAME of `[handlers.NAME]`.
    pub name: Arc<str>,
    /// Jobs in each of [`COUNTED_STATES`].
    pub jobs: [u64; COUNTED_STATES.len()],
    /// How long the oldest pending job has been waiting.
    pub oldest_pending: Option<Duration>,
    /// Whether it starts no jobs.
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
        r.register("hookbox_build", "The version that runs", build);
        let started = Seconds::default();
        started.set(seconds(Millis::now()));
        r.register("hookbox_start_time_seconds", "When it was started, in seconds since 1970", started);
        let help = "Deliveries by what they were answered: `accepted`, `duplicate`, `handshake`, else the status";
        r.register("hookbox_deliveries", help, self.deliveries.clone());
        let help = "Deliveries that were turned away or not stored, by the reason";
        r.register("hookbox_refusals", help, self.refusals.clone());
        let help = "Genuine events: `accepted` is new and stored, `duplicate` was there; a delivery may carry many";
        r.register("hookbox_events", help, self.events.clone());
        let help = "From the last byte of a genuine delivery to its answer, which the synced commit comes before";
        r.register("hookbox_acknowledgement_seconds", help, self.acknowledgement.clone());
        r.register("hookbox_commit_seconds", "How long a commit took, its sync included", self.commit.clone());
        r.register("hookbox_batch_events", "Events in one commit, of those that held any", self.batch.clone());
        let help = "Runs of a handler that have ended, by how (the column `status` of `attempts`)";
        r.register("hookbox_attempts", help, self.attempts.clone());
        r.register("hookbox_attempt_seconds", "How long a run of a handler took", self.attempt.clone());
        let help = "Bytes of bodies received and not yet stored (limit: `server.max_in_flight`)";
        r.register("hookbox_in_flight_bytes", help, self.in_flight.clone());
        let help = "When the certificate of `server.tls` ends, in seconds since 1970; 0 when there is none";
        r.register("hookbox_tls_certificate_expiry_seconds", help, self.certificate_expiry.clone());
    }

    fn register_read(&mut self) {
        let r = &mut self.registry;
        let gauges = self.gauges.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let help = "Jobs that are `pending`, `running` or `dead`; those that are done are counted as attempts";
        r.register("hookbox_jobs", help, gauges.jobs.clone());
        let help = "Since the oldest pending job was made, whether it is due, waits for a retry, for an earlier job of its value \
            (`order_by`) or for a paused handler; 0 when there is none";
        r.register("hookbox_oldest_pending_seconds", help, gauges.oldest_pending.clone());
        r.register("hookbox_handler_paused", "1 while a handler starts no jobs", gauges.paused.clone());
        r.register("hookbox_queue_depth", "Deliveries and turns that wait for the writer", gauges.queue.clone());
        let help = "Bytes free on the inbox's disk (limit: `inbox.min_free_disk`)";
        r.register("hookbox_disk_free_bytes", help, gauges.disk_free.clone());
        let help = "Length of the inbox's write-ahead log, which shrinks when no reader holds it";
        r.register("hookbox_wal_bytes", help, gauges.wal.clone());
        r.register("hookbox_database_bytes", "Length of the inbox's file", gauges.database.clone());
        r.register("hookbox_ready", "1 while a new event would be stored, as `/readyz` says", gauges.ready.clone());
    }

    /// The counters of a source; the same ones whenever it is asked for again.
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

    /// A delivery was stored, or was there: so long after its last byte.
    pub fn acknowledged(&self, after: Duration) {
        self.acknowledgement.observe(after.as_secs_f64());
    }

    /// A commit has synced.
    pub fn committed(&self, took: Duration, events: u32) {
        self.commit.observe(took.as_secs_f64());
        if events > 0 {
            self.batch.observe(f64::from(events));
        }
    }

    /// A run of a handler has ended.
    pub fn attempt(&self, handler: &Arc<str>, status: AttemptStatus, took: Duration) {
        self.attempts.get_or_create(&labels(("handler", handler), ("status", status.as_str()))).inc();
        self.attempt.get_or_create(&[("handler", handler.clone())]).observe(took.as_secs_f64());
    }

    /// The text for Prometheus.
    ///
    /// # Errors
    /// When a metric cannot be written, which none of ours refuses.
    pub fn text(&self, now: &GaugeValues) -> Result<String, std::fmt::Error> {
        // Held to the end, or two who ask at once would see each other's half.
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
    /// A request of this source was answered.
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

    /// A delivery has brought so many events, of which so many were there.
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
