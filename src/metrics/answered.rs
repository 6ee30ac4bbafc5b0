//! How requests of providers are answered, as labels of metrics.

macro_rules! answered {
    ($($(#[$doc:meta])* $variant:ident: $answer:literal, $reason:expr;)+) => {
        /// How a request of a provider was answered.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Answered { $($(#[$doc])* $variant,)+ }

        impl Answered {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            pub const COUNT: usize = Self::ALL.len();

            /// `accepted`, `duplicate`, `handshake`, or the HTTP status of a rejection.
            #[must_use]
            pub fn answer(self) -> &'static str {
                match self { $(Self::$variant => $answer,)+ }
            }

            /// Why the delivery was rejected or not stored.
            #[must_use]
            pub fn reason(self) -> Option<&'static str> {
                match self { $(Self::$variant => $reason,)+ }
            }
        }
    };
}

answered! {
    /// At least one event is new.
    Accepted: "accepted", None;
    Duplicate: "duplicate", None;
    Handshake: "handshake", None;
    /// Verified, but the body is not of the provider's form.
    Malformed: "400", Some("malformed");
    /// The client closed the connection.
    Broken: "400", Some("broken_off");
    /// No signature, a wrong one, too old or too new.
    NotGenuine: "401", Some("not_genuine");
    Unexpected: "403", Some("unexpected_handshake");
    NotAllowed: "403", Some("not_allowed");
    NoSuchSource: "404", Some("no_such_source");
    Method: "405", Some("method");
    TooSlow: "408", Some("too_slow");
    TooLarge: "413", Some("too_large");
    RateLimit: "429", Some("rate_limit");
    HeadersTooLarge: "431", Some("headers_too_large");
    InFlight: "503", Some("max_in_flight");
    QueueFull: "503", Some("queue_full");
    Backlog: "503", Some("max_pending");
    DiskLow: "503", Some("min_free_disk");
    Busy: "503", Some("inbox_busy");
    InboxTooSlow: "503", Some("inbox_slow");
    Failing: "503", Some("inbox_failing");
    /// A key that verification needs could not be fetched.
    Unverifiable: "503", Some("unverifiable");
    Closing: "503", Some("shutting_down");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct() {
        let mut words: Vec<_> = Answered::ALL.iter().map(|answered| (answered.answer(), answered.reason())).collect();
        assert!(Answered::ALL.iter().enumerate().all(|(place, answered)| *answered as usize == place));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Answered::COUNT);
        let is_status = |word: &str| word.parse::<u16>().is_ok();
        assert!(words.iter().all(|(answer, reason)| is_status(answer) == reason.is_some()));
    }
}
