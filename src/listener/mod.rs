//! The way in: an HTTP server that takes deliveries, has them verified and stored, and answers.
//!
//! A request comes in; 200 goes out only for a receipt of the inbox, or for a handshake. Every quantity is limited:
//! headers, body, time, and the bytes of all requests together. It knows nothing of handlers.

mod answer;
mod client;
mod endpoint;
mod in_flight;
mod judge;
mod rate;
mod receive;
mod record;
mod trouble;

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};

use crate::config::{self, Listen};
use crate::inbox::Inbox;
use crate::socket::{self, Socket};

pub use endpoint::Endpoints;

use in_flight::InFlight;
use trouble::Trouble;

/// How long an idle connection stays open.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Connections per thread, however few descriptors there are.
const FEWEST_CONNECTIONS: usize = 32;
/// How long requests may take to finish once hookbox stops; idle connections are closed then.
const FINISH_WITHIN: u64 = 2;

/// What every request sees.
#[derive(Debug)]
struct Shared {
    endpoints: RwLock<Arc<Endpoints>>,
    in_flight: Arc<InFlight>,
    trouble: Trouble,
    inbox: Arc<Inbox>,
}

/// The running server.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<Shared>,
    handle: ServerHandle,
    address: Listen,
    thread: JoinHandle<io::Result<()>>,
}

impl Listener {
    /// Binds and serves on threads of its own, at most so many connections at once.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn start(
        server: &config::Server,
        endpoints: Endpoints,
        inbox: Arc<Inbox>,
        connections: u64,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            in_flight: InFlight::new(server.max_in_flight),
            trouble: Trouble::default(),
            endpoints: RwLock::new(Arc::new(endpoints)),
            inbox,
        });
        let socket = Socket::bind(&server.listen, "server.listen")?;
        let address = socket.address()?;
        let (ready, started) = std::sync::mpsc::channel();
        let (serving, server) = (shared.clone(), server.clone());
        let thread = std::thread::Builder::new().name("listener".into()).spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = match serve(&server, serving, socket, connections) {
                    Ok(server) => server,
                    Err(error) => return ready.send(Err(error)).map_err(io::Error::other),
                };
                ready.send(Ok(server.handle())).map_err(io::Error::other)?;
                server.await
            })
        })?;
        let handle = started.recv().map_err(io::Error::other)??;
        Ok(Self { shared, handle, address, thread })
    }

    /// Where it listens, with the port it was given.
    #[must_use]
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// From now on deliveries are judged by these.
    pub fn reload(&self, server: &config::Server, endpoints: Endpoints) {
        self.shared.in_flight.set_limit(server.max_in_flight);
        *self.shared.endpoints.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(endpoints);
    }

    /// Takes no more connections, finishes the requests it has, and ends.
    pub fn stop(self) {
        drop(self.handle.stop(true));
        match self.thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("the listener ended with {error}"),
            Err(_) => log::error!("the listener ended in a panic"),
        }
        socket::remove(&self.address);
    }
}

fn serve(
    server: &config::Server,
    shared: Arc<Shared>,
    socket: Socket,
    connections: u64,
) -> io::Result<actix_web::dev::Server> {
    let app = move || App::new().app_data(web::Data::from(shared.clone())).default_service(web::to(receive::receive));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let http = HttpServer::new(app)
        .workers(workers)
        .max_connections(usize::try_from(connections).unwrap_or(usize::MAX).div_ceil(workers).max(FEWEST_CONNECTIONS))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(server.request_timeout)
        .client_disconnect_timeout(Duration::from_secs(1))
        .shutdown_timeout(FINISH_WITHIN)
        .disable_signals();
    Ok(match socket {
        Socket::Tcp(listener) => http.listen(listener)?.run(),
        Socket::Unix(listener, _) => http.listen_uds(listener)?.run(),
    })
}
