//! Every supported provider of the table: only genuine deliveries are accepted, with their id and type.

use std::sync::LazyLock;

use super::*;
use crate::providers::{
    AuthMethod, Encoding, IdScope, KeyKind, SecretDecoding, Selector, SignatureSyntax, TimestampLocation,
    ValueLocation, all,
};

/// Key pairs of a provider: private and public key in PEM.
struct Pair {
    private: String,
    public: String,
}

fn pairs(kind: KeyKind) -> &'static [Pair; 2] {
    static ED25519: LazyLock<[Pair; 2]> = LazyLock::new(|| [1, 2].map(ed25519));
    static P256: LazyLock<[Pair; 2]> = LazyLock::new(|| [1, 2].map(p256));
    static RSA: LazyLock<[Pair; 2]> = LazyLock::new(|| [(); 2].map(|()| rsa()));
    match kind {
        KeyKind::Ed25519 => &ED25519,
        KeyKind::P256 => &P256,
        KeyKind::Rsa => &RSA,
    }
}

fn ed25519(seed: u8) -> Pair {
    use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey};
    let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    let private = key.to_pkcs8_pem(Default::default()).unwrap().to_string();
    Pair { private, public: key.verifying_key().to_public_key_pem(Default::default()).unwrap() }
}

fn p256(seed: u8) -> Pair {
    use ::p256::pkcs8::{EncodePrivateKey, EncodePublicKey};
    let key = ::p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap();
    let private = key.to_pkcs8_pem(Default::default()).unwrap().to_string();
    Pair { private, public: key.verifying_key().to_public_key_pem(Default::default()).unwrap() }
}

fn rsa() -> Pair {
    use ::rsa::pkcs8::{EncodePrivateKey, EncodePublicKey};
    let mut random = ::rsa::rand_core::UnwrapErr(getrandom::SysRng);
    let key = ::rsa::RsaPrivateKey::new(&mut random, 1024).unwrap();
    let private = key.to_pkcs8_pem(Default::default()).unwrap().to_string();
    Pair { private, public: key.to_public_key().to_public_key_pem(Default::default()).unwrap() }
}

/// A secret that every decoding accepts: hex, and base64 of 24 bytes; with a colon for Basic.
const SECRETS: [&str; 2] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];

struct Case {
    name: &'static str,
    source: Source,
    unsigned: TestEvent,
    id: Option<String>,
    event_type: String,
}

/// The parts of an id or type, each with a different text.
fn named(scheme: &Scheme, tries: &[Vec<Selector>], between: &str, text: &str) -> Option<String> {
    let is_form = |part: &Selector| matches!(part, Selector::Form(_) | Selector::FormJson(..));
    let is_writable = |part: &&Selector| {
        !matches!(part, Selector::Body | Selector::FormXml(..)) && (scheme.is_form() || !is_form(part))
    };
    let parts = tries.first()?.iter();
    if parts.clone().any(|part| *part == Selector::Body) {
        return None;
    }
    let texts: Vec<_> = parts.filter(is_writable).enumerate().map(|(place, _)| format!("{text}-{place}")).collect();
    (!texts.is_empty()).then(|| texts.join(between))
}

fn kind_of(scheme: &Scheme) -> Option<KeyKind> {
    match &scheme.auth {
        AuthMethod::Signature(signed) => signed.algorithm.key_kind(),
        AuthMethod::Jwt(jwt) => jwt.algorithms.first().and_then(|algorithm| algorithm.key_kind()),
        _ => None,
    }
}

