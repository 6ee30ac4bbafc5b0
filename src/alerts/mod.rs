//! Tells a person: what the inbox shows is looked at twice a second, and what begins or ends is sent, once each.
//!
//! Two threads: one looks and decides (`condition`), one sends (`send`), so that a slow receiver delays no look.
//! Everything is kept in memory and nothing is written: a full disk can be told. After a restart what still holds is
//! told again, save jobs that were dead by then.

mod condition;
mod message;
mod send;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use crate::config;
use crate::inbox::Inbox;
use crate::support::time::Millis;

use condition::{Conditions, Seen};
use message::{Alert, What};
use send::Courier;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Alerts that wait to be sent; more are dropped, and the log says so.
const QUEUE: usize = 256;

/// The threads that look and send.
#[derive(Debug)]
pub struct Alerts {
    orders: Sender<Option<config::AlertsConfig>>,
    thread: JoinHandle<()>,
}

impl Alerts {
    /// Starts to look; without settings nothing is looked at.
    ///
    /// # Errors
    /// When a thread cannot be made.
    pub fn start(settings: Option<config::AlertsConfig>, inbox: Arc<Inbox>) -> std::io::Result<Self> {
        let (orders, incoming) = crossbeam_channel::unbounded();
        // Here, so that what was dead before is known before any handler runs.
        let look = settings.map(|settings| Look::new(settings, &inbox));
        let thread = thread::Builder::new().name("alerts".into()).spawn(move || watch(look, &inbox, &incoming))?;
        Ok(Self { orders, thread })
    }

    /// From now on these hold. What is known of the inbox stays known.
    pub fn reload(&self, settings: Option<config::AlertsConfig>) {
        if self.orders.send(settings).is_err() {
            log::error!("alerts have ended early");
        }
    }

    /// Ends the looking; what waits to be sent has a moment left.
    pub fn stop(self) {
        drop(self.orders);
        if self.thread.join().is_err() {
            log::error!("alerts ended in a panic");
        }
    }
}

/// Sends one alert, to try whether it arrives.
///
/// # Errors
/// Why it did not.
pub fn test(channel: &config::AlertChannel) -> Result<(), String> {
    send::once(channel, &Alert::new(&What::Test, Millis::now()), &AtomicBool::new(false))
}

fn watch(mut look: Option<Look>, inbox: &Inbox, orders: &Receiver<Option<config::AlertsConfig>>) {
    loop {
        let wait = if look.is_some() { LOOK_EVERY } else { Duration::from_secs(3600) };
        match orders.recv_timeout(wait) {
            Ok(Some(settings)) => match &mut look {
                Some(look) => look.change(settings),
                None => look = Some(Look::new(settings, inbox)),
            },
            Ok(None) => look = None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if let Some(look) = &mut look {
            look.once(inbox);
        }
    }
    if let Some(Look { queue, courier, .. }) = look {
        drop(queue);
        courier.end();
    }
}

struct Look {
    settings: config::AlertsConfig,
    conditions: Conditions,
    courier: Courier,
    queue: Sender<(config::AlertChannel, Alert)>,
}

impl Look {
    fn new(settings: config::AlertsConfig, inbox: &Inbox) -> Self {
        let now = Millis::now();
        let heard = inbox.reader().and_then(|reader| reader.last_heard(now)).unwrap_or_else(|error| {
            log::warn!("when each source was last heard of could not be read: {error}");
            HashMap::new()
        });
        let heard = heard.into_iter().map(|(source, at)| (source, now.since(at))).collect();
        let (queue, waiting) = crossbeam_channel::bounded(QUEUE);
        let courier = Courier::start(waiting);
        let mut look = Self { settings, conditions: Conditions::new(heard, Instant::now()), courier, queue };
        look.learn(inbox);
        look
    }

    /// What is dead already is no news, save those jobs that the last end of hookbox was the end of.
    fn learn(&mut self, inbox: &Inbox) {
        let lost: Vec<_> = inbox.lost_attempts().iter().map(|job| job.id).collect();
        let dead = inbox.reader().and_then(|reader| {
            let news = reader.dead_among(&lost)?;
            Ok((reader.alert_snapshot(&[], Millis::now())?.dead, news))
        });
        match dead {
            Ok((dead, news)) => self.conditions.know_dead(dead, &news),
            Err(error) => log::warn!("which jobs are dead could not be read: {error}"),
        }
    }

    fn change(&mut self, settings: config::AlertsConfig) {
        self.settings = settings;
    }

    fn once(&mut self, inbox: &Inbox) {
        let now = Millis::now();
        let sources: Vec<&str> = self.settings.sources.iter().map(AsRef::as_ref).collect();
        let glance = match inbox.reader().and_then(|reader| reader.alert_snapshot(&sources, now)) {
            Ok(glance) => glance,
            // The next look is soon.
            Err(error) => return log::debug!("the inbox could not be looked at: {error}"),
        };
        let seen = Seen { glance, is_disk_low: inbox.is_disk_low() };
        for mut what in self.conditions.update(&seen, &self.settings, Instant::now()) {
            if let What::Dead { handler, last, .. } = &mut what {
                let newest = inbox.reader().and_then(|reader| reader.newest_dead(handler));
                *last = newest.ok().flatten();
            }
            self.send(Alert::new(&what, now));
        }
    }

    fn send(&self, alert: Alert) {
        match self.queue.try_send((self.settings.channel.clone(), alert)) {
            Ok(()) => {}
            Err(TrySendError::Full((_, alert)) | TrySendError::Disconnected((_, alert))) => {
                log::error!("too many alerts wait to be sent; dropped: {}", alert.text);
            }
        }
    }
}
