//! `learn`: for ten minutes, believes the handshake by which a provider teaches a source its secret.
//!
//! Opens a window in the inbox, which `serve` notices within a second. A secret that is known stays, unless it is to be
//! forgotten; it is shown only where that is asked for, since some providers want it typed in on their side.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use crate::cli::args::Global;
use crate::cli::args::variable;
use crate::cli::failure::Failure;
use crate::cli::output::progress;
use crate::cli::output::terminal::{instant, relative, remark, shown};
use crate::config::{self, Source};
use crate::inbox::operator::{self, InboxFile};
use crate::inbox::{ENROLLMENT_WINDOW, EnrollmentState};
use crate::support::time::Millis;

/// How often `--wait` looks.
const PAUSE: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A source whose provider teaches it its secret
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Forgets the secret that is known, first
    #[arg(long)]
    forget: bool,
    /// Waits until the secret is learned, or the ten minutes are over
    #[arg(long)]
    wait: bool,
    /// Writes the secret that is known to stdout, for providers that want it typed in
    #[arg(long, conflicts_with_all = ["forget", "wait"])]
    show: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let outline = global.outline()?;
    let source = config::read_source(&global.config, &variable, &args.source)?;
    let source = source.ok_or_else(|| {
        Failure::usage(format!("there is no source `{}` in the configuration", shown(&args.source)))
            .hint(format!("sources: {}", shown(&outline.sources.join(", "))))
    })?;
    check(&source)?;
    let mut file = InboxFile::open(&outline.inbox)?;
    if args.show {
        return show(&file, &source);
    }
    let now = Millis::now();
    let until = Millis(now.0.saturating_add(i64::try_from(ENROLLMENT_WINDOW.as_millis()).unwrap_or(i64::MAX)));
    if !file.open_enrollment(&source.name, until, args.forget)? {
        return Err(known(&file, &source, now)?);
    }
    let line = format!("the next handshake of `{}` is believed until {}", source.name, instant(until));
    writeln!(io::stdout(), "{line}")?;
    if matches!(operator::served_by(&outline.inbox), Ok(None)) {
        remark("hookbox is not serving this inbox; start it within that time");
    }
    if args.wait { wait(&file, &source, until) } else { Ok(()) }
}

/// The source with the secret that it has learned, where it is taught one.
pub(crate) fn taught(source: Arc<Source>, file: &InboxFile) -> Result<Arc<Source>, Failure> {
    let is_taught = source.scheme.handshake.is_some_and(|handshake| handshake.teaches);
    if !is_taught || !source.secrets.is_empty() {
        return Ok(source);
    }
    match file.reader().enrollment(&source.name)? {
        Some(EnrollmentState::Enrolled(secret, _)) => {
            Ok(Arc::new(Source { secrets: vec![secret], ..Source::clone(&source) }))
        }
        _ => Ok(source),
    }
}

fn check(source: &Arc<Source>) -> Result<(), Failure> {
    let name = &source.name;
    if source.scheme.handshake.is_none_or(|handshake| !handshake.teaches) {
        let message = format!("the provider of `{name}` does not tell its secret in a handshake");
        return Err(Failure::usage(message).hint("put it into the configuration: `secret`"));
    }
    if !source.secrets.is_empty() {
        let message = format!("`{name}` has a secret in the configuration, so that no other is believed");
        return Err(Failure::usage(message).hint(format!("leave out `sources.{name}.secret` to have it learned")));
    }
    Ok(())
}

fn known(file: &InboxFile, source: &Source, now: Millis) -> Result<Failure, Failure> {
    let since = match file.reader().enrollment(&source.name)? {
        Some(EnrollmentState::Enrolled(_, at)) => format!(", learned {}", relative(at, now)),
        _ => String::new(),
    };
    let failure = Failure::failed(format!("the secret of `{}` is known already{since}", source.name));
    Ok(failure.hint("--forget forgets it and believes the next handshake"))
}

fn show(file: &InboxFile, source: &Source) -> Result<(), Failure> {
    match file.reader().enrollment(&source.name)? {
        Some(EnrollmentState::Enrolled(secret, _)) => Ok(writeln!(io::stdout(), "{}", secret.reveal())?),
        _ => Err(Failure::failed(format!("no secret of `{}` has been learned", source.name))),
    }
}

fn wait(file: &InboxFile, source: &Source, until: Millis) -> Result<(), Failure> {
    let look = || file.reader().enrollment(&source.name);
    let learned = progress::waiting("waiting for the provider's handshake", || {
        loop {
            match look() {
                Ok(Some(EnrollmentState::Open(_))) if Millis::now() < until => std::thread::sleep(PAUSE),
                other => return other,
            }
        }
    })?;
    match learned {
        Some(EnrollmentState::Enrolled(..)) => Ok(writeln!(io::stdout(), "learned the secret of `{}`", source.name)?),
        _ => Err(Failure::failed(format!("no handshake of `{}` came", source.name))
            .hint("have the provider send it, and `hookbox learn` again")),
    }
}
