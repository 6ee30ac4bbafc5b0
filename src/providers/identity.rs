//! Where an event's id and type are, and what the id identifies.

use super::selectors::Selector;

/// Where an event's id is. Without any alternative, every delivery is rejected for having no id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventId {
    /// Tried in order. All selectors of an inner list must be found; they are joined by colons.
    pub alternatives: Vec<Vec<Selector>>,
    /// `none`: an event without an id gets a fresh one, and so is never a duplicate.
    pub or_fresh: bool,
    pub scope: IdScope,
    pub digest: DigestContent,
}

/// What an event id identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdScope {
    /// One event, also over the sender's retries: a known id is a duplicate.
    #[default]
    Event,
    /// Something that changes: a known id with another body is a new event.
    Object,
    /// Nothing: every delivery is a new event.
    None,
}

/// What the digest of a body covers in addition to the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DigestContent {
    pub event_type: bool,
    /// The signed timestamp as received.
    pub timestamp: bool,
}

/// Where an event's type is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventType {
    /// Tried in order. The selectors of an inner list that are found are joined by dots.
    pub alternatives: Vec<Vec<Selector>>,
}

impl IdScope {
    /// The scope as written in a row.
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Object => "object",
            Self::None => "none",
        }
    }
}

impl DigestContent {
    /// Whether the digest is that of the body alone.
    pub fn is_body_only(self) -> bool {
        self == Self::default()
    }
}

impl EventType {
    /// Whether the type is never in the body.
    pub(super) fn is_outside_body(&self) -> bool {
        let is_outside =
            |part: &Selector| matches!(part, Selector::Header(_) | Selector::Query(_) | Selector::Claim(_));
        !self.alternatives.is_empty() && self.alternatives.iter().flatten().all(is_outside)
    }
}
