//! hookbox as a whole: the rooms put together, signals heard, and the order in which all of it ends.
//!
//! Start: inbox, listener, admin, dispatch. End: stop accepting and claiming, finish the requests, wait for the
//! handlers, write their endings, checkpoint. A reload takes effect as a whole or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Resource, getrlimit, setrlimit};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::alerts::Alerts;
use crate::config::{self, Config, ReplayGuard};
use crate::dispatcher::{self, Dispatcher, DispatcherSettings};
use crate::inbox::Inbox;
use crate::receiver::{Endpoints, ReceiverServer};
use crate::routing::Routes;
use crate::runner::{self, OrphanReaper};
use crate::support::control::{self, ControlHandle, ControlMessage};
use crate::support::net::socket::Listen;
use crate::support::net::socket::{InheritedSockets, SocketRole};
use crate::web::{ReloadStatus, WebConfig, WebServer};

/// File descriptors beyond which more would not help.
const MOST_DESCRIPTORS: u64 = 65_536;
/// Descriptors that one attempt needs at most.
const DESCRIPTORS_PER_WORKER: u64 = 10;
/// Descriptors for the inbox, logs, probes and the rest.
const OTHER_DESCRIPTORS: u64 = 96;

/// A running hookbox.
#[derive(Debug)]
pub struct App {
    config: Config,
    inbox: Arc<Inbox>,
    dispatcher: Dispatcher,
    listener: ReceiverServer,
    admin: WebServer,
    orphans: OrphanReaper,
    alerts: Alerts,
    reloads: Arc<ReloadStatus>,
}

/// Reads the configuration again.
pub type ReadAgain<'a> = &'a dyn Fn() -> Result<Config, config::ConfigErrors>;

impl App {
    /// Starts every room, on the sockets that were handed over if any were. What had been started when one fails ends
    /// in order.
    ///
    /// # Errors
    /// An [`crate::inbox::OpenError`] when the inbox cannot be had; others say what could not be started.
    pub fn start(config: Config, mut handed: InheritedSockets, caller: &ControlHandle) -> anyhow::Result<Self> {
        let routes = Arc::new(Routes::new(&config.handlers)?);
        let not_started = || dispatcher::not_started(&results_folder(&config));
        let inbox = Arc::new(Inbox::open(&config.inbox, caller.clone(), &not_started)?);
        let reloads = Arc::new(ReloadStatus::default());
        inbox.set_body_dedup(&guarded(&config))?;
        let endpoints = Endpoints::new(&config.server, &config.sources, routes.clone(), inbox.metrics());
        let apart =
            config.handlers.iter().filter(|handler| handler.respond.is_some()).map(|handler| handler.concurrency);
        let attempts = config.dispatch.workers + apart.sum::<usize>();
        let kept_back = OTHER_DESCRIPTORS + DESCRIPTORS_PER_WORKER * u64::try_from(attempts).unwrap_or(0);
        let connections = raise_descriptor_limit().saturating_sub(kept_back);
        // Addresses first: where one is taken, no handler has run yet.
        let hooks = handed.take_or_bind(SocketRole::Hooks, &config.server.listen)?;
        let operator = handed.take_or_bind(SocketRole::Admin, &config.admin.listen)?;
        let listener = ReceiverServer::start(&config.server, hooks, endpoints, inbox.clone(), connections)?;
        let web = WebConfig::new(&config, routes.clone());
        let admin = WebServer::start(&config.admin, web, operator, inbox.clone(), reloads.clone())?;
        let orphans = OrphanReaper::adopt().context("the reaper of orphans could not be started")?;
        let alerts = Alerts::start(config.alerts.clone(), inbox.clone())?;
        let dispatcher = Dispatcher::start(dispatch_settings(&config, routes), inbox.clone(), caller.clone())
            .context("the dispatcher could not be started")?;
        Ok(Self { config, inbox, dispatcher, listener, admin, alerts, orphans, reloads })
    }

