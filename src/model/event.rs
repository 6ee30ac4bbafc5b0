//! The words of hookbox as types: states of events and jobs, and how an attempt ended.
//!
//! Every text that these types print is stored in the inbox and is part of the interface (`schema.sql`
//! holds the same words in its CHECKs). Nothing here reads or writes anything.

use std::fmt;
use std::str::FromStr;

/// Longest event id and event type, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word as it is stored and printed.
            #[must_use]
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
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word).ok_or_else(|| UnknownWord {
                    word: word.to_owned(),
                    known: Self::ALL.iter().map(|value| value.as_str()).collect(),
                })
            }
        }
    };
}

/// A word that is none of the known ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is none of {}", known.join(", "))]
pub struct UnknownWord {
    word: String,
    known: Vec<&'static str>,
}

words! {
    /// The state of a job: one event for one handler.
    JobState {
        /// Waits for its time, or for a free worker.
        Pending = "pending",
        /// An attempt is under way.
        Running = "running",
        /// Done.
        Succeeded = "succeeded",
        /// Set aside for a person.
        Dead = "dead",
        /// Will not run.
        Skipped = "skipped",
    }
}

words! {
    /// The overall state of an event: the first, in this order, that holds among its jobs.
    EventState {
        /// A job is running.
        Running = "running",
        /// A job is dead.
        Dead = "dead",
        /// A job is pending.
        Pending = "pending",
        /// A job has succeeded.
        Succeeded = "succeeded",
        /// All jobs were skipped.
        Skipped = "skipped",
        /// No handler wanted it.
        Unmatched = "unmatched",
    }
}

words! {
    /// How one attempt ended.
    AttemptStatus {
        /// The handler did its work.
        Succeeded = "succeeded",
        /// A status other than 0, or a signal: counted as a failure.
        Failed = "failed",
        /// Ended by hookbox at the time limit: counted as a failure.
        Timeout = "timeout",
        /// The handler said that this event can never work.
        Dead = "dead",
        /// The handler asked to be run again later: uncounted.
        Deferred = "deferred",
        /// The handler could not be executed: uncounted, the handler pauses.
        Broken = "broken",
        /// No memory or processes to start it: uncounted.
        Starved = "starved",
        /// hookbox stopped it while shutting down: uncounted.
        Stopped = "stopped",
        /// hookbox died under it.
        Lost = "lost",
        /// A person skipped the job while the attempt ran.
        Skipped = "skipped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_itself() {
        for state in JobState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        for state in EventState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        for ending in AttemptStatus::ALL {
            assert_eq!(ending.as_str().parse(), Ok(*ending));
        }
        assert_eq!(
            "gone".parse::<JobState>().unwrap_err().to_string(),
            "`gone` is none of pending, running, succeeded, dead, skipped"
        );
    }
}
