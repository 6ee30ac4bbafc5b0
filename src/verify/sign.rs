//! Deliveries signed as the provider signs them: for `send`, `demo` and tests.
//!
//! An event comes in, a [`Request`] goes out that the same source's [`super::Verifier`] accepts and reads as that
//! event, or, on demand, one that looks right and must be refused. Where a scheme cannot carry what is asked
//! for, that is an error and nothing else is sent in its place.

use std::time::Duration;

use super::draft::Draft;
use super::proof::{self, Key};
use super::{age, claim};
use crate::clock::Millis;
use crate::config::Source;
use crate::provider::{Place, Proof, Scheme, Segment, TimestampPlace};
use crate::request::Request;
use crate::secret::Secret;

/// An event to be signed.
#[derive(Debug, Clone, Default)]
pub struct Unsigned {
    /// What [`super::Verified`] shall say; empty leaves it to the body.
    pub event_type: String,
    /// What [`super::Verified`] shall say; unless given, what the body says, or else a fresh one.
    pub event_id: Option<String>,
    /// Sent as it is, save that a JSON object gets id and type where the source looks for them.
    pub body: Vec<u8>,
    /// `application/json` unless given.
    pub content_type: Option<String>,
    /// Whether it shall be a bad one.
    pub forgery: Forgery,
    /// The provider's private key in PEM (PKCS #8), for schemes that are checked with a public key.
    pub private_key: Option<Secret>,
}

/// What is wrong with a delivery on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forgery {
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
pub fn sign(source: &Source, event: &Unsigned, now: Millis) -> Result<Request, String> {
    let scheme = &*source.scheme;
    let sent_at = sent_at(source, event.forgery, now)?;
    let mut draft = Draft::new(scheme, &source.path, event, now);
    draft.put_type(&event.event_type)?;
    draft.put_id(event.event_id.as_deref())?;
    let mut request = draft.request;
    add_signed_headers(scheme, &mut request)?;
    let timestamp = add_timestamp(scheme, &mut request, sent_at);
    let signature = signature(source, event.forgery, &request, &timestamp)?;
    put(&mut request, &scheme.signature, &claim::write(scheme, &signature, &timestamp));
    Ok(request)
}

fn sent_at(source: &Source, forgery: Forgery, now: Millis) -> Result<Millis, String> {
    match (forgery, source.scheme.tolerance) {
        (Forgery::Stale, None) => Err(format!(
            "`{}` cannot have a stale delivery: its provider ({}) signs no timestamp, so age cannot be told",
            source.name, source.provider
        )),
        (Forgery::Stale, Some(window)) => {
            let ago = i64::try_from((window + BEYOND).as_millis()).unwrap_or(i64::MAX);
            Ok(Millis(now.0.saturating_sub(ago)))
        }
        _ => Ok(now),
    }
}

/// A template may name headers that are neither id nor type: they get something fresh.
fn add_signed_headers(scheme: &Scheme, request: &mut Request) -> Result<(), String> {
    for segment in scheme.signed().into_iter().flat_map(|signed| &signed.contents).flatten() {
        if let Segment::Header(name) = segment
            && proof::header(scheme, name, &request.headers).map_err(|why| why.to_string())?.is_none()
        {
            request.headers.push(name, fresh().as_bytes());
        }
    }
    Ok(())
}

fn add_timestamp(scheme: &Scheme, request: &mut Request, sent_at: Millis) -> String {
    let Some(timestamp) = &scheme.timestamp else { return String::new() };
    let text = age::write(sent_at, timestamp.unit);
    if let TimestampPlace::At(place) = &timestamp.place {
        put(request, place, &text);
    }
    text
}

fn signature(source: &Source, forgery: Forgery, request: &Request, timestamp: &str) -> Result<String, String> {
    let scheme = &*source.scheme;
    let secret = source.secrets.first().ok_or_else(|| format!("`{}` has no secret", source.name))?;
    let forged = fresh();
    let bytes = match forgery {
        Forgery::WrongSignature => forged.clone().into_bytes(),
        _ => scheme.key(secret).map_err(|why| format!("the secret of `{}` {why}", source.name))?,
    };
    match (&scheme.proof, forgery) {
        (Proof::Token, Forgery::WrongSignature) => Ok(forged),
        (Proof::Token, _) => Ok(secret.reveal().to_owned()),
        (Proof::Signed(signed), _) => {
            let key = Key::new(&scheme.proof, &bytes).ok_or("the secret is no key")?;
            let pieces = proof::pieces(scheme, request, timestamp.as_bytes()).map_err(|why| why.to_string())?;
            Ok(claim::encode(signed.encoding, &key.sign(&pieces)))
        }
        _ => Err("cannot be signed".to_owned()),
    }
}

fn put(request: &mut Request, place: &Place, value: &str) {
    match place {
        Place::Header(name) => request.headers.push(name, value.as_bytes()),
        Place::Query(name) => super::form::push(&mut request.query, name, value),
        _ => {}
    }
}

/// A text that nobody has seen before.
pub(super) fn fresh() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