    /// The address that providers reach, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn hooks_url(&self) -> String {
        self.listener.url()
    }

    /// The operator's address.
    #[must_use]
    pub fn admin_url(&self) -> String {
        url_of(self.admin.address())
    }

    /// Serves until it is told to stop, then ends in order.
    ///
    /// # Errors
    /// What hookbox could not go on without.
    pub fn run(mut self, calls: &Receiver<ControlMessage>, read_again: ReadAgain<'_>) -> anyhow::Result<()> {
        let interval = control::watchdog_interval().unwrap_or(Duration::MAX);
        control::notify_ready();
        loop {
            control::notify_alive();
            match calls.recv_timeout(interval) {
                Ok(ControlMessage::Reload) => self.reload(read_again),
                Ok(ControlMessage::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.stop();
                    return calls
                        .try_iter()
                        .find_map(ControlMessage::failure)
                        .map_or(Ok(()), |why| Err(anyhow::anyhow!(why)));
                }
                Ok(ControlMessage::Failed(why)) => {
                    self.stop();
                    anyhow::bail!(why);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Ends in order. A second signal meanwhile changes nothing.
    pub fn stop(self) {
        log::info!("stopping: no more deliveries are taken in");
        control::notify_stopping();
        self.dispatcher.stop_claiming();
        self.listener.stop(|| self.inbox.stop_accepting());
        self.inbox.stop_accepting();
        self.dispatcher.join();
        self.admin.stop();
        self.alerts.stop();
        self.orphans.stop();
        self.inbox.close();
        log::info!("stopped");
    }

    fn reload(&mut self, read_again: ReadAgain<'_>) {
        control::notify_reloading();
        let error = read_again().map_err(|errors| errors.to_string()).and_then(|config| self.put_in(config)).err();
        match &error {
            None => log::info!("the configuration was read again and holds from now on"),
            Some(why) => log::error!("the configuration was read again and changes nothing: {why}"),
        }
        self.reloads.record(error);
        control::notify_ready();
    }

    /// All of it, or an error and none of it.
    fn put_in(&mut self, config: Config) -> Result<(), String> {
        let fixed = [
            ("server.listen", self.config.server.listen != config.server.listen),
            ("server.request_timeout", self.config.server.request_timeout != config.server.request_timeout),
            ("server.tls", self.config.server.tls.is_some() != config.server.tls.is_some()),
            ("admin.listen", self.config.admin.listen != config.admin.listen),
            ("inbox.path", self.config.inbox.path != config.inbox.path),
        ];
        if let Some((key, _)) = fixed.iter().find(|(_, has_changed)| *has_changed) {
            return Err(format!("`{key}` has changed, and that takes a restart"));
        }
        let routes = Arc::new(Routes::new(&config.handlers).map_err(|error| error.to_string())?);
        self.inbox.set_body_dedup(&guarded(&config)).map_err(|error| error.to_string())?;
        self.listener.try_certificate(&config.server).map_err(|error| error.to_string())?;
        self.inbox.set_limits(&config.inbox).map_err(|error| error.to_string())?;
        let endpoints = Endpoints::new(&config.server, &config.sources, routes.clone(), self.inbox.metrics());
        self.listener.reload(&config.server, endpoints);
        self.dispatcher.reload(dispatch_settings(&config, routes.clone()));
        self.admin.reload(&config.admin, WebConfig::new(&config, routes));
        self.alerts.reload(config.alerts.clone());
        self.config = config;
        Ok(())
    }
}

/// Turns signals into calls: TERM and INT stop, HUP reloads.
///
/// # Errors
/// When the system does not let us listen.
pub fn hear_signals(caller: ControlHandle) -> std::io::Result<JoinHandle<()>> {
    // Hearing CHLD ends its being ignored, as some supervisors start us: no exit status could be had then.
    signal_hook::flag::register(SIGCHLD, Arc::default())?;
    // And nobody need be woken by it. Threads that are started later take this along, handlers do not.
    SigSet::from(Signal::SIGCHLD).thread_block()?;
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            caller.send(if signal == SIGHUP { ControlMessage::Reload } else { ControlMessage::Stop });
        }
    })
}

/// As many file descriptors as the system lets us have, each connection being one. Returns how many.
fn raise_descriptor_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    runner::keep_descriptor_limit(&limit);
    let wanted = limit.maximum.unwrap_or(MOST_DESCRIPTORS).min(MOST_DESCRIPTORS);
    let before = limit.current.unwrap_or(MOST_DESCRIPTORS);
    if before >= wanted {
        return before;
    }
    limit.current = Some(wanted);
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => wanted,
        Err(error) => {
            log::warn!("the limit of file descriptors stays at {before}: {error}");
            before
        }
    }
}

/// Serves one configuration file until a signal ends it.
///
/// # Errors
/// [`config::ConfigErrors`] and [`crate::inbox::OpenError`] among others.
pub fn serve(file: &Path) -> anyhow::Result<()> {
    let environment = |name: &str| std::env::var(name).ok();
    let config = config::read(file, &environment)?;
    let (caller, calls) = ControlHandle::new();
    hear_signals(caller.clone())?;
    let app = App::start(config, InheritedSockets::from_environment(), &caller)?;
    log::info!("hooks on {}", app.hooks_url());
    log::info!("admin on {}", app.admin_url());
    log::info!("ready");
    app.run(&calls, &|| config::read(file, &environment))
}

fn url_of(address: &Listen) -> String {
    match address {
        Listen::Tcp(address) => format!("http://{address}"),
        Listen::Unix(_) => address.to_string(),
    }
}

/// The sources whose bodies are remembered.
fn guarded(config: &Config) -> Vec<Arc<str>> {
    let is_guarded = |source: &&Arc<config::Source>| source.admission.replay_guard == ReplayGuard::IdAndBody;
    config.sources.iter().filter(is_guarded).map(|source| source.name.clone()).collect()
}

/// Beside the inbox.
fn results_folder(config: &Config) -> PathBuf {
    let mut results = config.inbox.path.clone().into_os_string();
    results.push(".results");
    results.into()
}

fn dispatch_settings(config: &Config, routes: Arc<Routes>) -> DispatcherSettings {
    let private = |source: &Arc<config::Source>| (source.name.to_string(), source.scheme.private_headers().into());
    DispatcherSettings {
        results: results_folder(config),
        dispatch: config.dispatch.clone(),
        handlers: config.handlers.clone(),
        routes,
        private_headers: config.sources.iter().map(private).collect(),
    }
}
