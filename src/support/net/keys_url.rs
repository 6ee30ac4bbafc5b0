//! `keys_url` of a source: where its provider's public keys are fetched from instead of the provider's own address.

use std::net::IpAddr;

use ureq::http::Uri;

/// Longest URL that is accepted, in bytes.
const MAX_URL_BYTES: usize = 2048;

/// A configured base URL: https, or http to this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysUrl {
    /// Without trailing slashes.
    pub text: String,
    /// Scheme and authority.
    pub origin: String,
    /// Whether it is http to this machine.
    pub is_plain: bool,
}

impl KeysUrl {
    /// The error completes a sentence about the URL: "does not begin with https://".
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri = parse(text)?;
        let is_plain = match uri.scheme_str() {
            Some("https") => false,
            Some("http") if is_loopback(uri.host().unwrap_or_default()) => true,
            Some("http") => return Err("is http://, which is only allowed to this machine".to_owned()),
            _ => return Err("does not begin with https://".to_owned()),
        };
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let origin = format!("{}://{authority}", if is_plain { "http" } else { "https" });
        Ok(Self { text: text.trim_end_matches('/').to_owned(), origin, is_plain })
    }
}

/// Parses an absolute URL without user, fragment or non-ASCII characters. The error completes a sentence about it.
pub fn parse(text: &str) -> Result<Uri, String> {
    if text.len() > MAX_URL_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['\\', '#']) {
        return Err("is not a valid URL".to_owned());
    }
    let uri: Uri = text.parse().map_err(|_| "is not a valid URL".to_owned())?;
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => Err("contains a user name".to_owned()),
        Some(_) if uri.scheme().is_some() => Ok(uri),
        _ => Err("has no host".to_owned()),
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_only_allowed_to_this_machine() {
        for text in ["https://auth.example/jwks", "http://localhost:1", "http://127.8.0.1", "http://[::1]:2/x"] {
            assert!(KeysUrl::parse(text).is_ok(), "{text}");
        }
        for text in
            ["http://auth.example", "http://127.0.0.1.evil.example", "ftp://localhost", "localhost", "", "https://a@b"]
        {
            assert!(KeysUrl::parse(text).is_err(), "{text}");
        }
    }
}
