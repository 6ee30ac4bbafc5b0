//! What systemd is told: readiness, reloads, the end, and that hookbox is alive.
//!
//! Goes by the variables that systemd sets (sd_notify(3)); without them nothing happens. The sockets that it hands over
//! are `socket`'s.

use std::time::Duration;

use sd_notify::NotifyState;

/// From now on deliveries are taken in.
pub fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("taking in deliveries")]);
}

/// The configuration is read again; [`ready`] ends that.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reading the configuration again")]),
        Err(error) => log::debug!("systemd is not told of the reload: {error}"),
    }
}

/// No more deliveries are taken in.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing what has been taken in")]);
}

/// hookbox is alive.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often [`alive`] must be told at least, where a watchdog waits for it: half of its patience.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|patience| patience / 2)
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("systemd could not be told: {error}");
    }
}
