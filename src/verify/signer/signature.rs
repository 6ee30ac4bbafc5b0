//! Makes the value that contains a signature, from the same templates and encodings that verification reads.
//!
//! Private keys are only those made for testing, so signing need not resist timing attacks.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::Signer as _;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::DecodePrivateKey as _;
use rsa::signature::SignatureEncoding as _;
use serde_json::{Map, Value, json};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::builtin;
use super::test_delivery::{Defect, TestEvent, fresh};
use crate::config::Source;
use crate::model::request::Request;
use crate::providers::{
    Algorithm, AuthMethod, Hash, JwtAlgorithm, JwtScheme, Selector, TemplateSegment, TemplateSignature,
    TimestampLocation, ValueLocation,
};
use crate::support::secret::Secret;
use crate::support::time::Millis;
use crate::verify::context::Context;
use crate::verify::jwt;
use crate::verify::key::{SignatureKey, jwt_signature_algorithm};
use crate::verify::signature;
use crate::verify::signature_header::{self, SignatureHeader};
use crate::verify::signed_content::{self, TemplateValues};

/// Seconds until a token expires.
const TOKEN_LIFETIME: i64 = 60;

/// Everything besides the request that goes into a signature.
pub(super) struct Signer<'a> {
    pub(super) source: &'a Source,
    pub(super) urls: &'a [String],
    pub(super) event: &'a TestEvent,
    pub(super) sent_at: Millis,
    pub(super) timestamp: &'a str,
}

