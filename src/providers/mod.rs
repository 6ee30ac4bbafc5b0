//! Providers as data: one row says where the signature is, how it is made, and where id and type are.
//!
//! Rows stand in `table.toml`, embedded; `custom` sources write the same keys under `[sources.NAME.verify]`.
//! [`Row`] is what was written, [`Scheme`] what it means. Adding a provider is a row, no code: the engine in
//! `verify` interprets what stands here and knows no provider by name.

mod coverage;
mod describe;
mod handshake;
mod keys;
mod pair;
mod parse;

mod auth;
mod place;
mod pointer;
mod private;
mod public_key;
mod row;
mod sample;
mod scheme;
mod selectors;
mod template;

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

pub use auth::{
    Algorithm, AuthMethod, BuiltinScheme, Encoding, Hash, JwtAlgorithm, JwtScheme, NamedAlgorithms, TemplateSignature,
};
pub use describe::{describe, listed};
pub use handshake::{
    Characters, Expectation, Handshake, HandshakeCondition, HandshakeResponse, HandshakeSelector, Setting,
};
pub use pair::GeneratedKeys;
pub use place::ValueLocation;
pub use pointer::{BatchLocation, Pointer};
pub use public_key::{KeyKind, PublicKey};
pub use row::{OneOrMany, ProviderRow, RowError, SelectorEntry};
pub use sample::sample;
pub use scheme::{
    KeySource, RequiredSettings, Scheme, SecretDecoding, SignatureSyntax, SuccessResponse, Timestamp,
    TimestampLocation, TimestampUnit,
};
pub use selectors::{EventId, EventType, Selector};
pub use template::TemplateSegment;

/// The name that stands for a source's own `verify` table; no row may take it.
pub const CUSTOM: &str = "custom";

const TABLE: &str = include_str!("table.toml");

/// A row as it stands in the table, read when someone asks for it.
struct Written {
    text: &'static str,
    row: OnceLock<ProviderRow>,
}

static ROWS: LazyLock<BTreeMap<&'static str, Written>> = LazyLock::new(|| {
    let named = |section: &'static str| section.split_once("]\n");
    let sections = TABLE.split("\n[").skip(1).filter_map(named);
    sections.map(|(name, text)| (name, Written { text, row: OnceLock::new() })).collect()
});

impl Written {
    // A test reads every row, so that none can be empty here.
    fn row(&'static self) -> &'static ProviderRow {
        self.row.get_or_init(|| toml::from_str(self.text).unwrap_or_default())
    }
}

/// The row of a provider.
#[must_use]
pub fn find(name: &str) -> Option<&'static ProviderRow> {
    ROWS.get(name).map(Written::row)
}

/// Every provider's name and row, in the order of names.
pub fn all() -> impl Iterator<Item = (&'static str, &'static ProviderRow)> {
    ROWS.iter().map(|(name, written)| (*name, written.row()))
}

/// Every provider's name, in order; no row is read for it.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.keys().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_a_whole_scheme() {
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
    fn an_unknown_name_is_no_provider() {
        assert!(find("github").is_some());
        assert!(find("GitHub").is_none() && find("").is_none() && find(CUSTOM).is_none());
    }
}
