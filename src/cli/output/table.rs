//! Tables, fitted to the terminal and colored.
//!
//! In a pipe they are neither wrapped nor colored: one line per row, for `grep` and `cut`.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, presets};

use crate::cli::failure::Failure;
use crate::cli::output::terminal::shown;
use crate::model::event::{EventState, JobState};

/// In narrower terminals, tables are not wrapped: the terminal's own line breaks are easier to read.
const NARROW: u16 = 72;

/// A table without borders.
#[derive(Debug)]
pub(crate) struct Rows(Table);

impl Rows {
    pub(crate) fn new(header: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header.iter().map(|name| {
            let cell = Cell::new(name);
            if has_colors() { cell.add_attribute(Attribute::Bold) } else { cell }
        }));
        if table.width().is_some_and(|width| width >= NARROW) {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self(table)
    }

    /// Never wraps these columns.
    pub(crate) fn rigid(mut self, names: &[&str]) -> Self {
        let is_rigid = |cell: &Cell| names.contains(&cell.content().as_str());
        let header: Vec<_> = self.0.header().into_iter().flat_map(|row| row.cell_iter().map(is_rigid)).collect();
        for (column, is_rigid) in self.0.column_iter_mut().zip(header) {
            if is_rigid {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        self
    }

    /// Adds a row of untrusted text. States are colored.
    pub(crate) fn add<const N: usize>(&mut self, cells: [&str; N]) {
        let is_state = |word: &str| word.parse::<JobState>().is_ok() || word.parse::<EventState>().is_ok();
        self.add_cells(cells.map(|word| if is_state(word) { state(word) } else { text(word) }));
    }

    pub(crate) fn add_cells<const N: usize>(&mut self, cells: [Cell; N]) {
        self.0.add_row(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn print(&self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{self}")?;
        Ok(out.flush()?)
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.0.lines().enumerate() {
            let separator = if index > 0 { "\n" } else { "" };
            write!(f, "{separator}{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Follows <https://no-color.org>.
fn has_colors() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A cell of untrusted text.
pub(crate) fn text(text: &str) -> Cell {
    Cell::new(shown(text))
}

/// A right-aligned number.
pub(crate) fn number(number: i64) -> Cell {
    Cell::new(number).set_alignment(CellAlignment::Right)
}

/// A colored state of an event or a job.
pub(crate) fn state(word: &str) -> Cell {
    let cell = Cell::new(word);
    match color(word) {
        Some(color) if has_colors() => cell.fg(color),
        _ => cell,
    }
}

fn color(word: &str) -> Option<Color> {
    match word {
        "succeeded" => Some(Color::Green),
        "dead" => Some(Color::Red),
        "running" => Some(Color::Cyan),
        "pending" => Some(Color::Yellow),
        "skipped" | "unmatched" => Some(Color::DarkGrey),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_color() {
        let words = JobState::ALL.iter().map(|state| state.as_str());
        for word in words.chain(EventState::ALL.iter().map(|state| state.as_str())) {
            assert!(color(word).is_some(), "{word}");
        }
    }

    #[test]
    fn row_is_one_line_without_control_characters() {
        let mut rows = Rows::new(&["A", "B"]);
        assert!(rows.is_empty());
        rows.add(["one", "x\n\u{1b}y"]);
        rows.add(["longer", ""]);
        assert_eq!(rows.to_string(), "A       B\none     x\\n\\u{1b}y\nlonger");
    }
}
