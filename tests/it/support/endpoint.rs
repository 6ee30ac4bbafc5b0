//! An application behind hookbox: a small loopback server that records requests and responds as a test defines.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::wait::until;

/// A received request.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Number of its connection, from 1.
    pub connection: usize,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Both directions of a connection.
pub trait Talk: Read + Write {}
impl<T: Read + Write> Talk for T {}

type Answer = dyn Fn(&Asked, &mut dyn Talk) -> bool + Send + Sync;

/// The server. It runs until the test process exits.
pub struct Endpoint {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
    /// The certificate of its authority as PEM; empty without TLS.
    pub authority: String,
}

impl Endpoint {
    /// Responds to each request with what the closure writes, and keeps the connection if it returns true.
    pub fn new(answer: impl Fn(&Asked, &mut dyn Talk) -> bool + Send + Sync + 'static) -> Self {
        Self::start(None, String::new(), Arc::new(answer))
    }

    /// Serves over TLS with a certificate for `localhost` from an unknown authority.
    pub fn with_tls(answer: impl Fn(&Asked, &mut dyn Talk) -> bool + Send + Sync + 'static) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(parameters, key);
        let own_key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let own = own.signed_by(&own_key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![own.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own_key.serialize_der())),
            )
            .unwrap();
        Self::start(Some(Arc::new(config)), authority.pem(), Arc::new(answer))
    }

    fn start(tls: Option<Arc<rustls::ServerConfig>>, authority: String, answer: Arc<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, connections) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicUsize>::default());
        let endpoint = Self { address, asked: asked.clone(), connections: connections.clone(), authority };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = connections.fetch_add(1, Ordering::SeqCst) + 1;
                let (asked, answer, tls) = (asked.clone(), answer.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(stream, number, &asked, &*answer),
                    Some(config) => {
                        let session = rustls::ServerConnection::new(config).unwrap();
                        serve(rustls::StreamOwned::new(session, stream), number, &asked, &*answer);
                    }
                });
            }
        });
        endpoint
    }

    /// `http://ADDRESS/hooks?a=b`
    pub fn url(&self) -> String {
        format!("http://{}/hooks?a=b", self.address)
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits for this many requests.
    pub fn wait_for(&self, count: usize) -> Vec<Asked> {
        until(&format!("{count} requests"), || Some(self.asked()).filter(|asked| asked.len() >= count))
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: impl Talk, connection: usize, kept: &Mutex<Vec<Asked>>, answer: &Answer) {
    let mut unread = Vec::new();
    while let Some(mut asked) = request(&mut stream, &mut unread) {
        asked.connection = connection;
        kept.lock().unwrap().push(asked.clone());
        if !answer(&asked, &mut stream) {
            return;
        }
    }
}

fn request(stream: &mut impl Talk, unread: &mut Vec<u8>) -> Option<Asked> {
    let mut more = |unread: &mut Vec<u8>| {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        unread.extend_from_slice(&buffer[..read]);
        Some(())
    };
    let end = loop {
        match unread.windows(4).position(|window| window == b"\r\n\r\n") {
            Some(at) => break at + 4,
            None => more(unread)?,
        }
    };
    let head = String::from_utf8(unread.drain(..end).collect()).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().to_owned();
    let field = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers: Vec<_> = lines.filter_map(field).collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.expect("a length").1.parse().unwrap();
    while unread.len() < length {
        more(unread)?;
    }
    Some(Asked { line, headers, body: unread.drain(..length).collect(), connection: 0 })
}

/// Writes a complete response.
pub fn answer(stream: &mut dyn Talk, status: &str, headers: &str, body: &str) -> bool {
    let text = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).is_ok()
}
