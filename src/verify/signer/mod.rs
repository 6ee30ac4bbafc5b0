//! Signs test deliveries as the provider does, for `send`, `demo` and tests.
//!
//! The source's own [`super::Verifier`] accepts the resulting request and reads the given event from it, unless a
//! [`Defect`] was asked for. If the scheme cannot carry the event, signing fails.

mod builtin;
mod json_edit;
mod signature;
mod test_delivery;

use std::time::Duration;

use self::signature::Signer;
pub use self::test_delivery::{Defect, TestEvent};
use self::test_delivery::{TestDelivery, fresh};
use super::signed_url;
use super::timestamp;
use crate::config::Source;
use crate::model::request::Request;
use crate::providers::{AuthMethod, TemplateSegment, Timestamp, TimestampLocation, ValueLocation};
use crate::support::time::Millis;

/// How much older than the tolerance a stale delivery is.
const STALE_BY: Duration = Duration::from_secs(60);

/// Signs a POST to the source's path with the newest secret. The error says why the scheme cannot carry the event.
pub fn sign(source: &Source, event: &TestEvent, now: Millis) -> Result<Request, String> {
    let sent_at = sent_at(source, event.defect, now)?;
    let mut delivery = TestDelivery::new(source, event, now)?;
    delivery.put_type(&event.event_type)?;
    delivery.put_id(event.event_id.as_deref())?;
    add_signature(delivery, event, sent_at)
}

/// Signs a request as it is, without setting an id or type.
#[cfg(test)]
pub fn sign_unchanged(source: &Source, request: Request, event: &TestEvent, now: Millis) -> Result<Request, String> {
    add_signature(TestDelivery { source, request }, event, now)
}

fn add_signature(mut delivery: TestDelivery<'_>, event: &TestEvent, sent_at: Millis) -> Result<Request, String> {
    let source = delivery.source;
    let scheme = &*source.scheme;
    add_headers(&mut delivery);
    if let AuthMethod::Builtin(builtin) = scheme.auth {
        builtin::complete(&mut delivery, builtin)?;
    }
    let segments = scheme.template_signature().into_iter().flat_map(|signed| &signed.contents).flatten();
    segments.flat_map(TemplateSegment::flatten).for_each(|segment| add_signed_value(&mut delivery, segment));
    let timestamp = add_timestamp(&mut delivery, sent_at);
    let urls = signed_url::usual(source, &delivery.request);
    let signer = Signer { source, urls: &urls, event, sent_at, timestamp: &timestamp };
    match &scheme.signature {
        _ if source.admission.unsigned => {}
        ValueLocation::Item(pointer) => {
            delivery.sign_items(pointer, |request, item| signer.header_value(request, Some(item)))?;
        }
        place => {
            let value = signer.header_value(&delivery.request, None)?;
            delivery.put_at(place, &value);
        }
    }
    Ok(delivery.request)
}

fn sent_at(source: &Source, defect: Defect, now: Millis) -> Result<Millis, String> {
    match (defect, source.scheme.tolerance) {
        (Defect::Stale, None) => Err(format!(
            "`{}` cannot have a stale delivery: its provider ({}) signs no timestamp",
            source.name, source.provider
        )),
        (Defect::Stale, Some(window)) => {
            let ago = i64::try_from((window + STALE_BY).as_millis()).unwrap_or(i64::MAX);
            Ok(Millis(now.0.saturating_sub(ago)))
        }
        _ => Ok(now),
    }
}

/// Adds the headers with fixed values and the names of key and algorithm.
fn add_headers(delivery: &mut TestDelivery<'_>) {
    let source = delivery.source;
    let scheme = &source.scheme;
    for (name, value) in &scheme.required_headers {
        delivery.request.headers.push(name, value.as_bytes());
    }
    if let (Some(place), Some(id)) = (&scheme.key_id, source.key_ids.first()) {
        delivery.put_at(place, id.reveal());
    }
    if let Some(named) = scheme.template_signature().and_then(|signed| signed.by_header.as_ref())
        && let Some((name, _)) = named.names.first()
    {
        delivery.request.headers.push(&named.header, name.as_bytes());
    }
}

/// A template may contain values other than id and type: they get a fresh text.
fn add_signed_value(delivery: &mut TestDelivery<'_>, segment: &TemplateSegment) {
    let place = match segment {
        TemplateSegment::Header(name) => ValueLocation::Header(name.clone()),
        TemplateSegment::Query(name) => ValueLocation::Query(name.clone()),
        TemplateSegment::Form(name) => ValueLocation::Form(name.clone()),
        TemplateSegment::Json(pointer) => ValueLocation::Json(pointer.clone()),
        TemplateSegment::FormJson(name, pointer) => ValueLocation::FormJson(name.clone(), pointer.clone()),
        _ => return,
    };
    delivery.put_if_absent(&place, &fresh());
}

/// Returns the timestamp's text; empty if the scheme has none.
fn add_timestamp(delivery: &mut TestDelivery<'_>, sent_at: Millis) -> String {
    let Some(Timestamp { location, unit }) = &delivery.source.scheme.timestamp else { return String::new() };
    let text = timestamp::write(sent_at, *unit);
    if let TimestampLocation::At(location) = location {
        delivery.put_at(location, &text);
    }
    text
}
