//! Problems of a configuration file: collected while it is read, with their lines and keys, and reported together.
//!
//! A problem may quote names, numbers and paths, never a secret.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A position in the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct FilePosition {
    /// Counted from 1; `None` for the file as a whole.
    pub(super) line: Option<usize>,
    /// Dotted, from the root: `sources.github.secret`. Empty for the file as a whole.
    pub(super) key: String,
}

impl FilePosition {
    /// The position of a key in this table, with quotes and escapes where the key has unusual characters.
    pub(super) fn child(&self, line: Option<usize>, key: &str) -> Self {
        let is_bare = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
        let key = if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { format!("{key:?}") };
        Self { line, key: if self.key.is_empty() { key } else { format!("{}.{key}", self.key) } }
    }

    /// The last part of the key, without an index into a list.
    pub(super) fn last_key(&self) -> &str {
        let key = self.key.rsplit('.').next().unwrap_or_default();
        key.split('[').next().unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Counted from 1.
    pub line: Option<usize>,
    /// Dotted: `sources.github.secret`.
    pub key: Option<String>,
    pub message: String,
    /// Next steps.
    pub hints: Vec<String>,
}

impl Problem {
    pub(super) fn at(position: &FilePosition, message: impl Into<String>) -> Self {
        let key = Some(&position.key).filter(|key| !key.is_empty()).cloned();
        Self { line: position.line, key, message: message.into(), hints: Vec::new() }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Whether it is about this key or one below it.
    pub(super) fn is_within(&self, key: &str) -> bool {
        let rest = self.key.as_ref().and_then(|own| own.strip_prefix(key));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }

    /// Whether it is about one of exactly these keys.
    pub(super) fn is_at(&self, keys: &[&str]) -> bool {
        self.key.as_deref().is_some_and(|key| keys.contains(&key))
    }
}

/// Collects problems while the file is read.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    /// Returns the value, or collects the problem.
    pub(super) fn ok<T>(&self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.add(problem)).ok()
    }

    pub(super) fn any_within(&self, key: &str) -> bool {
        self.0.borrow().iter().any(|problem| problem.is_within(key))
    }

    /// Returns `value` if none of the problems is `relevant`.
    pub(super) fn settle<T>(
        self,
        file: &Path,
        value: T,
        relevant: impl Fn(&Problem) -> bool,
    ) -> Result<T, ConfigErrors> {
        let mut problems = self.0.into_inner();
        problems.retain(relevant);
        if problems.is_empty() { Ok(value) } else { Err(ConfigErrors::new(file, problems)) }
    }
}

/// Looks up an environment variable.
pub type EnvLookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Turns a byte offset into a line number, counted from 1.
pub(super) struct LineIndex(Vec<usize>);

impl LineIndex {
    pub(super) fn new(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(offset, _)| offset).collect())
    }

    pub(super) fn line_at(&self, offset: usize) -> usize {
        self.0.partition_point(|newline| *newline < offset) + 1
    }
}

/// What all values of one file share.
pub(super) struct ReadContext<'a> {
    pub(super) lines: LineIndex,
    pub(super) problems: Problems,
    /// The folder of the file, absolute.
    pub(super) folder: &'a Path,
    pub(super) environment: EnvLookup<'a>,
}

impl ReadContext<'_> {
    /// Makes a path of the file absolute and removes its `.` parts.
    pub(super) fn absolute(&self, path: &str) -> PathBuf {
        self.folder.join(path).components().collect()
    }
}

/// All problems of one file, in the order of their lines; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    file: String,
    problems: Vec<Problem>,
}

impl ConfigErrors {
    pub(super) fn new(file: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.line);
        Self { file: file.display().to_string(), problems }
    }

    /// The file as it was named on the command line.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "error: {}:", self.file)?;
            if let Some(line) = problem.line {
                write!(f, "{line}:")?;
            }
            if let Some(key) = &problem.key {
                write!(f, " `{key}`:")?;
            }
            write!(f, " {}", problem.message)?;
            for hint in &problem.hints {
                write!(f, "\nhint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The name that was most likely meant, if one is close enough.
#[must_use]
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::damerau_levenshtein(&word.to_lowercase(), name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_offsets_become_line_numbers() {
        let lines = LineIndex::new("a\n\nb\n");
        assert_eq!([0, 1, 2, 3, 4, 5].map(|offset| lines.line_at(offset)), [1, 1, 2, 3, 3, 4]);
    }

    #[test]
    fn problems_print_in_the_order_of_the_file_with_their_hints() {
        let position = |line, key: &str| FilePosition { line, key: key.to_owned() };
        let problems = Problems::default();
        problems.add(Problem::at(&position(Some(9), "server.listen"), "no address").hint("one").hint("two"));
        problems.add(Problem::at(&position(Some(2), ""), "unclosed array"));
        problems.add(Problem::at(&position(None, "sources"), "missing"));
        let errors = problems.settle(Path::new("dir/hookbox.toml"), (), |_| true).unwrap_err();
        assert_eq!(
            errors.to_string(),
            "error: dir/hookbox.toml: `sources`: missing\n\
             error: dir/hookbox.toml:2: unclosed array\n\
             error: dir/hookbox.toml:9: `server.listen`: no address\nhint: one\nhint: two"
        );
        assert_eq!(Problems::default().settle(Path::new("f"), 7, |_| true), Ok(7));
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        let names = ["listen", "max_body", "max_in_flight"];
        for (written, expected) in [
            ("Listen", Some("listen")),
            ("lisetn", Some("listen")),
            ("max_inflight", Some("max_in_flight")),
            ("colour", None),
        ] {
            assert_eq!(nearest(written, names.into_iter()), expected, "{written}");
        }
    }
}
