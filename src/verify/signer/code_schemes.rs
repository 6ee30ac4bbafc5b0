//! Deliveries of the schemes that take code, signed with a key made for trying: for `send` and tests.
//!
//! A draft comes in and gets what the provider puts beside its signature; then the text that is signed goes out. The
//! certificates that are named stand on the provider's own hosts, so that only a source with a key of its own, or with
//! `keys_url`, accepts what is made here.

use serde_json::Value;

use crate::config::Source;
use crate::providers::{Algorithm, BuiltinScheme, Hash};
use crate::verify::context::Case;
use crate::verify::remote::{ebay, paypal, sns};
use crate::verify::signer::json_edit::with_member;
use crate::verify::signer::test_delivery::{Draft, fresh};

const SNS: &str = "https://sns.us-east-1.amazonaws.com";
const PAYPAL_CERTIFICATE: &str = "https://api.paypal.com/v1/notifications/certs/CERT-hookbox";

/// Puts what the provider says beside its signature, where the draft does not say it yet.
pub(super) fn complete(draft: &mut Draft<'_>, code: BuiltinScheme, source: &Source) -> Result<(), String> {
    match code {
        BuiltinScheme::Ebay => Ok(()),
        BuiltinScheme::PayPal => {
            for (name, value) in [
                ("PAYPAL-TRANSMISSION-ID", fresh().as_str()),
                ("PAYPAL-AUTH-ALGO", paypal::ALGORITHM),
                ("PAYPAL-CERT-URL", PAYPAL_CERTIFICATE),
            ] {
                draft.request.headers.push(name, value.as_bytes());
            }
            Ok(())
        }
        BuiltinScheme::AwsSns => {
            let topic = source.topics.first().ok_or_else(|| format!("`{}` has no topics", source.name))?;
            let whole: Value = serde_json::from_slice(&draft.request.body).unwrap_or_default();
            let is_notification = whole["Type"] == "Notification";
            let members = [
                ("TopicArn", topic.clone(), true),
                ("Message", "Saturn turns again".to_owned(), true),
                ("SignatureVersion", "1".to_owned(), true),
                ("SigningCertURL", format!("{SNS}/SimpleNotificationService-hookbox.pem"), true),
                ("Token", fresh(), !is_notification),
                ("SubscribeURL", format!("{SNS}/?Action=ConfirmSubscription&TopicArn={topic}"), !is_notification),
                ("Signature", String::new(), true),
            ];
            for (name, text, is_wanted) in members {
                if is_wanted && whole[name].is_null() {
                    let body = with_member(&draft.request.body, &[name.to_owned()], text.into());
                    draft.request.body = body.ok_or("the body is no Amazon SNS message")?.into();
                }
            }
            Ok(())
        }
    }
}

/// What the provider signs of a delivery, and how.
pub(super) fn signed(code: BuiltinScheme, case: &Case<'_>) -> Result<(Algorithm, Vec<u8>), String> {
    match code {
        BuiltinScheme::Ebay => Ok((Algorithm::EcdsaP256Sha1, case.request.body.to_vec())),
        BuiltinScheme::PayPal => {
            let webhook = case.own.key_ids.first().ok_or("there is no key_id, the webhook's id")?;
            let header = |name| paypal::header(case.request, name).map_err(|why| why.to_string());
            let text = paypal::text(
                header("PAYPAL-TRANSMISSION-ID")?,
                header("PAYPAL-TRANSMISSION-TIME")?,
                webhook,
                &case.request.body,
            );
            Ok((Algorithm::Rsa(Hash::Sha256), text.into_bytes()))
        }
        BuiltinScheme::AwsSns => {
            let (hash, text) = sns::signed(&case.request.body).ok_or(
                "the body is no Amazon SNS message: each of its members is a text, and SignatureVersion is 1 or 2",
            )?;
            Ok((Algorithm::Rsa(hash), text.into_bytes()))
        }
    }
}

/// A signature as the provider writes it.
pub(super) fn written(code: BuiltinScheme, signature: &str) -> String {
    match code {
        BuiltinScheme::Ebay => ebay::written(signature),
        BuiltinScheme::AwsSns | BuiltinScheme::PayPal => signature.to_owned(),
    }
}
