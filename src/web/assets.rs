//! Style sheet, script and icons, compiled into the program.
//!
//! Pages link to them with the version in the query. Caches revalidate them nevertheless, since the files of an
//! unreleased version can change.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{self, ServiceConfig};

pub(super) const STYLE: &str = concat!("/assets/hookbox.css?", env!("CARGO_PKG_VERSION"));
pub(super) const SCRIPT: &str = concat!("/assets/hookbox.js?", env!("CARGO_PKG_VERSION"));
pub(super) const ICON: &str = "/assets/icon.svg";
/// The logo, to be embedded in a page.
pub(super) const MARK: &str = include_str!("assets/mark.svg");

const FILES: [(&str, &str, &str); 3] = [
    ("/assets/hookbox.css", "text/css; charset=utf-8", include_str!("assets/hookbox.css")),
    ("/assets/hookbox.js", "text/javascript; charset=utf-8", include_str!("assets/hookbox.js")),
    (ICON, "image/svg+xml", include_str!("assets/icon.svg")),
];

pub(super) fn routes(config: &mut ServiceConfig) {
    for (path, content_type, text) in FILES {
        let serve = move || async move {
            HttpResponse::Ok().content_type(content_type).insert_header((CACHE_CONTROL, "no-cache")).body(text)
        };
        config.route(path, web::get().to(serve));
    }
}
