//! Text for the terminal: times, counts, and remarks on stderr.

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

/// Prints a line on stderr, next to the result on stdout.
pub(crate) fn remark(line: impl AsRef<str>) {
    // A closed stderr is no reason to fail.
    writeln!(io::stderr(), "{}", line.as_ref()).unwrap_or_default();
}

/// Prints a line on stdout.
pub(crate) fn print_line(line: impl AsRef<str>) -> io::Result<()> {
    writeln!(io::stdout(), "{}", line.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instant_is_shown_to_the_second() {
        assert_eq!(instant(Millis(1_769_860_800_007)), "2026-01-31T12:00:00Z");
    }
}
