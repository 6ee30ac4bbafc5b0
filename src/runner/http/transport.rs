//! TCP for requests to the URL of a handler, with a way to stop a running request.
//!
//! ureq asks for connections and bytes. Every wait is one poll on the socket and the [`CancelToken`], so a skip or a
//! shutdown ends it. Also records what ureq does not tell: whether a connection was reused, and whether an answer began.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};
use ureq::{Error, Timeout};

use crate::runner::cancel::CancelToken;
use crate::support::locks;

/// Between two checks for cancellation while the host is looked up.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The running request of a client.
#[derive(Debug, Default)]
pub(super) struct ActiveRequest(Mutex<RequestState>);

#[derive(Debug, Default, Clone)]
pub(super) struct RequestState {
    pub(super) cancel: Option<CancelToken>,
    /// Kept connections must not be used.
    pub(super) requires_fresh: bool,
    /// The connection had been used before.
    pub(super) is_reused: bool,
    /// A byte of the answer has arrived.
    pub(super) has_answer: bool,
}

impl ActiveRequest {
    pub(super) fn state(&self) -> RequestState {
        locks::lock(&self.0).clone()
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut RequestState)) {
        change(&mut locks::lock(&self.0));
    }

    /// Waits until the socket is ready. Fails if the attempt is stopped or the time is over.
    fn wait(&self, socket: &TcpStream, flags: PollFlags, timeout: &NextTimeout) -> Result<(), Error> {
        let cancel = self.state().cancel;
        let deadline = Instant::now().checked_add(*timeout.after);
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let mut descriptors = vec![PollFd::from_borrowed_fd(socket.as_fd(), flags)];
            if let Some(cancel) = &cancel {
                if cancel.reason().is_some() {
                    return Err(stopped());
                }
                descriptors.push(PollFd::from_borrowed_fd(cancel.descriptor(), PollFlags::IN));
            }
            match poll(&mut descriptors, left.and_then(|left| Timespec::try_from(left).ok()).as_ref()) {
                Ok(0) => return Err(Error::Timeout(timeout.reason)),
                Ok(_) if !descriptors[0].revents().is_empty() => return Ok(()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Error::Io(error.into())),
            }
        }
    }
}

fn stopped() -> Error {
    Error::Io(io::Error::other("stopped"))
}

/// Resolves nothing: the connector does, if it needs a connection.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let mut one = self.empty();
        one.push(SocketAddr::from(([0, 0, 0, 0], 0)));
        Ok(one)
    }
}

#[derive(Debug)]
pub(super) struct TcpConnector(pub(super) Arc<ActiveRequest>);

impl Connector for TcpConnector {
    type Out = TcpTransport;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<TcpTransport>, Error> {
        self.0.set(|state| state.is_reused = false);
        let began = Instant::now();
        let left = |timeout: &NextTimeout| NextTimeout {
            after: match timeout.after {
                ureq::unversioned::transport::time::Duration::Exact(span) => {
                    ureq::unversioned::transport::time::Duration::Exact(span.saturating_sub(began.elapsed()))
                }
                never => never,
            },
            ..*timeout
        };
        let mut last = Error::HostNotFound;
        for address in self.resolve(details)? {
            match self.connect_to(address, &left(&details.timeout)) {
                Ok(stream) => {
                    let buffers =
                        LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
                    let request = self.0.clone();
                    return Ok(Some(TcpTransport { stream, buffers, request, is_read_closed: false }));
                }
                Err(Error::Io(error)) if self.is_stopped() => return Err(Error::Io(error)),
                Err(Error::Io(error)) => last = Error::Io(with_address(&error, address)),
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

impl TcpConnector {
    fn is_stopped(&self) -> bool {
        self.0.state().cancel.is_some_and(|cancel| cancel.reason().is_some())
    }

    fn resolve(&self, details: &ConnectionDetails<'_>) -> Result<Vec<SocketAddr>, Error> {
        let host = details.uri.host().unwrap_or_default().to_owned();
        let port = details.uri.port_u16().unwrap_or(if details.needs_tls() { 443 } else { 80 });
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        if let Ok(address) = literal {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let (found, addresses) = crossbeam_channel::bounded(1);
        let resolve = move || {
            let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            // Nobody may be waiting any more.
            found.send(addresses).ok();
        };
        std::thread::Builder::new().name("resolve".into()).spawn(resolve).map_err(Error::Io)?;
        let deadline = Instant::now().checked_add(*details.timeout.after);
        loop {
            match addresses.recv_timeout(POLL_INTERVAL) {
                Ok(Ok(addresses)) if addresses.is_empty() => return Err(Error::HostNotFound),
                Ok(addresses) => return addresses.map_err(Error::Io),
                Err(_) if self.is_stopped() => return Err(stopped()),
                Err(_) if deadline.is_some_and(|at| Instant::now() >= at) => {
                    return Err(Error::Timeout(Timeout::Resolve));
                }
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => return Err(Error::HostNotFound),
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn connect_to(&self, address: SocketAddr, timeout: &NextTimeout) -> Result<TcpStream, Error> {
        let io = |error: Errno| Error::Io(error.into());
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(io)?;
        let stream = match rustix::net::connect(&socket, &address) {
            Ok(()) => TcpStream::from(socket),
            Err(Errno::INPROGRESS | Errno::INTR) => {
                let stream = TcpStream::from(socket);
                self.0.wait(&stream, PollFlags::OUT, timeout)?;
                sockopt::socket_error(&stream).map_err(io)?.map_err(io)?;
                stream
            }
            Err(error) => return Err(io(error)),
        };
        stream.set_nodelay(true)?;
        ioctl_fionbio(&stream, true).map_err(io)?;
        Ok(stream)
    }
}

fn with_address(error: &io::Error, address: SocketAddr) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}

#[derive(Debug)]
pub(super) struct TcpTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
    request: Arc<ActiveRequest>,
    /// The server reads no more. It may still have answered.
    is_read_closed: bool,
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut sent = 0;
        while sent < amount && !self.is_read_closed {
            match rustix::io::write(&self.stream, &self.buffers.output()[sent..amount]) {
                Ok(written) => sent += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.request.wait(&self.stream, PollFlags::OUT, &timeout)?,
                Err(Errno::PIPE | Errno::CONNRESET) => self.is_read_closed = true,
                Err(error) => return Err(Error::Io(error.into())),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        loop {
            self.request.wait(&self.stream, PollFlags::IN, &timeout)?;
            match rustix::io::read(&self.stream, self.buffers.input_append_buf()) {
                Ok(read) => {
                    self.buffers.input_appended(read);
                    if read > 0 {
                        self.request.set(|state| state.has_answer = true);
                    }
                    return Ok(read > 0);
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(Error::Io(error.into())),
            }
        }
    }

    /// Called before a connection is used again. Unexpected bytes or an end of file make it unusable.
    fn is_open(&mut self) -> bool {
        let mut descriptors = [PollFd::new(&self.stream, PollFlags::IN)];
        let is_quiet = matches!(poll(&mut descriptors, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0));
        let is_open = is_quiet && !self.is_read_closed && !self.request.state().requires_fresh;
        self.request.set(|state| state.is_reused = is_open);
        is_open
    }
}
