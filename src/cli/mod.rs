//! The command line: one verb per file, this one reads which.
//!
//! Results go to stdout, everything else to stderr. The exit status is 0 when it was done, 1 when it failed, 2 for
//! wrong usage or configuration. Verbs that touch the inbox work on the file itself, whether or not it is served.

mod args;
mod client;
mod commands;
mod failure;
mod output;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use log::LevelFilter;

use crate::support::logging;
use args::Global;
use commands::inspect::{events, explain, jobs, refusals, status, tail};
use commands::operate::{backup, bulk, pause, prune, reverify, run, send};
use commands::serve::{self, demo, health, reload};
use commands::setup::{check, generate, init, learn, providers};
use failure::Failure;

/// Receives webhooks properly: verified, stored once, run until done.
#[derive(Debug, Parser)]
#[command(name = "hookbox", version, propagate_version = true, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Receives deliveries and runs handlers until a signal ends it
    Serve,
    /// The whole thing in one command, on a scratch inbox
    Demo(demo::Args),
    /// Writes hookbox.toml and a first handler
    Init(init::Args),
    /// Reads the configuration as `serve` would, and says what it means
    Check(check::Args),
    /// Sends a test delivery, signed as the provider signs
    Send(send::Args),
    /// Lists events, newest first; `events show` and `events body` take one
    Events(events::Args),
    /// Lists jobs, newest first
    Jobs(jobs::Args),
    /// Runs jobs again that have not succeeded
    Retry(bulk::Args),
    /// Runs jobs again that have succeeded
    Replay(bulk::Args),
    /// Takes jobs off what is to run
    Skip(bulk::Args),
    /// Runs a handler on a stored event, here and now, with HOOKBOX_DRY_RUN=1; changes nothing in the inbox
    Run(run::Args),
    /// Has handlers start no more attempts until they are resumed
    Pause(pause::PauseArgs),
    /// Has paused handlers go on; a broken one is tried at once
    Resume(pause::ResumeArgs),
    /// For ten minutes, believes the handshake that teaches a source its secret
    Learn(learn::Args),
    /// Lists what was turned away, newest first; `refusals show` and `refusals body` take one
    Refusals(refusals::Args),
    /// Why a delivery was turned away, and what would have made it match
    Explain(explain::Args),
    /// Takes in refused deliveries that are genuine under today's configuration
    Reverify(reverify::Args),
    /// How things stand, in one screen
    Status(status::Args),
    /// Supported providers: how each signs, where its id and type are; `providers keygen` makes keys for trying one
    Providers(providers::Args),
    /// What arrives and what has run, live, until Ctrl-C
    Tail(tail::Args),
    /// Forgets now what is too old by `keep_payloads`, `keep_events` and `keep_keys`
    Prune(prune::Args),
    /// Copies the inbox, whether or not it is served; the copy is whole, checked and synced
    Backup(backup::Args),
    /// Whether hookbox would take in a delivery now
    Health(health::Args),
    /// Has the running hookbox read its configuration again
    Reload,
    /// Prints what a shell needs to complete hookbox's command line
    Completions(generate::CompletionsArgs),
    /// Prints the man page; into a folder, one for each verb as well
    Man(generate::ManArgs),
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return Failure::from(usage).report(),
    };
    run(&cli).unwrap_or_else(Failure::report)
}

fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    let global = &cli.global;
    logging::start(global.log_format.into(), cli.verb.log_level());
    match &cli.verb {
        Verb::Serve => serve::run(global),
        Verb::Demo(args) => demo::run(args),
        Verb::Init(args) => return Ok(init::run(args, &global.config)?),
        Verb::Check(args) => return Ok(check::run(args, &global.config)?),
        Verb::Send(args) => send::run(args, global),
        Verb::Events(args) => events::run(args, global),
        Verb::Jobs(args) => jobs::run(args, global),
        Verb::Retry(args) => bulk::retry(args, global),
        Verb::Replay(args) => bulk::replay(args, global),
        Verb::Skip(args) => bulk::skip(args, global),
        Verb::Run(args) => run::run(args, global),
        Verb::Pause(args) => pause::pause(args, global),
        Verb::Resume(args) => pause::resume(args, global),
        Verb::Learn(args) => learn::run(args, global),
        Verb::Refusals(args) => refusals::run(args, global),
        Verb::Explain(args) => explain::run(args, global),
        Verb::Reverify(args) => reverify::run(args, global),
        Verb::Status(args) => status::run(args, global),
        Verb::Providers(args) => providers::run(args, global),
        Verb::Tail(args) => tail::run(args, global),
        Verb::Prune(args) => prune::run(args, global),
        Verb::Backup(args) => backup::run(args, global),
        Verb::Health(args) => health::run(args, global),
        Verb::Reload => reload::run(global),
        Verb::Completions(args) => generate::completions(args, Cli::command()),
        Verb::Man(args) => generate::man(args, Cli::command()),
    }
    .map(|()| ExitCode::SUCCESS)
}

impl Verb {
    /// The log is what `serve` says; elsewhere only what is amiss.
    fn log_level(&self) -> LevelFilter {
        match self {
            Self::Serve => LevelFilter::Info,
            // Its handlers fail on purpose.
            Self::Demo(_) => LevelFilter::Off,
            _ => LevelFilter::Warn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
