//! Starts, reloads and stops all parts of hookbox, and handles signals.
//!
//! Start order: inbox, receiver, web, dispatcher. Stop order: stop accepting and claiming, finish the requests, wait for
//! the handlers, write their results, checkpoint. A reload takes effect completely or not at all.

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
use crate::support::net::{network_fs, secret_path};
use crate::web::{ReloadStatus, WebConfig, WebServer};

/// hookbox never raises the limit of file descriptors above this.
const MOST_DESCRIPTORS: u64 = 65_536;
/// Maximum of file descriptors per attempt.
const DESCRIPTORS_PER_WORKER: u64 = 10;
/// File descriptors for the inbox, logs, probes and the rest.
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

/// Reads the configuration for a reload.
pub type ReadConfig<'a> = &'a dyn Fn() -> Result<Config, config::ConfigErrors>;

impl App {
    /// Starts everything, on inherited sockets if there are any. If one part fails, those that were started stop in order.
    /// The error is an [`crate::inbox::OpenError`] if the inbox cannot be opened.
    pub fn start(config: Config, mut handed: InheritedSockets, control: &ControlHandle) -> anyhow::Result<Self> {
        let routes = Arc::new(Routes::new(&config.handlers)?);
        let not_started = || dispatcher::not_started(&results_folder(&config));
        let inbox = Arc::new(Inbox::open(&config.inbox, control.clone(), &not_started)?);
        if let Some(warning) = network_fs::inbox_warning(&config.inbox.path) {
            log::warn!("{warning}");
        }
        let reloads = Arc::new(ReloadStatus::default());
        inbox.set_body_dedup(&guarded(&config))?;
        let endpoints = Endpoints::new(&config.server, &config.sources, routes.clone(), inbox.metrics());
        let apart =
            config.handlers.iter().filter(|handler| handler.respond.is_some()).map(|handler| handler.concurrency);
        let attempts = config.dispatch.workers + apart.sum::<usize>();
        let kept_back = OTHER_DESCRIPTORS + DESCRIPTORS_PER_WORKER * u64::try_from(attempts).unwrap_or(0);
        let connections = raise_descriptor_limit().saturating_sub(kept_back);
        // Bind first: if an address is in use, no handler has run yet.
        let hooks = handed.take_or_bind(SocketRole::Hooks, &config.server.listen)?;
        let operator = handed.take_or_bind(SocketRole::Admin, &config.admin.listen)?;
        let listener = ReceiverServer::start(&config.server, hooks, endpoints, inbox.clone(), connections)?;
        let web = WebConfig::new(&config, routes.clone());
        let admin = WebServer::start(&config.admin, web, operator, inbox.clone(), reloads.clone())?;
        let orphans = OrphanReaper::adopt().context("cannot start the reaper of orphaned processes")?;
        let alerts = Alerts::start(config.alerts.clone(), inbox.clone())?;
        let dispatcher = Dispatcher::start(dispatch_settings(&config, routes), inbox.clone(), control.clone())
            .context("cannot start the dispatcher")?;
        Ok(Self { config, inbox, dispatcher, listener, admin, alerts, orphans, reloads })
    }

    /// The receiver's address, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn hooks_url(&self) -> String {
        self.listener.url()
    }

    /// Logs where each source receives deliveries.
    fn log_sources(&self) {
        let hooks = self.hooks_url();
        for source in &self.config.sources {
            log::info!("source {} ({}): {hooks}{}", source.name, source.provider, secret_path::masked(&source.path));
        }
    }

    /// The address of the API and the dashboard.
    #[must_use]
    pub fn admin_url(&self) -> String {
        url_of(self.admin.address())
    }

    /// Serves until a stop is requested or a part fails, then stops in order.
    pub fn run(mut self, messages: &Receiver<ControlMessage>, read_config: ReadConfig<'_>) -> anyhow::Result<()> {
        let interval = control::watchdog_interval().unwrap_or(Duration::MAX);
        control::notify_ready();
        loop {
            control::notify_alive();
            match messages.recv_timeout(interval) {
                Ok(ControlMessage::Reload) => self.reload(read_config),
                Ok(ControlMessage::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.stop();
                    return messages
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

    /// Stops everything in order. Further signals are ignored.
    pub fn stop(self) {
        log::info!("stopping: no longer accepting deliveries");
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

    fn reload(&mut self, read_config: ReadConfig<'_>) {
        control::notify_reloading();
        let error =
            read_config().map_err(|errors| errors.to_string()).and_then(|config| self.apply_config(config)).err();
        match &error {
            None => log::info!("configuration reloaded"),
            Some(why) => log::error!("configuration not reloaded, keeping the previous one: {why}"),
        }
        self.reloads.record(error);
        control::notify_ready();
    }

    /// Applies all changes, or none if one fails.
    fn apply_config(&mut self, config: Config) -> Result<(), String> {
        let fixed = [
            ("server.listen", self.config.server.listen != config.server.listen),
            ("server.request_timeout", self.config.server.request_timeout != config.server.request_timeout),
            ("server.tls", self.config.server.tls.is_some() != config.server.tls.is_some()),
            ("admin.listen", self.config.admin.listen != config.admin.listen),
            ("inbox.path", self.config.inbox.path != config.inbox.path),
        ];
        if let Some((key, _)) = fixed.iter().find(|(_, has_changed)| *has_changed) {
            return Err(format!("`{key}` has changed, which requires a restart"));
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

/// Turns signals into control messages: TERM and INT stop, HUP reloads.
pub fn handle_signals(control: ControlHandle) -> std::io::Result<JoinHandle<()>> {
    // Some supervisors start hookbox with CHLD ignored, which would discard the exit status of handlers.
    signal_hook::flag::register(SIGCHLD, Arc::default())?;
    // Block CHLD, since no thread needs to be woken by it. Later threads inherit the mask, handlers do not.
    SigSet::from(Signal::SIGCHLD).thread_block()?;
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            control.send(if signal == SIGHUP { ControlMessage::Reload } else { ControlMessage::Stop });
        }
    })
}

/// Raises the limit of file descriptors, since each connection needs one. Returns the limit.
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
            log::warn!("cannot raise the limit of file descriptors above {before}: {error}");
            before
        }
    }
}

/// Serves one configuration file until a signal stops the process.
pub fn serve(file: &Path) -> anyhow::Result<()> {
    let environment = |name: &str| std::env::var(name).ok();
    let config = config::read(file, &environment)?;
    let (control, messages) = ControlHandle::new();
    handle_signals(control.clone())?;
    let app = App::start(config, InheritedSockets::from_environment(), &control)?;
    log::info!("hooks on {}", app.hooks_url());
    app.log_sources();
    log::info!("admin on {}", app.admin_url());
    log::info!("ready");
    app.run(&messages, &|| config::read(file, &environment))
}

fn url_of(address: &Listen) -> String {
    match address {
        Listen::Tcp(address) => format!("http://{address}"),
        Listen::Unix(_) => address.to_string(),
    }
}

/// Sources with `replay_guard = "id+body"`.
fn guarded(config: &Config) -> Vec<Arc<str>> {
    let is_guarded = |source: &&Arc<config::Source>| source.admission.replay_guard == ReplayGuard::IdAndBody;
    config.sources.iter().filter(is_guarded).map(|source| source.name.clone()).collect()
}

/// The folder of result files, next to the inbox.
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
