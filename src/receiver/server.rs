//! Starts, reloads and stops the HTTP server of the receiver.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustls::ServerConfig;

use super::endpoint::{Endpoints, ReceiverState};
use super::limits::InFlight;
use super::pipeline;
use super::response::OutageLog;
use crate::config;
use crate::inbox::Inbox;
use crate::metrics::NO_SOURCE;
use crate::support::locks;
use crate::support::net::socket::{BoundSocket, Listen, Socket, SocketFile};
use crate::support::net::tls::Certificate;

/// How long an idle connection stays open.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Minimum per thread, even if there are fewer file descriptors.
const MIN_CONNECTIONS: usize = 32;
/// After a stop, requests have this many seconds to finish. Idle connections are then closed.
const SHUTDOWN_SECONDS: u64 = 2;
/// Between pausing and stopping, so that connections that were just accepted get a thread.
const PAUSE_BEFORE_STOP: Duration = Duration::from_millis(100);
/// After a stop, new requests on open connections are processed for this long. Then they get 503.
const ACCEPT_WITHIN: Duration = Duration::from_secs(1);

/// The running server.
#[derive(Debug)]
pub struct ReceiverServer {
    state: Arc<ReceiverState>,
    handle: ServerHandle,
    address: Listen,
    file: Option<SocketFile>,
    certificate: Option<Certificate>,
    thread: JoinHandle<io::Result<()>>,
    /// Disconnected when the thread ends.
    ended: Receiver<()>,
}

impl ReceiverServer {
    /// Serves a bound socket on its own threads, with at most `connections` at a time. Fails if the threads cannot be
    /// started or the certificate cannot be used.
    pub fn start(
        server: &config::ServerConfig,
        bound: BoundSocket,
        endpoints: Endpoints,
        inbox: Arc<Inbox>,
        connections: u64,
    ) -> io::Result<Self> {
        let state = Arc::new(ReceiverState {
            in_flight: InFlight::new(server.max_in_flight, inbox.metrics().in_flight.clone()),
            outage_log: OutageLog::default(),
            unknown_path: inbox.metrics().source(NO_SOURCE.into()),
            endpoints: RwLock::new(Arc::new(endpoints)),
            inbox,
            is_draining: AtomicBool::new(false),
        });
        let BoundSocket { socket, file } = bound;
        let address = socket.address()?;
        let certificate = server.tls.as_ref().map(Certificate::read).transpose()?;
        let tls = certificate.as_ref().map(Certificate::server_config).transpose()?;
        if let Some(certificate) = &certificate {
            certificate.watch(state.inbox.metrics().certificate_expiry.clone());
        }
        let (ready, started) = std::sync::mpsc::channel();
        let (running, ended) = crossbeam_channel::bounded::<()>(0);
        let (serving, timeout) = (state.clone(), server.request_timeout);
        let thread = std::thread::Builder::new().name("receiver".into()).spawn(move || {
            let _running = running;
            actix_web::rt::System::new().block_on(async move {
                let server = match serve(timeout, serving, (socket, tls), connections) {
                    Ok(server) => server,
                    Err(error) => return ready.send(Err(error)).map_err(io::Error::other),
                };
                ready.send(Ok(server.handle())).map_err(io::Error::other)?;
                server.await
            })
        })?;
        let handle = started.recv().map_err(io::Error::other)??;
        Ok(Self { state, handle, address, file, certificate, thread, ended })
    }

    /// `http://127.0.0.1:8080`, or the path of the Unix socket.
    pub fn url(&self) -> String {
        match &self.address {
            Listen::Tcp(address) => format!("http{}://{address}", if self.certificate.is_some() { "s" } else { "" }),
            Listen::Unix(_) => self.address.to_string(),
        }
    }

    /// The fallible part of a reload: reads the certificate again.
    pub fn try_certificate(&self, server: &config::ServerConfig) -> io::Result<()> {
        match (&self.certificate, &server.tls) {
            (Some(certificate), Some(files)) => certificate.replace(files),
            _ => Ok(()),
        }
    }

    /// Applies a new configuration to all requests from now on.
    pub fn reload(&self, server: &config::ServerConfig, endpoints: Endpoints) {
        self.state.in_flight.set_limit(server.max_in_flight);
        let mut current = locks::write(&self.state.endpoints);
        *current = Arc::new(endpoints.with_limiters_of(&current));
    }

    /// Accepts no more connections, finishes open requests and stops. If connections are still open after a while,
    /// `refuse` is called, so that further requests on them get 503.
    pub fn stop(self, refuse: impl FnOnce()) {
        self.state.is_draining.store(true, Ordering::Relaxed);
        // The server drops connections that no thread has picked up when it is stopped.
        drop(self.handle.pause());
        std::thread::sleep(PAUSE_BEFORE_STOP);
        drop(self.handle.stop(true));
        if self.ended.recv_timeout(ACCEPT_WITHIN) == Err(RecvTimeoutError::Timeout) {
            refuse();
        }
        match self.thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("receiver failed: {error}"),
            Err(_) => log::error!("receiver panicked"),
        }
        if let Some(file) = &self.file {
            file.remove();
        }
    }
}

fn serve(
    timeout: Duration,
    state: Arc<ReceiverState>,
    (socket, tls): (Socket, Option<ServerConfig>),
    connections: u64,
) -> io::Result<actix_web::dev::Server> {
    let app = move || App::new().app_data(web::Data::from(state.clone())).default_service(web::to(pipeline::receive));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let http = HttpServer::new(app)
        .workers(workers)
        .max_connections(usize::try_from(connections).unwrap_or(usize::MAX).div_ceil(workers).max(MIN_CONNECTIONS))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(timeout)
        .tls_handshake_timeout(timeout)
        .client_disconnect_timeout(Duration::from_secs(1))
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals();
    Ok(match (socket, tls) {
        (Socket::Tcp(listener), Some(tls)) => http.listen_rustls_0_23(listener, tls)?.run(),
        (Socket::Tcp(listener), None) => http.listen(listener)?.run(),
        (Socket::Unix(listener, _), _) => http.listen_uds(listener)?.run(),
    })
}
