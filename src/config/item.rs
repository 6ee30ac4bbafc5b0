//! One value of the file and where it stands, turned into what was asked for.
//!
//! A value goes in; text, a number, a span, a size or a list comes out, or a [`Problem`] that says what was
//! expected and what was found. The value itself is quoted only where it cannot be a secret.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use toml::de::DeValue;

use super::problem::{Place, Problem};

/// Turns an offset in bytes into a line, counted from 1.
#[derive(Debug)]
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn new(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(offset, _)| offset).collect())
    }

    pub(super) fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|newline| *newline < offset) + 1
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    pub(super) value: &'a DeValue<'a>,
    pub(super) place: Place,
    pub(super) lines: &'a Lines,
}

impl<'a> Item<'a> {
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::at(&self.place, message)
    }

    /// For a value of another type than `expected`.
    pub(super) fn unexpected(&self, expected: &str) -> Problem {
        self.problem(format!("expected {expected}, found {}", kind(self.value)))
    }

    pub(super) fn text(&self) -> Result<&'a str, Problem> {
        self.value.as_str().ok_or_else(|| self.unexpected("a string"))
    }

    /// Text that is not empty and can be a path, an argument or a name for the system.
    pub(super) fn truth(&self) -> Result<bool, Problem> {
        self.value.as_bool().ok_or_else(|| self.unexpected("true or false"))
    }

    pub(super) fn system_text(&self) -> Result<&'a str, Problem> {
        match self.text()? {
            "" => Err(self.problem("is empty")),
            text if text.contains('\0') => Err(self.problem("contains a NUL character")),
            text => Ok(text),
        }
    }

    pub(super) fn whole(&self, range: &RangeInclusive<i64>) -> Result<i64, Problem> {
        let number = self.value.as_integer().ok_or_else(|| self.unexpected("an integer"))?;
        match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) if range.contains(&value) => Ok(value),
            _ => Err(self.problem(format!("must be between {} and {}, is {number}", range.start(), range.end()))),
        }
    }

    /// A number from 0 to 1.
    pub(super) fn share(&self) -> Result<f64, Problem> {
        let written = match self.value {
            DeValue::Integer(number) => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => return Err(self.unexpected("a number")),
        };
        match written.parse::<f64>() {
            Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
            _ => Err(self.problem(format!("must be between 0 and 1, is {written}"))),
        }
    }

    pub(super) fn duration(&self, range: &RangeInclusive<Duration>) -> Result<Duration, Problem> {
        let hint = "durations are written \"500ms\", \"30s\", \"5m\", \"2h 30m\" or \"7d\"";
        let text = self.value.as_str().ok_or_else(|| self.unexpected("a duration").hint(hint))?;
        let value = humantime::parse_duration(text)
            .map_err(|_| self.problem(format!("{text:?} is not a duration")).hint(hint))?;
        self.within(value, range, humantime::format_duration)
    }

    pub(super) fn size(&self, range: &RangeInclusive<u64>) -> Result<u64, Problem> {
        let hint = "sizes are written \"64KiB\", \"8MiB\" or \"1GB\"";
        let text = self.value.as_str().ok_or_else(|| self.unexpected("a size").hint(hint))?;
        let value: ByteSize = text.parse().map_err(|_| self.problem(format!("{text:?} is not a size")).hint(hint))?;
        self.within(value.as_u64(), range, ByteSize)
    }

    fn within<T, S>(&self, value: T, range: &RangeInclusive<T>, shown: impl Fn(T) -> S) -> Result<T, Problem>
    where
        T: Copy + PartialOrd,
        S: Display,
    {
        if range.contains(&value) {
            return Ok(value);
        }
        let [value, least, most] = [value, *range.start(), *range.end()].map(shown);
        Err(self.problem(format!("must be between {least} and {most}, is {value}")))
    }

    /// The elements of a list, each with its own place.
    pub(super) fn items(&self) -> Option<Vec<Self>> {
        let elements = self.value.as_array()?.iter().enumerate();
        Some(
            elements
                .map(|(index, element)| Item {
                    value: element.get_ref(),
                    place: Place {
                        line: Some(self.lines.at(element.span().start)),
                        key: format!("{}[{index}]", self.place.key),
                    },
                    lines: self.lines,
                })
                .collect(),
        )
    }

    /// Itself, or the elements where it is a list.
    pub(super) fn one_or_more(&self) -> Vec<Self> {
        self.items().unwrap_or_else(|| vec![self.clone()])
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(toml: &str, read: impl FnOnce(&Item<'_>) -> T) -> T {
        let value = DeValue::parse(toml).unwrap();
        let lines = Lines::new(toml);
        read(&Item { value: value.get_ref(), place: Place { line: Some(1), key: "k".to_owned() }, lines: &lines })
    }

    #[test]
    fn offsets_become_lines() {
        let lines = Lines::new("a\n\nb\n");
        assert_eq!([0, 1, 2, 3, 4, 5].map(|offset| lines.at(offset)), [1, 1, 2, 3, 3, 4]);
    }

    #[test]
    fn durations_are_read_or_say_what_is_wrong() {
        let range = Duration::from_millis(1)..=Duration::from_secs(3600);
        for (toml, result) in [
            ("'30s'", Ok(30_000)),
            ("'1m 30s'", Ok(90_000)),
            ("'1h'", Ok(3_600_000)),
            ("'0s'", Err("must be between 1ms and 1h, is 0s")),
            ("'1day'", Err("must be between 1ms and 1h, is 1day")),
            ("'30'", Err("\"30\" is not a duration")),
            ("''", Err("\"\" is not a duration")),
            ("'soon'", Err("\"soon\" is not a duration")),
            ("30", Err("expected a duration, found an integer")),
            ("{}", Err("expected a duration, found a table")),
        ] {
            let read = with(toml, |item| item.duration(&range));
            assert_eq!(
                read.map(|span| span.as_millis()).map_err(|problem| problem.message),
                result.map_err(ToOwned::to_owned),
                "{toml}"
            );
        }
    }

    #[test]
    fn sizes_are_read_or_say_what_is_wrong() {
        for (toml, result) in [
            ("'8MiB'", Ok(8 << 20)),
            ("'1MB'", Ok(1_000_000)),
            ("'1.5 KiB'", Ok(1536)),
            ("'17'", Ok(17)),
            ("'0B'", Err("must be between 1 B and 1.0 GiB, is 0 B")),
            ("'2TiB'", Err("must be between 1 B and 1.0 GiB, is 2.0 TiB")),
            ("'-1MiB'", Err("\"-1MiB\" is not a size")),
            ("'big'", Err("\"big\" is not a size")),
            ("8", Err("expected a size, found an integer")),
        ] {
            let read = with(toml, |item| item.size(&(1..=1 << 30)));
            assert_eq!(read.map_err(|problem| problem.message), result.map_err(ToOwned::to_owned), "{toml}");
        }
    }

    #[test]
    fn numbers_are_read_or_say_what_is_wrong() {
        for (toml, result) in [
            ("1", Ok(1)),
            ("0x1F", Ok(31)),
            ("3_0", Ok(30)),
            ("0", Err("must be between 1 and 64, is 0")),
            ("-5", Err("must be between 1 and 64, is -5")),
            ("99999999999999999999", Err("must be between 1 and 64, is 99999999999999999999")),
            ("1.0", Err("expected an integer, found a float")),
            ("'1'", Err("expected an integer, found a string")),
        ] {
            let read = with(toml, |item| item.whole(&(1..=64)));
            assert_eq!(read.map_err(|problem| problem.message), result.map_err(ToOwned::to_owned), "{toml}");
        }
        for (toml, result) in [
            ("0.1", Ok(0.1)),
            ("1", Ok(1.0)),
            ("1.01", Err("must be between 0 and 1, is 1.01")),
            ("nan", Err("must be between 0 and 1, is nan")),
            ("-0.5", Err("must be between 0 and 1, is -0.5")),
            ("true", Err("expected a number, found a boolean")),
        ] {
            let read = with(toml, |item| item.share());
            assert_eq!(read.map_err(|problem| problem.message), result.map_err(ToOwned::to_owned), "{toml}");
        }
    }
}
