//! The load generator: each connection sends a genuine delivery with a new id, waits for its 200, and sends the next.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Read};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Load<'a> {
    pub(crate) address: String,
    pub(crate) connections: usize,
    pub(crate) span: Duration,
    pub(crate) bytes: usize,
    pub(crate) secret: &'a str,
    /// Number of the first event, so that two loads do not send the same ids.
    pub(crate) first: u64,
    /// Deliveries after which it stops early.
    pub(crate) most: u64,
    /// Limit of deliveries per second over all connections.
    pub(crate) pace: f64,
}

pub(crate) struct Outcome {
    latencies: Vec<Duration>,
    took: Duration,
}

impl Outcome {
    pub(crate) fn count(&self) -> u64 {
        self.latencies.len() as u64
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    /// The latency at a quantile, in milliseconds.
    pub(crate) fn ms(&self, quantile: f64) -> f64 {
        let at = ((self.latencies.len() - 1) as f64 * quantile) as usize;
        self.latencies[at].as_secs_f64() * 1000.0
    }
}

impl Load<'_> {
    pub(crate) fn run(&self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let began = Instant::now();
        let mut latencies = tokio::task::LocalSet::new().block_on(&runtime, self.drive(began));
        let took = began.elapsed();
        latencies.sort_unstable();
        Outcome { latencies, took }
    }

    async fn drive(&self, began: Instant) -> Vec<Duration> {
        let next = Rc::new(Cell::new(0));
        let latencies = Rc::new(RefCell::new(Vec::with_capacity(1 << 20)));
        let clients: Vec<_> = (0..self.connections)
            .map(|_| {
                let (next, latencies) = (next.clone(), latencies.clone());
                let (address, span, most, pace, first) =
                    (self.address.clone(), self.span, self.most, self.pace, self.first);
                let (mut request, id_at) = request(self.secret, self.bytes);
                tokio::task::spawn_local(async move {
                    let mut stream = TcpStream::connect(address).await.expect("it listens");
                    stream.set_nodelay(true).expect("no delay");
                    let mut answer = vec![0; 4096];
                    while began.elapsed() < span && next.get() < most {
                        request[id_at..id_at + 36].copy_from_slice(id(first + next.get()).as_bytes());
                        let due = began + Duration::from_secs_f64(next.get() as f64 / pace);
                        next.set(next.get() + 1);
                        tokio::time::sleep_until(due.into()).await;
                        let sent = Instant::now();
                        stream.write_all(&request).await.expect("it reads");
                        let length = stream.read(&mut answer).await.expect("it answers");
                        assert!(
                            answer[..length].starts_with(b"HTTP/1.1 200"),
                            "{}",
                            String::from_utf8_lossy(&answer[..length])
                        );
                        latencies.borrow_mut().push(sent.elapsed());
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.expect("a client ends");
        }
        latencies.take()
    }
}

/// Ids that scatter over an index as random ones do.
pub(crate) fn id(n: u64) -> String {
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        mixed >> 32,
        mixed >> 16 & 0xffff,
        mixed >> 4 & 0xfff,
        n & 0xfff,
        mixed & 0xffff_ffff_ffff
    )
}

/// A JSON body of about this many bytes. A small GitHub event has 2 KiB, those of many other providers 300 bytes.
pub(crate) fn body(bytes: usize) -> Vec<u8> {
    let filler = "x".repeat(bytes.saturating_sub(100));
    format!(
        r#"{{"ref":"refs/heads/main","action":"opened","repository":{{"full_name":"octo/hello"}},"filler":"{filler}"}}"#
    )
    .into_bytes()
}

fn request(secret: &str, bytes: usize) -> (Vec<u8>, usize) {
    let body = body(bytes);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(&body);
    let signature = hex::encode(mac.finalize().into_bytes());
    let head = format!(
        "POST /hooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: GitHub-Hookshot/1234567\r\nAccept: */*\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: sha256={signature}\r\n\
         X-GitHub-Delivery: ",
        body.len()
    );
    let id_at = head.len();
    let mut request = head.into_bytes();
    request.extend_from_slice(id(0).as_bytes());
    request.extend_from_slice(b"\r\n\r\n");
    request.extend_from_slice(&body);
    (request, id_at)
}

/// The text after each mark, from the first lines that contain them. The rest of the stream is read and discarded.
pub(crate) fn lines_after<const N: usize>(stream: impl Read + Send + 'static, marks: [&str; N]) -> [String; N] {
    let mut lines = BufReader::new(stream).lines();
    let found = marks.map(|mark| {
        lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once(mark).map(|(_, rest)| rest.trim().to_owned()))
            .expect("it says where it listens")
    });
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    found
}
