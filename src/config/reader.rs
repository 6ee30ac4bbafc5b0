//! Reads values of the configuration file: typed, with the line and the full key of everything that is wrong.
//!
//! A wrong value is reported and then read as absent, so that one run finds every problem. The keys of a table are those
//! that its reader asks for: [`TomlTable::report_unknown_keys`] reports the others. No key is written anywhere else.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::problem::{FilePosition, Problem, ReadContext, nearest};

/// A value and where it is.
#[derive(Clone)]
pub(super) struct TomlValue<'a> {
    pub(super) value: &'a DeValue<'a>,
    pub(super) position: FilePosition,
    pub(super) context: &'a ReadContext<'a>,
}

impl<'a> TomlValue<'a> {
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::at(&self.position, message)
    }

    /// The problem of a value that has another type than `expected`.
    pub(super) fn unexpected(&self, expected: &str) -> Problem {
        self.problem(format!("expected {expected}, found {}", type_name(self.value)))
    }

    pub(super) fn report(&self, problem: Problem) {
        self.context.problems.add(problem);
    }

    pub(super) fn text(&self) -> Result<&'a str, Problem> {
        self.value.as_str().ok_or_else(|| self.unexpected("a string"))
    }

    /// Text that can be passed to the system as a path, an argument or a name.
    pub(super) fn system_text(&self) -> Result<&'a str, Problem> {
        match self.text()? {
            "" => Err(self.problem("is empty")),
            text if text.contains('\0') => Err(self.problem("contains a NUL character")),
            text => Ok(text),
        }
    }

    /// A path, made absolute.
    pub(super) fn path(&self) -> Result<PathBuf, Problem> {
        Ok(self.context.absolute(self.system_text()?))
    }

    pub(super) fn boolean(&self) -> Result<bool, Problem> {
        self.value.as_bool().ok_or_else(|| self.unexpected("true or false"))
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: [(&str, T); 2]) -> Result<T, Problem> {
        let text = self.text()?;
        let [(one, _), (other, _)] = choices;
        let chosen = choices.into_iter().find(|(word, _)| *word == text).map(|(_, value)| value);
        chosen.ok_or_else(|| self.problem(format!("{text:?} is neither {one:?} nor {other:?}")))
    }

    pub(super) fn integer<T: TryFrom<i64>>(&self, range: &RangeInclusive<i64>) -> Result<T, Problem> {
        let number = self.value.as_integer().ok_or_else(|| self.unexpected("an integer"))?;
        let value = i64::from_str_radix(number.as_str(), number.radix()).ok().filter(|value| range.contains(value));
        value
            .and_then(|value| value.try_into().ok())
            .ok_or_else(|| self.problem(format!("must be between {} and {}, is {number}", range.start(), range.end())))
    }

    /// A number from 0 to 1.
    pub(super) fn fraction(&self) -> Result<f64, Problem> {
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
        let hint = "write a duration as \"500ms\", \"30s\", \"5m\", \"2h 30m\" or \"7d\"";
        let text = self.value.as_str().ok_or_else(|| self.unexpected("a duration").hint(hint))?;
        let value = humantime::parse_duration(text)
            .map_err(|_| self.problem(format!("{text:?} is not a duration")).hint(hint))?;
        self.in_range(value, range, humantime::format_duration)
    }

    /// A number of bytes.
    pub(super) fn size(&self, range: &RangeInclusive<u64>) -> Result<u64, Problem> {
        let hint = "write a size as \"64KiB\", \"8MiB\" or \"1GB\"";
        let text = self.value.as_str().ok_or_else(|| self.unexpected("a size").hint(hint))?;
        let value: ByteSize = text.parse().map_err(|_| self.problem(format!("{text:?} is not a size")).hint(hint))?;
        self.in_range(value.as_u64(), range, ByteSize)
    }

    fn in_range<T: Copy + PartialOrd, S: Display>(
        &self,
        value: T,
        range: &RangeInclusive<T>,
        shown: impl Fn(T) -> S,
    ) -> Result<T, Problem> {
        if range.contains(&value) {
            return Ok(value);
        }
        let [value, least, most] = [value, *range.start(), *range.end()].map(shown);
        Err(self.problem(format!("must be between {least} and {most}, is {value}")))
    }

    /// The elements of a list, each with its own position.
    pub(super) fn items(&self) -> Option<Vec<Self>> {
        let item = |(index, element): (usize, &'a Spanned<DeValue<'a>>)| {
            let line = self.context.lines.line_at(element.span().start);
            let position = FilePosition { line: Some(line), key: format!("{}[{index}]", self.position.key) };
            Self { value: element.get_ref(), position, context: self.context }
        };
        Some(self.value.as_array()?.iter().enumerate().map(item).collect())
    }

    /// The elements of a list, or the value itself.
    pub(super) fn one_or_more(&self) -> Vec<Self> {
        self.items().unwrap_or_else(|| vec![self.clone()])
    }

    pub(super) fn table(&self) -> Result<TomlTable<'a>, Problem> {
        let table = self.value.as_table().ok_or_else(|| self.unexpected("a table"))?;
        Ok(TomlTable::new(self.position.clone(), Some(table), self.context))
    }
}

