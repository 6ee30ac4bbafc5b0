//! States of events and jobs, and the status of an attempt.
//!
//! Their names are stored in the inbox and part of every interface. The CHECK constraints in `schema.sql` list them too.

use std::fmt;
use std::str::FromStr;

/// Longest event id and event type, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// Hex digits of the digest that [`id_with_digest`] appends.
const DIGEST_DIGITS: usize = 16;

/// The id of a further state of the object that `id` identifies: `ID#` and the first digits of a SHA-256. A long id is
/// cut, so that the result has at most [`MAX_NAME_BYTES`].
pub fn id_with_digest(id: &str, sha256: &[u8; 32]) -> String {
    let kept = id.floor_char_boundary(MAX_NAME_BYTES - DIGEST_DIGITS - 1);
    format!("{}#{}", &id[..kept], &hex::encode(sha256)[..DIGEST_DIGITS])
}

macro_rules! named_values {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownName;

            fn from_str(name: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name).ok_or_else(|| UnknownName {
                    name: name.to_owned(),
                    known: Self::ALL.iter().map(|value| value.as_str()).collect(),
                })
            }
        }
    };
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not one of {}", known.join(", "))]
pub struct UnknownName {
    name: String,
    known: Vec<&'static str>,
}

named_values! {
    /// The state of a job: one event for one handler.
    JobState {
        /// Waits until it is due or an executor is free.
        Pending = "pending",
        Running = "running",
        Succeeded = "succeeded",
        /// Failed for good; waits for the operator.
        Dead = "dead",
        /// Skipped by the operator, or replaced by a newer event (`coalesce`).
        Skipped = "skipped",
    }
}

named_values! {
    /// The state of an event: the first of these that any of its jobs has.
    EventState {
        Running = "running",
        Dead = "dead",
        Pending = "pending",
        Succeeded = "succeeded",
        Skipped = "skipped",
        /// It has no jobs: no handler matched.
        Unmatched = "unmatched",
    }
}

named_values! {
    /// How an attempt ended.
    AttemptStatus {
        Succeeded = "succeeded",
        /// Exit code other than 0, a signal, or an error response. Counts as a failure.
        Failed = "failed",
        /// Killed at the time limit. Counts as a failure.
        Timeout = "timeout",
        /// The handler reported that the event can never succeed.
        Dead = "dead",
        /// The handler asked for a later run. Not a failure.
        Deferred = "deferred",
        /// The handler could not be executed and is paused. Not a failure.
        Broken = "broken",
        /// No memory, process slot or file descriptor was available. Not a failure.
        Starved = "starved",
        /// Stopped because hookbox shut down. Not a failure.
        Stopped = "stopped",
        /// hookbox crashed or was killed during the attempt.
        Lost = "lost",
        /// The operator skipped the job during the attempt.
        Skipped = "skipped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back() {
        for state in JobState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        for state in EventState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        for status in AttemptStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
        }
        assert_eq!(
            "gone".parse::<JobState>().unwrap_err().to_string(),
            "`gone` is not one of pending, running, succeeded, dead, skipped"
        );
    }
}
