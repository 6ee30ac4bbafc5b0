//! HTTP/1.1 written by hand, so that a test can be slow, malformed or incomplete.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::delivery::Rendered;

/// One connection.
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A complete response.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A free address for tests that must configure it beforehand, below the ephemeral port range.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 500).unwrap() * 20;
    let port = || first + NEXT.fetch_add(1, Ordering::Relaxed);
    let mut candidates = std::iter::repeat_with(|| SocketAddr::from(([127, 0, 0, 1], port())));
    candidates.find(|address| TcpListener::bind(address).is_ok()).unwrap()
}

impl Reply {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Seconds of `Retry-After`.
    pub fn retry_after(&self) -> Option<u64> {
        self.header("retry-after").and_then(|value| value.parse().ok())
    }
}

impl Wire {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(20))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Sends these bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends the head of a request.
    pub fn write_head(&mut self, method: &str, target: &str, headers: &[(String, String)]) -> io::Result<()> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: hookbox.test\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.write(head.as_bytes())
    }

    /// Sends a complete request with a Content-Length, and reads the response.
    pub fn exchange(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> io::Result<Reply> {
        let mut headers = headers.to_vec();
        headers.push(("Content-Length".to_owned(), body.len().to_string()));
        self.write_head(method, target, &headers)?;
        self.write(body)?;
        self.reply()
    }

    /// Sends a request up to this many bytes of its body, and returns once the server has accepted its head.
    pub fn begin(address: SocketAddr, request: &Rendered, bytes: usize) -> io::Result<Self> {
        let mut wire = Self::open(address)?;
        let mut headers = request.headers.clone();
        headers.push(("Content-Length".to_owned(), request.body.len().to_string()));
        headers.push(("Expect".to_owned(), "100-continue".to_owned()));
        wire.write_head("POST", &request.path, &headers)?;
        assert_eq!(wire.reply()?.status, 100, "the server should accept the head of the request");
        wire.write(&request.body[..bytes])?;
        Ok(wire)
    }

    /// Reads the response to HEAD, which has no body despite its headers; returns the status.
    pub fn status_alone(&mut self) -> io::Result<u16> {
        Ok(self.read_head()?.0)
    }

    /// Reads one response. Returns an error if the connection ends before it is complete.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let (status, headers) = self.read_head()?;
        let mut reply = Reply { status, headers, body: Vec::new() };
        let length: usize = reply.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        while self.unread.len() < length {
            self.read_more()?;
        }
        reply.body = self.unread.drain(..length).collect();
        Ok(reply)
    }

    /// Reads until these words arrive. Returns false if the connection ends first.
    pub fn read_until(&mut self, words: &str) -> bool {
        while !String::from_utf8_lossy(&self.unread).contains(words) {
            if self.read_more().is_err() {
                return false;
            }
        }
        true
    }

    /// Reads until the peer closes the connection. Returns false on a timeout.
    pub fn read_to_end(&mut self) -> bool {
        loop {
            match self.read_more() {
                Ok(()) => {}
                Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            }
        }
    }

    /// Bytes received and not yet consumed.
    pub fn unread(&self) -> usize {
        self.unread.len()
    }

    /// Closes the sending direction.
    pub fn end_of_request(&self) {
        self.stream.shutdown(Shutdown::Write).ok();
    }

    /// Closes the connection in both directions.
    pub fn close(&self) {
        self.stream.shutdown(Shutdown::Both).ok();
    }

    fn read_head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let head_end = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more()?;
        };
        let head = String::from_utf8_lossy(&self.unread[..head_end]).into_owned();
        self.unread.drain(..head_end);
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Ok((status.expect("a status line"), headers))
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut block = [0; 16 * 1024];
        match self.stream.read(&mut block)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended")),
            count => {
                self.unread.extend_from_slice(&block[..count]);
                Ok(())
            }
        }
    }
}
