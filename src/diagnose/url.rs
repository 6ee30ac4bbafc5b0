//! For providers that sign the URL: whether another URL than the configured one would have matched.
//!
//! Variants are made of the configured `url` and what the request contains. A URL that may contain a secret is described
//! but not shown.

use super::probe::{Finding, Probe, combinations};
use super::variant::setting;
use crate::config::Source;
use crate::model::request::Request;

#[derive(Clone)]
struct UrlVariant {
    scheme: String,
    host: String,
    path: String,
    query: String,
    /// What was changed.
    changes: Vec<&'static str>,
}

pub(super) fn other_urls(probe: &Probe<'_>) -> Vec<Finding> {
    let request = probe.refused.request();
    let Some(configured) = probe.source.urls.first().map(String::as_str).and_then(UrlVariant::parse) else {
        return Vec::new();
    };
    let matches = |url: &UrlVariant| probe.check(&Source { urls: vec![url.text()], ..probe.source.clone() }).is_match();
    let finding = |url: UrlVariant| {
        let name = &probe.source.name;
        let is_public = url.query.is_empty() && !url.host.contains('@');
        let change = match is_public {
            true => format!("Set `url = \"{}\"` for `{name}`", url.text()),
            false => format!("Change `url` of `{name}` accordingly"),
        };
        Finding::new(
            format!("It matches if `url` is written {}.", url.changes.join(" and ")),
            format!("{change}. It must be exactly the URL that the provider was given."),
        )
        .with_settings(setting(probe.source, "url", url.text()).filter(|_| is_public))
    };
    variants(configured, &request).into_iter().find(matches).map(finding).into_iter().collect()
}

/// Every combination of changes, those with the fewest changes first.
fn variants(configured: UrlVariant, request: &Request) -> Vec<UrlVariant> {
    let mut variants = combinations(
        configured,
        &[&schemes, &|url| hosts(url, request), &ports, &|url| paths(url, request), &|url| queries(url, request)],
    );
    variants.sort_by_key(|url| url.changes.len());
    variants
}

fn schemes(url: &UrlVariant) -> Vec<UrlVariant> {
    let (scheme, change) =
        if url.scheme == "https" { ("http", "with http for https") } else { ("https", "with https for http") };
    vec![UrlVariant { scheme: scheme.to_owned(), ..url.with(change) }]
}

fn hosts(url: &UrlVariant, request: &Request) -> Vec<UrlVariant> {
    let headers =
        [("host", "with the host of the request"), ("x-forwarded-host", "with the host that the proxy forwards")];
    let change = |(name, change): (&str, &'static str)| {
        let host = request.headers.all(name).next().and_then(|host| std::str::from_utf8(host).ok())?;
        (host != url.host).then(|| UrlVariant { host: host.to_owned(), ..url.with(change) })
    };
    headers.into_iter().filter_map(change).collect()
}

fn ports(url: &UrlVariant) -> Vec<UrlVariant> {
    let default = if url.scheme == "https" { ":443" } else { ":80" };
    match url.host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())) {
        Some((bare, _)) => vec![UrlVariant { host: bare.to_owned(), ..url.with("without its port") }],
        None => vec![UrlVariant { host: format!("{}{default}", url.host), ..url.with("with its port") }],
    }
}

fn paths(url: &UrlVariant, request: &Request) -> Vec<UrlVariant> {
    let slash = match url.path.strip_suffix('/') {
        Some(bare) => UrlVariant { path: bare.to_owned(), ..url.with("without the slash at its end") },
        None => UrlVariant { path: format!("{}/", url.path), ..url.with("with a slash at its end") },
    };
    let received = (request.path != url.path)
        .then(|| UrlVariant { path: request.path.clone(), ..url.with("with the path of the request") });
    std::iter::once(slash).chain(received).collect()
}

fn queries(url: &UrlVariant, request: &Request) -> Vec<UrlVariant> {
    let bare = (!url.query.is_empty()).then(|| UrlVariant { query: String::new(), ..url.with("without its query") });
    let received = (!request.query.is_empty() && request.query != url.query)
        .then(|| UrlVariant { query: request.query.clone(), ..url.with("with the query of the request") });
    bare.into_iter().chain(received).collect()
}

impl UrlVariant {
    fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let [scheme, host, path, query] = [scheme, host, path, query].map(str::to_owned);
        Some(Self { scheme, host, path, query, changes: Vec::new() })
    }

    fn text(&self) -> String {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        format!("{}://{}{}{query}", self.scheme, self.host, self.path)
    }

    fn with(&self, change: &'static str) -> Self {
        let mut url = self.clone();
        url.changes.push(change);
        url
    }
}
