//! Where keys may be fetched from: https, and hosts that belong to the provider.
//!
//! An address out of a delivery is written by whoever sent it. It is checked here before anything connects, and may
//! be moved to the base that the operator configured, for tests and for providers that one hosts oneself.

use ureq::http::Uri;

use crate::support::net::keys_url::{KeysUrl, parse};

/// Which addresses are a provider's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Its hosts.
    pub hosts: Hosts,
    /// How paths begin.
    pub path_prefix: &'static str,
    /// How paths end.
    pub path_suffix: &'static str,
}

/// Hosts of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// This host and those below it.
    Under(&'static str),
    /// `sns.REGION.amazonaws.com` and `sns.REGION.amazonaws.com.cn`
    Sns,
}

/// An address that may be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    pub(super) url: String,
    /// Whether it may go without TLS: on this machine alone.
    pub(super) is_plain: bool,
    /// The key that is asked for there, where the address does not say it.
    pub(super) key: Option<String>,
}

impl Address {
    /// An address that hookbox itself knows.
    #[must_use]
    pub fn known(url: &str) -> Self {
        Self { url: url.to_owned(), is_plain: false, key: None }
    }

    /// The configured base itself, of a set of keys.
    #[must_use]
    pub fn of_base(base: &KeysUrl) -> Self {
        Self { url: base.text.clone(), is_plain: base.is_plain, key: None }
    }

    /// A path of a provider's API, or of the configured base's.
    pub(super) fn of_api(origin: &str, path: &str, base: Option<&KeysUrl>) -> Self {
        let origin = base.map_or(origin, |base| base.text.as_str());
        Self { url: format!("{origin}{path}"), is_plain: base.is_some_and(|base| base.is_plain), key: None }
    }

    /// An address out of a delivery, if it is the provider's, or the configured base's.
    ///
    /// # Errors
    /// Says why it is not fetched.
    pub fn pinned(written: &str, pin: Pin, base: Option<&KeysUrl>) -> Result<Self, String> {
        let uri = parse(written)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let is_base = base.is_some_and(|base| {
            written.strip_prefix(base.origin.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if !is_base {
            check(&uri, pin)?;
        }
        if !uri.path().starts_with(pin.path_prefix) || !uri.path().ends_with(pin.path_suffix) {
            return Err("is no path of the provider's keys".to_owned());
        }
        Ok(match base {
            Some(base) => Self { url: format!("{}{path}", base.text), is_plain: base.is_plain, key: None },
            None => Self { url: written.to_owned(), is_plain: false, key: None },
        })
    }
}

fn check(uri: &Uri, pin: Pin) -> Result<(), String> {
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    if uri.scheme_str() != Some("https") {
        return Err("does not begin with https://".to_owned());
    }
    if uri.port().is_some_and(|port| port.as_str() != "443") {
        return Err("names a port".to_owned());
    }
    let is_theirs = match pin.hosts {
        Hosts::Under(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        Hosts::Sns => is_sns(&host),
    };
    if is_theirs { Ok(()) } else { Err("is not a host of the provider".to_owned()) }
}

/// `^sns\.[a-z0-9-]{3,}\.amazonaws\.com(\.cn)?$`, as sns-validator has it.
fn is_sns(host: &str) -> bool {
    let region = host
        .strip_prefix("sns.")
        .and_then(|rest| rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn")));
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    region.is_some_and(|region| region.len() >= 3 && region.chars().all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNS: Pin = Pin { hosts: Hosts::Sns, path_prefix: "/", path_suffix: ".pem" };
    const PAYPAL: Pin =
        Pin { hosts: Hosts::Under("paypal.com"), path_prefix: "/v1/notifications/certs/", path_suffix: "" };

    #[test]
    fn only_the_providers_own_hosts_are_asked() {
        let fine = |url: &str, pin| assert_eq!(Address::pinned(url, pin, None).unwrap(), Address::known(url));
        fine("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem", SNS);
        fine("https://sns.cn-north-1.amazonaws.com.cn/a.pem", SNS);
        fine("https://sns.us-east-1.amazonaws.com:443/a.pem", SNS);
        fine("https://api.paypal.com/v1/notifications/certs/CERT-1", PAYPAL);
        fine("https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1", PAYPAL);
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
            assert!(Address::pinned(url, SNS, None).is_err(), "{url}");
        }
        for url in [
            "https://api.paypal.com/other/CERT-1",
            "https://paypal.com.evil.example/v1/notifications/certs/CERT-1",
            "https://evilpaypal.com/v1/notifications/certs/CERT-1",
        ] {
            assert!(Address::pinned(url, PAYPAL, None).is_err(), "{url}");
        }
        assert!(
            Address::pinned(&format!("https://sns.us-east-1.amazonaws.com/{}.pem", "a".repeat(2048)), SNS, None)
                .is_err()
        );
    }

    #[test]
    fn a_configured_base_takes_the_place_of_the_providers_host() {
        let base = KeysUrl::parse("http://127.0.0.1:9/keys/").unwrap();
        let moved = Address::pinned("https://sns.us-east-1.amazonaws.com/a.pem", SNS, Some(&base)).unwrap();
        assert_eq!(moved, Address { url: "http://127.0.0.1:9/keys/a.pem".to_owned(), is_plain: true, key: None });
        assert!(Address::pinned("https://evil.example/a.pem", SNS, Some(&base)).is_err());
        assert!(Address::pinned("http://127.0.0.1:9/a.pem", SNS, Some(&base)).is_ok());
        assert!(Address::pinned("http://127.0.0.1:99/a.pem", SNS, Some(&base)).is_err());
        assert_eq!(Address::of_base(&base).url, "http://127.0.0.1:9/keys");
    }
}
