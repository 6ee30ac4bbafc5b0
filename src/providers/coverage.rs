//! What the signature covers of an event's names, and what anyone could change who holds a genuine delivery.
//!
//! A scheme goes in; whether its id and type lie under the signature comes out, for `providers`, for `check` and for
//! whoever decides on a `replay_guard`.

use super::auth::AuthMethod;
use super::place::ValueLocation;
use super::scheme::{Scheme, TimestampLocation};
use super::selectors::{EventId, Selector};
use super::template::TemplateSegment;

impl Scheme {
    /// Places of the event's id that the signature does not cover, as written: who holds a genuine delivery can send
    /// it again under another id.
    #[must_use]
    pub fn unsigned_id(&self) -> Vec<String> {
        let EventId { alternatives: tries, .. } = &self.event_id;
        self.unsigned(tries)
    }

    /// Places of the event's type that the signature does not cover, as written: who holds a genuine delivery can
    /// steer it to another handler.
    #[must_use]
    pub fn unsigned_type(&self) -> Vec<String> {
        self.unsigned(&self.event_type.alternatives)
    }

    /// Whether the signature covers the body.
    #[must_use]
    pub fn covers_body(&self) -> bool {
        let covers = |template: &Vec<TemplateSegment>| {
            template.iter().flat_map(TemplateSegment::flat).any(TemplateSegment::covers_body)
        };
        match &self.auth {
            AuthMethod::Signature(signed) => signed.contents.iter().all(covers),
            AuthMethod::Jwt(jwt) => {
                self.signature == ValueLocation::Body || jwt.claims.iter().any(|(_, claim)| covers(claim))
            }
            AuthMethod::Builtin(_) => true,
            AuthMethod::Token | AuthMethod::Basic | AuthMethod::Bearer => false,
        }
    }

    fn unsigned(&self, tries: &[Vec<Selector>]) -> Vec<String> {
        tries.iter().flatten().filter(|part| !self.is_signed(part)).map(ToString::to_string).collect()
    }

    fn is_signed(&self, part: &Selector) -> bool {
        if self.auth.is_token() {
            return false;
        }
        let named = |is_it: &dyn Fn(&TemplateSegment) -> bool| {
            let covers = |template: &Vec<TemplateSegment>| template.iter().flat_map(TemplateSegment::flat).any(is_it);
            match &self.auth {
                AuthMethod::Signature(signed) => signed.contents.iter().all(covers),
                AuthMethod::Jwt(jwt) => jwt.claims.iter().any(|(_, claim)| covers(claim)),
                AuthMethod::Builtin(_) | AuthMethod::Token | AuthMethod::Basic | AuthMethod::Bearer => false,
            }
        };
        let is_timestamp = |place: &ValueLocation| matches!(&self.timestamp, Some(timestamp) if timestamp.place == TimestampLocation::At(place.clone()));
        match part {
            Selector::Claim(_) => true,
            Selector::Header(name) => {
                let is_it = |segment: &TemplateSegment| matches!(segment, TemplateSegment::Header(own) if own.eq_ignore_ascii_case(name));
                named(&is_it) || is_timestamp(&ValueLocation::Header(name.clone()))
            }
            Selector::Query(name) => named(&|segment| matches!(segment, TemplateSegment::Query(own) if own == name)),
            Selector::Json(pointer) | Selector::BodyJson(pointer) if !self.covers_body() => {
                let is_it = |segment: &TemplateSegment| matches!(segment, TemplateSegment::Json(own) | TemplateSegment::Item(own) if own == pointer);
                named(&is_it)
            }
            Selector::FormJson(field, pointer) if !self.covers_body() => {
                named(&|segment| matches!(segment, TemplateSegment::FormJson(a, b) if a == field && b == pointer))
            }
            // Of a form single fields may be signed: the others, and a digest of them all, are anyone's.
            Selector::Form(field) | Selector::FormJson(field, _) | Selector::FormXml(field, _)
                if matches!(self.auth, AuthMethod::Signature(_)) =>
            {
                named(&|segment| match segment {
                    TemplateSegment::Form(own) => own == field,
                    segment => segment.covers_body(),
                })
            }
            Selector::Body if matches!(self.auth, AuthMethod::Signature(_)) => {
                named(&|segment| segment.covers_body() && !matches!(segment, TemplateSegment::Form(_)))
            }
            _ => self.covers_body(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::ProviderRow;

    #[test]
    fn of_a_form_the_fields_that_are_signed_are_covered() {
        let unsigned = |content: &str, id: &str| {
            let row = format!(
                "signature = 'header:X'\nalgorithm = 'hmac-sha256'\nsigned_content = '{content}'\nevent_id = ['{id}']"
            );
            Scheme::from_row(&toml::from_str::<ProviderRow>(&row).unwrap()).unwrap().unsigned_id()
        };
        for id in ["form:a", "form_json:a/id", "form:b", "body"] {
            for content in ["{body}", "{form_sorted}"] {
                assert!(unsigned(content, id).is_empty(), "{content} {id}");
            }
            let is_covered = id.starts_with("form:a") || id.starts_with("form_json:a");
            assert_eq!(unsigned("{form.a}", id).is_empty(), is_covered, "{id}");
        }
    }
}
