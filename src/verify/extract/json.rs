//! Reads the strings and numbers at a few places of a JSON document.
//!
//! The whole document must be valid JSON. Numbers are returned exactly as written. The last of duplicate keys wins, as
//! in the parsers that handlers use, so that hookbox and a handler read the same id.

use std::borrow::Cow;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::providers::Pointer;
use crate::support::json_paths::JsonPaths;
pub(crate) use crate::support::json_paths::NotJson;

/// JSON pointers that are read in one pass.
#[derive(Debug, Default)]
pub(crate) struct Pointers {
    pointers: Vec<Pointer>,
    places: JsonPaths,
}

/// The text at each of the pointers.
#[derive(Debug)]
pub(crate) struct PointerValues<'a, 'p> {
    pointers: &'p [Pointer],
    values: Vec<Option<Cow<'a, str>>>,
}

impl Pointers {
    pub(crate) fn new<'a>(pointers: impl Iterator<Item = &'a Pointer>) -> Self {
        let mut unique = Self::default();
        for pointer in pointers {
            if !unique.pointers.contains(pointer) {
                unique.places.add(pointer.steps());
                unique.pointers.push(pointer.clone());
            }
        }
        unique
    }

    pub(crate) fn read<'a>(&self, document: &'a [u8]) -> Result<PointerValues<'a, '_>, NotJson> {
        let values = self.places.read(document)?.into_iter().map(|raw| text_of(raw?)).collect();
        Ok(PointerValues { pointers: &self.pointers, values })
    }
}

impl<'a, 'p> PointerValues<'a, 'p> {
    /// Copies the values out of the document.
    pub(crate) fn into_owned<'b>(self) -> PointerValues<'b, 'p> {
        let values = self.values.into_iter().map(|value| value.map(|text| Cow::Owned(text.into_owned()))).collect();
        PointerValues { pointers: self.pointers, values }
    }

    /// `None` for a pointer that was not asked for.
    pub(crate) fn at(&self, pointer: &str) -> Option<&Cow<'a, str>> {
        let index = self.pointers.iter().position(|known| known.as_str() == pointer)?;
        self.values.get(index)?.as_ref()
    }
}

/// The text of a raw JSON value, if it is a string or a number.
fn text_of(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first() {
        Some(b'"') if raw.contains('\\') => serde_json::from_str(raw).ok().map(Cow::Owned),
        Some(b'"') => raw.get(1..raw.len() - 1).map(Cow::Borrowed),
        Some(b'-' | b'0'..=b'9') => Some(Cow::Borrowed(raw)),
        _ => None,
    }
}

