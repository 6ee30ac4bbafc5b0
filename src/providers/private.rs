//! Headers that are nobody else's business: those that carry tokens, and those that carry signatures.
//!
//! A scheme goes in, lower-case names come out: what is stored as `***`, and what no handler gets to see.

use super::place::ValueLocation;
use super::scheme::Scheme;

/// Headers that carry tokens whatever the provider, in lower case.
const ALWAYS_TOKENS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

impl Scheme {
    /// Lower-case names of headers whose values are secret: they are stored as `***`.
    #[must_use]
    pub fn token_headers(&self) -> Vec<String> {
        let own = self.signature_headers().filter(|_| self.auth.is_token());
        distinct(ALWAYS_TOKENS.into_iter().map(str::to_owned).chain(own))
    }

    /// Lower-case names of headers that carry signatures or tokens: they are never handed to handlers.
    #[must_use]
    pub fn private_headers(&self) -> Vec<String> {
        let own = self.token_headers().into_iter().chain(self.signature_headers());
        distinct(own.chain(self.further_private.iter().cloned()))
    }

    fn signature_headers(&self) -> impl Iterator<Item = String> {
        self.signature_locations().flat_map(|place| match place {
            ValueLocation::Header(name) => self.header_names(name).map(str::to_ascii_lowercase).collect(),
            ValueLocation::Numbered(prefix) => (1..=9).map(|n| format!("{}{n}", prefix.to_ascii_lowercase())).collect(),
            _ => Vec::new(),
        })
    }
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept = Vec::new();
    for name in names {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    kept
}
