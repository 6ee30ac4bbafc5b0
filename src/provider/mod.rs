//! Providers as data: one row says where the signature is, how it is made, and where id and type are.
//!
//! Rows stand in `table.toml`, embedded; `custom` sources write the same keys under `[sources.NAME.verify]`.
//! [`Row`] is what was written, [`Scheme`] what it means. Adding a provider is a row, no code: the engine in
//! `verify` interprets what stands here and knows no provider by name.

mod cover;
mod handshake;
mod key;
mod parse;
mod parse_proof;
mod place;
mod pointer;
mod proof;
mod public_key;
mod row;
mod sample;
mod scheme;
mod selector;
mod template;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub use handshake::{Handshake, HandshakeNeeds};
pub use place::Place;
pub use pointer::{Batch, Pointer};
pub use proof::{Algorithm, Encoding, Hash, Jwt, JwtAlgorithm, Proof, Signed};
pub use public_key::{KeyKind, PublicKey};
pub use row::{Row, RowError, Selection, Texts};
pub use sample::sample;
pub use scheme::{Needs, Reply, Scheme, SecretDecoding, Syntax, Timestamp, TimestampPlace, Unit};
pub use selector::{EventId, EventType, Selector};
pub use template::Segment;

/// The name that stands for a source's own `verify` table; no row may take it.
pub const CUSTOM: &str = "custom";

// A test reads the table, so that it cannot be empty here.
static TABLE: LazyLock<BTreeMap<String, Row>> =
    LazyLock::new(|| toml::from_str(include_str!("table.toml")).unwrap_or_default());

/// The row of a provider.
#[must_use]
pub fn find(name: &str) -> Option<&'static Row> {
    TABLE.get(name)
}

/// Every provider's name and row, in the order of names.
pub fn all() -> impl Iterator<Item = (&'static str, &'static Row)> {
    TABLE.iter().map(|(name, row)| (name.as_str(), row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_a_whole_scheme() {
        let rows: BTreeMap<String, Row> = toml::from_str(include_str!("table.toml")).unwrap();
        let names: Vec<_> = rows.keys().map(String::as_str).collect();
        assert_eq!(names, ["github", "gitlab", "shopify", "slack", "standard-webhooks", "stripe", "svix"]);
        assert_eq!(all().map(|(name, _)| name).collect::<Vec<_>>(), names);
        for (name, row) in all() {
            let scheme = Scheme::from_row(row).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
            assert!(!scheme.event_id.tries.is_empty() && !scheme.event_type.tries.is_empty(), "{name}");
            assert_eq!(scheme.timestamp.is_some(), scheme.tolerance.is_some(), "{name}");
            assert!(!row.title.is_empty() && !row.provenance.is_empty() && !row.notes.is_empty(), "{name}");
            assert_ne!(name, CUSTOM);
        }
    }

    #[test]
    fn an_unknown_name_is_no_provider() {
        assert!(find("github").is_some());
        assert!(find("GitHub").is_none() && find("").is_none() && find(CUSTOM).is_none());
    }
}
