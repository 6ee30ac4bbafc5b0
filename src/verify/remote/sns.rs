//! Amazon SNS: the message is signed with a key of Amazon, and names the certificate.
//!
//! Anyone with an AWS account can make SNS send such messages, so the topic must be one of the source's. Follows npm
//! sns-validator 0.3.5 and docs.aws.amazon.com/sns, verifying the signatures of messages. Messages in raw delivery have
//! no signature and are rejected.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::keys::RemoteKeys;
use crate::providers::{Algorithm, Hash};
use crate::support::net::keys_url::KeysUrl;
use crate::support::time::Millis;
use crate::verify::context::Context;
use crate::verify::error::{SignatureError, VerifyResult};
use crate::verify::published_keys::{AllowedHosts, AllowedUrls, KeyUrl};

const CERTIFICATES: AllowedUrls = AllowedUrls { hosts: AllowedHosts::Sns, path_prefix: "/", path_suffix: ".pem" };
const SUBSCRIPTIONS: AllowedUrls = AllowedUrls { hosts: AllowedHosts::Sns, path_prefix: "/", path_suffix: "" };

/// Deserializing rejects duplicate keys.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SnsMessage {
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

/// Returns the message's timestamp.
pub(super) fn verify(remote: &RemoteKeys, context: &Context<'_>, now: Millis) -> VerifyResult<Vec<u8>> {
    let request = context.request;
    let not_a_message = || SignatureError::NotAMessage("an Amazon SNS message with a signature");
    let message: SnsMessage = serde_json::from_slice(&request.body).map_err(|_| not_a_message())?;
    if !context.source.topics.contains(&message.topic_arn) {
        return Err(SignatureError::TopicNotAllowed.into());
    }
    let place = || context.signature_place();
    let not_allowed = |reason| SignatureError::UrlNotAllowed("SigningCertURL", reason);
    let url = KeyUrl::allowed(&message.signing_cert_url, CERTIFICATES, remote.cache.base()).map_err(not_allowed)?;
    let signature = STANDARD.decode(&message.signature).map_err(|_| SignatureError::Undecodable(place(), "base64"))?;
    let pieces = [Cow::Owned(signed_text(&message).ok_or_else(not_a_message)?.into_bytes())];
    let unknown_version = || SignatureError::NotAMessage("an Amazon SNS message with SignatureVersion 1 or 2");
    let algorithm = Algorithm::Rsa(hash(&message).ok_or_else(unknown_version)?);
    let keys = remote.configured_or_certified(algorithm, &url, now)?;
    let signatures = [signature];
    if keys.iter().any(|key| key.verifies(&pieces, &signatures)) {
        Ok(message.timestamp.into_bytes())
    } else {
        Err(SignatureError::NoMatch(place()).into())
    }
}

fn hash(message: &SnsMessage) -> Option<Hash> {
    match message.signature_version.as_str() {
        "1" => Some(Hash::Sha1),
        "2" => Some(Hash::Sha256),
        _ => None,
    }
}

/// The hash and the signed text of a body, for test deliveries; `None` if it is not a message.
pub(crate) fn signed_body(body: &[u8]) -> Option<(Hash, String)> {
    let message: SnsMessage = serde_json::from_slice(body).ok()?;
    Some((hash(&message)?, signed_text(&message)?))
}

/// The signed members in this order: each name and value, followed by a newline.
fn signed_text(message: &SnsMessage) -> Option<String> {
    let SnsMessage { kind, message_id, topic_arn, message: text, timestamp, subject, token, subscribe_url, .. } =
        message;
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

/// The URL that confirms a subscription.
pub(super) fn subscribe_url(url: &str, base: Option<&KeysUrl>) -> VerifyResult<KeyUrl> {
    let not_allowed = |reason| SignatureError::UrlNotAllowed("SubscribeURL", reason);
    if !url.contains("Action=ConfirmSubscription&") {
        return Err(not_allowed("does not confirm a subscription".to_owned()).into());
    }
    Ok(KeyUrl::allowed(url, SUBSCRIPTIONS, base).map_err(not_allowed)?)
}