pub(crate) fn source_of(name: &str, scheme: Scheme, places: &[usize]) -> Source {
    let text = |place: &usize| {
        Secret::new(if scheme.auth == AuthMethod::Basic { format!("u:{place}") } else { SECRETS[*place].to_owned() })
    };
    let public = |kind: KeyKind, place: usize| {
        let pem = pairs(kind)[place].public.clone();
        // Providers with bare keys get a bare key.
        let der =
            || base64::Engine::decode(&base64::engine::general_purpose::STANDARD, pem.lines().nth(1).unwrap()).unwrap();
        match scheme.secret_decoding {
            SecretDecoding::Hex => hex::encode(&der()[12..]),
            SecretDecoding::Base64 => signature_header::encode(Encoding::Base64, &der()[12..]),
            _ => pem,
        }
    };
    let kind = kind_of(&scheme);
    let needs = scheme.required_settings();
    let secrets = if kind.is_none() { places.iter().map(text).collect() } else { Vec::new() };
    let public_keys = kind.map(|kind| places.iter().map(|place| Secret::new(public(kind, *place))).collect());
    Source {
        name: "here".into(),
        provider: name.to_owned(),
        path: "/hooks/here".to_owned(),
        secrets,
        public_keys: public_keys.unwrap_or_default(),
        key_ids: if scheme.key_id.is_some() { vec![Secret::new("key-1")] } else { Vec::new() },
        api_key: needs.api_key.then(|| Secret::new("api-1")),
        verify_token: needs.verify_token.then(|| Secret::new("token-1")),
        topics: Vec::new(),
        confirm_subscriptions: false,
        keys_url: None,
        urls: needs.url.then(|| "https://example.com/hooks/here?a=1".to_owned()).into_iter().collect(),
        max_body: 1 << 20,
        scheme_summary: vec![],
        scheme: Arc::new(scheme),
        admission: crate::config::Admission::default(),
    }
}

pub(crate) fn scheme_of(row: &ProviderRow) -> Scheme {
    Scheme::from_row(row).unwrap().with_key_id("key-1")
}

pub(super) fn private_key_of(kind: KeyKind) -> Secret {
    Secret::new(pairs(kind)[0].private.clone())
}

pub(super) fn public_key_of(kind: KeyKind) -> Secret {
    Secret::new(pairs(kind)[0].public.clone())
}

pub(crate) fn private_key(scheme: &Scheme) -> Option<Secret> {
    kind_of(scheme).map(private_key_of)
}

fn cases() -> Vec<Case> {
    let case = |(name, row): (&'static str, &'static ProviderRow)| {
        let source = source_of(name, scheme_of(row), &[0]);
        let scheme = &source.scheme;
        let (ids, types) = (&scheme.event_id.alternatives, &scheme.event_type.alternatives);
        let is_shared =
            ids.first().is_some_and(|parts| parts.iter().any(|part| types.iter().flatten().any(|own| own == part)));
        // An id of several claims comes from the provider.
        let is_made = ids.first().is_some_and(|parts| matches!(parts[..], [Selector::Claim(_), _, ..]));
        let id = named(scheme, ids, ":", "id")
            .filter(|_| !is_shared && !is_made && name != "dropbox-sign" && scheme.event_id.scope != IdScope::None);
        let in_xml = matches!(types.first().and_then(|parts| parts.first()), Some(Selector::FormXml(..)));
        let xml = "bt_payload=PG5vdGlmaWNhdGlvbj48a2luZD50eXBlLTA8L2tpbmQ%2BPC9ub3RpZmljYXRpb24%2B";
        let event_type =
            if in_xml { "type-0".to_owned() } else { named(scheme, types, ".", "type").unwrap_or_default() };
        let body = if in_xml {
            xml
        } else if scheme.is_form() {
            "x=1"
        } else {
            "{\"x\":1}"
        };
        let unsigned = TestEvent {
            event_type: event_type.clone(),
            event_id: id.clone(),
            body: if scheme.batch.is_some() { b"{\"x\":1}".to_vec() } else { body.as_bytes().to_vec() },
            private_key: private_key(scheme),
            ..TestEvent::default()
        };
        Case { name, unsigned, id, event_type, source }
    };
    walked_rows().map(case).collect()
}

/// Every row except those of built-in schemes, which are tested in `remote`.
pub(crate) fn walked_rows() -> impl Iterator<Item = (&'static str, &'static ProviderRow)> {
    let is_walked = |row: &ProviderRow| {
        row.unsupported.is_none() && !["aws-sns", "paypal", "ebay"].contains(&row.algorithm.as_str())
    };
    all().filter(move |(_, row)| is_walked(row))
}

