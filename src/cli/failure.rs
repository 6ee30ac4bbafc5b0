//! The failure of a verb: its message on stderr and its exit status.
//!
//! Errors of other modules are converted here, hints included. A closed pipe (`| head`) is not a failure.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::config::ConfigErrors;
use crate::inbox::OpenError;
use crate::inbox::operator::InboxFileError;
use crate::inbox::reader::ReadError;

const FAILED: u8 = 1;
const USAGE: u8 = 2;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    status: u8,
    text: String,
}

impl Failure {
    /// The operation failed: exit status 1.
    pub(crate) fn failed(message: impl AsRef<str>) -> Self {
        Self { status: FAILED, text: format!("error: {}", message.as_ref()) }
    }

    /// Wrong usage or configuration: exit status 2.
    pub(crate) fn usage(message: impl AsRef<str>) -> Self {
        Self { status: USAGE, ..Self::failed(message) }
    }

    /// Exit status 1; everything has been printed already.
    pub(crate) fn silent() -> Self {
        Self { status: FAILED, text: String::new() }
    }

    /// Adds the next step.
    pub(crate) fn hint(mut self, hint: impl AsRef<str>) -> Self {
        self.text.push_str("\nhint: ");
        self.text.push_str(hint.as_ref());
        self
    }

    /// Prints the message on stderr and returns the exit status.
    pub(crate) fn report(self) -> ExitCode {
        // A closed stderr cannot be reported anywhere.
        if !self.text.is_empty() {
            writeln!(io::stderr(), "{}", self.text.trim_end()).unwrap_or_default();
        }
        ExitCode::from(self.status)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { status: 0, text: String::new() },
            _ => Self::failed(format!("cannot write to stdout: {error}")),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        InboxFileError::from(error).into()
    }
}

impl From<InboxFileError> for Failure {
    fn from(error: InboxFileError) -> Self {
        let message = error.to_string();
        let failure = if error.is_wrong_file() { Self::usage(message) } else { Self::failed(message) };
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self { status: USAGE, text: errors.to_string() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<ConfigErrors>() {
            Ok(errors) => return errors.into(),
            Err(other) => other,
        };
        let broken_pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        if error.downcast_ref().is_some_and(broken_pipe) {
            return Self { status: 0, text: String::new() };
        }
        match error.downcast_ref() {
            Some(OpenError::OldSqlite(_) | OpenError::Busy { .. } | OpenError::Sqlite { .. }) | None => {
                Self::failed(format!("{error:#}"))
            }
            Some(_) => Self::usage(format!("{error:#}")),
        }
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        // clap prints help to stdout and errors to stderr.
        match error.print() {
            Ok(()) if error.use_stderr() => Self { status: USAGE, text: String::new() },
            Ok(()) => Self { status: 0, text: String::new() },
            Err(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_shows_message_and_hints() {
        let failure = Failure::usage("no such thing").hint("look elsewhere").hint("or here");
        assert_eq!(failure.text, "error: no such thing\nhint: look elsewhere\nhint: or here");
        assert_eq!(failure.status, 2);
    }

    #[test]
    fn closed_pipe_is_not_a_failure() {
        assert_eq!(
            Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)),
            Failure { status: 0, text: String::new() }
        );
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).status, 1);
    }

    #[test]
    fn wrong_file_is_a_usage_error() {
        let missing = InboxFileError::Missing("/x/hookbox.db".into());
        assert!(Failure::from(missing).text.contains("\nhint: `hookbox serve`"));
        assert_eq!(Failure::from(InboxFileError::Foreign("x".into())).status, 2);
        assert_eq!(Failure::from(InboxFileError::Busy("x".into())).status, 1);
        assert_eq!(Failure::from(anyhow::Error::from(OpenError::Foreign { path: "x".into() })).status, 2);
        assert_eq!(Failure::from(anyhow::anyhow!("no").context("wrapped")).text, "error: wrapped: no");
    }
}
