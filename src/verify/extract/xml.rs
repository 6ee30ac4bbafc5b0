//! Reads the text of one element of an XML document.
//!
//! Only the five entities of XML itself are expanded. DTDs have no effect, and nothing is fetched.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value};

use crate::providers::Pointer;

/// Deeper documents are rejected.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotXml;

/// The text of the first element at a path, which begins with the root element.
pub(crate) fn text(document: &[u8], pointer: &Pointer) -> Result<Option<String>, NotXml> {
    let text = std::str::from_utf8(document).map_err(|_| NotXml)?;
    let mut reader = Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut found: Option<String> = None;
    let mut is_within = false;
    loop {
        match reader.read_event().map_err(|_| NotXml)? {
            Event::Start(start) => {
                path.push(start.local_name().as_ref().to_owned());
                if path.len() > MAX_DEPTH {
                    return Err(NotXml);
                }
                is_within = found.is_none() && path == pointer.steps();
                if is_within {
                    found = Some(String::new());
                }
            }
            Event::End(_) => {
                is_within = false;
                path.pop();
            }
            Event::Text(piece) if is_within => {
                found.get_or_insert_default().push_str(&piece);
            }
            Event::CData(piece) if is_within => {
                found.get_or_insert_default().push_str(&piece);
            }
            Event::GeneralRef(reference) if is_within => {
                let character = reference.resolve_char_ref().map_err(|_| NotXml)?.map(String::from);
                let text = character.or_else(|| quick_xml::escape::resolve_xml_entity(&reference).map(str::to_owned));
                found.get_or_insert_default().push_str(&text.ok_or(NotXml)?);
            }
            Event::Eof if path.is_empty() => return Ok(found.map(|text| text.trim().to_owned())),
            Event::Eof => return Err(NotXml),
            _ => {}
        }
    }
}

/// The document as nested JSON objects; `None` if it is not XML. Attributes are left out, an element without children is
/// its text. Of elements with the same name, the first counts.
pub(super) fn to_json(document: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::from_str(std::str::from_utf8(document).ok()?);
    let mut open: Vec<(String, Map<String, Value>, String)> = vec![Default::default()];
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if open.len() <= MAX_DEPTH => {
                open.push((start.local_name().as_ref().to_owned(), Map::new(), String::new()));
            }
            Event::Start(_) => return None,
            Event::End(_) => {
                let (name, children, text) = open.pop()?;
                let is_leaf = children.is_empty();
                let value = if is_leaf { Value::String(text.trim().to_owned()) } else { Value::Object(children) };
                open.last_mut()?.1.entry(name).or_insert(value);
            }
            Event::Empty(element) => {
                let name = element.local_name().as_ref().to_owned();
                open.last_mut()?.1.entry(name).or_insert(Value::String(String::new()));
            }
            Event::Text(piece) => open.last_mut()?.2.push_str(&piece),
            Event::CData(piece) => open.last_mut()?.2.push_str(&piece),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().ok()?.map(String::from);
                let text = character.or_else(|| quick_xml::escape::resolve_xml_entity(&reference).map(str::to_owned));
                open.last_mut()?.2.push_str(&text?);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let (_, root, _) = open.pop().filter(|_| open.is_empty())?;
    if root.is_empty() { None } else { serde_json::to_vec(&root).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str, pointer: &str) -> Result<Option<String>, NotXml> {
        text(document.as_bytes(), &Pointer::parse(pointer).unwrap())
    }

    #[test]
    fn path_leads_to_the_first_element() {
        let document = "<?xml version=\"1.0\"?><n:a><b> x&amp;&#65; </b><b>y</b><c><![CDATA[d]]><b>z</b></c></n:a>";
        assert_eq!(read(document, "/a/b"), Ok(Some("x&A".to_owned())));
        assert_eq!(read(document, "/a/c/b"), Ok(Some("z".to_owned())));
        assert_eq!(read(document, "/a/c"), Ok(Some("d".to_owned())));
        assert_eq!(read(document, "/a/d"), Ok(None));
    }

    #[test]
    fn broken_xml_and_custom_entities_are_rejected() {
        let bomb = "<!DOCTYPE a [<!ENTITY x \"xx\">]><a><b>&x;</b></a>";
        for document in ["<a>", "<a></b>", bomb, &"<a>".repeat(100)] {
            assert_eq!(read(document, "/a/b"), Err(NotXml), "{document}");
        }
    }
}
