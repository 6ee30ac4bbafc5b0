//! The command line: parses the arguments and runs one verb.
//!
//! Results go to stdout, everything else to stderr. The exit status is 0 for success, 1 for failure, 2 for wrong usage
//! or configuration. Verbs that touch the inbox open the file itself, so they work whether or not hookbox is running.

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

/// Receive webhooks: verify each delivery, store it once, run handlers until they succeed
#[derive(Debug, Parser)]
#[command(name = "hookbox", version, propagate_version = true, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// In the order of use: set up, serve, inspect, act on jobs, act on refusals, maintain.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Try hookbox: serve a scratch inbox, send test deliveries and show the results
    Demo(demo::DemoArgs),
    /// Create hookbox.toml and a first handler
    Init(init::InitArgs),
    /// List supported providers, or generate test keys (`providers keygen`)
    Providers(providers::ProvidersArgs),
    /// Validate the configuration and show what it does
    Check(check::CheckArgs),
    /// Receive deliveries and run handlers until stopped
    Serve,
    /// Send a signed test delivery
    Send(send::SendArgs),
    /// Show sources, handlers and open problems
    Status(status::StatusArgs),
    /// List events, or show one (`events show`, `events body`)
    Events(events::EventsArgs),
    /// List jobs
    Jobs(jobs::JobsArgs),
    /// Follow new events, attempts and refusals
    Tail(tail::TailArgs),
    /// Run dead or waiting jobs now
    Retry(bulk::BulkArgs),
    /// Run succeeded jobs again, or create jobs for a new handler
    Replay(bulk::BulkArgs),
    /// Cancel pending, running or dead jobs
    Skip(bulk::BulkArgs),
    /// Run a handler on stored events in the foreground, without changing the inbox
    Run(run::RunArgs),
    /// Stop starting new attempts of a handler
    Pause(pause::PauseArgs),
    /// Resume paused handlers, and probe broken ones immediately
    Resume(pause::ResumeArgs),
    /// List refused deliveries, or show one (`refusals show`, `refusals body`)
    Refusals(refusals::RefusalsArgs),
    /// Explain why a delivery was refused and which change would accept it
    Explain(explain::ExplainArgs),
    /// Accept refused deliveries that verify under the current configuration
    Reverify(reverify::ReverifyArgs),
    /// Accept a new secret from a provider's handshake for ten minutes
    Learn(learn::LearnArgs),
    /// Check whether hookbox is ready to accept deliveries
    Health(health::HealthArgs),
    /// Reload the configuration of the running hookbox
    Reload,
    /// Delete what is older than the retention settings
    Prune(prune::PruneArgs),
    /// Back up the inbox, also while hookbox serves it
    Backup(backup::BackupArgs),
    /// Generate shell completions
    Completions(generate::CompletionsArgs),
    /// Generate man pages
    Man(generate::ManArgs),
}

/// Parses the command line, runs the verb and reports its failure.
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
    /// `serve` logs its progress; other verbs log only problems.
    fn log_level(&self) -> LevelFilter {
        match self {
            Self::Serve => LevelFilter::Info,
            // The demo's handlers fail on purpose.
            Self::Demo(_) => LevelFilter::Off,
            _ => LevelFilter::Warn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
