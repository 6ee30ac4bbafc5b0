//! What a source proves its deliveries with: `secret` or `public_key`, and what some schemes want beside them.
//!
//! A section and its scheme go in, secrets come out. What the scheme needs and the section lacks is noted, and so is
//! what the scheme has no use for: left in silence it would look as if it had an effect.

use super::credential;
use super::item::Item;
use super::problem::Problem;
use super::read::Surroundings;
use super::section::Section;
use crate::providers::{RequiredSettings, Scheme};
use crate::support::net::keys_url::KeysUrl;
use crate::support::secret::Secret;

const FORMS: &str = "= { env = \"…\" }, { file = \"…\" } or a string";
const LONGEST_URL: usize = 2048;

/// Everything of a source that is compared or computed with.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    pub(super) secrets: Vec<Secret>,
    pub(super) public_keys: Vec<Secret>,
    pub(super) key_ids: Vec<Secret>,
    pub(super) api_key: Option<Secret>,
    pub(super) verify_token: Option<Secret>,
    pub(super) url: Option<String>,
    pub(super) topics: Vec<String>,
    pub(super) confirm_subscriptions: bool,
    pub(super) keys_url: Option<KeysUrl>,
}

pub(super) fn read(section: &Section<'_>, scheme: Option<&Scheme>, around: &Surroundings<'_>) -> Keyring {
    let needs = scheme.map(Scheme::required_settings);
    if let Some(needs) = needs {
        check(section, needs);
    } else if !section.has("public_key") {
        section.required("secret", &format!("secret {FORMS}"));
    }
    let check_secret = |secret: &Secret| scheme.map_or(Ok(()), |scheme| scheme.check_secret(secret));
    let all = |key: &str, check: &dyn Fn(&Secret) -> Result<(), String>| secrets(key, check, section, around);
    let any = |_: &Secret| Ok(());
    Keyring {
        secrets: all(
            "secret",
            if needs.is_some_and(|needs| needs.public_key || needs.credentials) { &any } else { &check_secret },
        ),
        public_keys: all("public_key", &check_secret),
        key_ids: all("key_id", &any),
        api_key: all("api_key", &any).into_iter().next(),
        verify_token: all("verify_token", &any).into_iter().next(),
        url: section.take("url", url),
        topics: section.take("topics", topics).unwrap_or_default(),
        confirm_subscriptions: section.take("confirm_subscriptions", Item::truth).unwrap_or_default(),
        keys_url: section.take("keys_url", keys_url),
    }
}

/// Each setting against what the scheme needs.
fn check(section: &Section<'_>, needs: RequiredSettings) {
    let url = "the address exactly as the provider has it: https, host, path and query".to_owned();
    let form = |key: &str| format!("{key} {FORMS}");
    let fetches = needs.credentials && !section.has("public_key");
    let (secret, api_key) = match needs.credentials {
        true => (Some(fetches), fetches),
        false => (needs.secret, needs.api_key),
    };
    let optional = |means_something: bool| if means_something { None } else { Some(false) };
    let topics = "whose events are meant, e.g. [\"arn:aws:sns:eu-west-1:123456789012:orders\"]".to_owned();
    let instead = if needs.public_key || needs.credentials {
        "are checked with `public_key`"
    } else {
        "are checked with fetched keys"
    };
    let whose = |key: &str, what: &str| match needs.credentials {
        true => format!("{}: {what} of your application, for which the provider gives its public keys", form(key)),
        false => form(key),
    };
    let (secret_hint, api_key_hint) = (whose("secret", "the client secret"), whose("api_key", "the client id"));
    let wanted = [
        ("secret", secret, secret_hint, instead),
        (
            "public_key",
            if needs.may_fetch { None } else { Some(needs.public_key) },
            form("public_key"),
            "are checked with `secret`",
        ),
        ("key_id", Some(needs.key_id), form("key_id"), "name no key"),
        ("api_key", Some(api_key), api_key_hint, if needs.credentials { instead } else { "hold no API key" }),
        ("verify_token", Some(needs.verify_token), form("verify_token"), "begin with no handshake that asks for it"),
        ("url", Some(needs.url), url, "do not sign their address"),
        ("topics", Some(needs.topics), topics, "name no topic"),
        ("keys_url", optional(needs.keys_url), String::new(), "are checked with no key that is fetched"),
        ("confirm_subscriptions", optional(needs.confirm_subscriptions), String::new(), "ask for no confirmation"),
    ];
    if needs.own_keys && !section.has("keys_url") && !section.has("public_key") {
        let problem = section.problem("keys_url", "is missing, and so is `public_key`");
        section.problems().add(problem.hint(
            "where you host the provider's set of keys, such as \"https://auth.example.com/.well-known/jwks.json\"",
        ));
    }
    for (key, is_needed, hint, instead) in wanted {
        match (is_needed, section.item(key)) {
            (Some(true), None) => section.problems().add(section.problem(key, "is missing").hint(hint)),
            (Some(false), Some(item)) => {
                let message = format!("has no effect: deliveries of this provider {instead}");
                section.problems().add(item.problem(message).hint("leave it out"));
            }
            _ => {}
        }
    }
}

fn secrets(
    key: &str,
    check: &dyn Fn(&Secret) -> Result<(), String>,
    section: &Section<'_>,
    around: &Surroundings<'_>,
) -> Vec<Secret> {
    let Some(item) = section.item(key) else { return Vec::new() };
    let mut secrets = Vec::new();
    for credential in credential::read(&item, section.sheet(), around) {
        match check(&credential.secret) {
            Err(message) => {
                let hint = "take it exactly as the provider shows it";
                section.problems().add(credential.item.problem(message).hint(hint));
            }
            Ok(()) => secrets.push(credential.secret),
        }
    }
    secrets
}

fn topics(item: &Item<'_>) -> Result<Vec<String>, Problem> {
    let expected = "a topic, or a list of them";
    let one = |item: &Item<'_>| match item.value.as_str() {
        Some("") => Err(item.problem("is empty")),
        Some(text) => Ok(text.to_owned()),
        None => Err(item.unexpected(expected)),
    };
    match item.one_or_more().iter().map(one).collect::<Result<Vec<_>, _>>()? {
        topics if topics.is_empty() => Err(item.problem("names no topic")),
        topics => Ok(topics),
    }
}

fn keys_url(item: &Item<'_>) -> Result<KeysUrl, Problem> {
    KeysUrl::parse(item.text()?)
        .map_err(|message| item.problem(message).hint("e.g. keys_url = \"https://keys.example.com\""))
}

fn url(item: &Item<'_>) -> Result<String, Problem> {
    let text = item.text()?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let message = match rest {
        None => "does not begin with https://",
        Some("") => "names no host",
        _ if text.len() > LONGEST_URL => "is longer than 2048 bytes",
        _ if text.contains('#') => "has a fragment, which is never sent",
        _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => "may hold only visible ASCII characters",
        _ => return Ok(text.to_owned()),
    };
    Err(item.problem(message).hint("e.g. url = \"https://example.com/hooks/shop\", exactly as the provider has it"))
}
