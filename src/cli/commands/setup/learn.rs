//! `learn`: for ten minutes, accepts the handshake in which a provider sends a source its secret.
//!
//! It opens an enrollment window in the inbox, which `serve` notices within a second. A known secret is kept unless
//! `--forget` is given. `--show` prints it, since some providers ask for it.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::args::{Global, remark_if_not_served, unknown_name, variable};
use crate::cli::failure::Failure;
use crate::cli::output::progress;
use crate::cli::output::terminal::{instant, print_line, relative};
use crate::config::{self, Source};
use crate::inbox::operator::InboxFile;
use crate::inbox::{ENROLLMENT_WINDOW, EnrollmentState};
use crate::support::time::Millis;

/// How often `--wait` polls.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
pub(crate) struct LearnArgs {
    /// Source whose provider sends the secret in a handshake
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Forget the known secret first
    #[arg(long)]
    forget: bool,
    /// Wait until the secret is learned or the ten minutes are over
    #[arg(long)]
    wait: bool,
    /// Print the known secret, for providers that ask for it
    #[arg(long, conflicts_with_all = ["forget", "wait"])]
    show: bool,
}

pub(crate) fn run(args: &LearnArgs, global: &Global) -> Result<(), Failure> {
    let summary = global.summary()?;
    let source = config::read_source(&global.config, &variable, &args.source)?;
    let source = source.ok_or_else(|| unknown_name("source", &args.source, &summary.sources))?;
    check(&source)?;
    let mut file = InboxFile::open(&summary.inbox)?;
    if args.show {
        return show(&file, &source);
    }
    let now = Millis::now();
    let until = Millis(now.0.saturating_add(i64::try_from(ENROLLMENT_WINDOW.as_millis()).unwrap_or(i64::MAX)));
    if !file.open_enrollment(&source.name, until, args.forget)? {
        return Err(already_known(&file, &source, now)?);
    }
    print_line(format!("accepting the next handshake of `{}` until {}", source.name, instant(until)))?;
    remark_if_not_served(&summary.inbox, "start it before then");
    if args.wait { wait(&file, &source, until) } else { Ok(()) }
}

/// Returns the source with its learned secret, if it has one.
pub(crate) fn with_learned_secret(source: Arc<Source>, file: &InboxFile) -> Result<Arc<Source>, Failure> {
    if !enrolls(&source) || !source.secrets.is_empty() {
        return Ok(source);
    }
    match file.reader().enrollment(&source.name)? {
        Some(EnrollmentState::Enrolled(secret, _)) => {
            Ok(Arc::new(Source { secrets: vec![secret], ..Source::clone(&source) }))
        }
        _ => Ok(source),
    }
}

fn enrolls(source: &Source) -> bool {
    source.scheme.handshake.is_some_and(|handshake| handshake.teaches)
}

fn check(source: &Source) -> Result<(), Failure> {
    let name = &source.name;
    if !enrolls(source) {
        let message = format!("the provider of `{name}` does not send its secret in a handshake");
        return Err(Failure::usage(message).hint("set `secret` in the configuration"));
    }
    if !source.secrets.is_empty() {
        let message = format!("`{name}` has a secret in the configuration, so it cannot learn another");
        return Err(Failure::usage(message).hint(format!("remove `sources.{name}.secret` to learn it")));
    }
    Ok(())
}

fn already_known(file: &InboxFile, source: &Source, now: Millis) -> Result<Failure, Failure> {
    let since = match file.reader().enrollment(&source.name)? {
        Some(EnrollmentState::Enrolled(_, at)) => format!(", learned {}", relative(at, now)),
        _ => String::new(),
    };
    let failure = Failure::failed(format!("the secret of `{}` is already known{since}", source.name));
    Ok(failure.hint("--forget discards it and accepts the next handshake"))
}

fn show(file: &InboxFile, source: &Source) -> Result<(), Failure> {
    match file.reader().enrollment(&source.name)? {
        Some(EnrollmentState::Enrolled(secret, _)) => Ok(print_line(secret.reveal())?),
        _ => Err(Failure::failed(format!("`{}` has not learned a secret", source.name))),
    }
}

fn wait(file: &InboxFile, source: &Source, until: Millis) -> Result<(), Failure> {
    let result = progress::spinner("waiting for the provider's handshake", || {
        loop {
            match file.reader().enrollment(&source.name) {
                Ok(Some(EnrollmentState::Open(_))) if Millis::now() < until => std::thread::sleep(POLL_INTERVAL),
                other => return other,
            }
        }
    })?;
    match result {
        Some(EnrollmentState::Enrolled(..)) => Ok(print_line(format!("learned the secret of `{}`", source.name))?),
        _ => Err(Failure::failed(format!("no handshake of `{}` was received", source.name))
            .hint("trigger it at the provider after running `hookbox learn` again")),
    }
}
