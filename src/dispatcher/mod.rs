//! The dispatcher: claims due jobs, runs them on executor threads and writes their results.
//!
//! The scheduler thread owns all decisions: which jobs to claim, which handler is paused, what a result means. Executor
//! threads run attempts. Stored events wake the scheduler through the inbox, so the receiver does not know it.

mod circuit_breaker;
mod clock_step;
mod exchange;
mod executor;
mod journal;
mod queue;
mod results;
mod scheduler;
mod shutdown;
mod slots;

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Sender;

use crate::inbox::Inbox;
use crate::support::control::ControlHandle;

pub use journal::not_started;
pub use scheduler::DispatcherSettings;
use scheduler::{Scheduler, SchedulerCommand};

/// The running dispatcher.
#[derive(Debug)]
pub struct Dispatcher {
    commands: Sender<SchedulerCommand>,
    thread: JoinHandle<()>,
}

impl Dispatcher {
    /// Kills the orphans of a crashed hookbox, then starts the scheduler.
    pub fn start(settings: DispatcherSettings, inbox: Arc<Inbox>, control: ControlHandle) -> std::io::Result<Self> {
        let (commands, incoming) = crossbeam_channel::unbounded();
        let scheduler = Scheduler::new(settings, inbox, control)?;
        let thread = std::thread::Builder::new().name("scheduler".into()).spawn(move || scheduler.run(&incoming))?;
        Ok(Self { commands, thread })
    }

    /// Applies new settings. Running attempts keep theirs.
    pub fn reload(&self, settings: DispatcherSettings) {
        self.send(SchedulerCommand::Reload(Box::new(settings)));
    }

    /// Stops claiming jobs. The shutdown grace of running attempts begins.
    pub fn stop_claiming(&self) {
        self.send(SchedulerCommand::Stop);
    }

    /// Waits for running attempts after [`Dispatcher::stop_claiming`], and kills those that outlast the grace. All results
    /// are written then.
    pub fn join(self) {
        if self.thread.join().is_err() {
            log::error!("the scheduler panicked");
        }
    }

    fn send(&self, command: SchedulerCommand) {
        if self.commands.send(command).is_err() {
            log::error!("the scheduler has already ended");
        }
    }
}
