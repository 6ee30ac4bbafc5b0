//! Lists of any length: read page by page, so that nothing holds up the inbox, and printed as they come.
//!
//! Each page is a short read of its own. What arrives in between is newer than every page, so nothing comes twice.

use crate::model::filter::Page;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::cli::args::Limit;
use crate::cli::failure::Failure;
use crate::cli::output::progress;

/// Rows read at once.
const PAGE: u32 = 1_000;

/// Calls `each` with the rows that `read` hands out, newest first. Tells whether there are more than the limit.
pub(crate) fn walk<T>(
    Limit { limit }: Limit,
    mut read: impl FnMut(Page) -> Result<Vec<T>, Failure>,
    key: impl Fn(&T) -> i64,
    mut each: impl FnMut(&T) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let mut left = limit;
    let mut before = None;
    loop {
        let page = Page { before, limit: left.saturating_add(1).min(PAGE), deadline: None };
        let rows = progress::waiting("searching", || read(page))?;
        for row in &rows {
            if left == 0 {
                return Ok(true);
            }
            each(row)?;
            left -= 1;
        }
        if rows.len() < page.limit as usize {
            return Ok(false);
        }
        before = rows.last().map(&key);
    }
}

/// Prints rows as one JSON array on stdout, one row per line.
#[derive(Debug)]
pub(crate) struct Array {
    out: io::StdoutLock<'static>,
    is_empty: bool,
}

impl Array {
    pub(crate) fn new() -> Self {
        Self { out: io::stdout().lock(), is_empty: true }
    }

    pub(crate) fn push(&mut self, row: &impl Serialize) -> Result<(), Failure> {
        self.out.write_all(if self.is_empty { b"[\n" } else { b",\n" })?;
        self.is_empty = false;
        Ok(self.out.write_all(&serde_json::to_vec(row)?)?)
    }

    pub(crate) fn end(mut self) -> Result<(), Failure> {
        self.out.write_all(if self.is_empty { b"[]\n" } else { b"\n]\n" })?;
        Ok(self.out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(limit: u32, rows: i64) -> (Vec<i64>, bool) {
        let read = |page: Page| {
            let newest = page.before.map_or(rows, |before| before - 1);
            Ok((1..=newest).rev().take(page.limit as usize).collect())
        };
        let mut seen = Vec::new();
        let is_cut = walk(
            Limit { limit },
            read,
            |row| *row,
            |row| {
                seen.push(*row);
                Ok(())
            },
        );
        (seen, is_cut.unwrap())
    }

    #[test]
    fn a_list_ends_at_its_limit_or_its_last_row_and_says_which() {
        for (limit, rows, expected, cut) in [
            (50, 0, 0, false),
            (50, 49, 49, false),
            (50, 50, 50, false),
            (50, 51, 50, true),
            (999, 2000, 999, true),
            (1000, 1000, 1000, false),
            (1000, 1001, 1000, true),
            (2500, 2600, 2500, true),
            (5000, 2600, 2600, false),
            (u32::MAX, 2000, 2000, false),
        ] {
            let (seen, is_cut) = walked(limit, rows);
            assert_eq!((seen.len(), is_cut), (expected, cut), "{limit} of {rows}");
            assert!(seen.windows(2).all(|pair| pair[0] == pair[1] + 1));
        }
    }
}
