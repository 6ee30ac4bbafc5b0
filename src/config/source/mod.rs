//! `[sources.NAME]`: who sends, how deliveries are verified, where they arrive.

pub(super) mod unsigned;

use std::sync::Arc;
use std::time::Duration;

use self::unsigned::{check_unsigned, is_unsigned, unsigned_summary};

use crate::config::alerts::silence;
use crate::config::problem::Problem;
use crate::config::reader::{TomlTable, TomlValue};
use crate::config::scheme::{check_needs, read_row, read_scheme};
use crate::config::secrets::read_secrets;
use crate::config::settings::{MAX_BODY_BYTES, ServerConfig, network};
use crate::providers::{self, Scheme};
use crate::support::net::forwarded::Networks;
use crate::support::net::keys_url::KeysUrl;
use crate::support::rate_limiter::Rate;
use crate::support::secret::Secret;

const MAX_URL_BYTES: usize = 2048;
const MAX_URLS: usize = 4;
const MAX_PATH_BYTES: usize = 1024;
/// Values of `methods`.
const METHODS: [&str; 3] = ["POST", "PUT", "GET"];
const MAX_RATE: u32 = 1_000_000;

/// `[sources.NAME]`
#[derive(Debug, Clone)]
pub struct Source {
    pub name: Arc<str>,
    /// Name of the provider, or `custom`.
    pub provider: String,
    /// URL path of its deliveries.
    pub path: String,
    /// How the provider signs, for people: label and text, the source's own settings included.
    pub scheme_summary: Vec<(&'static str, String)>,
    /// How deliveries are verified, and where their id and type are.
    pub scheme: Arc<Scheme>,
    /// Newest first.
    pub secrets: Vec<Secret>,
    /// Newest first.
    pub public_keys: Vec<Secret>,
    /// Ids of the keys that may sign, for schemes that send one.
    pub key_ids: Vec<Secret>,
    /// The application's id at the provider, for schemes that sign it or fetch keys with it.
    pub api_key: Option<Secret>,
    /// For providers whose handshake sends a token.
    pub verify_token: Option<Secret>,
    /// The URLs as the provider has them, for schemes that sign them. One without a query is a base: the rest of the path
    /// and the query of each request are appended.
    pub urls: Vec<String>,
    /// Topics that are accepted, for schemes by which anyone could send.
    pub topics: Vec<String>,
    /// Whether to confirm a subscription when the provider asks for it.
    pub confirm_subscriptions: bool,
    /// Where public keys are fetched from instead of the provider's own address.
    pub keys_url: Option<KeysUrl>,
    /// Largest body in bytes: the source's limit, else the provider's, else the server's.
    pub max_body: u64,
    pub admission: Admission,
}

/// Further conditions for the deliveries of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    /// Client addresses that are accepted; `None` accepts all.
    pub allow_ips: Option<Networks>,
    /// Limits verified deliveries.
    pub rate_limit: Option<Rate>,
    pub replay_guard: ReplayGuard,
    /// HTTP methods of deliveries; empty for POST alone.
    pub methods: Vec<&'static str>,
    /// Accepts deliveries without verifying anything.
    pub unsigned: bool,
}

/// What makes an event a duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplayGuard {
    /// A known id.
    #[default]
    Id,
    /// A known id, or a known body under another id.
    IdAndBody,
}

/// The path of a source that does not configure one.
pub(in crate::config) fn default_path(name: &str) -> String {
    format!("/hooks/{name}")
}

pub(in crate::config) fn read_source(name: &str, table: &TomlTable<'_>, server: &ServerConfig) -> Option<Source> {
    let source = source(name, table, server);
    table.read("silence", silence); // Used by `[alerts]`.
    table.report_unknown_keys();
    source
}

fn source(name: &str, table: &TomlTable<'_>, server: &ServerConfig) -> Option<Source> {
    let hint = "a name from `hookbox providers`, or \"custom\" with a [sources.NAME.verify] table";
    let provider = table.required("provider", hint).and_then(|value| table.context.problems.ok(value.text()));
    let row = read_row(provider, table);
    let scheme = row.as_ref().and_then(|row| read_scheme(row, table));
    let needs = scheme.as_ref().map(Scheme::required_settings);
    let unsigned = is_unsigned(table);
    let path = table.read("path", self::path).unwrap_or_else(|| default_path(name));
    if unsigned {
        check_unsigned(&path, table);
    } else {
        check_needs(needs, table);
    }

    let check = |secret: &Secret| scheme.as_ref().map_or(Ok(()), |scheme| scheme.check_secret(secret));
    let check_public = |key: &Secret| scheme.as_ref().map_or(Ok(()), |scheme| scheme.check_public_key(key));
    let checked = |key| secrets(table, key, check);
    let unchecked = |key| secrets(table, key, |_| Ok(()));
    let is_key = needs.is_none_or(|needs| !needs.public_key && !needs.credentials);
    let key_ids = unchecked("key_id");
    let max_body = table.size("max_body", 1..=MAX_BODY_BYTES);
    Some(Source {
        name: Arc::from(name),
        path,
        secrets: if is_key { checked("secret") } else { unchecked("secret") },
        public_keys: secrets(table, "public_key", check_public),
        api_key: unchecked("api_key").into_iter().next(),
        verify_token: unchecked("verify_token").into_iter().next(),
        urls: table.read("url", urls).unwrap_or_default(),
        topics: table.read("topics", topics).unwrap_or_default(),
        confirm_subscriptions: table.boolean("confirm_subscriptions").unwrap_or_default(),
        keys_url: table.read("keys_url", keys_url),
        admission: admission(table, unsigned),
        // Last, so that the problems of all keys are found before the function returns.
        provider: provider?.to_owned(),
        scheme_summary: if unsigned { unsigned_summary() } else { providers::describe(&row?) },
        max_body: max_body.or(scheme.as_ref()?.max_body).unwrap_or(server.max_body),
        scheme: Arc::new(match key_ids.first() {
            Some(key_id) => scheme?.with_key_id(key_id.reveal()),
            None => scheme?,
        }),
        key_ids,
    })
}