/// A table. One that is absent from the file reads as empty.
pub(super) struct TomlTable<'a> {
    position: FilePosition,
    table: Option<&'a DeTable<'a>>,
    pub(super) context: &'a ReadContext<'a>,
    /// Keys that were asked for, in that order.
    known: RefCell<Vec<&'static str>>,
}

impl<'a> TomlTable<'a> {
    pub(super) fn new(position: FilePosition, table: Option<&'a DeTable<'a>>, context: &'a ReadContext<'a>) -> Self {
        Self { position, table, context, known: RefCell::default() }
    }

    pub(super) fn get(&self, key: &'static str) -> Option<TomlValue<'a>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        self.table?.get_key_value(key).map(|(key, value)| self.entry(key, value).1)
    }

    pub(super) fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// Like [`TomlTable::get`], for a key that must be present.
    pub(super) fn required(&self, key: &'static str, hint: &str) -> Option<TomlValue<'a>> {
        let value = self.get(key);
        if value.is_none() {
            self.report(key, "is missing", hint);
        }
        value
    }

    pub(super) fn read<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&TomlValue<'a>) -> Result<T, Problem>,
    ) -> Option<T> {
        self.get(key).and_then(|value| self.context.problems.ok(read(&value)))
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        self.read(key, TomlValue::boolean)
    }

    pub(super) fn integer<T: TryFrom<i64>>(&self, key: &'static str, range: RangeInclusive<i64>) -> Option<T> {
        self.read(key, |value| value.integer(&range))
    }

    pub(super) fn duration(&self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.read(key, |value| value.duration(&range))
    }

    pub(super) fn size(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.read(key, |value| value.size(&range))
    }

