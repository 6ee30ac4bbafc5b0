//! Random `verify` tables: selectors, templates and syntaxes are parsed or rejected, and nothing panics.
//!
//! The input is the table's TOML. `cargo fuzz run row`

#![no_main]

use hookbox::internals::{ProviderRow, Scheme};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|table: &str| {
    if let Ok(row) = toml::from_str::<ProviderRow>(table) {
        drop(Scheme::from_row(&row));
    }
});
