//! JSON pointers (RFC 6901): to one place of a document, or to the items of a batch.
//!
//! Text goes in, steps come out, with `~0` and `~1` resolved once and for all.

use std::fmt;

/// A JSON pointer to something within a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    text: String,
    steps: Vec<String>,
}

impl Pointer {
    /// Reads a pointer: steps, each after a slash, with `~1` for a slash and `~0` for a tilde.
    ///
    /// # Errors
    /// Says what is wrong with it. The empty pointer (the whole document) is refused: that is no text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(format!("`{text}` is no JSON pointer: it does not begin with a slash"));
        };
        let steps = path.split('/').map(|step| unescape(step).ok_or(step));
        match steps.collect::<Result<_, _>>() {
            Ok(steps) => Ok(Self { text: text.to_owned(), steps }),
            Err(step) => Err(format!("`{step}` is no step of a JSON pointer: a tilde is written ~0, a slash ~1")),
        }
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The steps, unescaped; at least one.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn unescape(step: &str) -> Option<String> {
    let plain = step.replace("~1", "").replace("~0", "");
    (!plain.contains('~')).then(|| step.replace("~1", "/").replace("~0", "~"))
}

/// Where the events of a delivery are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLocation {
    /// The form's field that holds the array; `None` for the body.
    pub form: Option<String>,
    /// Steps to the array; none where it is the whole document.
    pub steps: Vec<String>,
    /// Steps from an element to the item; none where the element is the item.
    pub inner: Vec<String>,
}

impl BatchLocation {
    /// Reads the key `batch`.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        if let Some(field) = written.strip_prefix("form:") {
            let steps = Vec::new();
            return if field.is_empty() {
                Err("names no form field".to_owned())
            } else {
                Ok(Self { form: Some(field.to_owned()), steps, inner: Vec::new() })
            };
        }
        let steps = |path: &str| match path {
            "" => Ok(Vec::new()),
            path => Pointer::parse(path).map(|pointer| pointer.steps),
        };
        match written.split_once("/*") {
            Some((outer, inner)) => Ok(Self { form: None, steps: steps(outer)?, inner: steps(inner)? }),
            None => Ok(Self { form: None, steps: steps(written)?, inner: Vec::new() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_unescapes_slash_and_tilde() {
        assert_eq!(Pointer::parse("/a~1b/~01/").unwrap().steps(), ["a/b", "~1", ""]);
    }

    #[test]
    fn a_batch_is_a_pointer_a_form_field_or_the_body() {
        let batch = |form: Option<&str>, steps: &[&str], inner: &[&str]| BatchLocation {
            form: form.map(str::to_owned),
            steps: steps.iter().map(ToString::to_string).collect(),
            inner: inner.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(BatchLocation::parse(""), Ok(batch(None, &[], &[])));
        assert_eq!(BatchLocation::parse("/data/events"), Ok(batch(None, &["data", "events"], &[])));
        assert_eq!(BatchLocation::parse("/items/*/Item"), Ok(batch(None, &["items"], &["Item"])));
        assert_eq!(BatchLocation::parse("form:events"), Ok(batch(Some("events"), &[], &[])));
        for written in ["events", "form:", "/a/*b", "/~"] {
            assert!(BatchLocation::parse(written).is_err(), "{written}");
        }
    }
}
