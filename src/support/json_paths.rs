//! Extracts a few values from a JSON document in one pass, without building the document in memory.
//!
//! The whole document is checked to be JSON (RFC 8259, in UTF-8). Of a duplicate key the last one counts, as in most
//! parsers that handlers use.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// JSON pointers (RFC 6901) to the values to extract.
#[derive(Debug, Default)]
pub struct JsonPaths {
    count: usize,
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    slot: Option<usize>,
    children: Vec<(String, Node)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotJson;

impl JsonPaths {
    /// Adds a path of at least one step, unescaped. Returns its index in the result of [`JsonPaths::read`].
    pub fn add(&mut self, steps: &[String]) -> usize {
        let slot = self.root.add(steps, self.count);
        self.count = self.count.max(slot + 1);
        slot
    }

    /// The value at each path, as written in the document.
    pub fn read<'a>(&self, document: &'a [u8]) -> Result<Vec<Option<&'a str>>, NotJson> {
        let text = std::str::from_utf8(document).map_err(|_| NotJson)?;
        let mut slots = vec![None; self.count];
        let mut document = serde_json::Deserializer::from_str(text);
        let walk = Walk { node: &self.root, slots: &mut slots };
        walk.deserialize(&mut document).and_then(|()| document.end()).map_err(|_| NotJson)?;
        Ok(slots)
    }
}

impl Node {
    /// Returns the slot of an equal path, or takes `slot`.
    fn add(&mut self, steps: &[String], slot: usize) -> usize {
        let Some((step, rest)) = steps.split_first() else {
            return *self.slot.get_or_insert(slot);
        };
        let place = self.children.iter().position(|(known, _)| known == step).unwrap_or_else(|| {
            self.children.push((step.clone(), Node::default()));
            self.children.len() - 1
        });
        self.children[place].1.add(rest, slot)
    }

    fn child(&self, step: &str) -> Option<&Node> {
        self.children.iter().find(|(known, _)| known == step).map(|(_, node)| node)
    }

    fn clear(&self, slots: &mut [Option<&str>]) {
        if let Some(slot) = self.slot {
            slots[slot] = None;
        }
        self.children.iter().for_each(|(_, child)| child.clear(slots));
    }
}

struct Walk<'n, 's, 'a> {
    node: &'n Node,
    slots: &'s mut [Option<&'a str>],
}

impl<'a> DeserializeSeed<'a> for Walk<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, value: D) -> Result<(), D::Error> {
        let Some(slot) = self.node.slot else { return value.deserialize_any(self) };
        let raw: &'a RawValue = serde::Deserialize::deserialize(value)?;
        self.slots[slot] = Some(raw.get());
        if self.node.children.is_empty() {
            return Ok(());
        }
        serde_json::Deserializer::from_str(raw.get()).deserialize_any(self).map_err(D::Error::custom)
    }
}

impl<'a> Visitor<'a> for Walk<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(Step(self.node))? {
            match child {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(node) => {
                    node.clear(self.slots);
                    map.next_value_seed(Walk { node, slots: &mut *self.slots })?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0_usize.. {
            let more = match self.node.child(&index.to_string()) {
                None => seq.next_element::<IgnoredAny>()?.is_some(),
                Some(node) => seq.next_element_seed(Walk { node, slots: &mut *self.slots })?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a key and returns its node.
struct Step<'n>(&'n Node);

impl<'a, 'n> DeserializeSeed<'a> for Step<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'a>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Step<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.child(key))
    }
}
