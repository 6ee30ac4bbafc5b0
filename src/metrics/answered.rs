//! How a delivery was answered, in the words that the labels of metrics hold.
//!
//! The listener says which; two words come out: what the provider heard, and for what was not stored the reason.

macro_rules! answered {
    ($($(#[$doc:meta])* $variant:ident: $answer:literal, $reason:expr;)+) => {
        /// How a delivery was answered.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Answered { $($(#[$doc])* $variant,)+ }

        impl Answered {
            /// Every value, in the order of the declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// `accepted`, `duplicate`, `handshake`, or the status.
            #[must_use]
            pub fn answer(self) -> &'static str {
                match self { $(Self::$variant => $answer,)+ }
            }

            /// Why it was not stored.
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
    /// All its events were there.
    Duplicate: "duplicate", None;
    /// A provider's handshake.
    Handshake: "handshake", None;
    /// Genuine, but not what the source says it is.
    Malformed: "400", Some("malformed");
    /// The client broke off.
    Broken: "400", Some("broken_off");
    /// No signature, a wrong one, too old or too new.
    NotGenuine: "401", Some("not_genuine");
    /// A handshake that does not fit the configuration.
    Unexpected: "403", Some("unexpected_handshake");
    /// From an address that is not allowed.
    NotAllowed: "403", Some("not_allowed");
    /// There is no such source.
    NoSuchSource: "404", Some("no_such_source");
    /// By another method than POST.
    Method: "405", Some("method");
    /// It did not arrive in time.
    TooSlow: "408", Some("too_slow");
    /// Its body is over the limit.
    TooLarge: "413", Some("too_large");
    /// Over the source's rate.
    RateLimit: "429", Some("rate_limit");
    /// Its headers are over the limit.
    HeadersTooLarge: "431", Some("headers_too_large");
    /// Too many bytes in flight.
    InFlight: "503", Some("max_in_flight");
    /// Too many deliveries wait for the writer.
    QueueFull: "503", Some("queue_full");
    /// Too many jobs are pending.
    Backlog: "503", Some("max_pending");
    /// The disk is low on space.
    DiskLow: "503", Some("min_free_disk");
    /// Another process holds the inbox's lock.
    Busy: "503", Some("inbox_busy");
    /// The inbox took too long.
    InboxTooSlow: "503", Some("inbox_slow");
    /// The inbox cannot be written.
    Failing: "503", Some("inbox_failing");
    /// What it takes to verify it cannot be had now.
    Unverifiable: "503", Some("unverifiable");
    /// hookbox is ending.
    Closing: "503", Some("shutting_down");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_words_of_its_own_and_its_place() {
        let mut words: Vec<_> = Answered::ALL.iter().map(|answered| (answered.answer(), answered.reason())).collect();
        assert!(Answered::ALL.iter().enumerate().all(|(place, answered)| *answered as usize == place));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Answered::COUNT);
        let is_status = |word: &str| word.parse::<u16>().is_ok();
        assert!(words.iter().all(|(answer, reason)| is_status(answer) == reason.is_some()));
    }
}
