//! Deliveries signed as the provider signs them: for `send`, `demo` and tests.
//!
//! An event comes in, a [`Request`] goes out that the same source's [`super::Verifier`] accepts and reads as that
//! event, or, on demand, one that looks right and must be refused. Where a scheme cannot carry what is asked
//! for, that is an error and nothing else is sent in its place.

mod code_schemes;
mod json_edit;
mod signature;
mod test_delivery;

use std::time::Duration;

use self::signature::Maker;
use self::test_delivery::Draft;
use crate::config::Source;
use crate::model::request::Request;
use crate::providers::{AuthMethod, Scheme, TemplateSegment, Timestamp, TimestampLocation, ValueLocation};
use crate::support::secret::Secret;
use crate::support::time::Millis;
use crate::verify::context::{Case, Own};
use crate::verify::timestamp;

/// An event to be signed.
#[derive(Debug, Clone, Default)]
pub struct TestEvent {
    /// What [`super::VerifiedDelivery`] shall say; empty leaves it to the body.
    pub event_type: String,
    /// What [`super::VerifiedDelivery`] shall say; unless given, what the body says, or else a fresh one.
    pub event_id: Option<String>,
    /// Sent as it is, save that a JSON object gets id and type where the source looks for them, and that what is no
    /// batch becomes one where the provider sends batches.
    pub body: Vec<u8>,
    /// What the provider sends unless given.
    pub content_type: Option<String>,
    /// Whether it shall be a bad one.
    pub forgery: Defect,
    /// The provider's private key in PEM (PKCS #8), for schemes that are checked with a public key.
    pub private_key: Option<Secret>,
}

/// What is wrong with a delivery on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Defect {
    /// Nothing.
    #[default]
    None,
    /// It looks right and is signed with a key that is not the source's.
    WrongSignature,
    /// It is signed with the source's secret, but longer ago than the window allows.
    Stale,
}

/// How far beyond the window a stale delivery lies.
const BEYOND: Duration = Duration::from_secs(60);

/// Signs as the provider does, with the newest secret, a POST to the source's path.
///
/// # Errors
/// Says why the source's scheme cannot carry such a delivery, in words for a person.
pub fn sign(source: &Source, event: &TestEvent, now: Millis) -> Result<Request, String> {
    let scheme = &*source.scheme;
    let own = Own::new(source);
    let sent_at = sent_at(source, event.forgery, now)?;
    let mut draft = Draft::new(scheme, &source.path, event, now)?;
    draft.put_type(&event.event_type)?;
    draft.put_id(event.event_id.as_deref())?;
    add_headers(&mut draft, &own);
    if let AuthMethod::Builtin(code) = scheme.auth {
        code_schemes::complete(&mut draft, code, source)?;
    }
    let segments = scheme.template_signature().into_iter().flat_map(|signed| &signed.contents).flatten();
    segments.flat_map(TemplateSegment::flat).for_each(|segment| add_signed(&mut draft, segment));
    let timestamp = add_timestamp(&mut draft, sent_at);
    let maker = Maker { source, own: &own, event, sent_at, timestamp: &timestamp };
    match &scheme.signature {
        ValueLocation::Item(pointer) => draft
            .sign_items(pointer, |request, item| maker.value(&Case { scheme, own: &own, request, item: Some(item) }))?,
        place => {
            let value = maker.value(&Case { scheme, own: &own, request: &draft.request, item: None })?;
            draft.put_at(place, &value);
        }
    }
    Ok(draft.request)
}

fn sent_at(source: &Source, forgery: Defect, now: Millis) -> Result<Millis, String> {
    match (forgery, source.scheme.tolerance) {
        (Defect::Stale, None) => Err(format!(
            "`{}` cannot have a stale delivery: its provider ({}) signs no timestamp, so age cannot be told",
            source.name, source.provider
        )),
        (Defect::Stale, Some(window)) => {
            let ago = i64::try_from((window + BEYOND).as_millis()).unwrap_or(i64::MAX);
            Ok(Millis(now.0.saturating_sub(ago)))
        }
        _ => Ok(now),
    }
}

/// Headers that must say something.
fn add_headers(draft: &mut Draft<'_>, own: &Own) {
    let scheme = draft.scheme;
    for (name, value) in &scheme.required_headers {
        draft.request.headers.push(name, value.as_bytes());
    }
    if let (Some(place), Some(id)) = (&scheme.key_id, own.key_ids.first()) {
        draft.put_at(place, id);
    }
    if let Some(named) = scheme.template_signature().and_then(|signed| signed.by_header.as_ref())
        && let Some((name, _)) = named.names.first()
    {
        draft.request.headers.push(&named.header, name.as_bytes());
    }
}

/// A template may name what is neither id nor type: it gets something fresh.
fn add_signed(draft: &mut Draft<'_>, segment: &TemplateSegment) {
    let place = match segment {
        TemplateSegment::Header(name) => ValueLocation::Header(name.clone()),
        TemplateSegment::Query(name) => ValueLocation::Query(name.clone()),
        TemplateSegment::Form(name) => ValueLocation::Form(name.clone()),
        TemplateSegment::Json(pointer) => ValueLocation::Json(pointer.clone()),
        TemplateSegment::FormJson(name, pointer) => ValueLocation::FormJson(name.clone(), pointer.clone()),
        _ => return,
    };
    draft.put_if_absent(&place, &test_delivery::fresh());
}

fn add_timestamp(draft: &mut Draft<'_>, sent_at: Millis) -> String {
    let scheme: &Scheme = draft.scheme;
    let Some(Timestamp { place, unit }) = &scheme.timestamp else { return String::new() };
    let text = timestamp::write(sent_at, *unit);
    if let TimestampLocation::At(place) = place {
        draft.put_at(place, &text);
    }
    text
}