impl Signer<'_> {
    /// The value for the place of the signature.
    pub(super) fn header_value(&self, request: &Request, item: Option<&[u8]>) -> Result<String, String> {
        let context = &Context { item, ..Context::new(self.source, self.urls, request) };
        let fields = signed_fields(context);
        let signature = match &context.scheme.auth {
            AuthMethod::Signature(signed) => self.signature(context, signed, &fields)?,
            AuthMethod::Jwt(jwt) => self.token(context, jwt)?,
            AuthMethod::Token => self.secret()?,
            AuthMethod::Bearer => format!("Bearer {}", self.secret()?),
            AuthMethod::Basic => format!("Basic {}", STANDARD.encode(self.secret()?)),
            AuthMethod::Builtin(builtin) => {
                let (algorithm, message) = builtin::signed_content(*builtin, context)?;
                let signature = STANDARD.encode(self.sign_private(algorithm, &message, false)?);
                builtin::header_value(*builtin, &signature)
            }
        };
        Ok(signature_header::write(context.scheme, &signature, self.timestamp, &fields))
    }

    fn is_wrong(&self) -> bool {
        self.event.defect == Defect::WrongSignature
    }

    fn newest_secret(&self) -> Result<&Secret, String> {
        self.source.secrets.first().ok_or_else(|| format!("`{}` has no secret", self.source.name))
    }

    /// The configured secret, or a wrong one.
    fn secret(&self) -> Result<String, String> {
        let secret = self.newest_secret()?;
        Ok(if self.is_wrong() { format!("{}:x", fresh()) } else { secret.reveal().to_owned() })
    }

    /// The decoded key of the configured secret, or a wrong one.
    fn key(&self) -> Result<Vec<u8>, String> {
        let invalid = |reason| format!("the secret of `{}` {reason}", self.source.name);
        let key = self.source.scheme.key(self.newest_secret()?).map_err(invalid)?;
        Ok(if self.is_wrong() { fresh().into_bytes() } else { key })
    }

    fn signature(
        &self,
        context: &Context<'_>,
        signed: &TemplateSignature,
        fields: &[(String, String)],
    ) -> Result<String, String> {
        let algorithm = signature::algorithm(context, signed).map_err(|error| error.to_string())?;
        let unsigned = signature_header::write(context.scheme, "", self.timestamp, fields);
        let header = signature_header::read(context.scheme, &unsigned).unwrap_or_else(|_| SignatureHeader::default());
        let is_public = algorithm.is_asymmetric();
        let key = if is_public { Vec::new() } else { self.key()? };
        let values = TemplateValues {
            header: &header,
            timestamp: self.timestamp.as_bytes(),
            url: self.urls.first().map_or("", String::as_str),
            secret: &key,
        };
        let mut reason = "nothing is signed".to_owned();
        for template in &signed.contents {
            let pieces = match signed_content::pieces(context, template, &values) {
                Ok(pieces) => pieces,
                Err(error) => {
                    reason = error.to_string();
                    continue;
                }
            };
            let signature = if is_public {
                self.sign_private(algorithm, &pieces.concat(), false)?
            } else {
                let keys = SignatureKey::all(&context.scheme.auth, &key);
                let key = keys.iter().find(|key| key.algorithm == algorithm);
                key.and_then(|key| key.sign(&pieces)).ok_or("the secret is not a valid key")?
            };
            return Ok(signature_header::encode(signed.encoding, &signature));
        }
        Err(reason)
    }

    /// Signs with the event's private key. A wrong signature signs something else with the same key.
    fn sign_private(&self, algorithm: Algorithm, message: &[u8], is_fixed: bool) -> Result<Vec<u8>, String> {
        let missing = || {
            let name = &self.source.name;
            format!("`{name}` cannot be signed for: that needs the provider's private key, or a key pair for testing")
        };
        let pem = self.event.private_key.as_ref().ok_or_else(missing)?.reveal();
        let invalid = || "the private key is not PKCS #8 in PEM for this algorithm".to_owned();
        let message = if self.is_wrong() { fresh().into_bytes() } else { message.to_vec() };
        Ok(match algorithm {
            Algorithm::Ed25519 => {
                let key = ed25519_dalek::SigningKey::from_pkcs8_pem(pem).map_err(|_| invalid())?;
                key.sign(&message).to_bytes().to_vec()
            }
            Algorithm::EcdsaP256Sha256 => {
                let key = p256::ecdsa::SigningKey::from_pkcs8_pem(pem).map_err(|_| invalid())?;
                let signature: p256::ecdsa::Signature = key.sign(&message);
                if is_fixed { signature.to_bytes().to_vec() } else { signature.to_der().as_bytes().to_vec() }
            }
            Algorithm::EcdsaP256Sha1 => {
                let key = p256::ecdsa::SigningKey::from_pkcs8_pem(pem).map_err(|_| invalid())?;
                let signature: Result<p256::ecdsa::Signature, _> = key.sign_prehash(&Sha1::digest(&message));
                signature.map_err(|_| invalid())?.to_der().as_bytes().to_vec()
            }
            Algorithm::Rsa(hash) => {
                let key = rsa::RsaPrivateKey::from_pkcs8_pem(pem).map_err(|_| invalid())?;
                if hash == Hash::Sha1 {
                    rsa::pkcs1v15::SigningKey::<Sha1>::new(key).sign(&message).to_vec()
                } else {
                    rsa::pkcs1v15::SigningKey::<Sha256>::new(key).sign(&message).to_vec()
                }
            }
            Algorithm::Hmac(_) | Algorithm::Digest(_) => return Err(invalid()),
        })
    }

    fn token(&self, context: &Context<'_>, jwt: &JwtScheme) -> Result<String, String> {
        let algorithm = jwt.algorithms.first().copied().ok_or("the scheme allows no algorithm")?;
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let header = json!({ "alg": jwt::algorithm_name(algorithm), "typ": "JWT" });
        let message = format!("{}.{}", encode(&header), encode(&Value::Object(self.claims(context, jwt)?)));
        let signature = if algorithm.is_asymmetric() {
            let is_fixed = algorithm == JwtAlgorithm::Es256;
            self.sign_private(jwt_signature_algorithm(algorithm), message.as_bytes(), is_fixed)?
        } else {
            let keys = SignatureKey::all(&context.scheme.auth, &self.key()?);
            let pieces = [Cow::Borrowed(message.as_bytes())];
            keys.first().and_then(|key| key.sign(&pieces)).ok_or("the secret is not a valid key")?
        };
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn claims(&self, context: &Context<'_>, jwt: &JwtScheme) -> Result<Map<String, Value>, String> {
        let seconds = self.sent_at.0.div_euclid(1000);
        let mut claims = self.claims_of_body(context)?;
        let url = self.urls.first().map_or("", String::as_str);
        for (name, template) in &jwt.claims {
            let text = signed_content::text(context, template, url).map_err(|error| error.to_string())?;
            claims.insert(name.clone(), text.into());
        }
        for name in &jwt.required {
            claims.entry(name.as_str()).or_insert_with(|| match name.as_str() {
                "exp" => json!(seconds + TOKEN_LIFETIME),
                "nbf" | "iat" => json!(seconds),
                _ => json!(fresh()),
            });
        }
        let timestamp = context.scheme.timestamp.as_ref().map(|timestamp| &timestamp.location);
        if let Some(TimestampLocation::Claim(pointer)) = timestamp
            && let [name] = pointer.steps()
        {
            claims.insert(name.clone(), json!(seconds));
        }
        let scheme = context.scheme;
        put_claim_text(&scheme.event_id.alternatives, self.event.event_id.as_deref(), &mut claims);
        if !self.event.event_type.is_empty() {
            put_claim_text(&scheme.event_type.alternatives, Some(&self.event.event_type), &mut claims);
        }
        Ok(claims)
    }

    /// The given body as claims, if the provider sends the token as the body.
    fn claims_of_body(&self, context: &Context<'_>) -> Result<Map<String, Value>, String> {
        if context.scheme.signature != ValueLocation::Body || self.event.body.is_empty() {
            return Ok(Map::new());
        }
        let invalid = "this provider sends a token as the body, so the given body must be a JSON object of its claims";
        serde_json::from_slice(&self.event.body).map_err(|_| invalid.to_owned())
    }
}

/// Fresh texts for the fields of the signature's list that are themselves signed.
fn signed_fields(context: &Context<'_>) -> Vec<(String, String)> {
    let segments = context.scheme.template_signature().into_iter().flat_map(|signed| &signed.contents).flatten();
    let fields = segments.flat_map(TemplateSegment::flatten).filter_map(|segment| match segment {
        TemplateSegment::Field(name) => Some((name.clone(), "made".to_owned())),
        _ => None,
    });
    fields.collect()
}

/// Sets id or type in the token if the source reads it there. Without a text, a missing claim gets a fresh one.
fn put_claim_text(tries: &[Vec<Selector>], text: Option<&str>, claims: &mut Map<String, Value>) {
    let parts = tries.iter().find(|parts| parts.iter().any(|part| matches!(part, Selector::Claim(_))));
    let Some([Selector::Claim(pointer)]) = parts.map(Vec::as_slice) else { return };
    let is_present = jwt::claim_text(&Value::Object(claims.clone()), pointer.steps()).is_some();
    match text {
        Some(text) => jwt::put_claim(claims, pointer.steps(), text),
        None if is_present => {}
        None => jwt::put_claim(claims, pointer.steps(), &fresh()),
    }
}
