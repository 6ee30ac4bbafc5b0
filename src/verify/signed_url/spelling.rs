//! Other spellings of one URL: a default port, a slash at the end of the path, doubled slashes, percent-encoding.
//!
//! Scheme, host, path segments and query stay the same, so another resource never gets a spelling in common.

/// Characters that HubSpot decodes before it signs (developers.hubspot.com, validating requests, version 3).
const DECODED_BY_HUBSPOT: &[u8] = b":/?@!$'()*,;";

/// A URL in its parts. Query with its question mark.
#[derive(Clone, Copy)]
struct UrlParts<'u> {
    scheme: &'u str,
    host: &'u str,
    path: &'u str,
    query: &'u str,
}

/// Other spellings, those of one change first. The caller removes repeated ones.
pub(super) fn of(url: &str) -> Vec<String> {
    let Some(parts) = parse(url) else { return Vec::new() };
    let port = other_port(parts).unwrap_or_else(|| parts.host.to_owned());
    let slash = other_slash(parts.path);
    let tail = format!("{slash}{}", parts.query);
    let written = |host: &str, tail: &str| format!("{}://{host}{tail}", parts.scheme);
    let own = format!("{}{}", parts.path, parts.query);
    vec![
        written(&port, &own),
        written(parts.host, &tail),
        written(parts.host, &format!("{}{}", single_slashes(parts.path), parts.query)),
        written(parts.host, &decoded(&own, |byte| DECODED_BY_HUBSPOT.contains(&byte))),
        written(parts.host, &decoded(&own, |byte| byte != b'%' && byte != b'&' && byte != b'=')),
        written(parts.host, &other_case(&own)),
        written(parts.host, &format!("{}{}", parts.path, parts.query.replace('+', "%20"))),
        written(parts.host, &format!("{}{}", parts.path, parts.query.replace("%20", "+"))),
        written(&port, &tail),
    ]
}

fn parse(url: &str) -> Option<UrlParts<'_>> {
    let (scheme, rest) = url.split_once("://")?;
    let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Some(UrlParts { scheme, host, path, query })
}

/// The host with its default port added or removed.
fn other_port(url: UrlParts<'_>) -> Option<String> {
    let port = if url.scheme == "https" { ":443" } else { ":80" };
    match url.host.strip_suffix(port) {
        Some(bare) => Some(bare.to_owned()),
        None if url.host.rsplit(']').next().is_some_and(|host| host.contains(':')) => None,
        None => Some(format!("{}{port}", url.host)),
    }
}

fn other_slash(path: &str) -> String {
    path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned)
}

fn single_slashes(path: &str) -> String {
    let mut single = String::with_capacity(path.len());
    path.chars().for_each(|c| {
        if c != '/' || !single.ends_with('/') {
            single.push(c);
        }
    });
    single
}

/// Percent-encoded printable ASCII characters as themselves, where `is_decoded` says so.
fn decoded(text: &str, is_decoded: impl Fn(u8) -> bool) -> String {
    rewritten(text, |digits, byte| match byte {
        b'!'..=b'~' if is_decoded(byte) => char::from(byte).to_string(),
        _ => format!("%{digits}"),
    })
}

/// The hexadecimal digits of percent-encoding in the other case.
fn other_case(text: &str) -> String {
    rewritten(text, |digits, _| {
        let upper = digits.to_ascii_uppercase();
        if upper == digits { format!("%{}", digits.to_ascii_lowercase()) } else { format!("%{upper}") }
    })
}

fn rewritten(text: &str, write: impl Fn(&str, u8) -> String) -> String {
    let mut rest = text;
    let mut written = String::with_capacity(text.len());
    while let Some(at) = rest.find('%') {
        written.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| Some((digits, u8::from_str_radix(digits, 16).ok()?))) {
            Some((digits, byte)) => {
                written.push_str(&write(digits, byte));
                rest = &rest[at + 3..];
            }
            None => {
                written.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    written.push_str(rest);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_the_same_resource_are_listed() {
        for (url, other) in [
            ("https://a.example/x?y=1", "https://a.example:443/x?y=1"),
            ("https://a.example:443?y", "https://a.example?y"),
            ("http://a.example", "http://a.example:80"),
            ("https://[::1]/x", "https://[::1]:443/x"),
            ("https://a.example/x?y=1", "https://a.example/x/?y=1"),
            ("https://a.example/x/", "https://a.example/x"),
            ("https://a.example//x//z?u=//", "https://a.example/x/z?u=//"),
            ("https://a.example/x?y=a%40b%3a", "https://a.example/x?y=a@b:"),
            ("https://a.example/x?y=a%7Eb%26c%zz", "https://a.example/x?y=a~b%26c%zz"),
            ("https://a.example/x?y=%2f", "https://a.example/x?y=%2F"),
            ("https://a.example/x?y=a+b", "https://a.example/x?y=a%20b"),
            ("https://a.example/x?y=a%20b", "https://a.example/x?y=a+b"),
        ] {
            assert!(of(url).iter().any(|found| found == other), "{other} is not in {:?}", of(url));
        }
    }

    #[test]
    fn no_other_resource_is_listed() {
        let url = "https://a.example:8443/x/y?b=1&c=%26d";
        for found in of(url) {
            assert!(found.starts_with("https://a.example:8443/x/y"), "{found}");
            assert!(found.ends_with("?b=1&c=%26d"), "{found}");
        }
        assert!(of("").is_empty());
    }
}
