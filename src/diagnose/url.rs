//! Addresses that would have matched, for providers that sign the URL they were given: with or without a slash or port,
//! `http` for `https`, another host, path or query.
//!
//! Made from the configured `url` and from what the request says of itself. An address that may hold a secret is
//! described and not shown.

use super::Finding;
use super::probe::Probe;
use crate::config::Source;
use crate::model::request::Request;

/// An address taken apart.
#[derive(Clone)]
struct UrlVariant {
    scheme: String,
    host: String,
    path: String,
    query: String,
    words: Vec<&'static str>,
}

/// The provider has another address than the source.
pub(super) fn otherwise_written(case: &Probe<'_>) -> Vec<Finding> {
    let request = case.refused.request();
    let Some(configured) = case.source.url.as_deref().and_then(UrlVariant::read) else { return Vec::new() };
    let holds = |parts: &UrlVariant| case.judged_by(&Source { url: Some(parts.text()), ..case.source.clone() }).holds();
    let found = variants(&configured, &request).into_iter().find(holds);
    let told = |parts: UrlVariant| {
        let name = &case.source.name;
        let shown = match parts.query.is_empty() && !parts.host.contains('@') {
            true => format!("Set `url = \"{}\"` for `{name}`", parts.text()),
            false => format!("Change `url` of `{name}` so"),
        };
        let what = format!("It matches when `url` is written {}.", parts.words.join(" and "));
        Finding::new(what, format!("{shown}: it must be the address that the provider was given, to the letter."))
    };
    found.map(told).into_iter().collect()
}

/// Every combination of changes, those with fewest first.
fn variants(configured: &UrlVariant, request: &Request) -> Vec<UrlVariant> {
    let mut variants = vec![configured.clone()];
    for turn in [schemes, hosts, ports, paths, queries] {
        let turned: Vec<_> = variants.iter().flat_map(|parts| turn(parts, request)).collect();
        variants.extend(turned);
    }
    variants.remove(0);
    variants.sort_by_key(|parts| parts.words.len());
    variants
}

fn schemes(parts: &UrlVariant, _: &Request) -> Vec<UrlVariant> {
    let (scheme, word) =
        if parts.scheme == "https" { ("http", "with http for https") } else { ("https", "with https for http") };
    vec![UrlVariant { scheme: scheme.to_owned(), ..parts.with(word) }]
}

fn hosts(parts: &UrlVariant, request: &Request) -> Vec<UrlVariant> {
    let headers =
        [("host", "with the host that the request names"), ("x-forwarded-host", "with the host that the proxy names")];
    let turn = |(name, word): (&str, &'static str)| {
        let host = request.headers.all(name).next().and_then(|host| std::str::from_utf8(host).ok())?;
        (host != parts.host).then(|| UrlVariant { host: host.to_owned(), ..parts.with(word) })
    };
    headers.into_iter().filter_map(turn).collect()
}

fn ports(parts: &UrlVariant, _: &Request) -> Vec<UrlVariant> {
    let default = if parts.scheme == "https" { ":443" } else { ":80" };
    match parts.host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())) {
        Some((bare, _)) => vec![UrlVariant { host: bare.to_owned(), ..parts.with("without its port") }],
        None => vec![UrlVariant { host: format!("{}{default}", parts.host), ..parts.with("with its port") }],
    }
}

fn paths(parts: &UrlVariant, request: &Request) -> Vec<UrlVariant> {
    let slash = match parts.path.strip_suffix('/') {
        Some(bare) => UrlVariant { path: bare.to_owned(), ..parts.with("without the slash at its end") },
        None => UrlVariant { path: format!("{}/", parts.path), ..parts.with("with a slash at its end") },
    };
    let came = (request.path != parts.path)
        .then(|| UrlVariant { path: request.path.clone(), ..parts.with("with the path that the request came to") });
    std::iter::once(slash).chain(came).collect()
}

fn queries(parts: &UrlVariant, request: &Request) -> Vec<UrlVariant> {
    let bare =
        (!parts.query.is_empty()).then(|| UrlVariant { query: String::new(), ..parts.with("without its query") });
    let came = (!request.query.is_empty() && request.query != parts.query)
        .then(|| UrlVariant { query: request.query.clone(), ..parts.with("with the query that came") });
    bare.into_iter().chain(came).collect()
}

impl UrlVariant {
    fn read(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let [scheme, host, path, query] = [scheme, host, path, query].map(str::to_owned);
        Some(Self { scheme, host, path, query, words: Vec::new() })
    }

    fn text(&self) -> String {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        format!("{}://{}{}{query}", self.scheme, self.host, self.path)
    }

    fn with(&self, word: &'static str) -> Self {
        let mut parts = self.clone();
        parts.words.push(word);
        parts
    }
}
