//! A source whose row has a few changes: checked like any other source, described for the operator, and written as a
//! section of the configuration.

use std::sync::Arc;

use super::probe::{Probe, ProbeResult};
use crate::config::Source;
use crate::providers::{CUSTOM, ProviderRow, Scheme};

#[derive(Clone)]
pub(super) struct RowVariant {
    pub(super) row: ProviderRow,
    /// The source's `url`, if it has another one or needs one.
    pub(super) url: Option<String>,
    pub(super) descriptions: Vec<String>,
}

impl RowVariant {
    pub(super) fn of(source: &Source) -> Self {
        Self { row: (*source.scheme.row.0).clone(), url: None, descriptions: Vec::new() }
    }

    pub(super) fn with(&self, change: impl FnOnce(&mut ProviderRow), description: impl Into<String>) -> Self {
        let mut variant = self.clone();
        change(&mut variant.row);
        variant.descriptions.push(description.into());
        variant
    }

    /// The source with this row; `None` if the configuration would reject it.
    pub(super) fn source(&self, base: &Source) -> Option<Source> {
        let scheme = Scheme::from_row(&self.row).ok()?;
        let scheme = match base.key_ids.first() {
            Some(key_id) => scheme.with_key_id(key_id.reveal()),
            None => scheme,
        };
        let urls = self.url.clone().map_or_else(|| base.urls.clone(), |url| vec![url]);
        Some(Source { scheme: Arc::new(scheme), urls, ..base.clone() })
    }

    /// Whether the signature matches with this row.
    pub(super) fn matches(&self, probe: &Probe<'_>) -> bool {
        self.source(probe.source).is_some_and(|source| probe.check(&source).is_match())
    }

    /// Whether the delivery would be accepted with this row.
    pub(super) fn accepts(&self, probe: &Probe<'_>) -> bool {
        self.source(probe.source).is_some_and(|source| matches!(probe.check(&source), ProbeResult::Matches))
    }

    /// `made with SHA-1 and written in base64`
    pub(super) fn description(&self) -> String {
        self.descriptions.join(" and ")
    }

    /// The section that makes the source verify deliveries like this variant; its other keys stay as they are.
    pub(super) fn settings(&self, source: &Source) -> Option<String> {
        let mut section = toml::Table::new();
        if source.provider != CUSTOM {
            section.insert("provider".to_owned(), CUSTOM.into());
        }
        if let Some(url) = &self.url {
            section.insert("url".to_owned(), url.as_str().into());
        }
        section.insert("verify".to_owned(), toml::Value::Table(self.verify_table()?));
        section_of(source, section)
    }

    /// The keys of a `verify` table that differ from their defaults.
    fn verify_table(&self) -> Option<toml::Table> {
        let defaults = toml::Table::try_from(ProviderRow::default()).ok()?;
        let mut table = toml::Table::try_from(&self.row).ok()?;
        table.retain(|key, value| {
            let is_default = defaults.get(key) == Some(value) && key != "event_id";
            !is_default && !ProviderRow::DESCRIPTIVE.contains(&key)
        });
        Some(table)
    }

    /// The changed keys, as written in a `verify` table.
    pub(super) fn changed_keys(&self, source: &Source) -> String {
        let (before, after) = (Self::of(source).verify_table(), self.verify_table());
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(*value));
        let written = changed.map(|(key, value)| format!("`{key} = {value}`"));
        let removed = before.keys().filter(|key| !after.contains_key(*key)).map(|key| format!("no `{key}`"));
        written.chain(removed).collect::<Vec<_>>().join(", ")
    }
}

/// One key of the source, as a section.
pub(super) fn setting(source: &Source, key: &str, value: impl Into<toml::Value>) -> Option<String> {
    section_of(source, toml::Table::from_iter([(key.to_owned(), value.into())]))
}

fn section_of(source: &Source, section: toml::Table) -> Option<String> {
    let wrapped = |name: &str, table| toml::Table::from_iter([(name.to_owned(), toml::Value::Table(table))]);
    toml::to_string(&wrapped("sources", wrapped(&source.name, section))).ok().map(|text| text.trim_end().to_owned())
}
