//! Parses `or`: other ways to verify a delivery, each written as what differs from the row.

use crate::providers::row::{ProviderRow, RowError};
use crate::providers::scheme::Scheme;

/// The most alternatives of a row. A forged delivery costs one check for each.
const MAX_ALTERNATIVES: usize = 4;

/// One scheme for each table. Id and type are read in the same way for all of them.
pub(super) fn read(row: &ProviderRow) -> Result<Vec<Scheme>, Vec<RowError>> {
    if row.or.len() > MAX_ALTERNATIVES {
        return Err(vec![RowError::new("or", format!("has more than {MAX_ALTERNATIVES} tables"))]);
    }
    row.or.iter().map(|table| alternative(row, table)).collect()
}

fn alternative(row: &ProviderRow, table: &toml::Table) -> Result<Scheme, Vec<RowError>> {
    let wrong = |message: String| vec![RowError::new("or", message)];
    if let Some(key) = table.keys().find(|key| !is_of_signature(key)) {
        let error = RowError::new("or", format!("`{key}` cannot differ between the alternatives"));
        return Err(vec![error.hint("only keys from `signature` to `tolerance` can")]);
    }
    let mut merged = toml::Table::try_from(row).map_err(|error| wrong(error.to_string()))?;
    merged.remove("or");
    if table.contains_key("algorithm") {
        merged.retain(|key, _| !is_of_signature(key));
    }
    merged.extend(table.clone());
    let merged: ProviderRow = merged.try_into().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
    Scheme::from_row(&merged)
        .map_err(|errors| errors.iter().map(|error| RowError::new("or", error.to_string())).collect())
}

/// Whether the key is one from `signature` to `tolerance`.
fn is_of_signature(key: &str) -> bool {
    let at = |wanted: &str| ProviderRow::KEYS.iter().position(|key| *key == wanted);
    at(key).is_some_and(|place| at("signature").is_some_and(|first| first <= place) && Some(place) <= at("tolerance"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "signature = 'header:X'\nalgorithm = 'hmac-sha256'\nencoding = 'base64'\nevent_id = ['body']\n";

    fn errors(or: &str) -> Vec<String> {
        let row: ProviderRow = toml::from_str(&format!("{ROW}or = [{or}]")).unwrap();
        Scheme::from_row(&row).map_or_else(|errors| errors.iter().map(ToString::to_string).collect(), |_| Vec::new())
    }

    #[test]
    fn table_replaces_single_keys_or_all_with_an_algorithm() {
        assert!(errors("{ encoding = 'hex' }, { algorithm = 'token', signature = 'header:Y' }").is_empty());
        let inherited = errors("{ algorithm = 'token' }");
        assert_eq!(inherited, ["`or`: `signature`: names no location"]);
    }

    #[test]
    fn other_keys_and_a_fifth_table_are_rejected() {
        assert!(errors("{ event_id = ['none'] }")[0].contains("`event_id` cannot differ"));
        assert!(errors("{ or = [] }")[0].contains("`or` cannot differ"));
        assert!(errors("{ encoding = 'rot13' }")[0].contains("`rot13` is none of"));
        assert!(errors("{ encoding = 1 }")[0].contains("invalid type"));
        assert_eq!(errors("{}, {}, {}, {}, {}"), ["`or`: has more than 4 tables"]);
    }
}
