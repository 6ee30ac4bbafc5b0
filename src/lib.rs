//! hookbox receives webhooks properly: it verifies each request's signature, stores the event once in one SQLite file,
//! answers 200 only when the event is synced to disk, and runs the handlers that the user configured until each has
//! succeeded or is set aside for a person.
//!
//! # The way of an event
//!
//! 1. [`listener`]: an HTTP request arrives and is read, within limits.
//! 2. [`verify`]: its signature is checked as the provider's row ([`provider`]) says; only then is it parsed, and only
//!    here can a [`verify::Verified`] be built.
//! 3. [`inbox`]: the event, its payload and one job per handler that takes it ([`route`]) are written in one
//!    transaction, synced, and acknowledged by a [`inbox::Receipt`], which the listener turns into a 200.
//! 4. [`dispatch`]: due jobs are claimed in batches and given to worker threads.
//! 5. [`handler`]: one attempt: the user's command runs on the event.
//! 6. [`outcome`]: what its ending means for the job: succeeded, again at a time, or dead.
//!
//! Where a handler responds, its [`response::Response`] goes back the same way: written by the inbox with the ending, then
//! heard by the request that waits.
//!
//! A delivery that is turned away on this way is kept as a [`refused::Refused`], without its tokens, and [`explain`] says
//! which change would have made it match.
//!
//! Beside the way: [`metrics`] counts what happens, [`admin`] tells the operator how it stands, [`alerts`] when something
//! wants him, [`cli`] is the command line, [`config`] the user's file,
//! [`app`] puts the rooms together and ends them in order.
//!
//! # Levels
//!
//! A room uses rooms of lower levels only, and none of its own level; `tests/` holds the table.
//!
//! | level | rooms |
//! | --- | --- |
//! | 0 | [`event`], [`secret`], [`clock`], [`shutdown`], [`supervisor`], [`trace`], [`plain`], [`places`] |
//! | 1 | [`request`], [`response`], [`provider`], [`keys`], [`outcome`], [`logging`], [`metrics`], [`tls`], [`words`] |
//! | 2 | [`config`], [`refused`] |
//! | 3 | [`verify`], [`route`], [`handler`], [`socket`], [`client`] |
//! | 4 | [`inbox`], [`explain`] |
//! | 5 | [`listener`], [`dispatch`], [`admin`], [`alerts`] |
//! | 6 | [`app`] |
//! | 7 | [`cli`] |
//!
//! # Where to add things
//!
//! An HMAC provider is a row of `provider/table.toml`; one that needs code gets a file in `verify/` behind the engine's
//! interface; a way to run handlers a folder in `handler/` beside `worker/` and `http/`; a page of the dashboard a file in
//! `admin/page/`, what it asks a query in `inbox/view/`; a verb a file in `cli/`. Another database replaces what is in
//! `inbox/`, which alone knows SQL.

pub mod dispatch;
pub mod explain;
pub mod handler;
pub mod inbox;
pub mod listener;
pub mod outcome;
pub mod places;
pub mod verify;

pub mod admin;
pub mod alerts;
pub mod app;
pub mod cli;
pub mod client;
pub mod config;
pub mod keys;
pub mod provider;
pub mod route;
pub mod socket;
pub mod supervisor;
pub mod tls;
pub mod trace;

pub mod clock;
pub mod event;
pub mod logging;
pub mod metrics;
pub mod plain;
pub mod refused;
pub mod request;
pub mod response;
pub mod secret;
pub mod shutdown;
pub mod words;
