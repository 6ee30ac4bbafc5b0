//! Keys, certificates and a local provider for tests.
//!
//! Keys are generated, none is in the repository. The provider returns what a test configures and records its requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::traits::PublicKeyParts;

use crate::support::net::keys_url::KeysUrl;

/// One key for all tests: generating takes time.
pub(crate) static RSA: LazyLock<RsaPrivateKey> = LazyLock::new(rsa);

pub(crate) fn rsa() -> RsaPrivateKey {
    RsaPrivateKey::new(&mut rsa::rand_core::UnwrapErr(getrandom::SysRng), 2048).unwrap()
}

pub(crate) fn jwk(key: &RsaPrivateKey, kid: &str) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (n, e) = (encode(&key.n().to_be_bytes_trimmed_vartime()), encode(&key.e().to_be_bytes_trimmed_vartime()));
    format!(r#"{{"kty":"RSA","use":"sig","alg":"RS256","kid":"{kid}","n":"{n}","e":"{e}"}}"#)
}

/// A JSON Web Key Set.
pub(crate) fn set(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

/// A certificate that is valid between two years.
pub(crate) fn certificate(key: &RsaPrivateKey, from: i32, until: i32) -> String {
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    let pair = rcgen::KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &rcgen::PKCS_RSA_SHA256).unwrap();
    let mut wanted = rcgen::CertificateParams::new(vec!["sns.amazonaws.com".to_owned()]).unwrap();
    wanted.not_before = rcgen::date_time_ymd(from, 1, 1);
    wanted.not_after = rcgen::date_time_ymd(until, 1, 1);
    wanted.self_signed(&pair).unwrap().pem()
}

#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status line, further header lines, and body.
    With(&'static str, &'static str, String),
    /// No response for this long.
    Silence(Duration),
}

/// A local provider. Serves until the test process exits.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(crate) url: String,
    reply: Arc<Mutex<Reply>>,
    /// Responses to targets with a certain ending.
    replies: Arc<Mutex<Vec<(String, Reply)>>>,
    asked: Arc<Mutex<Vec<String>>>,
    requests: Arc<AtomicUsize>,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    pub(crate) fn start(body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let provider = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            reply: Arc::new(Mutex::new(Reply::With("200 OK", "", body.to_owned()))),
            replies: Arc::default(),
            asked: Arc::default(),
            requests: Arc::default(),
            targets: Arc::default(),
        };
        let serving = provider.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (serving, stream) = (serving.clone(), stream.unwrap());
                std::thread::spawn(move || serving.answer(stream));
            }
        });
        provider
    }

    fn answer(&self, mut stream: std::net::TcpStream) {
        let mut read = BufReader::new(stream.try_clone().unwrap());
        let head: Vec<String> = (&mut read).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let target = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
        let value = |name: &str| head.iter().find_map(|line| line.to_lowercase().strip_prefix(name).map(str::to_owned));
        let length = value("content-length: ").and_then(|length| length.parse().ok()).unwrap_or_default();
        let mut body = Vec::new();
        read.take(length).read_to_end(&mut body).unwrap();
        let authorization = head.iter().find(|line| line.to_lowercase().starts_with("authorization: "));
        let authorization = authorization.map(|line| &line[15..]).unwrap_or_default();
        self.asked.lock().unwrap().push(format!("{target} [{authorization}] {}", String::from_utf8_lossy(&body)));
        self.requests.fetch_add(1, Ordering::SeqCst);
        let own = |(end, _): &&(String, Reply)| target.ends_with(end.as_str());
        let own = self.replies.lock().unwrap().iter().find(own).map(|(_, reply)| reply.clone());
        self.targets.lock().unwrap().push(target);
        let reply = own.unwrap_or_else(|| self.reply.lock().unwrap().clone());
        match reply {
            Reply::Silence(span) => std::thread::sleep(span),
            Reply::With(status, headers, body) => {
                let head = format!(
                    "HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                // The client may already have disconnected.
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).unwrap_or_default();
            }
        }
    }

    pub(crate) fn base(&self) -> KeysUrl {
        KeysUrl::parse(&self.url).unwrap()
    }

    pub(crate) fn now_answers(&self, status: &'static str, headers: &'static str, body: &str) {
        *self.reply.lock().unwrap() = Reply::With(status, headers, body.to_owned());
    }

    /// Sets the response to targets with this ending.
    pub(crate) fn answers_at(&self, end: &str, status: &'static str, body: &str) {
        let mut replies = self.replies.lock().unwrap();
        replies.retain(|(own, _)| own != end);
        replies.push((end.to_owned(), Reply::With(status, "", body.to_owned())));
    }

    /// The target, Authorization and body of each request.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn falls_silent(&self, span: Duration) {
        *self.reply.lock().unwrap() = Reply::Silence(span);
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }
}
