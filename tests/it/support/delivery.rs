//! Deliveries signed as providers sign them, written from their documentation without hookbox's own code.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The most used providers, and `own`, a `custom` source.
pub const PROVIDERS: &[&str] = &["github", "stripe", "standard-webhooks", "svix", "shopify", "slack", "gitlab", "own"];

/// Providers whose signature covers a timestamp.
pub const TIMED: &[&str] = &["stripe", "standard-webhooks", "svix", "slack", "own"];

/// A delivery to send. It is signed when rendered, so every part can be changed before.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub provider: &'static str,
    pub source: String,
    pub secret: String,
    pub id: String,
    pub event_type: String,
    pub content_type: String,
    body: Option<Vec<u8>>,
    age: i64,
    forged: bool,
    more: Vec<(String, String)>,
    without: Vec<String>,
}

/// One HTTP request, ready to be written.
#[derive(Debug, Clone)]
pub struct Rendered {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// GitHub deliveries, which most tests use.
pub mod github {
    use super::Delivery;

    /// A push with a fresh id.
    pub fn push() -> Delivery {
        Delivery::from("github").of_type("push")
    }
}

/// The secret that the builder configures for a provider's source.
pub fn secret_of(provider: &str) -> String {
    match provider {
        "standard-webhooks" | "svix" => {
            format!("whsec_{}", BASE64.encode(format!("{provider}: thirty-two bytes of key")))
        }
        _ => format!("{provider}-secret-of-the-tests"),
    }
}

impl Delivery {
    /// A fresh, genuine delivery of a provider, to the source of the same name.
    pub fn from(provider: &'static str) -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(1);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let event_type = match provider {
            "github" => "push",
            "shopify" => "orders/create",
            "gitlab" => "Push Hook",
            "slack" => "app_mention",
            _ => "invoice.paid",
        };
        Self {
            provider,
            source: provider.to_owned(),
            secret: secret_of(provider),
            id: format!("{provider}-{number}"),
            event_type: event_type.to_owned(),
            content_type: "application/json".to_owned(),
            body: None,
            age: 0,
            forged: false,
            more: Vec::new(),
            without: Vec::new(),
        }
    }

    pub fn of_type(mut self, event_type: &str) -> Self {
        self.event_type = event_type.to_owned();
        self
    }

    pub fn to(mut self, source: &str) -> Self {
        self.source = source.to_owned();
        self
    }

    pub fn with_id(mut self, id: &str) -> Self {
        self.id = id.to_owned();
        self
    }

    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub fn with_content_type(mut self, content_type: &str) -> Self {
        self.content_type = content_type.to_owned();
        self
    }

    pub fn with_secret(mut self, secret: &str) -> Self {
        self.secret = secret.to_owned();
        self
    }

    /// Adds a header to those of the provider.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.more.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Omits a header that the provider would send.
    pub fn without_header(mut self, name: &str) -> Self {
        self.without.push(name.to_owned());
        self
    }

    /// Signs it this many seconds ago; negative values are in the future.
    pub fn aged(mut self, seconds: i64) -> Self {
        self.age = seconds;
        self
    }

    /// Signs it with a secret that is not configured.
    pub fn forged(mut self) -> Self {
        self.forged = true;
        self
    }

    /// The body that is sent.
    pub fn body(&self) -> Vec<u8> {
        if let Some(body) = &self.body {
            return body.clone();
        }
        let (id, event_type) = (&self.id, &self.event_type);
        let value = match self.provider {
            "stripe" => serde_json::json!({"id": id, "object": "event", "type": event_type}),
            "standard-webhooks" | "svix" => serde_json::json!({"type": event_type, "data": {"for": id}}),
            "slack" => serde_json::json!({
                "type": "event_callback", "event_id": id, "event": {"type": event_type, "text": "hello"},
            }),
            _ => serde_json::json!({"for": id, "text": "hello"}),
        };
        value.to_string().into_bytes()
    }

    /// The request, signed now.
    pub fn render(&self) -> Rendered {
        let body = self.body();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let at = (i64::try_from(now).unwrap() - self.age).to_string();
        let mut headers = vec![("Content-Type".to_owned(), self.content_type.clone())];
        for (name, value) in self.signed(&at, &body) {
            headers.push((name.to_owned(), value));
        }
        headers.retain(|(name, _)| !self.without.iter().any(|left_out| left_out.eq_ignore_ascii_case(name)));
        headers.extend(self.more.iter().cloned());
        Rendered { path: format!("/hooks/{}", self.source), headers, body }
    }

    fn signed(&self, at: &str, body: &[u8]) -> Vec<(&'static str, String)> {
        let secret = if self.forged { forged_secret(self.provider) } else { self.secret.clone() };
        let (id, event_type) = (self.id.clone(), self.event_type.clone());
        let key = secret.as_bytes();
        match self.provider {
            "github" => vec![
                ("X-Hub-Signature-256", format!("sha256={}", hex::encode(hmac(key, &[body])))),
                ("X-GitHub-Delivery", id),
                ("X-GitHub-Event", event_type),
            ],
            "stripe" => {
                let signature = hex::encode(hmac(key, &[at.as_bytes(), b".", body]));
                vec![("Stripe-Signature", format!("t={at},v1={signature},v0=6ffbb59b2300aae63f272406069a9788"))]
            }
            "standard-webhooks" | "svix" => standard_webhooks(self.provider, &secret, [&id, at], body),
            "shopify" => vec![
                ("X-Shopify-Hmac-Sha256", BASE64.encode(hmac(key, &[body]))),
                ("X-Shopify-Webhook-Id", id),
                ("X-Shopify-Topic", event_type),
            ],
            "slack" => {
                let signature = hex::encode(hmac(key, &[b"v0:", at.as_bytes(), b":", body]));
                vec![("X-Slack-Signature", format!("v0={signature}")), ("X-Slack-Request-Timestamp", at.to_owned())]
            }
            "gitlab" => vec![("X-Gitlab-Token", secret), ("Idempotency-Key", id), ("X-Gitlab-Event", event_type)],
            "own" => vec![
                ("X-Signature", hex::encode(hmac(key, &[at.as_bytes(), b"/", body]))),
                ("X-Signed-At", at.to_owned()),
                ("X-Id", id),
                ("X-Type", event_type),
            ],
            other => panic!("the tests cannot sign as {other}: add it here"),
        }
    }
}

fn forged_secret(provider: &str) -> String {
    match provider {
        "standard-webhooks" | "svix" => format!("whsec_{}", BASE64.encode("another key altogether")),
        _ => "another secret altogether".to_owned(),
    }
}

fn standard_webhooks(provider: &str, secret: &str, [id, at]: [&str; 2], body: &[u8]) -> Vec<(&'static str, String)> {
    let key = BASE64.decode(secret.trim_start_matches("whsec_")).unwrap();
    let signature = BASE64.encode(hmac(&key, &[id.as_bytes(), b".", at.as_bytes(), b".", body]));
    let names = match provider {
        "svix" => ["svix-id", "svix-timestamp", "svix-signature"],
        _ => ["webhook-id", "webhook-timestamp", "webhook-signature"],
    };
    let values = [id.to_owned(), at.to_owned(), format!("v1,{signature}")];
    names.into_iter().zip(values).collect()
}

/// HMAC-SHA256 over the concatenated parts.
pub fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn signatures_match_githubs_documentation() {
    // docs.github.com, "Validating webhook deliveries": the published test values.
    let signature = hex::encode(hmac(b"It's a Secret to Everybody", &[b"Hello, ", b"World!"]));
    assert_eq!(signature, "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
}
