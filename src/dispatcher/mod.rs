//! From the inbox to the handlers: what is due is claimed, run on a pool of threads, and its ending written.
//!
//! One scheduler thread owns all decisions (who may run, who is paused, what an ending means); worker threads run
//! attempts. A stored event wakes it through the inbox, so the listener does not know of it.

mod circuit_breaker;
mod clock_step;
mod decision;
mod exchange;
mod executor;
mod prefetch;
mod results;
mod scheduler;
mod shutdown;
mod slots;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Sender;

use crate::config;
use crate::inbox::Inbox;
use crate::support::control::ControlHandle;

use scheduler::{Order, Scheduler};

/// What the dispatcher needs of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[dispatch]`
    pub dispatch: config::DispatchConfig,
    /// `[handlers.NAME]`
    pub handlers: Vec<Arc<config::Handler>>,
    /// Per source, the lower-case names of headers that handlers must not see.
    pub private_headers: HashMap<String, Arc<[String]>>,
    /// The folder for result files; made when it is not there, removed at the end.
    pub results: PathBuf,
}

/// The running dispatcher.
#[derive(Debug)]
pub struct Dispatcher {
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

impl Dispatcher {
    /// Ends what a killed hookbox left running, then starts the scheduler; it claims at once.
    ///
    /// # Errors
    /// When the folder for result files or the thread cannot be made.
    pub fn start(settings: Settings, inbox: Arc<Inbox>, caller: ControlHandle) -> std::io::Result<Self> {
        let (orders, incoming) = crossbeam_channel::unbounded();
        let scheduler = Scheduler::new(settings, inbox, caller)?;
        let thread = std::thread::Builder::new().name("scheduler".into()).spawn(move || scheduler.run(&incoming))?;
        Ok(Self { orders, thread })
    }

    /// From now on these handlers and limits hold; what runs keeps the settings it started with.
    pub fn reload(&self, settings: Settings) {
        self.order(Order::Reload(Box::new(settings)));
    }

    /// From now on nothing is claimed, and the grace of what runs begins.
    pub fn stop_claiming(&self) {
        self.order(Order::Stop);
    }

    /// After [`Dispatcher::stop_claiming`]: waits for what runs, ends what outlasts the grace; every ending is written.
    pub fn join(self) {
        if self.thread.join().is_err() {
            log::error!("the scheduler ended in a panic");
        }
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            log::error!("the scheduler has ended early");
        }
    }
}
