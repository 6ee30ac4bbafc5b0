//! Amazon SNS: the message is signed with a key of Amazon's, whose certificate the message names.
//!
//! Anyone with an account of theirs has such messages sent, so the topic must be one of the source's. After npm
//! sns-validator 0.3.5 and docs.aws.amazon.com/sns, verifying the signatures of messages. A message in raw delivery has
//! no signature, and is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::Pkcs1v15Sign;
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::Remote;
use crate::model::request::Request;
use crate::providers::Hash;
use crate::support::net::keys_url::KeysUrl;
use crate::support::time::Millis;
use crate::verify::error::{SignatureError, VerifyError};
use crate::verify::published_keys::{Address, Hosts, Pin};

const CERTIFICATES: Pin = Pin { hosts: Hosts::Sns, path_prefix: "/", path_suffix: ".pem" };
const SUBSCRIPTIONS: Pin = Pin { hosts: Hosts::Sns, path_prefix: "/", path_suffix: "" };

/// A key that comes twice is refused.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(rename = "Type")]
    kind: String,
    message_id: String,
    topic_arn: String,
    message: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
    subject: Option<String>,
    token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<String>,
}

pub(super) fn prove(remote: &Remote, request: &Request, now: Millis) -> Result<Vec<u8>, VerifyError> {
    let no_message = || not_genuine(SignatureError::NotAMessage("an Amazon SNS message with a signature"));
    let message: Message = serde_json::from_slice(&request.body).map_err(|_| no_message())?;
    if !remote.topics.contains(&message.topic_arn) {
        return Err(not_genuine(SignatureError::TopicNotAllowed));
    }
    let place = || remote.signature.clone();
    let foreign = |why| not_genuine(SignatureError::UrlNotAllowed("SigningCertURL", why));
    let address = Address::pinned(&message.signing_cert_url, CERTIFICATES, remote.ring.base()).map_err(foreign)?;
    let signature =
        STANDARD.decode(&message.signature).map_err(|_| not_genuine(SignatureError::Undecodable(place(), "base64")))?;
    let text = canonical(&message).ok_or_else(no_message)?;
    let keys = remote.certified(&address, now)?;
    let (padding, digest) = match hash(&message) {
        Some(Hash::Sha1) => (Pkcs1v15Sign::new::<Sha1>(), Sha1::digest(&text).to_vec()),
        Some(_) => (Pkcs1v15Sign::new::<Sha256>(), Sha256::digest(&text).to_vec()),
        None => {
            return Err(not_genuine(SignatureError::NotAMessage("an Amazon SNS message with SignatureVersion 1 or 2")));
        }
    };
    if keys.iter().any(|key| key.verify(padding.clone(), &digest, &signature).is_ok()) {
        Ok(message.timestamp.into_bytes())
    } else {
        Err(not_genuine(SignatureError::NoMatch(place())))
    }
}

fn hash(message: &Message) -> Option<Hash> {
    match message.signature_version.as_str() {
        "1" => Some(Hash::Sha1),
        "2" => Some(Hash::Sha256),
        _ => None,
    }
}

/// What of a body is signed, and with which hash; nothing of what is no message.
pub(crate) fn signed(body: &[u8]) -> Option<(Hash, String)> {
    let message: Message = serde_json::from_slice(body).ok()?;
    Some((hash(&message)?, canonical(&message)?))
}

/// What is signed: of some members, in this order, name and value, each with a newline behind it.
fn canonical(message: &Message) -> Option<String> {
    let Message { kind, message_id, topic_arn, message: text, timestamp, subject, token, subscribe_url, .. } = message;
    let mut members = vec![("Message", text), ("MessageId", message_id)];
    if kind == "Notification" {
        members.extend(subject.iter().map(|subject| ("Subject", subject)));
        members.push(("Timestamp", timestamp));
    } else {
        members.extend([
            ("SubscribeURL", subscribe_url.as_ref()?),
            ("Timestamp", timestamp),
            ("Token", token.as_ref()?),
        ]);
    }
    members.extend([("TopicArn", topic_arn), ("Type", kind)]);
    Some(members.into_iter().map(|(name, value)| format!("{name}\n{value}\n")).collect())
}

/// Where a subscription is confirmed.
pub(super) fn subscribe_address(url: &str, base: Option<&KeysUrl>) -> Result<Address, VerifyError> {
    let foreign = |why| not_genuine(SignatureError::UrlNotAllowed("SubscribeURL", why));
    if !url.contains("Action=ConfirmSubscription&") {
        return Err(foreign("confirms no subscription".to_owned()));
    }
    Address::pinned(url, SUBSCRIPTIONS, base).map_err(foreign)
}

fn not_genuine(why: SignatureError) -> VerifyError {
    VerifyError::NotGenuine(why)
}
