//! Makes what a provider puts where its signature is: for `send`, `demo` and tests.
//!
//! The same templates and encodings that verification reads are written here. Private keys are only those that
//! someone made for trying; signing with them need not resist whoever measures its time.

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

use super::code_schemes;
use super::test_delivery::fresh;
use crate::config::Source;
use crate::providers::{
    Algorithm, AuthMethod, Hash, JwtAlgorithm, JwtScheme, Selector, TemplateSegment, TemplateSignature,
    TimestampLocation, ValueLocation,
};
use crate::support::time::Millis;
use crate::verify::context::{Case, Own};
use crate::verify::jwt;
use crate::verify::key::{Key, algorithm_of};
use crate::verify::signature;
use crate::verify::signature_header::{self, Claim};
use crate::verify::signed_content::{self, Filling};
use crate::verify::signer::{Defect, TestEvent};

/// How long a token made here is good for, in seconds.
const TOKEN_LIFE: i64 = 60;

/// Everything that goes into a signature beside the delivery.
pub(super) struct Maker<'a> {
    pub(super) source: &'a Source,
    pub(super) own: &'a Own,
    pub(super) event: &'a TestEvent,
    pub(super) sent_at: Millis,
    pub(super) timestamp: &'a str,
}

impl Maker<'_> {
    /// The value that stands where the signature is.
    pub(super) fn value(&self, case: &Case<'_>) -> Result<String, String> {
        let further = self.further(case);
        let signature = match &case.scheme.auth {
            AuthMethod::Signature(signed) => self.signature(case, signed, &further)?,
            AuthMethod::Jwt(jwt) => self.token(case, jwt)?,
            AuthMethod::Token => self.secret()?,
            AuthMethod::Bearer => format!("Bearer {}", self.secret()?),
            AuthMethod::Basic => format!("Basic {}", STANDARD.encode(self.secret()?)),
            AuthMethod::Builtin(code) => {
                let (algorithm, message) = code_schemes::signed(*code, case)?;
                code_schemes::written(*code, &STANDARD.encode(self.sign_private(algorithm, &message, false)?))
            }
        };
        Ok(signature_header::write(case.scheme, &signature, self.timestamp, &further))
    }

    /// Fields of the list that are part of what is signed.
    fn further(&self, case: &Case<'_>) -> Vec<(String, String)> {
        let segments = case.scheme.template_signature().into_iter().flat_map(|signed| &signed.contents).flatten();
        let fields = segments.flat_map(TemplateSegment::flat).filter_map(|segment| match segment {
            TemplateSegment::Field(name) => Some((name.clone(), "made".to_owned())),
            _ => None,
        });
        fields.collect()
    }

    fn is_forged(&self) -> bool {
        self.event.forgery == Defect::WrongSignature
    }

    /// The configured secret, or another.
    fn secret(&self) -> Result<String, String> {
        let secret = self.source.secrets.first().ok_or_else(|| format!("`{}` has no secret", self.source.name))?;
        Ok(if self.is_forged() { format!("{}:x", fresh()) } else { secret.reveal().to_owned() })
    }

    /// The key that a secret stands for, or another.
    fn key(&self) -> Result<Vec<u8>, String> {
        let name = &self.source.name;
        let secret = self.source.secrets.first().ok_or_else(|| format!("`{name}` has no secret"))?;
        let key = self.source.scheme.key(secret).map_err(|why| format!("the secret of `{name}` {why}"))?;
        Ok(if self.is_forged() { fresh().into_bytes() } else { key })
    }

    fn signature(
        &self,
        case: &Case<'_>,
        signed: &TemplateSignature,
        further: &[(String, String)],
    ) -> Result<String, String> {
        let words = |why: crate::verify::error::SignatureError| why.to_string();
        let algorithm = signature::algorithm(case, signed).map_err(words)?;
        let written = signature_header::write(case.scheme, "", self.timestamp, further);
        let claim = signature_header::read(case.scheme, &written).unwrap_or_else(|_| Claim::default());
        let is_public = algorithm.is_asymmetric();
        let bytes = if is_public { Vec::new() } else { self.key()? };
        let filling = Filling {
            claim: &claim,
            timestamp: self.timestamp.as_bytes(),
            url: self.own.urls.first().map_or("", String::as_str),
            secret: &bytes,
        };
        let mut why = "nothing is signed".to_owned();
        for template in &signed.contents {
            match signed_content::pieces(case, template, &filling) {
                Ok(pieces) if is_public => {
                    let signature = self.sign_private(algorithm, &pieces.concat(), false)?;
                    return Ok(signature_header::encode(signed.encoding, &signature));
                }
                Ok(pieces) => {
                    let keys = Key::all(&case.scheme.auth, &bytes);
                    let key = keys.iter().find(|(own, _)| *own == algorithm).ok_or("the secret is no key")?;
                    let signature = key.1.sign(&pieces).ok_or("the secret is no key")?;
                    return Ok(signature_header::encode(signed.encoding, &signature));
                }
                Err(absent) => why = absent.to_string(),
            }
        }
        Err(why)
    }

    /// Signs with the private key of the event; a forgery with the same key signs something else.
    fn sign_private(&self, algorithm: Algorithm, message: &[u8], is_fixed: bool) -> Result<Vec<u8>, String> {
        let name = &self.source.name;
        let wanted = "the provider's private key is not at hand, and a key pair made for trying would have to be used";
        let pem = self.event.private_key.as_ref().ok_or_else(|| format!("`{name}` cannot be signed for: {wanted}"))?;
        let pem = pem.reveal();
        let no_key = || "the private key is no PKCS #8 in PEM of this algorithm".to_owned();
        let message = if self.is_forged() { fresh().into_bytes() } else { message.to_vec() };
        Ok(match algorithm {
            Algorithm::Ed25519 => {
                let key = ed25519_dalek::SigningKey::from_pkcs8_pem(pem).map_err(|_| no_key())?;
                key.sign(&message).to_bytes().to_vec()
            }
            Algorithm::EcdsaP256Sha256 => {
                let key = p256::ecdsa::SigningKey::from_pkcs8_pem(pem).map_err(|_| no_key())?;
                let signature: p256::ecdsa::Signature = key.sign(&message);
                if is_fixed { signature.to_bytes().to_vec() } else { signature.to_der().as_bytes().to_vec() }
            }
            Algorithm::EcdsaP256Sha1 => {
                let key = p256::ecdsa::SigningKey::from_pkcs8_pem(pem).map_err(|_| no_key())?;
                let signature: Result<p256::ecdsa::Signature, _> = key.sign_prehash(&Sha1::digest(&message));
                signature.map_err(|_| no_key())?.to_der().as_bytes().to_vec()
            }
            Algorithm::Rsa(hash) => {
                let key = rsa::RsaPrivateKey::from_pkcs8_pem(pem).map_err(|_| no_key())?;
                if hash == Hash::Sha1 {
                    rsa::pkcs1v15::SigningKey::<Sha1>::new(key).sign(&message).to_vec()
                } else {
                    rsa::pkcs1v15::SigningKey::<Sha256>::new(key).sign(&message).to_vec()
                }
            }
            Algorithm::Hmac(_) | Algorithm::Digest(_) => return Err(no_key()),
        })
    }

    fn token(&self, case: &Case<'_>, jwt: &JwtScheme) -> Result<String, String> {
        let algorithm = jwt.algorithms.first().copied().ok_or("no algorithm is allowed")?;
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let header = json!({ "alg": jwt::name_of(algorithm), "typ": "JWT" });
        let message = format!("{}.{}", encode(&header), encode(&Value::Object(self.claims(case, jwt)?)));
        let signature = if algorithm.is_asymmetric() {
            self.sign_private(algorithm_of(algorithm), message.as_bytes(), algorithm == JwtAlgorithm::Es256)?
        } else {
            let keys = Key::all(&case.scheme.auth, &self.key()?);
            let pieces = [Cow::Borrowed(message.as_bytes())];
            keys.first().and_then(|(_, key)| key.sign(&pieces)).ok_or("the secret is no key")?
        };
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn claims(&self, case: &Case<'_>, jwt: &JwtScheme) -> Result<Map<String, Value>, String> {
        let seconds = self.sent_at.0.div_euclid(1000);
        let mut claims = self.given_claims(case)?;
        let url = self.own.urls.first().map_or("", String::as_str);
        for (name, template) in &jwt.claims {
            let said = signed_content::text(case, template, url).map_err(|why| why.to_string())?;
            claims.insert(name.clone(), said.into());
        }
        for name in &jwt.required {
            claims.entry(name.as_str()).or_insert_with(|| match name.as_str() {
                "exp" => json!(seconds + TOKEN_LIFE),
                "nbf" | "iat" => json!(seconds),
                _ => json!(fresh()),
            });
        }
        if let Some(TimestampLocation::Claim(pointer)) =
            case.scheme.timestamp.as_ref().map(|timestamp| &timestamp.place)
            && let [name] = pointer.steps()
        {
            claims.insert(name.clone(), json!(seconds));
        }
        self.name_claims(case, &mut claims);
        Ok(claims)
    }

    /// A body that goes out as a token is given as its claims.
    fn given_claims(&self, case: &Case<'_>) -> Result<Map<String, Value>, String> {
        if case.scheme.signature != ValueLocation::Body || self.event.body.is_empty() {
            return Ok(Map::new());
        }
        let not_claims = "the body goes out as a token, so it must be given as the token's claims, a JSON object";
        serde_json::from_slice(&self.event.body).map_err(|_| not_claims.to_owned())
    }

    /// Id and type, where the source looks for them in the token.
    fn name_claims(&self, case: &Case<'_>, claims: &mut Map<String, Value>) {
        let mut put = |tries: &[Vec<Selector>], text: Option<&str>| {
            let parts = tries.iter().find(|parts| parts.iter().any(|part| matches!(part, Selector::Claim(_))));
            let Some([Selector::Claim(pointer)]) = parts.map(Vec::as_slice) else { return };
            let is_there = jwt::text(&Value::Object(claims.clone()), pointer.steps()).is_some();
            match text {
                Some(text) => jwt::put(claims, pointer.steps(), text),
                None if is_there => {}
                None => jwt::put(claims, pointer.steps(), &fresh()),
            }
        };
        put(&case.scheme.event_id.alternatives, self.event.event_id.as_deref());
        if !self.event.event_type.is_empty() {
            put(&case.scheme.event_type.alternatives, Some(&self.event.event_type));
        }
    }
}