    /// The elements of a list; `None` if one of them is wrong.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&TomlValue<'a>) -> Result<T, Problem>,
    ) -> Option<Vec<T>> {
        let items = self.read(key, |value| value.items().ok_or_else(|| value.unexpected(expected)))?;
        let read: Vec<_> = items.iter().map(|item| self.context.problems.ok(read(item))).collect();
        read.into_iter().collect()
    }

    /// A table in this one; empty if it is absent or not a table.
    pub(super) fn table(&self, key: &'static str) -> TomlTable<'a> {
        let absent = || TomlTable::new(self.position_of(key), None, self.context);
        self.read(key, TomlValue::table).unwrap_or_else(absent)
    }

    /// Reports a problem with a key, present or not. An empty hint is left out.
    pub(super) fn report(&self, key: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        let (problem, hint) = (Problem::at(&self.position_of(key), message), hint.into());
        self.context.problems.add(if hint.is_empty() { problem } else { problem.hint(hint) });
    }

    /// Where the key is, or would be.
    fn position_of(&self, key: &'static str) -> FilePosition {
        self.get(key).map_or_else(|| self.position.child(self.position.line, key), |value| value.position)
    }

    /// Reports every key that was not asked for. Call it last.
    pub(super) fn report_unknown_keys(&self) {
        let known = self.known.borrow();
        for (name, value) in self.entries().into_iter().filter(|(name, _)| !known.contains(name)) {
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.position.key.is_empty() => {
                    format!("the sections of this file are `{}`", known.join("`, `"))
                }
                None => format!("the keys of [{}] are `{}`", self.position.key, known.join("`, `")),
            };
            self.context.problems.add(value.problem("unknown key").hint(hint));
        }
    }

    /// Reads `keys` as a type that deserializes itself. Each wrong value is reported under its key.
    pub(super) fn deserialize<T: DeserializeOwned>(&self, keys: impl Iterator<Item = &'static str>) -> Option<T> {
        let keys: Vec<_> = keys.filter(|key| self.has(key)).collect();
        let pairs = keys.iter().filter_map(|key| self.table?.get_key_value(*key));
        let mut rest: DeTable<'_> = pairs.map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut is_valid = true;
        loop {
            let error = match T::deserialize(toml::Deserializer::from(Spanned::new(0..0, rest.clone()))) {
                Ok(value) => return is_valid.then_some(value),
                Err(error) => error,
            };
            let is_culprit = |key: &&&str| {
                let value = rest.get(**key).zip(error.span());
                value.is_some_and(|(value, span)| value.span().contains(&span.start))
            };
            let Some(key) = keys.iter().find(is_culprit) else {
                if is_valid {
                    self.context.problems.add(Problem::at(&self.position, error.message()));
                }
                return None;
            };
            self.report(key, error.message(), "");
            rest.remove(*key);
            is_valid = false;
        }
    }

    /// All keys and values, in the order of the file.
    pub(super) fn entries(&self) -> Vec<(&'a str, TomlValue<'a>)> {
        let mut entries: Vec<_> = self.table.into_iter().flatten().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter().map(|(key, value)| self.entry(key, value)).collect()
    }

    fn entry(&self, key: &'a Spanned<DeString<'a>>, value: &'a Spanned<DeValue<'a>>) -> (&'a str, TomlValue<'a>) {
        let name = key.get_ref().as_ref();
        let position = self.position.child(Some(self.context.lines.line_at(key.span().start)), name);
        (name, TomlValue { value: value.get_ref(), position, context: self.context })
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
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
    use std::path::Path;

    use super::*;
    use crate::config::problem::{LineIndex, Problems};

    fn with<T>(toml: &str, read: impl FnOnce(&TomlValue<'_>) -> T) -> T {
        let value = DeValue::parse(toml).unwrap();
        let context = ReadContext {
            lines: LineIndex::new(toml),
            problems: Problems::default(),
            folder: Path::new("/"),
            environment: &|_| None,
        };
        let position = FilePosition { line: Some(1), key: "k".to_owned() };
        read(&TomlValue { value: value.get_ref(), position, context: &context })
    }

    #[test]
    fn durations_are_read_within_their_range() {
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
            let read = with(toml, |value| value.duration(&range));
            assert_eq!(
                read.map(|span| span.as_millis()).map_err(|problem| problem.message),
                result.map_err(ToOwned::to_owned),
                "{toml}"
            );
        }
    }

    #[test]
    fn sizes_are_read_within_their_range() {
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
            let read = with(toml, |value| value.size(&(1..=1 << 30)));
            assert_eq!(read.map_err(|problem| problem.message), result.map_err(ToOwned::to_owned), "{toml}");
        }
    }

    #[test]
    fn numbers_are_read_within_their_range() {
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
            let read = with(toml, |value| value.integer::<i64>(&(1..=64)));
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
            let read = with(toml, |value| value.fraction());
            assert_eq!(read.map_err(|problem| problem.message), result.map_err(ToOwned::to_owned), "{toml}");
        }
    }
}
