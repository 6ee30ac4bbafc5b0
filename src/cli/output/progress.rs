//! Progress of what takes over a second: on stderr, if that is a terminal, and gone when it is done.
//!
//! Work goes in and its result comes out. What is quick, or read by a program, is left alone.

use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// What is done by then needs no progress.
const AT_ONCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// Does something of unknown length.
pub(crate) fn waiting<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let (done, waits) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if waits.recv_timeout(AT_ONCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let spinner = ProgressBar::new_spinner().with_message(what);
            spinner.enable_steady_tick(TICK);
            // Ends with an error, by the other side going away.
            waits.recv().unwrap_or_default();
            spinner.finish_and_clear();
        });
        let result = work();
        drop(done);
        result
    })
}

/// Counts up to a known number.
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

    /// So many are done.
    pub(crate) fn reach(&mut self, done: usize) {
        if self.bar.is_none() && self.started_at.elapsed() >= AT_ONCE {
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
