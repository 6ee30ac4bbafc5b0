//! The URL that a provider has signed, as far as a request and the source's `url` determine it.
//!
//! A configured URL with a query is exact. One without is a base: the rest of the path below the source's own path and
//! the query are appended as received. [`spellings`] lists other ways to write the same URL.

mod check;
mod spelling;

use crate::config::Source;
use crate::model::request::Request;

/// The most spellings that are tried for one request, in addition to the usual one of each base.
const MAX_SPELLINGS: usize = 16;

/// One URL for each configured one, or an empty one.
pub(super) fn usual(source: &Source, request: &Request) -> Vec<String> {
    if source.urls.is_empty() {
        return vec![String::new()];
    }
    let rest = rest_of_path(&source.path, &request.path);
    source.urls.iter().map(|url| received(url, rest, &request.query)).collect()
}

/// Other spellings of the usual URLs, the likely ones first. Few, because each costs a signature of the body.
pub(super) fn spellings(source: &Source, request: &Request) -> Vec<String> {
    let usual = usual(source, request);
    let mut found: Vec<String> = Vec::new();
    for url in usual.iter().filter(|url| !url.is_empty()) {
        for spelled in spelling::of(url) {
            if found.len() < MAX_SPELLINGS && !usual.contains(&spelled) && !found.contains(&spelled) {
                found.push(spelled);
            }
        }
    }
    found
}

/// The path below the source's own one; empty if a proxy has replaced the path.
fn rest_of_path<'p>(own: &str, path: &'p str) -> &'p str {
    match path.strip_prefix(own) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') || own.ends_with('/') => rest,
        _ => "",
    }
}

fn received(url: &str, rest: &str, query: &str) -> String {
    if url.contains('?') {
        return url.to_owned();
    }
    let slash = match (url.ends_with('/'), rest.starts_with('/')) {
        (true, true) => return with_query(&url[..url.len() - 1], rest, query),
        (false, false) if !rest.is_empty() => "/",
        _ => "",
    };
    with_query(&format!("{url}{slash}"), rest, query)
}

fn with_query(url: &str, rest: &str, query: &str) -> String {
    if query.is_empty() { format!("{url}{rest}") } else { format!("{url}{rest}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_of_path_and_query_are_appended_to_a_base() {
        for (url, own, path, query, expected) in [
            ("https://a.example/in", "/in", "/in", "", "https://a.example/in"),
            ("https://a.example/in", "/in", "/in", "a=1", "https://a.example/in?a=1"),
            ("https://a.example/in", "/in", "/in/order/17", "a=%20b", "https://a.example/in/order/17?a=%20b"),
            ("https://a.example/in/", "/in", "/in/17", "", "https://a.example/in/17"),
            ("https://a.example/in", "/in/", "/in/17", "", "https://a.example/in/17"),
            ("https://a.example/in", "/in", "/inner", "", "https://a.example/in"),
            ("https://a.example/in", "/in", "/elsewhere", "a=1", "https://a.example/in?a=1"),
            ("https://a.example/in?a=1", "/in", "/in/17", "a=2", "https://a.example/in?a=1"),
        ] {
            assert_eq!(received(url, rest_of_path(own, path), query), expected, "{url} {own} {path}");
        }
    }
}
