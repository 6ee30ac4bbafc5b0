//! The admin server: dashboard, API, metrics and probes, on an address of its own.
//!
//! It listens apart from the receiver, so that probes are answered however busy deliveries keep that one. Every request
//! passes the [`auth`] middleware first. The server runs on one thread with one worker; what reads the inbox runs on
//! actix's blocking threads.

mod api;
mod assets;
mod auth;
mod bulk;
mod dashboard;
mod errors;
mod layout;
mod live;
mod operations;
mod query;
mod state;

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::json;

pub use self::api::openapi_document;
use self::auth::{Auth, Principal};
use self::state::WebState;
pub use self::state::{ReloadStatus, WebConfig};
use crate::config;
use crate::inbox::Inbox;
use crate::metrics::CONTENT_TYPE;
use crate::support::net::socket::{BoundSocket, Listen, Socket, SocketFile};

/// The running server.
#[derive(Debug)]
pub struct WebServer {
    state: Data<WebState>,
    auth: Data<Auth>,
    handle: ServerHandle,
    address: Listen,
    file: Option<SocketFile>,
    thread: JoinHandle<io::Result<()>>,
}

impl WebServer {
    /// Starts to serve on the bound socket, on a new thread.
    pub fn start(
        settings: &config::AdminConfig,
        config: WebConfig,
        bound: BoundSocket,
        inbox: Arc<Inbox>,
        reloads: Arc<ReloadStatus>,
    ) -> io::Result<Self> {
        let auth = Data::new(Auth::new(settings, config.proxies.clone())?);
        let state = Data::new(WebState::new(inbox, reloads, config));
        let BoundSocket { socket, file } = bound;
        let address = socket.address()?;
        if settings.tokens.is_empty() && is_remote(&address) {
            let hint = "hint: set `admin.token`, or have systemd listen on a loopback address or a unix socket";
            return Err(io::Error::other(format!(
                "{address} is reachable from other machines, which requires a token\n{hint}"
            )));
        }
        let (ready, started) = mpsc::channel();
        let (server_state, server_auth) = (state.clone(), auth.clone());
        let thread = std::thread::Builder::new().name("admin".into()).spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = match serve(server_state, server_auth, socket) {
                    Ok(server) => server,
                    Err(error) => return ready.send(Err(error)).map_err(io::Error::other),
                };
                ready.send(Ok(server.handle())).map_err(io::Error::other)?;
                server.await
            })
        })?;
        let handle = started.recv().map_err(io::Error::other)??;
        Ok(Self { state, auth, handle, address, file, thread })
    }

    /// The address it listens on, with the port that the system chose.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// Applies new settings. The address stays.
    pub fn reload(&self, settings: &config::AdminConfig, config: WebConfig) {
        self.auth.reload(settings, config.proxies.clone());
        self.state.reload(config);
    }

    /// Stops without waiting for open connections.
    pub fn stop(self) {
        drop(self.handle.stop(false));
        if self.thread.join().is_err() {
            log::error!("admin server panicked");
        }
        if let Some(file) = &self.file {
            file.remove();
        }
    }
}

/// Whether other machines can reach the address. A socket inherited from systemd can be bound anywhere.
fn is_remote(address: &Listen) -> bool {
    matches!(address, Listen::Tcp(address) if !address.ip().to_canonical().is_loopback())
}

fn serve(state: Data<WebState>, auth: Data<Auth>, socket: Socket) -> io::Result<Server> {
    let app = move || {
        App::new()
            .app_data(state.clone())
            .app_data(auth.clone())
            .configure(errors::configure)
            .wrap(from_fn(auth::middleware))
            .configure(auth::routes)
            .configure(api::routes)
            .configure(assets::routes)
            .configure(dashboard::routes)
            .route("/live", web::get().to(live::stream))
            .route("/metrics", web::get().to(metrics))
            .route("/metrics", web::head().to(metrics))
            .route("/healthz", web::get().to(healthz))
            .route("/healthz", web::head().to(healthz))
            .route("/readyz", web::get().to(readyz))
            .route("/readyz", web::head().to(readyz))
            .default_service(web::to(not_found))
    };
    let http = HttpServer::new(app).workers(1).disable_signals();
    Ok(match socket {
        Socket::Tcp(listener) => http.listen(listener)?.run(),
        Socket::Unix(listener, _) => http.listen_uds(listener)?.run(),
    })
}

/// The last reload's error may quote the configuration, so only authenticated clients see it.
async fn healthz(state: Data<WebState>, principal: Principal) -> HttpResponse {
    let (reloads, error) = state.reloads.latest();
    let last = match error {
        _ if reloads == 0 => None,
        None => Some("ok".to_owned()),
        Some(error) if principal.is_authenticated() => Some(error),
        Some(_) => Some("failed".to_owned()),
    };
    HttpResponse::Ok().json(json!({ "status": "alive", "reloads": reloads, "last_reload": last }))
}

async fn readyz(state: Data<WebState>) -> HttpResponse {
    match state.inbox.is_ready() {
        Ok(()) => HttpResponse::Ok().json(json!({ "status": "ready" })),
        Err(why) => {
            HttpResponse::ServiceUnavailable().json(json!({ "status": "not ready", "reason": why.to_string() }))
        }
    }
}

/// Metrics in Prometheus text format. They need no session, since a scraper has none, and contain nothing but names of
/// sources and handlers, and numbers.
async fn metrics(state: Data<WebState>) -> HttpResponse {
    let (inbox, routes) = (state.inbox.clone(), state.config().routes.clone());
    match web::block(move || inbox.metrics().text(&inbox.gauges(&routes.handlers()))).await {
        Ok(Ok(text)) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(text),
        failed => {
            log::error!("metrics could not be rendered: {failed:?}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

async fn not_found(state: Data<WebState>, principal: Principal, request: HttpRequest) -> HttpResponse {
    if request.resource_map().has_resource(request.path()) {
        return errors::method_not_allowed(&request);
    }
    if principal.is_authenticated() && errors::wants_page(request.path(), request.headers()) {
        return dashboard::not_found(&state, &principal).await;
    }
    HttpResponse::NotFound().json(json!({ "error": "no such path", "hint": "/api/v1/openapi.json lists the API" }))
}
