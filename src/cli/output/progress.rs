//! Progress on stderr, if that is a terminal, for work that takes more than a second. Cleared when the work is done.

use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Shorter work shows no progress.
const DELAY: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// Shows a spinner while `work` runs.
pub(crate) fn spinner<T>(message: &'static str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if is_done.recv_timeout(DELAY) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let spinner = ProgressBar::new_spinner().with_message(message);
            spinner.enable_steady_tick(TICK);
            // Returns an error as soon as `done` is dropped.
            is_done.recv().unwrap_or_default();
            spinner.finish_and_clear();
        });
        let result = work();
        drop(done);
        result
    })
}

/// A progress bar up to a known total.
#[derive(Debug)]
pub(crate) struct Counter {
    started_at: Instant,
    total: usize,
    bar: Option<ProgressBar>,
}

impl Counter {
    pub(crate) fn new(total: usize) -> Self {
        Self { started_at: Instant::now(), total, bar: None }
    }

    pub(crate) fn set(&mut self, done: usize) {
        if self.bar.is_none() && self.started_at.elapsed() >= DELAY {
            let bar = ProgressBar::new(self.total as u64);
            let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {eta}");
            self.bar = Some(style.map_or(bar.clone(), |style| bar.with_style(style)));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
