//! The dashboard: pages rendered on the server, for operators.
//!
//! A page reads the inbox in short, bounded queries on a blocking thread. A form answers with a redirect to a page.
//! Everything works without JavaScript.

mod bulk;
mod components;
mod context;
mod event;
mod events;
mod handlers;
mod jobs;
mod overview;
mod page;
mod refusals;
mod sources;

use actix_web::web::ServiceConfig;

pub(super) use self::page::not_found;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .configure(overview::routes)
        .configure(events::routes)
        .configure(event::routes)
        .configure(jobs::routes)
        .configure(bulk::routes)
        .configure(refusals::routes)
        .configure(sources::routes)
        .configure(handlers::routes);
}
