//! Every key of `hookbox.toml`, section by section.
//!
//! A key that is in no list is unknown, and the nearest known one is offered. Tests walk these lists: every
//! known key is read, and stands in `hookbox.example.toml`.

/// The keys of one section.
#[derive(Debug)]
pub(super) struct Keys {
    /// The section as people write it; NAME stands for the user's own.
    pub(super) section: &'static str,
    /// Keys that take effect.
    pub(super) known: &'static [&'static str],
}

pub(super) const ROOT: Keys =
    Keys { section: "", known: &["server", "admin", "inbox", "dispatch", "alerts", "sources", "handlers"] };

pub(super) const SERVER: Keys = Keys {
    section: "server",
    known: &["listen", "max_body", "max_in_flight", "request_timeout", "trusted_proxies", "tls"],
};

pub(super) const TLS: Keys = Keys { section: "server.tls", known: &["cert", "key"] };

pub(super) const ADMIN: Keys = Keys { section: "admin", known: &["listen", "hosts", "token"] };

pub(super) const INBOX: Keys = Keys {
    section: "inbox",
    known: &["path", "durability", "max_pending", "min_free_disk", "keep_payloads", "keep_events", "keep_keys"],
};

pub(super) const DISPATCH: Keys = Keys { section: "dispatch", known: &["workers", "shutdown_grace"] };

pub(super) const ALERTS: Keys =
    Keys { section: "alerts", known: &["command", "url", "env", "refusals_per_minute", "silence"] };

pub(super) const SOURCE: Keys = Keys {
    section: "sources.NAME",
    known: &[
        "provider",
        "secret",
        "public_key",
        "key_id",
        "api_key",
        "verify_token",
        "algorithm",
        "url",
        "topics",
        "confirm_subscriptions",
        "keys_url",
        "path",
        "tolerance",
        "event_id",
        "event_type",
        "max_body",
        "allow_ips",
        "rate_limit",
        "replay_guard",
        "silence",
        "verify",
    ],
};

/// A row's keys, without those that only tell people about a provider.
pub(super) const VERIFY: Keys = Keys {
    section: "sources.NAME.verify",
    known: &[
        "signature",
        "syntax",
        "prefix",
        "prefix_optional",
        "item_separator",
        "kv_separator",
        "field",
        "first_only",
        "set_separator",
        "repeatable",
        "algorithm",
        "algorithm_choices",
        "algorithm_header",
        "algorithm_names",
        "encoding",
        "secret_decoding",
        "secret_prefix",
        "signed_content",
        "body_unsigned",
        "url_default_port",
        "key_id",
        "keys",
        "key_name",
        "required_headers",
        "jwt_algorithms",
        "claims",
        "required_claims",
        "empty_body_unclaimed",
        "timestamp",
        "timestamp_unit",
        "tolerance",
        "header_aliases",
        "private_headers",
        "batch",
        "event_id",
        "event_type",
        "handshake",
        "answer_status",
        "answer_body",
        "answer_content_type",
        "max_body",
    ],
};

pub(super) const SECRET: Keys = Keys { section: "sources.NAME.secret", known: &["env", "file"] };

pub(super) const HANDLER: Keys = Keys {
    section: "handlers.NAME",
    known: &[
        "sources",
        "events",
        "where",
        "mode",
        "command",
        "max_jobs",
        "url",
        "secret",
        "headers",
        "ca_file",
        "connect_timeout",
        "cwd",
        "env",
        "timeout",
        "concurrency",
        "order_by",
        "coalesce",
        "rate_limit",
        "retry",
        "dead_exit_codes",
        "respond",
        "respond_timeout",
        "user",
        "group",
        "umask",
        "limits",
    ],
};

pub(super) const RETRY: Keys =
    Keys { section: "handlers.NAME.retry", known: &["attempts", "initial", "max", "jitter"] };

pub(super) const LIMITS: Keys = Keys { section: "handlers.NAME.limits", known: &["memory", "cpu_time", "open_files"] };

pub(super) const ORDER_BY: Keys = Keys { section: "handlers.NAME.order_by", known: &["key", "missing"] };

pub(super) const COALESCE: Keys =
    Keys { section: "handlers.NAME.coalesce", known: &["key", "quiet", "max", "missing"] };

#[cfg(test)]
pub(super) const ALL: &[&Keys] = &[
    &ROOT, &SERVER, &TLS, &ADMIN, &INBOX, &DISPATCH, &ALERTS, &SOURCE, &VERIFY, &SECRET, &HANDLER, &RETRY, &ORDER_BY,
    &COALESCE, &LIMITS,
];

impl Keys {
    /// What to tell someone who wrote an unknown key.
    pub(super) fn hint(&self, unknown: &str) -> String {
        if let Some(near) = nearest(unknown, self.known.iter().copied()) {
            return format!("did you mean `{near}`?");
        }
        let known = self.known.join("`, `");
        if self.section.is_empty() {
            format!("the sections of this file are `{known}`")
        } else {
            format!("the keys of [{}] are `{known}`", self.section)
        }
    }
}

/// The name that was most likely meant, if one is near enough.
#[must_use]
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::damerau_levenshtein(&word.to_lowercase(), name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::ProviderRow;

    #[test]
    fn the_nearest_key_is_offered_and_a_far_one_is_not() {
        for (written, hint) in [
            ("Listen", "did you mean `listen`?"),
            ("lisetn", "did you mean `listen`?"),
            ("max_inflight", "did you mean `max_in_flight`?"),
            (
                "colour",
                "the keys of [server] are `listen`, `max_body`, `max_in_flight`, `request_timeout`, `trusted_proxies`, `tls`",
            ),
        ] {
            assert_eq!(SERVER.hint(written), hint);
        }
    }

    #[test]
    fn a_custom_scheme_takes_every_key_of_a_row_that_has_an_effect() {
        let about = ["title", "provenance", "confirmed", "notes", "unsupported"];
        let keys: Vec<_> = ProviderRow::KEYS.iter().filter(|key| !about.contains(key)).collect();
        assert_eq!(VERIFY.known.iter().collect::<Vec<_>>(), keys);
    }

    #[test]
    fn no_key_is_both_known_and_planned_or_listed_twice() {
        for keys in ALL {
            let mut names: Vec<_> = keys.known.iter().collect();
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "[{}]", keys.section);
        }
    }
}
