//! Sends alerts one after the other, to a command or a URL, each with retries and a time limit.
//!
//! Failures are logged without the URL, which may contain a token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::message::Alert;
use crate::config::AlertChannel;
use crate::runner::{self, NotifierCommand};

const RETRY_DELAYS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// Per attempt.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Waited twice at shutdown, out of the ten seconds that containers get.
const SHUTDOWN_WAIT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Notifier {
    thread: Option<JoinHandle<()>>,
    is_cancelled: Arc<AtomicBool>,
}

impl Notifier {
    /// Starts the thread. It runs until the channel is closed.
    pub(super) fn start(alerts: Receiver<(AlertChannel, Alert)>) -> Self {
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let cancelled = is_cancelled.clone();
        let thread = thread::Builder::new().name("notifier".into()).spawn(move || {
            for (channel, alert) in alerts {
                send_with_retries(&channel, &alert, &cancelled);
            }
        });
        let thread = thread.inspect_err(|error| log::error!("alerts cannot be sent: {error}")).ok();
        Self { thread, is_cancelled }
    }

    /// Waits a moment for the alert that is being sent, then kills its command. Further alerts are lost.
    pub(super) fn stop(self) {
        self.wait();
        self.is_cancelled.store(true, Ordering::Relaxed);
        self.wait();
    }

    fn wait(&self) {
        let deadline = Instant::now() + SHUTDOWN_WAIT;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(10));
        }
    }
}

fn send_with_retries(channel: &AlertChannel, alert: &Alert, is_cancelled: &AtomicBool) {
    let mut delays = RETRY_DELAYS.into_iter();
    loop {
        match (send(channel, alert, is_cancelled), delays.next()) {
            (_, _) if is_cancelled.load(Ordering::Relaxed) => return,
            (Ok(()), _) => return log::debug!("alert sent: {}", alert.text),
            (Err(error), Some(delay)) => {
                log::info!("alert not sent, retrying in {} s: {error}", delay.as_secs());
                thread::sleep(delay);
            }
            (Err(error), None) => return log::error!("alert not sent: {error}; its text: {}", alert.text),
        }
    }
}

/// Sends an alert once.
pub(super) fn send(channel: &AlertChannel, alert: &Alert, is_cancelled: &AtomicBool) -> Result<(), String> {
    match channel {
        AlertChannel::Command { command, cwd, env } => {
            let state = if alert.is_over { "over" } else { "begun" };
            let variables = [("HOOKBOX_ALERT", alert.kind), ("HOOKBOX_ALERT_STATE", state)];
            let stdin = alert.json.as_bytes();
            let command = NotifierCommand { command, cwd, env, variables: &variables, stdin };
            runner::run_notifier(&command, TIMEOUT, is_cancelled)
        }
        AlertChannel::Url(url) => post(url.reveal(), alert),
    }
}

fn post(url: &str, alert: &Alert) -> Result<(), String> {
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(RootCerts::WebPki).build())
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("hookbox/", env!("CARGO_PKG_VERSION")));
    // Plain HTTP is for this machine, which a proxy cannot reach.
    let config = if url.starts_with("http://") { config.proxy(None) } else { config };
    let agent = Agent::new_with_config(config.build());
    match agent.post(url).header("Content-Type", "application/json").send(alert.json.as_str()) {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => Err(format!("alerts.url returned {}", response.status())),
        Err(ureq::Error::BadUri(_) | ureq::Error::Http(_)) => Err("alerts.url is not a URL".to_owned()),
        Err(error) => Err(format!("alerts.url: {error}")),
    }
}
