//! One section of the file: takes its keys one by one, each as what it has to be.
//!
//! A table with places goes in, typed values come out. A key that is absent is `None`; one that is wrong is `None`
//! too, and noted among the problems, so that reading goes on and all of them come to light. Unknown keys are
//! noted when the section is opened. What the values mean together is left to the readers of the sections.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::item::{Item, Lines};
use super::keys::Keys;
use super::problem::{Place, Problem, Problems};

/// What the sections of one file share.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) lines: Lines,
    pub(super) problems: Problems,
}

/// A table, open for reading; empty where the file does not have it.
#[derive(Debug)]
pub(super) struct Section<'a> {
    place: Place,
    table: Option<&'a DeTable<'a>>,
    sheet: &'a Sheet,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(table: &'a DeTable<'a>, keys: &Keys, sheet: &'a Sheet) -> Self {
        Section { place: Place::default(), table: Some(table), sheet }.checked(keys)
    }

    /// A section without its keys checked: for tables whose keys are the user's own.
    pub(super) fn open(item: &Item<'a>, sheet: &'a Sheet) -> Result<Self, Problem> {
        let table = item.value.as_table().ok_or_else(|| item.unexpected("a table"))?;
        Ok(Section { place: item.place.clone(), table: Some(table), sheet })
    }

    /// Notes every key that `keys` does not list.
    pub(super) fn checked(self, keys: &Keys) -> Self {
        for (name, item) in self.entries() {
            if keys.known.contains(&name) {
                continue;
            }
            let problem = item.problem("unknown key").hint(keys.hint(name));
            self.sheet.problems.add(problem);
        }
        self
    }

    pub(super) fn sheet(&self) -> &'a Sheet {
        self.sheet
    }

    pub(super) fn problems(&self) -> &'a Problems {
        &self.sheet.problems
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// A problem with a key, whether or not it is there.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        match self.item(key) {
            Some(item) => item.problem(message),
            None => Problem::at(&Place { line: self.place.line, key: dotted(&self.place.key, key) }, message),
        }
    }

    pub(super) fn item(&self, key: &str) -> Option<Item<'a>> {
        self.table.and_then(|table| table.get_key_value(key)).map(|(key, value)| self.entry(key, value).1)
    }

    /// Like [`Section::item`], for a key that must be there.
    pub(super) fn required(&self, key: &str, hint: &str) -> Option<Item<'a>> {
        let item = self.item(key);
        if item.is_none() {
            self.problems().add(self.problem(key, "is missing").hint(hint));
        }
        item
    }

    pub(super) fn take<T>(&self, key: &str, read: impl FnOnce(&Item<'a>) -> Result<T, Problem>) -> Option<T> {
        self.item(key).and_then(|item| self.problems().keep(read(&item)))
    }

    pub(super) fn whole(&self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        self.take(key, |item| item.whole(&range))
    }

    pub(super) fn duration(&self, key: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.take(key, |item| item.duration(&range))
    }

    pub(super) fn size(&self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        self.take(key, |item| item.size(&range))
    }

    /// The elements of a list, each read by itself; none of them where one is wrong.
    pub(super) fn list<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Item<'a>) -> Result<T, Problem>,
    ) -> Option<Vec<T>> {
        let items = self.take(key, |item| item.items().ok_or_else(|| item.unexpected(expected)))?;
        let read: Vec<_> = items.iter().map(|item| self.problems().keep(read(item))).collect();
        read.into_iter().collect()
    }

    /// A section inside this one; empty where it is absent or no table.
    pub(super) fn section(&self, key: &str, keys: &Keys) -> Section<'a> {
        let absent = Section {
            place: Place { line: self.place.line, key: dotted(&self.place.key, key) },
            table: None,
            sheet: self.sheet,
        };
        self.take(key, |item| Section::open(item, self.sheet)).unwrap_or(absent).checked(keys)
    }

    /// All known keys but `taken` as a type that reads itself; what is wrong with a value is noted under its key.
    pub(super) fn decode<T: DeserializeOwned>(&self, keys: &Keys, taken: &[&str]) -> Option<T> {
        let is_wanted = |(key, _): &(&Spanned<DeString<'_>>, _)| {
            let key = key.get_ref().as_ref();
            keys.known.contains(&key) && !taken.contains(&key)
        };
        let pairs = self.table?.iter().filter(is_wanted).map(|(key, value)| (key.clone(), value.clone()));
        let mut rest: DeTable<'_> = pairs.collect();
        let mut is_whole = true;
        loop {
            let error = match T::deserialize(toml::Deserializer::from(Spanned::new(0..0, rest.clone()))) {
                Ok(value) => return is_whole.then_some(value),
                Err(error) => error,
            };
            let within =
                |value: &Spanned<DeValue<'_>>| error.span().is_some_and(|span| value.span().contains(&span.start));
            let culprit =
                rest.iter().find(|(_, value)| within(value)).map(|(key, _)| key.get_ref().clone().into_owned());
            match culprit {
                Some(key) => {
                    self.problems().add(self.problem(&key, error.message()));
                    rest.remove(key.as_str());
                    is_whole = false;
                }
                None if is_whole => {
                    self.problems().add(Problem::at(&self.place, error.message()));
                    return None;
                }
                None => return None,
            }
        }
    }

    /// The keys of this section, in the order of the file.
    pub(super) fn entries(&self) -> Vec<(&'a str, Item<'a>)> {
        let mut entries: Vec<_> = self.table.into_iter().flatten().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter().map(|(key, value)| self.entry(key, value)).collect()
    }

    fn entry(&self, key: &'a Spanned<DeString<'a>>, value: &'a Spanned<DeValue<'a>>) -> (&'a str, Item<'a>) {
        let name = key.get_ref().as_ref();
        let lines = &self.sheet.lines;
        let place = Place { line: Some(lines.at(key.span().start)), key: dotted(&self.place.key, name) };
        (name, Item { value: value.get_ref(), place, lines })
    }
}

/// `section.key`, with quotes where TOML wants them; whatever could garble a terminal is escaped.
fn dotted(section: &str, key: &str) -> String {
    let bare = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    let key = if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") };
    if section.is_empty() { key } else { format!("{section}.{key}") }
}
