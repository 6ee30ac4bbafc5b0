//! `/metrics`: the text for Prometheus, read at the moment it is asked for.
//!
//! It wants no session, since a scraper has none, and names nothing but sources, handlers and numbers; the guard lets
//! through only those who name this address, so that no web page can read it.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};

use super::Shared;
use crate::metrics::CONTENT_TYPE;

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/metrics", web::get().to(show)).route("/metrics", web::head().to(show));
}

async fn show(shared: Data<Shared>) -> HttpResponse {
    let inbox = shared.inbox.clone();
    let text = web::block(move || inbox.metrics().text(&inbox.gauges())).await;
    match text {
        Ok(Ok(text)) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(text),
        broken => {
            log::error!("the metrics could not be written: {broken:?}");
            HttpResponse::InternalServerError().finish()
        }
    }
}
