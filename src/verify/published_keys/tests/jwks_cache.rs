//! Fetching, caching and expiry, with a local provider.

use super::provider::{Provider, RSA, certificate, jwk, rsa, set};
use crate::providers::KeyKind;
use crate::support::net::keys_url::KeysUrl;
use crate::support::time::Millis;
use crate::verify::published_keys::jwks_cache::{JwksCache, KeyFetchError, MAX_ENTRIES, MAX_FETCHES};
use crate::verify::published_keys::{AllowedHosts, AllowedUrls, KeyUrl};
use std::time::Duration;

/// 2023-11-14T22:13:20Z
const NOW: Millis = Millis(1_700_000_000_000);
const SNS: AllowedUrls = AllowedUrls { hosts: AllowedHosts::Sns, path_prefix: "/", path_suffix: ".pem" };
const URL: &str = "https://keys.example/jwks";

fn later(seconds: i64) -> Millis {
    Millis(NOW.0 + seconds * 1000)
}

fn cache(provider: &Provider) -> JwksCache {
    JwksCache::with_time_limit(Some(provider.base()), Duration::from_millis(500))
}

fn unavailable<T: std::fmt::Debug>(result: Result<T, KeyFetchError>) -> String {
    match result {
        Err(KeyFetchError::Unavailable(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn set_is_fetched_again_when_expired() {
    let provider = Provider::start(&set(&[jwk(&RSA, "a"), jwk(&RSA, "b")]));
    let cache = cache(&provider);
    for seconds in [0, 1, 3599] {
        let found = cache.set(URL, Some("a"), later(seconds)).unwrap();
        assert_eq!((found.len(), found[0].kind, found[0].kid.as_deref()), (1, KeyKind::Rsa, Some("a")));
    }
    assert_eq!(cache.set(URL, None, NOW).unwrap().len(), 2);
    assert_eq!(provider.requests(), 1);
    assert!(cache.set(URL, Some("a"), later(3600)).is_ok());
    assert_eq!(provider.requests(), 2);
}

#[test]
fn max_age_of_a_set_is_clamped() {
    for (header, fresh, old) in [
        ("Cache-Control: public, max-age=600\r\n", 599, 600),
        ("Cache-Control: max-age=0\r\n", 59, 60),
        ("Cache-Control: max-age=99999999\r\n", 86_399, 86_400),
    ] {
        let provider = Provider::start("");
        provider.now_answers("200 OK", header, &set(&[jwk(&RSA, "a")]));
        let cache = cache(&provider);
        for seconds in [0, fresh] {
            cache.set(URL, Some("a"), later(seconds)).unwrap();
        }
        assert_eq!(provider.requests(), 1, "{header}");
        cache.set(URL, Some("a"), later(old)).unwrap();
        assert_eq!(provider.requests(), 2, "{header}");
    }
}

#[test]
fn unknown_key_fetches_the_set_again_once_a_minute() {
    let provider = Provider::start(&set(&[jwk(&RSA, "old")]));
    let cache = cache(&provider);
    assert!(cache.set(URL, Some("old"), NOW).is_ok());
    assert_eq!(cache.set(URL, Some("new"), later(30)), Err(KeyFetchError::Unknown));
    assert_eq!(provider.requests(), 1);
    provider.now_answers("200 OK", "", &set(&[jwk(&rsa(), "new")]));
    assert_eq!(cache.set(URL, Some("new"), later(60)).unwrap().len(), 1);
    assert_eq!(cache.set(URL, Some("old"), later(61)), Err(KeyFetchError::Unknown));
    assert_eq!(cache.set(URL, Some("evil"), later(119)), Err(KeyFetchError::Unknown));
    assert_eq!(provider.requests(), 2);
}

#[test]
fn failed_fetch_is_not_repeated_for_a_while() {
    let provider = Provider::start(&set(&[jwk(&RSA, "a")]));
    let cache = cache(&provider);
    provider.now_answers("500 Internal Server Error", "", "");
    assert!(unavailable(cache.set(URL, Some("a"), NOW)).contains("responded with status 500"));
    provider.now_answers("200 OK", "", &set(&[jwk(&RSA, "a")]));
    assert!(unavailable(cache.set(URL, Some("a"), later(9))).contains("responded with status 500"));
    assert_eq!(provider.requests(), 1);
    assert!(cache.set(URL, Some("a"), later(10)).is_ok());
}

#[test]
fn timeouts_oversize_redirects_and_garbage_are_unavailable() {
    let failure = |prepare: &dyn Fn(&Provider)| {
        let provider = Provider::start("");
        prepare(&provider);
        let started = std::time::Instant::now();
        let error = unavailable(cache(&provider).set(URL, Some("a"), NOW));
        assert!(started.elapsed() < Duration::from_secs(3));
        assert_eq!(provider.requests(), 1);
        error
    };
    assert!(failure(&|provider| provider.falls_silent(Duration::from_secs(5))).contains("timeout"));
    assert!(failure(&|provider| provider.now_answers("200 OK", "", &" ".repeat(300 << 10))).contains("limit"));
    assert!(
        failure(&|provider| provider.now_answers("302 Found", "Location: /x\r\n", ""))
            .contains("responded with status 302")
    );
    assert!(failure(&|provider| provider.now_answers("200 OK", "", "<html>")).contains("is not a JSON Web Key Set"));
    assert!(failure(&|provider| provider.now_answers("200 OK", "", r#"{"keys":[]}"#)).contains("no usable key"));
    let nowhere = JwksCache::new(Some(KeysUrl::parse("http://127.0.0.1:1").unwrap()));
    unavailable(nowhere.set(URL, None, NOW));
}

#[test]
fn host_without_trusted_certificate_is_unavailable() {
    let provider = Provider::start(&set(&[jwk(&RSA, "a")]));
    let base = KeysUrl::parse(&provider.url.replace("http://", "https://")).unwrap();
    unavailable(JwksCache::with_time_limit(Some(base), Duration::from_secs(2)).set(URL, Some("a"), NOW));

    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = std::sync::Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let served = std::thread::spawn(move || {
        let mut connection = rustls::ServerConnection::new(config).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        connection.complete_io(&mut stream).map(drop)
    });
    let cache = JwksCache::with_time_limit(Some(KeysUrl::parse(&url).unwrap()), Duration::from_secs(2));
    let error = unavailable(cache.set(URL, Some("a"), NOW));
    assert!(error.contains("certificate"), "{error}");
    assert!(served.join().unwrap().is_err());
}

#[test]
fn known_key_stays_usable_while_fetching_fails() {
    let provider = Provider::start(&set(&[jwk(&RSA, "a")]));
    let cache = cache(&provider);
    assert!(cache.set(URL, Some("a"), NOW).is_ok());
    provider.now_answers("500 Internal Server Error", "", "");
    unavailable(cache.set(URL, Some("b"), later(90)));
    assert!(cache.set(URL, Some("a"), later(91)).is_ok());
    unavailable(cache.set(URL, Some("b"), later(92)));
    assert_eq!(provider.requests(), 2);
}

#[test]
fn certificate_must_be_valid_now() {
    let at = |path: &str, provider: &Provider| {
        KeyUrl::allowed(&format!("https://sns.us-east-1.amazonaws.com/{path}.pem"), SNS, Some(&provider.base()))
            .unwrap()
    };
    let provider = Provider::start(&certificate(&RSA, 2020, 2030));
    let cache = cache(&provider);
    let key = cache.certificate(&at("a", &provider), NOW).unwrap();
    assert_eq!((key.kind, &key.der), (KeyKind::Rsa, &cache.certificate(&at("a", &provider), NOW).unwrap().der));
    assert_eq!((provider.requests(), provider.targets()), (1, vec!["/a.pem".to_owned()]));
    provider.now_answers("200 OK", "", &certificate(&RSA, 2020, 2021));
    assert_eq!(cache.certificate(&at("expired", &provider), NOW), Err(KeyFetchError::Unknown));
    provider.now_answers("200 OK", "", &certificate(&RSA, 2029, 2030));
    assert_eq!(cache.certificate(&at("future", &provider), NOW), Err(KeyFetchError::Unknown));
    provider.now_answers("200 OK", "", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(unavailable(cache.certificate(&at("broken", &provider), NOW)).contains("is not a certificate"));
}

#[test]
fn strangers_can_neither_fill_the_cache_nor_exceed_the_fetch_limit() {
    let provider = Provider::start(&set(&[jwk(&RSA, "a")]));
    let cache = cache(&provider);
    let pin = AllowedUrls { path_suffix: "", ..SNS };
    let fetch = |name: usize, now| {
        let url = format!("https://sns.us-east-1.amazonaws.com/{name}");
        cache.certificate(&KeyUrl::allowed(&url, pin, Some(&provider.base())).unwrap(), now)
    };
    assert!(cache.set(URL, Some("a"), NOW).is_ok());
    for name in 0..100 {
        unavailable(fetch(name, later(1)));
    }
    assert_eq!(provider.requests(), MAX_FETCHES);
    for name in 100..400 {
        unavailable(fetch(name, later(i64::try_from(name).unwrap())));
    }
    assert!(cache.len() <= MAX_ENTRIES);
    let before = provider.requests();
    assert!(cache.set(URL, Some("a"), later(500)).is_ok());
    assert_eq!(provider.requests(), before);
}

#[test]
fn concurrent_requests_for_a_url_share_one_fetch() {
    let provider = Provider::start(&set(&[jwk(&RSA, "a")]));
    let cache = cache(&provider);
    let gate = std::sync::Barrier::new(16);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                gate.wait();
                assert!(cache.set(URL, Some("a"), NOW).is_ok());
            });
        }
    });
    assert_eq!(provider.requests(), 1);
}
