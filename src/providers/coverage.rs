//! What a signature covers, and which headers carry secrets.
//!
//! Used by `providers` and `check`, and by users who decide whether a source needs a `replay_guard`.

use super::auth::AuthMethod;
use super::scheme::{Scheme, TimestampLocation};
use super::selectors::{Selector, ValueLocation};
use super::template::TemplateSegment;

/// Headers that carry tokens for any provider, in lower case.
const ALWAYS_TOKENS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

impl Scheme {
    /// Selectors of the event id that the signature does not cover. Anyone who has a genuine delivery can send it again
    /// under another id.
    pub fn unsigned_id(&self) -> Vec<String> {
        self.unsigned(&self.event_id.alternatives)
    }

    /// Selectors of the event type that the signature does not cover. Anyone who has a genuine delivery can route it to
    /// another handler.
    pub fn unsigned_type(&self) -> Vec<String> {
        self.unsigned(&self.event_type.alternatives)
    }

    pub fn covers_body(&self) -> bool {
        match &self.auth {
            AuthMethod::Jwt(_) if self.signature == ValueLocation::Body => true,
            AuthMethod::Builtin(_) => true,
            _ => self.signs(&TemplateSegment::covers_body),
        }
    }

    /// Lower-case names of headers whose values are secret. They are stored as `***`.
    pub fn token_headers(&self) -> Vec<String> {
        let own = self.signature_headers().filter(|_| self.auth.is_token());
        let others = self.alternatives.iter().flat_map(Self::token_headers);
        distinct(ALWAYS_TOKENS.into_iter().map(str::to_owned).chain(own).chain(others))
    }

    /// Lower-case names of headers that carry signatures or tokens. They are never passed to handlers.
    pub fn private_headers(&self) -> Vec<String> {
        let own = self.token_headers().into_iter().chain(self.signature_headers());
        let others = self.alternatives.iter().flat_map(Self::private_headers);
        distinct(own.chain(self.further_private.iter().cloned()).chain(others))
    }

    fn signature_headers(&self) -> impl Iterator<Item = String> {
        self.signature_locations().flat_map(|location| match location {
            ValueLocation::Header(name) => self.header_names(name).map(str::to_ascii_lowercase).collect(),
            ValueLocation::Numbered(prefix) => (1..=9).map(|n| format!("{}{n}", prefix.to_ascii_lowercase())).collect(),
            _ => Vec::new(),
        })
    }

    fn unsigned(&self, alternatives: &[Vec<Selector>]) -> Vec<String> {
        alternatives.iter().flatten().filter(|part| !self.is_signed(part)).map(ToString::to_string).collect()
    }

    /// Whether every template of the signature, or a claim of the token, contains such a segment.
    fn signs(&self, is_wanted: &dyn Fn(&TemplateSegment) -> bool) -> bool {
        let has = |template: &Vec<TemplateSegment>| template.iter().flat_map(TemplateSegment::flatten).any(is_wanted);
        match &self.auth {
            AuthMethod::Signature(signature) => signature.contents.iter().all(has),
            AuthMethod::Jwt(jwt) => jwt.claims.iter().any(|(_, claim)| has(claim)),
            AuthMethod::Builtin(_) | AuthMethod::Token | AuthMethod::Basic | AuthMethod::Bearer => false,
        }
    }

    fn is_signed(&self, part: &Selector) -> bool {
        use TemplateSegment as Segment;
        let is_template = matches!(self.auth, AuthMethod::Signature(_));
        match part {
            _ if self.auth.is_token() => false,
            Selector::Claim(_) => true,
            Selector::Header(name) => {
                let is_same =
                    |segment: &Segment| matches!(segment, Segment::Header(own) if own.eq_ignore_ascii_case(name));
                self.signs(&is_same) || self.is_timestamp(&ValueLocation::Header(name.clone()))
            }
            Selector::Query(name) => self.signs(&|segment| matches!(segment, Segment::Query(own) if own == name)),
            Selector::Json(pointer) | Selector::BodyJson(pointer) if !self.covers_body() => {
                self.signs(&|segment| matches!(segment, Segment::Json(own) | Segment::Item(own) if own == pointer))
            }
            Selector::FormJson(field, pointer) if !self.covers_body() => {
                self.signs(&|segment| matches!(segment, Segment::FormJson(a, b) if a == field && b == pointer))
            }
            // Single fields of a form may be signed. The others are not, and neither is a digest of the whole form.
            Selector::Form(field) | Selector::FormJson(field, _) | Selector::FormXml(field, _) if is_template => self
                .signs(&|segment| match segment {
                    Segment::Form(own) => own == field,
                    segment => segment.covers_body(),
                }),
            Selector::Body if is_template => {
                self.signs(&|segment| segment.covers_body() && !matches!(segment, Segment::Form(_)))
            }
            _ => self.covers_body(),
        }
    }

    fn is_timestamp(&self, location: &ValueLocation) -> bool {
        let timestamp = self.timestamp.as_ref().map(|timestamp| &timestamp.location);
        matches!(timestamp, Some(TimestampLocation::At(own)) if own == location)
    }
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept = Vec::new();
    for name in names {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{ProviderRow, find};

    #[test]
    fn signed_form_fields_are_covered() {
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

    #[test]
    fn signatures_and_tokens_are_private_and_tokens_are_masked() {
        let scheme = |name: &str| Scheme::from_row(find(name).unwrap()).unwrap();
        let gitlab = scheme("gitlab");
        assert!(gitlab.token_headers().contains(&"x-gitlab-token".to_owned()));
        let github = scheme("github");
        assert_eq!(github.token_headers(), ["authorization", "cookie", "proxy-authorization", "x-api-key"]);
        assert!(github.private_headers().contains(&"x-hub-signature".to_owned()));
        let svix = scheme("svix").private_headers();
        for name in ["svix-signature", "webhook-signature", "authorization", "cookie"] {
            assert!(svix.contains(&name.to_owned()), "{name}");
        }
    }
}