impl Case {
    fn signed(&self) -> Request {
        sign(&self.source, &self.unsigned, NOW).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn with_secrets(&self, places: &[usize]) -> Source {
        source_of(self.name, (*self.source.scheme).clone(), places)
    }

    /// The request with its signature changed or removed; `None` if the body contains it.
    fn changed(&self, change: &dyn Fn(&str) -> Option<String>) -> Option<Request> {
        let request = self.signed();
        let in_header = |is_it: &dyn Fn(&str) -> bool| {
            altered(&request, |name, value| {
                if is_it(name) {
                    change(std::str::from_utf8(value).unwrap()).map(String::into_bytes)
                } else {
                    Some(value.to_vec())
                }
            })
        };
        Some(match &self.source.scheme.signature {
            ValueLocation::Header(header) => in_header(&|name| name.eq_ignore_ascii_case(header)),
            ValueLocation::Numbered(prefix) => in_header(&|name| name.starts_with(prefix.as_str())),
            ValueLocation::Query(name) => {
                let (_, value) = request.query.split_once('=').unwrap();
                let query = change(value).map(|value| format!("{name}={value}")).unwrap_or_default();
                Request { query, ..request }
            }
            _ => return None,
        })
    }
}

fn refused(case: &Case, source: &Source, request: &Request, what: &str) -> SignatureError {
    match check(source, request) {
        Err(VerifyError::NotGenuine(error)) => error,
        other => panic!("{}: {what}: {other:?}", case.name),
    }
}

#[test]
fn genuine_delivery_is_accepted_with_id_and_type() {
    let cases = cases();
    assert!(cases.len() > 200, "{}", cases.len());
    for case in cases {
        let request = case.signed();
        let verified = match check(&case.source, &request) {
            Ok(VerifiedRequest::Delivery(verified)) => verified,
            other => panic!("{}: {other:?} of {:?} {:?}", case.name, request.query, request.body),
        };
        let [item] = verified.items() else { panic!("{}", case.name) };
        // Scope `object` may append a digest, and a batch the item's index.
        let id = item.event_id.split('#').next().unwrap();
        case.id.iter().for_each(|wanted| assert_eq!(id, wanted, "{}", case.name));
        assert_eq!(item.event_type, case.event_type, "{}", case.name);
        assert!(!item.event_id.is_empty(), "{}", case.name);
    }
}

#[test]
fn altered_body_is_rejected() {
    for case in cases().iter().filter(|case| case.source.scheme.covers_body()) {
        let signed = case.signed();
        for body in [&b""[..], &signed.body[1..], &[&signed.body[..], b"0"].concat()] {
            let altered = Request { body: body.to_vec().into(), ..signed.clone() };
            refused(case, &case.source, &altered, "altered");
        }
    }
}

#[test]
fn only_configured_secrets_are_accepted_including_the_second() {
    for case in cases() {
        let signed = case.signed();
        refused(&case, &case.with_secrets(&[1]), &signed, "another secret");
        if case.source.scheme.keys.is_none() {
            refused(&case, &case.with_secrets(&[]), &signed, "no secret");
        }
        for places in [[1, 0], [0, 1]] {
            let result = check(&case.with_secrets(&places), &signed);
            assert!(matches!(result, Ok(VerifiedRequest::Delivery(_))), "{}: {result:?}", case.name);
        }
    }
}

#[test]
fn missing_empty_or_malformed_signature_is_rejected() {
    for case in cases() {
        for change in [
            (|_: &str| None) as fn(&str) -> Option<String>,
            |_| Some(String::new()),
            |text| Some(text[..text.len() - 1].to_owned()),
            |text| Some(format!("!{text}")),
            |text| Some(text.chars().rev().collect()),
            |text| Some(text.replace(|c: char| c.is_ascii_alphanumeric(), "é")),
            |_| Some("=,;|. ".repeat(40)),
        ] {
            if let Some(request) = case.changed(&change) {
                refused(&case, &case.source, &request, "malformed");
            }
        }
        let bare = Request { headers: Headers::default(), body: "{}".into(), query: String::new(), ..case.signed() };
        refused(&case, &case.source, &bare, "bare");
    }
}

#[test]
fn signature_repeated_with_another_value_is_rejected() {
    for case in cases() {
        let ValueLocation::Header(name) = &case.source.scheme.signature else { continue };
        let error = check(&case.source, &with(&case.signed(), name, "x"));
        match case.source.scheme.repeatable {
            true => assert!(error.is_ok(), "{}", case.name),
            false => assert!(
                matches!(error, Err(VerifyError::NotGenuine(SignatureError::Repeated(_)))),
                "{}: {error:?}",
                case.name
            ),
        }
    }
}

#[test]
fn timestamps_beyond_the_tolerance_are_rejected() {
    for case in cases() {
        let Some(window) = case.source.scheme.tolerance else { continue };
        let window = i64::try_from(window.as_secs()).unwrap();
        let signed_at = |seconds: i64| sign(&case.source, &case.unsigned, Millis(NOW.0 + seconds * 1000)).unwrap();
        for seconds in [-window, 0, window] {
            let result = check(&case.source, &signed_at(seconds));
            assert!(matches!(result, Ok(VerifiedRequest::Delivery(_))), "{} {seconds}: {result:?}", case.name);
        }
        let stale = refused(&case, &case.source, &signed_at(-window - 61), "stale");
        assert!(matches!(stale, SignatureError::TooOld { .. }), "{}: {stale}", case.name);
        let future = refused(&case, &case.source, &signed_at(window + 1), "future");
        assert!(matches!(future, SignatureError::InFuture { .. }), "{}: {future}", case.name);
    }
}

#[test]
fn missing_repeated_or_changed_timestamp_is_rejected() {
    for case in cases() {
        let (source, signed) = (&case.source, case.signed());
        match source.scheme.timestamp.as_ref().map(|timestamp| &timestamp.location) {
            Some(TimestampLocation::At(ValueLocation::Header(name))) => {
                refused(&case, source, &without(&signed, name), "without time");
                refused(&case, source, &with(&signed, name, "1"), "two times");
                refused(&case, source, &replaced(&signed, name, |text| format!("0{text}")), "another time");
            }
            Some(TimestampLocation::Field(field)) => {
                let SignatureSyntax::KvList { item_separator, kv_separator, .. } = &source.scheme.syntax else {
                    continue;
                };
                let item = format!("{field}{kv_separator}");
                for change in [
                    &|text: &str| Some(text.replacen(&item, "other=", 1)) as Option<String>,
                    &|text: &str| Some(format!("{text}{item_separator}{item}1")),
                    &|text: &str| Some(text.replacen(&item, &format!("{item}0"), 1)),
                ] as [&dyn Fn(&str) -> Option<String>; 3]
                {
                    refused(&case, source, &case.changed(change).unwrap(), "time");
                }
            }
            _ => {}
        }
    }
}

#[test]
fn test_deliveries_with_a_defect_are_rejected() {
    for case in cases() {
        let forged = TestEvent { defect: Defect::WrongSignature, ..case.unsigned.clone() };
        let request = sign(&case.source, &forged, NOW).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        refused(&case, &case.source, &request, "forged");
        let stale = TestEvent { defect: Defect::Stale, ..case.unsigned.clone() };
        match sign(&case.source, &stale, NOW) {
            Ok(request) => {
                let error = refused(&case, &case.source, &request, "stale");
                assert!(matches!(error, SignatureError::TooOld { .. }), "{}: {error}", case.name);
            }
            Err(_) => assert!(case.source.scheme.timestamp.is_none(), "{}", case.name),
        }
    }
}

#[test]
fn errors_show_neither_secret_nor_signature() {
    for case in cases() {
        let request = Request { body: "{}".into(), ..case.signed() };
        let mut signature = String::new();
        if let ValueLocation::Header(name) = &case.source.scheme.signature {
            signature = String::from_utf8(request.headers.all(name).next().unwrap().to_vec()).unwrap();
        }
        let words = format!("{:?} {:?}", check(&case.with_secrets(&[1]), &request), case.source);
        assert!(signature.is_empty() || !words.contains(&signature), "{words}");
        assert!(!SECRETS.iter().any(|secret| words.contains(secret)), "{words}");
    }
}
