//! Test deliveries of the built-in schemes: Amazon SNS, PayPal and eBay.
//!
//! The certificate URLs point to the provider's own hosts, so only a source with a configured key, or with `keys_url`,
//! accepts these deliveries.

use serde_json::Value;

use super::json_edit::with_member;
use super::test_delivery::{TestDelivery, fresh};
use crate::providers::{Algorithm, BuiltinScheme, Hash};
use crate::verify::context::{Context, required_header};
use crate::verify::remote::{ebay, paypal, sns};

const SNS: &str = "https://sns.us-east-1.amazonaws.com";
const PAYPAL_CERTIFICATE: &str = "https://api.paypal.com/v1/notifications/certs/CERT-hookbox";

/// Adds what the provider sends along with its signature, unless the delivery already has it.
pub(super) fn complete(delivery: &mut TestDelivery<'_>, scheme: BuiltinScheme) -> Result<(), String> {
    match scheme {
        BuiltinScheme::Ebay => Ok(()),
        BuiltinScheme::PayPal => {
            for (name, value) in [
                ("PAYPAL-TRANSMISSION-ID", fresh().as_str()),
                ("PAYPAL-AUTH-ALGO", paypal::ALGORITHM),
                ("PAYPAL-CERT-URL", PAYPAL_CERTIFICATE),
            ] {
                delivery.request.headers.push(name, value.as_bytes());
            }
            Ok(())
        }
        BuiltinScheme::AwsSns => {
            let topic =
                delivery.source.topics.first().ok_or_else(|| format!("`{}` has no topics", delivery.source.name))?;
            let message: Value = serde_json::from_slice(&delivery.request.body).unwrap_or_default();
            let mut members = vec![
                ("TopicArn", topic.clone()),
                ("Message", "Saturn turns again".to_owned()),
                ("SignatureVersion", "1".to_owned()),
                ("SigningCertURL", format!("{SNS}/SimpleNotificationService-hookbox.pem")),
                ("Signature", String::new()),
            ];
            if message["Type"] != "Notification" {
                let url = format!("{SNS}/?Action=ConfirmSubscription&TopicArn={topic}");
                members.extend([("Token", fresh()), ("SubscribeURL", url)]);
            }
            for (name, text) in members {
                if message[name].is_null() {
                    let body = with_member(&delivery.request.body, &[name.to_owned()], text.into());
                    delivery.request.body = body.ok_or("the body is not an Amazon SNS message")?.into();
                }
            }
            Ok(())
        }
    }
}

/// What the provider signs, and with which algorithm.
pub(super) fn signed_content(scheme: BuiltinScheme, context: &Context<'_>) -> Result<(Algorithm, Vec<u8>), String> {
    let request = context.request;
    match scheme {
        BuiltinScheme::Ebay => Ok((Algorithm::EcdsaP256Sha1, request.body.to_vec())),
        BuiltinScheme::PayPal => {
            let webhook = context.source.key_ids.first().ok_or("there is no `key_id`, the id of the webhook")?;
            let header = |name| required_header(request, name).map_err(|error| error.to_string());
            let [id, time] = [header("PAYPAL-TRANSMISSION-ID")?, header("PAYPAL-TRANSMISSION-TIME")?];
            let text = paypal::signed_text(id, time, webhook.reveal(), &request.body);
            Ok((Algorithm::Rsa(Hash::Sha256), text.into_bytes()))
        }
        BuiltinScheme::AwsSns => {
            let invalid =
                "the body is not an Amazon SNS message: all members must be strings, and SignatureVersion 1 or 2";
            let (hash, text) = sns::signed_body(&request.body).ok_or(invalid)?;
            Ok((Algorithm::Rsa(hash), text.into_bytes()))
        }
    }
}

/// The value for the place of the signature, from a signature in base64.
pub(super) fn header_value(scheme: BuiltinScheme, signature: &str) -> String {
    match scheme {
        BuiltinScheme::Ebay => ebay::write_header(signature),
        BuiltinScheme::AwsSns | BuiltinScheme::PayPal => signature.to_owned(),
    }
}
