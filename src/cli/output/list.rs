//! Lists of any length: read page by page, printed as a table or as one JSON array.
//!
//! Each page is a short read of its own, so a long list never blocks the inbox. Rows that arrive in the meantime are
//! newer than every page, so no row appears twice.

use std::io::{self, Write as _};

use comfy_table::Cell;
use serde::Serialize;

use super::progress;
use super::table::Rows;
use crate::cli::args::Limit;
use crate::cli::failure::Failure;
use crate::model::filter::Page;

/// Rows per read.
const PAGE: u32 = 1_000;

/// How to print a list.
#[derive(Debug)]
pub(crate) struct ListFormat<'a> {
    pub(crate) limit: Limit,
    pub(crate) json: bool,
    /// Singular name of a row.
    pub(crate) noun: &'a str,
    pub(crate) header: &'a [&'a str],
    /// Columns that are never wrapped.
    pub(crate) rigid: &'a [&'a str],
}

impl ListFormat<'_> {
    /// Prints the rows that `read` returns, newest first. Returns false if a table would have been empty: then nothing
    /// was printed.
    pub(crate) fn print<T: Serialize, const N: usize>(
        &self,
        read: impl FnMut(Page) -> Result<Vec<T>, Failure>,
        key: impl Fn(&T) -> i64,
        cells: impl Fn(&T) -> [Cell; N],
    ) -> Result<bool, Failure> {
        let is_cut = if self.json {
            let mut array = Array::new();
            let is_cut = read_pages(self.limit, read, key, |row| array.push(row))?;
            array.end()?;
            is_cut
        } else {
            let mut rows = Rows::new(self.header).rigid(self.rigid);
            let is_cut = read_pages(self.limit, read, key, |row| {
                rows.add_cells(cells(row));
                Ok(())
            })?;
            if rows.is_empty() {
                return Ok(false);
            }
            rows.print()?;
            is_cut
        };
        self.limit.remark_if_cut(is_cut, self.noun);
        Ok(true)
    }
}

/// Calls `each` for at most `limit` rows, newest first. Returns whether there are more.
fn read_pages<T>(
    Limit { limit }: Limit,
    mut read: impl FnMut(Page) -> Result<Vec<T>, Failure>,
    key: impl Fn(&T) -> i64,
    mut each: impl FnMut(&T) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let mut left = limit;
    let mut before = None;
    loop {
        let page = Page { before, limit: left.saturating_add(1).min(PAGE), deadline: None };
        let rows = progress::spinner("searching", || read(page))?;
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

/// Prints one JSON array on stdout, one row per line.
pub(crate) fn print_json<T: Serialize>(rows: impl IntoIterator<Item = T>) -> Result<(), Failure> {
    let mut array = Array::new();
    for row in rows {
        array.push(&row)?;
    }
    array.end()
}

#[derive(Debug)]
struct Array {
    out: io::StdoutLock<'static>,
    is_empty: bool,
}

impl Array {
    fn new() -> Self {
        Self { out: io::stdout().lock(), is_empty: true }
    }

    fn push(&mut self, row: &impl Serialize) -> Result<(), Failure> {
        self.out.write_all(if self.is_empty { b"[\n" } else { b",\n" })?;
        self.is_empty = false;
        Ok(self.out.write_all(&serde_json::to_vec(row)?)?)
    }

    fn end(mut self) -> Result<(), Failure> {
        self.out.write_all(if self.is_empty { b"[]\n" } else { b"\n]\n" })?;
        Ok(self.out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_numbers(limit: u32, rows: i64) -> (Vec<i64>, bool) {
        let read = |page: Page| {
            let newest = page.before.map_or(rows, |before| before - 1);
            Ok((1..=newest).rev().take(page.limit as usize).collect())
        };
        let mut seen = Vec::new();
        let each = |row: &i64| {
            seen.push(*row);
            Ok(())
        };
        let is_cut = read_pages(Limit { limit }, read, |row| *row, each);
        (seen, is_cut.unwrap())
    }

    #[test]
    fn list_stops_at_its_limit_and_reports_the_cut() {
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
            let (seen, is_cut) = read_numbers(limit, rows);
            assert_eq!((seen.len(), is_cut), (expected, cut), "{limit} of {rows}");
            assert!(seen.windows(2).all(|pair| pair[0] == pair[1] + 1));
        }
    }
}
