//! What only a terminal needs beside [`crate::support::humanize`]: instants in short, and remarks beside the result.
//!
//! Values come in, text goes out; remarks go to stderr. Tables are [`crate::cli::output::table`]'s.

use std::io::{self, Write as _};

use crate::support::time::Millis;

pub(crate) use crate::support::humanize::{count, grouped, relative, shown, shown_lines, span};

/// `2026-01-31T12:00:00Z`
pub(crate) fn instant(at: Millis) -> String {
    let text = at.to_rfc3339();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// Says something beside the result, on stderr.
pub(crate) fn remark(line: impl AsRef<str>) {
    // With stderr gone there is nobody left to tell.
    writeln!(io::stderr(), "{}", line.as_ref()).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_told_to_the_second() {
        assert_eq!(instant(Millis(1_769_860_800_007)), "2026-01-31T12:00:00Z");
    }
}
