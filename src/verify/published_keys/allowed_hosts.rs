//! The URLs that keys may be fetched from: https, and hosts of the provider.
//!
//! URLs in unverified deliveries are written by whoever sent them, so they are checked here before any connection. With
//! `keys_url`, keys are fetched from there instead, for tests and self-hosted providers.

use ureq::http::Uri;

use crate::support::net::keys_url::{KeysUrl, parse};

/// The URLs of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedUrls {
    pub hosts: AllowedHosts,
    pub path_prefix: &'static str,
    pub path_suffix: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedHosts {
    /// This domain and its subdomains.
    Under(&'static str),
    /// `sns.REGION.amazonaws.com` and `sns.REGION.amazonaws.com.cn`
    Sns,
}

/// A URL that may be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyUrl {
    pub(super) url: String,
    /// Whether it may be http: to this machine only.
    pub(super) is_plain: bool,
    /// The name of the requested key, if the URL does not contain it.
    pub(super) key_name: Option<String>,
}

impl KeyUrl {
    /// A URL from hookbox's own table.
    pub fn known(url: &str) -> Self {
        Self { url: url.to_owned(), is_plain: false, key_name: None }
    }

    /// The configured `keys_url`, for a set of keys.
    pub fn of_base(base: &KeysUrl) -> Self {
        Self { url: base.text.clone(), is_plain: base.is_plain, key_name: None }
    }

    /// A path of the provider's API, or of `keys_url`.
    pub(super) fn of_api(origin: &str, path: &str, base: Option<&KeysUrl>) -> Self {
        let origin = base.map_or(origin, |base| base.text.as_str());
        Self { url: format!("{origin}{path}"), is_plain: base.is_some_and(|base| base.is_plain), key_name: None }
    }

    /// A URL from a delivery, if it is the provider's or below `keys_url`. The error completes a sentence about it.
    pub fn allowed(url: &str, allowed: AllowedUrls, base: Option<&KeysUrl>) -> Result<Self, String> {
        let uri = parse(url)?;
        let is_base = base.is_some_and(|base| {
            url.strip_prefix(base.origin.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if !is_base {
            check_host(&uri, allowed.hosts)?;
        }
        if !uri.path().starts_with(allowed.path_prefix) || !uri.path().ends_with(allowed.path_suffix) {
            return Err("does not have a path of the provider's keys".to_owned());
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(match base {
            Some(base) => Self { url: format!("{}{path}", base.text), is_plain: base.is_plain, key_name: None },
            None => Self::known(url),
        })
    }
}

fn check_host(uri: &Uri, hosts: AllowedHosts) -> Result<(), String> {
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    if uri.scheme_str() != Some("https") {
        return Err("does not begin with https://".to_owned());
    }
    if uri.port().is_some_and(|port| port.as_str() != "443") {
        return Err("has another port than 443".to_owned());
    }
    let is_allowed = match hosts {
        AllowedHosts::Under(domain) => {
            host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        }
        AllowedHosts::Sns => is_sns(&host),
    };
    if is_allowed { Ok(()) } else { Err("is not a host of the provider".to_owned()) }
}

/// `^sns\.[a-z0-9-]{3,}\.amazonaws\.com(\.cn)?$`, as in sns-validator.
fn is_sns(host: &str) -> bool {
    let region = host
        .strip_prefix("sns.")
        .and_then(|rest| rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn")));
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    region.is_some_and(|region| region.len() >= 3 && region.chars().all(is_allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNS: AllowedUrls = AllowedUrls { hosts: AllowedHosts::Sns, path_prefix: "/", path_suffix: ".pem" };
    const PAYPAL: AllowedUrls = AllowedUrls {
        hosts: AllowedHosts::Under("paypal.com"),
        path_prefix: "/v1/notifications/certs/",
        path_suffix: "",
    };

    #[test]
    fn only_hosts_of_the_provider_are_allowed() {
        let allowed = |url: &str, pin| assert_eq!(KeyUrl::allowed(url, pin, None).unwrap(), KeyUrl::known(url));
        allowed("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem", SNS);
        allowed("https://sns.cn-north-1.amazonaws.com.cn/a.pem", SNS);
        allowed("https://sns.us-east-1.amazonaws.com:443/a.pem", SNS);
        allowed("https://api.paypal.com/v1/notifications/certs/CERT-1", PAYPAL);
        allowed("https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1", PAYPAL);
        for url in [
            "http://sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com:8443/a.pem",
            "https://sns.us-east-1.amazonaws.com/a.txt",
            "https://sns.us-east-1.amazonaws.com/?a.pem",
            "https://sns.us-east-1.amazonaws.com@evil.example/a.pem",
            "https://evil.example@sns.us-east-1.amazonaws.com/a.pem",
            "https://evil.example\\@sns.us-east-1.amazonaws.com/a.pem",
            "https://evil.example/#sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com.evil.example/a.pem",
            "https://sns.a.b.amazonaws.com/a.pem",
            "https://sns.evil.example/.amazonaws.com/a.pem",
            "https://xsns.us-east-1.amazonaws.com/a.pem",
            "https://sns..amazonaws.com/a.pem",
            "https://evil.s3.amazonaws.com/a.pem",
            "https://127.0.0.1/a.pem",
            "file:///etc/a.pem",
            "//sns.us-east-1.amazonaws.com/a.pem",
            "a.pem",
            "",
        ] {
            assert!(KeyUrl::allowed(url, SNS, None).is_err(), "{url}");
        }
        for url in [
            "https://api.paypal.com/other/CERT-1",
            "https://paypal.com.evil.example/v1/notifications/certs/CERT-1",
            "https://evilpaypal.com/v1/notifications/certs/CERT-1",
        ] {
            assert!(KeyUrl::allowed(url, PAYPAL, None).is_err(), "{url}");
        }
        assert!(
            KeyUrl::allowed(&format!("https://sns.us-east-1.amazonaws.com/{}.pem", "a".repeat(2048)), SNS, None)
                .is_err()
        );
    }

    #[test]
    fn keys_url_replaces_the_host_of_the_provider() {
        let base = KeysUrl::parse("http://127.0.0.1:9/keys/").unwrap();
        let moved = KeyUrl::allowed("https://sns.us-east-1.amazonaws.com/a.pem", SNS, Some(&base)).unwrap();
        assert_eq!(moved, KeyUrl { url: "http://127.0.0.1:9/keys/a.pem".to_owned(), is_plain: true, key_name: None });
        assert!(KeyUrl::allowed("https://evil.example/a.pem", SNS, Some(&base)).is_err());
        assert!(KeyUrl::allowed("http://127.0.0.1:9/a.pem", SNS, Some(&base)).is_ok());
        assert!(KeyUrl::allowed("http://127.0.0.1:99/a.pem", SNS, Some(&base)).is_err());
        assert_eq!(KeyUrl::of_base(&base).url, "http://127.0.0.1:9/keys");
    }
}
