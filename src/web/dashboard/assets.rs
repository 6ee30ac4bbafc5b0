//! Style, script and icon, part of the program.
//!
//! Each is answered as it was compiled in. Their addresses carry the version, so that browsers may keep them.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{self, ServiceConfig};

/// Changes whenever what is embedded may have.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

const FILES: [(&str, &str, &str); 3] = [
    ("/assets/hookbox.css", "text/css; charset=utf-8", include_str!("assets/hookbox.css")),
    ("/assets/hookbox.js", "text/javascript; charset=utf-8", include_str!("assets/hookbox.js")),
    ("/assets/icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

pub(super) fn routes(config: &mut ServiceConfig) {
    for (path, kind, text) in FILES {
        let answer = move || async move {
            // Of an unreleased version the files may change.
            HttpResponse::Ok().content_type(kind).insert_header((CACHE_CONTROL, "no-cache")).body(text)
        };
        config.route(path, web::get().to(answer));
    }
}
