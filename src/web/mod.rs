//! The operator's address: whether hookbox is alive, and whether it would accept a delivery now.
//!
//! Listens apart from the providers' address, so that a probe is answered however busy that one is. The guard stands
//! before everything.

mod api;
mod auth;
mod changes;
mod dashboard;
mod live;
mod malformed;
mod metrics;
mod setup;

use std::io;
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::json;

use self::auth::{Guard, Visitor};
pub use self::setup::Setup;
use crate::config;
use crate::inbox::Inbox;
use crate::support::locks;
use crate::support::net::socket::Listen;
use crate::support::net::socket::{BoundSocket, Socket, SocketFile};

/// What came of reading the configuration again, for `hookbox reload`.
#[derive(Debug, Default)]
pub struct Reloads(Mutex<(u64, Option<String>)>);

impl Reloads {
    /// Notes one more, and its error if it had one.
    pub fn note(&self, error: Option<String>) {
        let mut noted = locks::lock(&self.0);
        *noted = (noted.0 + 1, error);
    }
}

#[derive(Debug)]
struct Shared {
    inbox: Arc<Inbox>,
    reloads: Arc<Reloads>,
    setup: RwLock<Arc<Setup>>,
    changes: Arc<changes::Changes>,
    live: live::Streams,
}

impl Shared {
    fn setup(&self) -> Arc<Setup> {
        locks::read(&self.setup).clone()
    }
}

/// The running server.
#[derive(Debug)]
pub struct Admin {
    shared: Data<Shared>,
    guard: Arc<Guard>,
    handle: ServerHandle,
    address: Listen,
    file: Option<SocketFile>,
    thread: JoinHandle<io::Result<()>>,
}

impl Admin {
    /// Serves a bound socket on a thread of its own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        settings: &config::AdminConfig,
        setup: Setup,
        bound: BoundSocket,
        inbox: Arc<Inbox>,
        reloads: Arc<Reloads>,
    ) -> io::Result<Self> {
        let guard = Arc::new(Guard::new(settings, setup.proxies.clone())?);
        let setup = RwLock::new(Arc::new(setup));
        let shared =
            Data::new(Shared { inbox, reloads, setup, changes: Arc::default(), live: live::Streams::default() });
        let rooms = Rooms { shared: shared.clone(), guard: guard.clone() };
        let BoundSocket { socket, file } = bound;
        let address = socket.address()?;
        if settings.tokens.is_empty() && is_reachable(&address) {
            let hint = "hint: set `admin.token`, or have systemd listen on a loopback address or a unix socket";
            return Err(io::Error::other(format!(
                "{address} is reachable from other machines, and that needs a token\n{hint}"
            )));
        }
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("admin".into()).spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = match serve(rooms, socket) {
                    Ok(server) => server,
                    Err(error) => return ready.send(Err(error)).map_err(io::Error::other),
                };
                ready.send(Ok(server.handle())).map_err(io::Error::other)?;
                server.await
            })
        })?;
        let handle = started.recv().map_err(io::Error::other)??;
        Ok(Self { shared, guard, handle, address, file, thread })
    }

    /// Where it listens, with the port it was given.
    #[must_use]
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// Holds to other names and tokens from now on, and tells of other sources and handlers; the address stays.
    pub fn reload(&self, settings: &config::AdminConfig, setup: Setup) {
        self.guard.reload(settings, setup.proxies.clone());
        *locks::write(&self.shared.setup) = Arc::new(setup);
    }

    /// Ends it at once.
    pub fn stop(self) {
        drop(self.handle.stop(false));
        if self.thread.join().is_err() {
            log::error!("the admin server ended in a panic");
        }
        if let Some(file) = &self.file {
            file.remove();
        }
    }
}

/// Whether others than this machine may knock: a socket that was handed over can be anywhere.
fn is_reachable(address: &Listen) -> bool {
    matches!(address, Listen::Tcp(address) if !address.ip().to_canonical().is_loopback())
}

/// What every worker of the server gets.
#[derive(Debug, Clone)]
struct Rooms {
    shared: Data<Shared>,
    guard: Arc<Guard>,
}

fn serve(rooms: Rooms, socket: Socket) -> io::Result<actix_web::dev::Server> {
    let app = move || {
        App::new()
            .app_data(rooms.shared.clone())
            .app_data(Data::from(rooms.guard.clone()))
            .configure(malformed::settings)
            .wrap(from_fn(auth::stand))
            .configure(auth::routes)
            .configure(api::routes)
            .configure(dashboard::routes)
            .route("/live", web::get().to(live::stream))
            .configure(metrics::routes)
            .route("/healthz", web::get().to(alive))
            .route("/healthz", web::head().to(alive))
            .route("/readyz", web::get().to(ready))
            .route("/readyz", web::head().to(ready))
            .default_service(web::to(nothing_here))
    };
    let http = HttpServer::new(app).workers(1).disable_signals();
    Ok(match socket {
        Socket::Tcp(listener) => http.listen(listener)?.run(),
        Socket::Unix(listener, _) => http.listen_uds(listener)?.run(),
    })
}

/// What came of the last reload may quote the configuration, which strangers do not get to see.
async fn alive(shared: Data<Shared>, visitor: Visitor) -> HttpResponse {
    let (reloads, last) = locks::lock(&shared.reloads.0).clone();
    let last = match last {
        _ if reloads == 0 => None,
        None => Some("ok".to_owned()),
        Some(error) if visitor.is_known() => Some(error),
        Some(_) => Some("failed".to_owned()),
    };
    HttpResponse::Ok().json(json!({ "status": "alive", "reloads": reloads, "last_reload": last }))
}

async fn ready(shared: Data<Shared>) -> HttpResponse {
    match shared.inbox.is_ready() {
        Ok(()) => HttpResponse::Ok().json(json!({ "status": "ready" })),
        Err(why) => {
            HttpResponse::ServiceUnavailable().json(json!({ "status": "not ready", "reason": why.to_string() }))
        }
    }
}

async fn nothing_here(shared: Data<Shared>, visitor: Visitor, request: HttpRequest) -> HttpResponse {
    if request.resource_map().has_resource(request.path()) {
        return malformed::wrong_method(&request);
    }
    if visitor.is_known() && auth::wants_page(request.path(), request.headers()) {
        return dashboard::nothing_here(shared, visitor).await;
    }
    HttpResponse::NotFound().json(json!({ "error": "nothing is here", "hint": "/api/v1/openapi.json lists the API" }))
}
