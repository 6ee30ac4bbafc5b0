//! Alerts: reads the inbox twice a second and notifies the operator when a condition begins and when it is over.
//!
//! One thread reads and decides, another sends, so that a slow receiver delays nothing. All state is in memory, so a full
//! disk can be reported. After a restart, conditions that still apply are reported again, except for old dead jobs.

mod conditions;
mod message;
mod notifier;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use crate::config;
use crate::inbox::Inbox;
use crate::support::time::Millis;

use conditions::{Conditions, Snapshot};
use message::{Alert, AlertEvent};
use notifier::Notifier;

const INTERVAL: Duration = Duration::from_millis(500);
/// Alerts that wait to be sent. Further ones are dropped and logged.
const QUEUE: usize = 256;

/// The running alert threads.
#[derive(Debug)]
pub struct Alerts {
    reloads: Sender<Option<config::AlertsConfig>>,
    thread: JoinHandle<()>,
}

impl Alerts {
    /// Starts the threads. Without settings they do nothing until a reload.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(settings: Option<config::AlertsConfig>, inbox: Arc<Inbox>) -> std::io::Result<Self> {
        let (reloads, incoming) = crossbeam_channel::unbounded();
        // In this thread, so that the dead jobs are counted before a handler runs.
        let monitor = settings.map(|settings| Monitor::new(settings, &inbox));
        let thread = thread::Builder::new().name("alerts".into()).spawn(move || run(monitor, &inbox, &incoming))?;
        Ok(Self { reloads, thread })
    }

    /// Applies new settings. Conditions that were reported stay reported.
    pub fn reload(&self, settings: Option<config::AlertsConfig>) {
        if self.reloads.send(settings).is_err() {
            log::error!("the alert thread has stopped unexpectedly");
        }
    }

    /// Stops the threads; alerts that wait are sent for a moment longer.
    pub fn stop(self) {
        drop(self.reloads);
        if self.thread.join().is_err() {
            log::error!("the alert thread panicked");
        }
    }
}

/// Sends a test alert once.
///
/// # Errors
/// Why it was not delivered.
pub fn test(channel: &config::AlertChannel) -> Result<(), String> {
    notifier::send(channel, &Alert::new(&AlertEvent::Test, Millis::now()), &AtomicBool::new(false))
}

fn run(mut monitor: Option<Monitor>, inbox: &Inbox, reloads: &Receiver<Option<config::AlertsConfig>>) {
    loop {
        let wait = if monitor.is_some() { INTERVAL } else { Duration::from_hours(1) };
        match reloads.recv_timeout(wait) {
            Ok(Some(settings)) => match &mut monitor {
                Some(monitor) => monitor.settings = settings,
                None => monitor = Some(Monitor::new(settings, inbox)),
            },
            Ok(None) => monitor = None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if let Some(monitor) = &mut monitor {
            monitor.check(inbox);
        }
    }
    if let Some(Monitor { queue, notifier, .. }) = monitor {
        drop(queue);
        notifier.stop();
    }
}

struct Monitor {
    settings: config::AlertsConfig,
    conditions: Conditions,
    notifier: Notifier,
    queue: Sender<(config::AlertChannel, Alert)>,
}

impl Monitor {
    fn new(settings: config::AlertsConfig, inbox: &Inbox) -> Self {
        let now = Millis::now();
        let heard = inbox.reader().and_then(|reader| reader.last_heard(now)).unwrap_or_else(|error| {
            log::warn!("the last delivery of each source could not be read: {error}");
            HashMap::new()
        });
        let silent_before = heard.into_iter().map(|(source, at)| (source, now.since(at))).collect();
        let (queue, alerts) = crossbeam_channel::bounded(QUEUE);
        let mut conditions = Conditions::new(silent_before, Instant::now());
        // Jobs that died when hookbox was killed have not been reported yet; other dead jobs have.
        let lost: Vec<_> = inbox.lost_attempts().iter().map(|job| job.id).collect();
        let dead = inbox.reader().and_then(|reader| {
            let unreported = reader.dead_among(&lost)?;
            Ok((reader.alert_snapshot(&[], now)?.dead, unreported))
        });
        match dead {
            Ok((dead, unreported)) => conditions.set_known_dead(dead, &unreported),
            Err(error) => log::warn!("dead jobs could not be counted: {error}"),
        }
        let mut monitor = Self { settings, conditions, notifier: Notifier::start(alerts), queue };
        // The starting point of all counts: deliveries from now on are compared with it.
        monitor.check(inbox);
        monitor
    }

    fn check(&mut self, inbox: &Inbox) {
        let now = Millis::now();
        let sources: Vec<&str> = self.settings.sources.iter().map(AsRef::as_ref).collect();
        let inbox_snapshot = match inbox.reader().and_then(|reader| reader.alert_snapshot(&sources, now)) {
            Ok(snapshot) => snapshot,
            Err(error) => return log::debug!("the inbox could not be read for alerts: {error}"),
        };
        let snapshot = Snapshot { inbox: inbox_snapshot, is_disk_low: inbox.is_disk_low() };
        for mut event in self.conditions.update(&snapshot, &self.settings, Instant::now()) {
            if let AlertEvent::Dead { handler, last, .. } = &mut event {
                let newest = inbox.reader().and_then(|reader| reader.newest_dead(handler));
                *last = newest.ok().flatten();
            }
            self.enqueue(Alert::new(&event, now));
        }
    }

    fn enqueue(&self, alert: Alert) {
        match self.queue.try_send((self.settings.channel.clone(), alert)) {
            Ok(()) => {}
            Err(TrySendError::Full((_, alert)) | TrySendError::Disconnected((_, alert))) => {
                log::error!("alert dropped, too many are waiting: {}", alert.text);
            }
        }
    }
}