fn secrets(table: &TomlTable<'_>, key: &'static str, check: impl Fn(&Secret) -> Result<(), String>) -> Vec<Secret> {
    let hint = "copy it exactly as the provider shows it";
    table.get(key).map(|value| read_secrets(&value, hint, check)).unwrap_or_default()
}

/// Distinct methods; empty for POST alone.
fn methods(table: &TomlTable<'_>) -> Vec<&'static str> {
    let method = |item: &TomlValue<'_>| {
        let text = item.text()?;
        let known = METHODS.into_iter().find(|method| *method == text);
        known.ok_or_else(|| item.problem(format!("{text:?} is none of POST, PUT, GET")))
    };
    let mut methods = table.list("methods", "a list of \"POST\", \"PUT\" and \"GET\"", method);
    if methods.as_ref().is_some_and(Vec::is_empty) {
        table.report("methods", "the list is empty, so no delivery is accepted", "remove it to accept POST");
    }
    methods.iter_mut().for_each(|methods| {
        methods.sort_unstable();
        methods.dedup();
    });
    methods.filter(|methods| *methods != ["POST"]).unwrap_or_default()
}

fn admission(table: &TomlTable<'_>, unsigned: bool) -> Admission {
    let allow_ips = table.list("allow_ips", "a list of networks, e.g. [\"192.0.2.0/24\"]", network);
    if allow_ips.as_ref().is_some_and(Vec::is_empty) {
        table.report("allow_ips", "the list is empty, so no delivery is accepted", "remove it to accept every address");
    }
    let guard = |value: &TomlValue<'_>| value.choice([("id", ReplayGuard::Id), ("id+body", ReplayGuard::IdAndBody)]);
    Admission {
        allow_ips: allow_ips.map(Networks),
        rate_limit: table.read("rate_limit", rate),
        replay_guard: table.read("replay_guard", guard).unwrap_or_default(),
        methods: methods(table),
        unsigned,
    }
}

pub(in crate::config) fn rate(value: &TomlValue<'_>) -> Result<Rate, Problem> {
    let text = value.text()?;
    let invalid = || {
        let hint = "write a rate as \"100/s\", \"600/m\" or \"5000/h\"";
        value.problem(format!("{text:?} is not a rate")).hint(hint)
    };
    let (count, unit) = text.split_once('/').ok_or_else(invalid)?;
    let per = match unit {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        _ => return Err(invalid()),
    };
    match count.parse() {
        Ok(count @ 1..=MAX_RATE) => Ok(Rate { count, per }),
        Ok(_) => Err(value.problem(format!("must be between 1 and {MAX_RATE} per unit, is {text:?}"))),
        Err(_) => Err(invalid()),
    }
}

fn topics(value: &TomlValue<'_>) -> Result<Vec<String>, Problem> {
    let topic = |item: &TomlValue<'_>| match item.value.as_str() {
        Some("") => Err(item.problem("is empty")),
        Some(text) => Ok(text.to_owned()),
        None => Err(item.unexpected("a topic, or a list of them")),
    };
    match value.one_or_more().iter().map(topic).collect::<Result<Vec<_>, _>>()? {
        topics if topics.is_empty() => Err(value.problem("the list is empty")),
        topics => Ok(topics),
    }
}

fn keys_url(value: &TomlValue<'_>) -> Result<KeysUrl, Problem> {
    KeysUrl::parse(value.text()?)
        .map_err(|message| value.problem(message).hint("e.g. keys_url = \"https://keys.example.com\""))
}

fn urls(value: &TomlValue<'_>) -> Result<Vec<String>, Problem> {
    match value.one_or_more().iter().map(url).collect::<Result<Vec<_>, _>>()? {
        urls if urls.is_empty() => Err(value.problem("the list is empty")),
        urls if urls.len() > MAX_URLS => Err(value.problem(format!("names more than {MAX_URLS} URLs"))),
        urls => Ok(urls),
    }
}

fn url(value: &TomlValue<'_>) -> Result<String, Problem> {
    let expected = "a URL, e.g. \"https://example.com/hooks/shop\", or a list of them";
    let text = value.value.as_str().ok_or_else(|| value.unexpected(expected))?;
    let message = match text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
        None => "does not begin with https://",
        Some("") => "has no host",
        _ if text.len() > MAX_URL_BYTES => "is longer than 2048 bytes",
        _ if text.contains('#') => "has a fragment, which is never sent",
        _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => "may contain only visible ASCII characters",
        _ => return Ok(text.to_owned()),
    };
    Err(value.problem(message).hint("e.g. url = \"https://example.com/hooks/shop\", exactly as the provider has it"))
}

fn path(value: &TomlValue<'_>) -> Result<String, Problem> {
    let text = value.text()?;
    let message = match text {
        _ if !text.starts_with('/') => "does not start with a slash",
        _ if text.contains(['?', '#']) => "must be a path without `?` or `#`",
        _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => "may contain only visible ASCII characters",
        _ if text.len() > MAX_PATH_BYTES => "is longer than 1024 bytes",
        _ => return Ok(text.to_owned()),
    };
    Err(value.problem(format!("{text:?} {message}")).hint("e.g. path = \"/hooks/github\""))
}
