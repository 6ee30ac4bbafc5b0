//! The way in: an HTTP server that takes deliveries, has them verified and stored, and answers.
//!
//! A request comes in; 200 goes out only for a receipt of the inbox, or for a handshake. Every quantity is limited:
//! headers, body, time, and the bytes of all requests together. It knows nothing of handlers.

mod endpoint;
mod limits;
mod pipeline;
mod rejections;
mod request;
mod response;
mod trouble;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustls::ServerConfig;

use crate::config;
use crate::inbox::Inbox;
use crate::metrics::{NO_SOURCE, SourceMeter};
use crate::support::locks;
use crate::support::net::socket::Listen;
use crate::support::net::socket::{BoundSocket, Socket, SocketFile};
use crate::support::net::tls::Certificate;

pub use endpoint::Endpoints;

use limits::InFlight;
use trouble::OutageLog;

/// How long an idle connection stays open.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Connections per thread, however few descriptors there are.
const FEWEST_CONNECTIONS: usize = 32;
/// How long requests may take to finish once hookbox stops; idle connections are closed then.
const FINISH_WITHIN: u64 = 2;
/// From taking no more connections to ending: those just accepted find a thread meanwhile.
const SETTLE: Duration = Duration::from_millis(100);
/// How long requests are still taken in from open connections once hookbox stops; then they are told to come again.
const TAKE_IN_WITHIN: Duration = Duration::from_secs(1);

/// What every request sees.
#[derive(Debug)]
struct ReceiverState {
    endpoints: RwLock<Arc<Endpoints>>,
    in_flight: Arc<InFlight>,
    trouble: OutageLog,
    /// Counts what comes for no source.
    elsewhere: SourceMeter,
    inbox: Arc<Inbox>,
    /// Every answer is the last on its connection.
    is_draining: AtomicBool,
}

/// The running server.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<ReceiverState>,
    handle: ServerHandle,
    address: Listen,
    file: Option<SocketFile>,
    certificate: Option<Certificate>,
    thread: JoinHandle<io::Result<()>>,
    /// Closed when the thread ends.
    ended: Receiver<()>,
}

impl Listener {
    /// Serves a bound socket on threads of its own, at most so many connections at once.
    ///
    /// # Errors
    /// When the threads cannot be started, or the certificate cannot be served.
    pub fn start(
        server: &config::ServerConfig,
        bound: BoundSocket,
        endpoints: Endpoints,
        inbox: Arc<Inbox>,
        connections: u64,
    ) -> io::Result<Self> {
        let shared = Arc::new(ReceiverState {
            in_flight: InFlight::new(server.max_in_flight, inbox.metrics().in_flight.clone()),
            trouble: OutageLog::default(),
            elsewhere: inbox.metrics().source(NO_SOURCE.into()),
            endpoints: RwLock::new(Arc::new(endpoints)),
            inbox,
            is_draining: AtomicBool::new(false),
        });
        let BoundSocket { socket, file } = bound;
        let address = socket.address()?;
        let certificate = server.tls.as_ref().map(Certificate::read).transpose()?;
        let tls = certificate.as_ref().map(Certificate::server_config).transpose()?;
        if let Some(certificate) = &certificate {
            certificate.watch(shared.inbox.metrics().certificate_expiry.clone());
        }
        let (ready, started) = std::sync::mpsc::channel();
        let (running, ended) = crossbeam_channel::bounded::<()>(0);
        let (serving, timeout) = (shared.clone(), server.request_timeout);
        let thread = std::thread::Builder::new().name("listener".into()).spawn(move || {
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
        Ok(Self { shared, handle, address, file, certificate, thread, ended })
    }

    /// Where it listens, as providers write it: `http://127.0.0.1:8080`.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.address {
            Listen::Tcp(address) => format!("http{}://{address}", if self.certificate.is_some() { "s" } else { "" }),
            Listen::Unix(_) => self.address.to_string(),
        }
    }

    /// Whether a reload can put these in: [`Listener::reload`] cannot fail then.
    ///
    /// # Errors
    /// Why the certificate cannot be served.
    pub fn try_certificate(&self, server: &config::ServerConfig) -> io::Result<()> {
        match (&self.certificate, &server.tls) {
            (Some(certificate), Some(files)) => certificate.replace(files),
            _ => Ok(()),
        }
    }

    /// From now on deliveries are judged by these.
    pub fn reload(&self, server: &config::ServerConfig, endpoints: Endpoints) {
        self.shared.in_flight.set_limit(server.max_in_flight);
        *locks::write(&self.shared.endpoints) = Arc::new(endpoints);
    }

    /// Takes no more connections, finishes the requests it has, and ends. `refuse` is called when there are still
    /// connections after a while, so that what comes on them is turned away.
    pub fn stop(self, refuse: impl FnOnce()) {
        self.shared.is_draining.store(true, Ordering::Relaxed);
        // The server drops a connection that it has accepted and no thread has taken up when it is told to stop.
        drop(self.handle.pause());
        std::thread::sleep(SETTLE);
        drop(self.handle.stop(true));
        if self.ended.recv_timeout(TAKE_IN_WITHIN) == Err(RecvTimeoutError::Timeout) {
            refuse();
        }
        match self.thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("the listener ended with {error}"),
            Err(_) => log::error!("the listener ended in a panic"),
        }
        if let Some(file) = &self.file {
            file.remove();
        }
    }
}

fn serve(
    timeout: Duration,
    shared: Arc<ReceiverState>,
    (socket, tls): (Socket, Option<ServerConfig>),
    connections: u64,
) -> io::Result<actix_web::dev::Server> {
    let app = move || App::new().app_data(web::Data::from(shared.clone())).default_service(web::to(request::receive));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let http = HttpServer::new(app)
        .workers(workers)
        .max_connections(usize::try_from(connections).unwrap_or(usize::MAX).div_ceil(workers).max(FEWEST_CONNECTIONS))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(timeout)
        .tls_handshake_timeout(timeout)
        .client_disconnect_timeout(Duration::from_secs(1))
        .shutdown_timeout(FINISH_WITHIN)
        .disable_signals();
    Ok(match (socket, tls) {
        (Socket::Tcp(listener), Some(tls)) => http.listen_rustls_0_23(listener, tls)?.run(),
        (Socket::Tcp(listener), None) => http.listen(listener)?.run(),
        (Socket::Unix(listener, _), _) => http.listen_uds(listener)?.run(),
    })
}
