//! Sending: one alert after the other, by a program or a POST, each with a few tries and a time limit.
//!
//! An alert and a channel come in; what could not be sent is logged, without the address, which may hold a token.

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

/// Between one try and the next.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// For one try.
const LIMIT: Duration = Duration::from_secs(10);
/// What is left of the sending when hookbox ends, of the ten seconds that containers are given.
const AT_THE_END: Duration = Duration::from_millis(500);

/// The thread that sends.
#[derive(Debug)]
pub(super) struct Courier {
    thread: Option<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
}

impl Courier {
    /// Sends what comes until nothing more can.
    pub(super) fn start(waiting: Receiver<(AlertChannel, Alert)>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let ending = is_over.clone();
        let thread = thread::Builder::new().name("courier".into()).spawn(move || {
            for (channel, alert) in waiting {
                send(&channel, &alert, &ending);
            }
        });
        let thread = thread.inspect_err(|error| log::error!("alerts cannot be sent: {error}")).ok();
        Self { thread, is_over }
    }

    /// Waits a moment for what is being sent, then ends a command that is still at it; the rest goes with the process.
    pub(super) fn end(self) {
        self.wait(AT_THE_END);
        self.is_over.store(true, Ordering::Relaxed);
        self.wait(AT_THE_END);
    }

    fn wait(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(10));
        }
    }
}

fn send(channel: &AlertChannel, alert: &Alert, is_over: &AtomicBool) {
    let mut pauses = PAUSES.into_iter();
    loop {
        match (once(channel, alert, is_over), pauses.next()) {
            (_, _) if is_over.load(Ordering::Relaxed) => return,
            (Ok(()), _) => return log::debug!("alert sent: {}", alert.text),
            (Err(why), Some(pause)) => {
                log::info!("an alert could not be sent, again in {} s: {why}", pause.as_secs());
                thread::sleep(pause);
            }
            (Err(why), None) => return log::error!("an alert could not be sent: {why}; it said: {}", alert.text),
        }
    }
}

/// One try.
pub(super) fn once(channel: &AlertChannel, alert: &Alert, is_over: &AtomicBool) -> Result<(), String> {
    match channel {
        AlertChannel::Command { command, cwd, env } => {
            let state = if alert.is_over { "over" } else { "begun" };
            let variables = [("HOOKBOX_ALERT", alert.kind), ("HOOKBOX_ALERT_STATE", state)];
            let words = alert.json.as_bytes();
            runner::run_notifier(
                &NotifierCommand { command, cwd, env, variables: &variables, stdin: words },
                LIMIT,
                is_over,
            )
        }
        AlertChannel::Url(url) => post(url.reveal(), alert),
    }
}

fn post(url: &str, alert: &Alert) -> Result<(), String> {
    let is_plain = url.starts_with("http://");
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(RootCerts::WebPki).build())
        .timeout_global(Some(LIMIT))
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("hookbox/", env!("CARGO_PKG_VERSION")));
    // A proxy has no way to this machine.
    let config = if is_plain { config.proxy(None) } else { config };
    let agent = Agent::new_with_config(config.build());
    let request = agent.post(url).header("Content-Type", "application/json");
    match request.send(alert.json.as_str()) {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("alerts.url answered {}", answer.status())),
        Err(ureq::Error::BadUri(_) | ureq::Error::Http(_)) => Err("alerts.url is not an address".to_owned()),
        Err(error) => Err(format!("alerts.url: {error}")),
    }
}
