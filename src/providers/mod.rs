//! Providers as data. A row describes where the signature is, how it is made, and where the event's id and type are.
//!
//! The rows are in `table.toml`, embedded in the binary. A `custom` source has the same keys under
//! `[sources.NAME.verify]`. [`ProviderRow`] is a row as written, [`Scheme`] what it means. `verify` interprets schemes and
//! knows no provider by name, so an HMAC provider needs a row and no code.

mod auth;
mod coverage;
mod describe;
mod handshake;
mod identity;
mod keys;
mod parse;
mod row;
mod sample;
mod scheme;
mod selectors;
mod template;

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

pub use auth::{
    Algorithm, AuthMethod, BuiltinScheme, Encoding, Hash, JwtAlgorithm, JwtScheme, KeyKind, NamedAlgorithms,
    TemplateSignature,
};
pub use describe::{describe, listed};
pub use handshake::{
    Characters, Expectation, Handshake, HandshakeCondition, HandshakeResponse, HandshakeSelector, Setting,
};
pub use identity::{EventId, EventType, IdScope};
pub use keys::{GeneratedKeys, PublicKey};
pub use row::{OneOrMany, ProviderRow, RowError, SelectorEntry};
pub use sample::sample;
pub use scheme::{
    KeySource, RequiredSettings, Scheme, SecretDecoding, SignatureSyntax, SuccessResponse, Timestamp,
    TimestampLocation, TimestampUnit,
};
pub use selectors::{BatchLocation, Pointer, Selector, ValueLocation};
pub use template::TemplateSegment;

/// The provider name of a source with its own `verify` table. No row may have it.
pub const CUSTOM: &str = "custom";

const TABLE: &str = include_str!("table.toml");

/// A row of the table, parsed on first use.
struct LazyRow {
    text: &'static str,
    row: OnceLock<ProviderRow>,
}

static ROWS: LazyLock<BTreeMap<&'static str, LazyRow>> = LazyLock::new(|| {
    let sections = TABLE.split("\n[").skip(1).filter_map(|section| section.split_once("]\n"));
    sections.map(|(name, text)| (name, LazyRow { text, row: OnceLock::new() })).collect()
});

impl LazyRow {
    // A test parses every row, so the default is never used.
    fn row(&'static self) -> &'static ProviderRow {
        self.row.get_or_init(|| toml::from_str(self.text).unwrap_or_default())
    }
}

pub fn find(name: &str) -> Option<&'static ProviderRow> {
    ROWS.get(name).map(LazyRow::row)
}

/// Every provider with its row, sorted by name.
pub fn all() -> impl Iterator<Item = (&'static str, &'static ProviderRow)> {
    ROWS.iter().map(|(name, lazy)| (*name, lazy.row()))
}

/// Every provider's name, sorted. Parses no row.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.keys().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_a_valid_scheme() {
        let rows: BTreeMap<String, ProviderRow> = toml::from_str(TABLE).unwrap();
        assert!(rows.len() >= 224, "{}", rows.len());
        let whole: Vec<_> = rows.iter().map(|(name, row)| (name.as_str(), format!("{row:?}"))).collect();
        assert_eq!(all().map(|(name, row)| (name, format!("{row:?}"))).collect::<Vec<_>>(), whole);
        let mut wrong = Vec::new();
        for (name, row) in all() {
            assert!(!row.title.is_empty() && !row.provenance.is_empty() && name != CUSTOM, "{name}");
            if row.unsupported.is_some() {
                assert!(row.algorithm.is_empty() && row.signature.each().is_empty(), "{name}");
                continue;
            }
            match Scheme::from_row(row) {
                Ok(scheme) => {
                    assert!(scheme.event_id.or_fresh || !scheme.event_id.alternatives.is_empty(), "{name}");
                    assert_eq!(scheme.timestamp.is_some(), scheme.tolerance.is_some(), "{name}");
                }
                Err(errors) => wrong.extend(errors.iter().map(|error| format!("{name}: {error}"))),
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn rows_state_what_their_ids_identify() {
        let is_missing = |row: &ProviderRow| row.unsupported.is_none() && row.id_scope.is_none();
        let missing: Vec<_> = all().filter(|(_, row)| is_missing(row)).map(|(name, _)| name).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn unknown_names_find_no_provider() {
        assert!(find("github").is_some());
        assert!(find("GitHub").is_none() && find("").is_none() && find(CUSTOM).is_none());
    }
}