/// The first key of an object, except the excluded ones. JSON that is not an object has none.
pub(crate) fn first_key(document: &[u8], excluded: &[String]) -> Result<Option<String>, NotJson> {
    struct FirstKey<'e>(&'e [String]);
    impl<'a> Visitor<'a> for FirstKey<'_> {
        type Value = Option<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<Cow<'a, str>>()? {
                map.next_value::<IgnoredAny>()?;
                if found.is_none() && !self.0.iter().any(|excluded| *excluded == *key) {
                    found = Some(key.into_owned());
                }
            }
            Ok(found)
        }
    }
    let mut read = serde_json::Deserializer::from_slice(document);
    match read.deserialize_map(FirstKey(excluded)).and_then(|found| read.end().map(|()| found)) {
        Ok(found) => Ok(found),
        Err(_) if serde_json::from_slice::<IgnoredAny>(document).is_ok() => Ok(None),
        Err(_) => Err(NotJson),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str, pointer: &str) -> Result<Option<String>, NotJson> {
        let pointer = Pointer::parse(pointer).unwrap();
        let pointers = Pointers::new([&pointer].into_iter());
        let values = pointers.read(document.as_bytes())?;
        Ok(values.at(pointer.as_str()).map(|text| text.clone().into_owned()))
    }

    fn found(document: &str, pointer: &str) -> Option<String> {
        read(document, pointer).unwrap()
    }

    #[test]
    fn pointer_leads_through_objects_and_arrays() {
        let document = r#"{"a":[{"x":1},{"b/c":{"~":"here"}}],"":{"0":"zero"},"z":true}"#;
        assert_eq!(found(document, "/a/1/b~1c/~0").as_deref(), Some("here"));
        assert_eq!(found(document, "//0").as_deref(), Some("zero"));
        assert_eq!(found(document, "/a/0/x").as_deref(), Some("1"));
        for nowhere in ["/a/2", "/a/01/x", "/a/x", "/b", "/a/0/x/y", "/z/0"] {
            assert_eq!(found(document, nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn first_key_skips_the_excluded_keys() {
        let except = ["id".to_owned(), "at".to_owned()];
        let key = |document: &str| first_key(document.as_bytes(), &except);
        assert_eq!(key(r#"{"id":1,"\u0061t":2,"message":{"x":1},"y":3}"#), Ok(Some("message".to_owned())));
        assert_eq!(key(r#"{"id":1}"#), Ok(None));
        assert_eq!(key("[1]"), Ok(None));
        assert_eq!(key(r#"{"a":1"#), Err(NotJson));
    }

    #[test]
    fn only_strings_and_numbers_are_texts() {
        for (value, text) in [
            (r#""plain""#, "plain"),
            (r#""a\u00e9\n\"""#, "aé\n\""),
            ("12345678901234567890123", "12345678901234567890123"),
            ("-1.50e+3", "-1.50e+3"),
            (r#""""#, ""),
        ] {
            assert_eq!(found(&format!(r#"{{"id": {value} }}"#), "/id").as_deref(), Some(text), "{value}");
        }
        for value in ["true", "null", "{}", "[]", "[1]", r#"{"id":"x"}"#] {
            assert_eq!(found(&format!(r#"{{"id":{value}}}"#), "/id"), None, "{value}");
        }
    }

    #[test]
    fn last_of_duplicate_keys_wins() {
        assert_eq!(found(r#"{"id":"1","id":"2"}"#, "/id").as_deref(), Some("2"));
        assert_eq!(found(r#"{"id":"1","\u0069d":3}"#, "/id").as_deref(), Some("3"));
        assert_eq!(found(r#"{"id":"1","id":null}"#, "/id"), None);
        assert_eq!(found(r#"{"a":{"id":"1"},"a":{"b":2}}"#, "/a/id"), None);
        assert_eq!(found(r#"{"a":{"id":"1"},"a":7}"#, "/a/id"), None);
    }

    #[test]
    fn whole_document_must_be_json() {
        for document in ["", "hello", "{", r#"{"id":"1"} x"#, r#"{"id":"1",}"#, r#"{"id":"1","x":01}"#, "[1,]", "nul"] {
            assert_eq!(read(document, "/id"), Err(NotJson), "{document}");
        }
        let pointers = Pointers::new(std::iter::empty());
        assert!(matches!(pointers.read(b"{\"a\":\"\xff\"}"), Err(NotJson)));
        assert!(pointers.read(b" [1, \"a\"] ").is_ok());
    }

    #[test]
    fn pointer_and_its_descendants_can_be_read_together() {
        let each = ["/event", "/event/type", "/event/0"].map(|text| Pointer::parse(text).unwrap());
        let pointers = Pointers::new(each.iter());
        let read = |document: &str| {
            let values = pointers.read(document.as_bytes()).unwrap();
            each.each_ref().map(|pointer| values.at(pointer.as_str()).map(ToString::to_string))
        };
        assert_eq!(read(r#"{"event":"x"}"#), [Some("x".to_owned()), None, None]);
        assert_eq!(read(r#"{"event":{"type":"y"}}"#), [None, Some("y".to_owned()), None]);
        assert_eq!(read(r#"{"event":[5]}"#), [None, None, Some("5".to_owned())]);
    }

    #[test]
    fn deep_nesting_outside_the_path_is_harmless() {
        let deep = "[".repeat(1 << 20);
        assert_eq!(read(&format!(r#"{{"id":"1","x":{deep}"#), "/id"), Err(NotJson));
        let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(found(&format!(r#"{{"x":{closed},"id":"1"}}"#), "/id").as_deref(), Some("1"));
        assert_eq!(found(&format!(r#"{{"id":{closed}}}"#), "/id"), None);
    }

    proptest::proptest! {
        #[test]
        fn reads_the_same_as_a_full_parser(
            keys in proptest::collection::vec("[ab]", 1..4),
            document in r#"[\[\]{}":,ab01 \\]{0,40}"#,
        ) {
            let pointer = Pointer::parse(&format!("/{}", keys.join("/"))).unwrap();
            let whole: Result<serde_json::Value, _> = serde_json::from_str(&document);
            let pointers = Pointers::new([&pointer].into_iter());
            let values = pointers.read(document.as_bytes());
            proptest::prop_assert_eq!(whole.is_ok(), values.is_ok());
            if let (Ok(whole), Ok(values)) = (whole, values) {
                let expected = whole.pointer(&pointer.to_string()).and_then(serde_json::Value::as_str);
                let found = values.at(pointer.as_str()).filter(|text| !text.bytes().all(|byte| byte.is_ascii_digit()));
                if let Some(expected) = expected.filter(|text| !text.bytes().all(|byte| byte.is_ascii_digit())) {
                    proptest::prop_assert_eq!(Some(expected), found.map(|text| &**text));
                }
            }
        }
    }
}
