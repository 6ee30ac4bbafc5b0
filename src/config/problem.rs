//! What is wrong with a configuration: every problem with its line, key, message and hints, all of them at once.
//!
//! The readers of the sections put problems in, [`ConfigErrors`] comes out and prints them in the order of the
//! file. A problem may quote names, numbers and paths; it never holds the text of a secret.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;

use serde::Serialize;

/// Where something stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// Counted from 1; `None` for what stands nowhere.
    pub(super) line: Option<usize>,
    /// Dotted, from the root: `sources.github.secret`; empty for the file as a whole.
    pub(super) key: String,
}

impl Place {
    /// The key itself, without its section and its place in a list.
    pub(super) fn last_key(&self) -> &str {
        let key = self.key.rsplit('.').next().unwrap_or_default();
        key.split('[').next().unwrap_or_default()
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Counted from 1.
    pub line: Option<usize>,
    /// Dotted: `sources.github.secret`.
    pub key: Option<String>,
    /// What is wrong with it.
    pub message: String,
    /// What to do next.
    pub hints: Vec<String>,
}

impl Problem {
    pub(super) fn at(place: &Place, message: impl Into<String>) -> Self {
        let key = Some(&place.key).filter(|key| !key.is_empty()).cloned();
        Self { line: place.line, key, message: message.into(), hints: Vec::new() }
    }

    /// Whether it is with this key or a key below it.
    pub(super) fn concerns(&self, key: &str) -> bool {
        let below =
            |own: &String| own.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.key.as_ref().is_some_and(below)
    }

    /// Whether it is with one of these keys itself.
    pub(super) fn is_one_of(&self, keys: &[&str]) -> bool {
        self.key.as_deref().is_some_and(|key| keys.contains(&key))
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// Gathers problems while sections are read.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    /// The value, or `None` once the problem is noted.
    pub(super) fn keep<T>(&self, result: Result<T, Problem>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problem) => {
                self.add(problem);
                None
            }
        }
    }

    /// Whether there is one with this key or a key below it.
    pub(super) fn concern(&self, key: &str) -> bool {
        self.0.borrow().iter().any(|problem| problem.concerns(key))
    }

    /// `value` if there are no problems that are `relevant`.
    pub(super) fn settle<T>(
        self,
        file: &Path,
        value: Option<T>,
        relevant: impl Fn(&Problem) -> bool,
    ) -> Result<T, ConfigErrors> {
        let mut problems = self.0.into_inner();
        problems.retain(relevant);
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => Err(ConfigErrors::new(file, problems)),
        }
    }
}

/// Everything that is wrong with one file; at least one problem.
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

    /// The file, as named.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// In the order of the file; what stands nowhere comes first.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_print_in_the_order_of_the_file_with_their_hints() {
        let place = |line, key: &str| Place { line, key: key.to_owned() };
        let problems = Problems::default();
        problems.add(Problem::at(&place(Some(9), "server.listen"), "no address").hint("one").hint("two"));
        problems.add(Problem::at(&place(Some(2), ""), "unclosed array"));
        problems.add(Problem::at(&place(None, "sources"), "missing"));
        let errors = problems.settle(Path::new("dir/hookbox.toml"), Some(()), |_| true).unwrap_err();
        assert_eq!(
            errors.to_string(),
            "error: dir/hookbox.toml: `sources`: missing\n\
             error: dir/hookbox.toml:2: unclosed array\n\
             error: dir/hookbox.toml:9: `server.listen`: no address\nhint: one\nhint: two"
        );
    }

    #[test]
    fn without_problems_there_is_the_value() {
        assert_eq!(Problems::default().settle(Path::new("f"), Some(7), |_| true), Ok(7));
    }
}
