//! TCP for requests to a handler's URL, with a way to stop one that is under way.
//!
//! ureq asks for connections and bytes; every wait here is one poll on the socket and the attempt's [`Cancel`], so a
//! skip or a shutdown ends it at once. Also tells what ureq does not: whether a connection had been used before, and
//! whether anything of an answer has come.

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

use super::super::cancel::CancelToken;
use crate::support::locks;

/// Between two looks whether an attempt was stopped while its host is looked up.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The request that is under way on a client.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<State>);

#[derive(Debug, Default, Clone)]
pub(super) struct State {
    pub(super) cancel: Option<CancelToken>,
    /// A connection that was used before does not count as open.
    pub(super) wants_fresh: bool,
    pub(super) is_reused: bool,
    pub(super) has_heard: bool,
}

impl UnderWay {
    pub(super) fn state(&self) -> State {
        locks::lock(&self.0).clone()
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut locks::lock(&self.0));
    }

    /// Whether the socket is ready; an error once the attempt is stopped or the time is up.
    fn wait(&self, socket: &TcpStream, flags: PollFlags, timeout: &NextTimeout) -> Result<(), Error> {
        let cancel = self.state().cancel;
        let deadline = Instant::now().checked_add(*timeout.after);
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let mut descriptors = vec![PollFd::from_borrowed_fd(socket.as_fd(), flags)];
            if let Some(cancel) = &cancel {
                if cancel.why().is_some() {
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

/// Looks nothing up: the connector does, when there is no connection yet.
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

/// Connects.
#[derive(Debug)]
pub(super) struct Tcp(pub(super) Arc<UnderWay>);

impl Connector for Tcp {
    type Out = Plain;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Plain>, Error> {
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
        for address in self.look_up(details)? {
            match self.connect_to(address, &left(&details.timeout)) {
                Ok(stream) => {
                    let buffers =
                        LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
                    let under_way = self.0.clone();
                    return Ok(Some(Plain { stream, buffers, under_way, is_refused: false }));
                }
                Err(Error::Io(error)) if self.is_stopped() => return Err(Error::Io(error)),
                Err(Error::Io(error)) => last = Error::Io(with_address(&error, address)),
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

impl Tcp {
    fn is_stopped(&self) -> bool {
        self.0.state().cancel.is_some_and(|cancel| cancel.why().is_some())
    }

    fn look_up(&self, details: &ConnectionDetails<'_>) -> Result<Vec<SocketAddr>, Error> {
        let host = details.uri.host().unwrap_or_default().to_owned();
        let port = details.uri.port_u16().unwrap_or(if details.needs_tls() { 443 } else { 80 });
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        if let Ok(address) = literal {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let (found, answer) = crossbeam_channel::bounded(1);
        let look = move || {
            let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            // Nobody may wait any more.
            found.send(addresses).ok();
        };
        std::thread::Builder::new().name("look-up".into()).spawn(look).map_err(Error::Io)?;
        let deadline = Instant::now().checked_add(*details.timeout.after);
        loop {
            match answer.recv_timeout(LOOK_EVERY) {
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

/// A connection.
#[derive(Debug)]
pub(super) struct Plain {
    stream: TcpStream,
    buffers: LazyBuffers,
    under_way: Arc<UnderWay>,
    /// The other side takes nothing more; it may have answered all the same.
    is_refused: bool,
}

impl Transport for Plain {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut sent = 0;
        while sent < amount && !self.is_refused {
            match rustix::io::write(&self.stream, &self.buffers.output()[sent..amount]) {
                Ok(written) => sent += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.under_way.wait(&self.stream, PollFlags::OUT, &timeout)?,
                Err(Errno::PIPE | Errno::CONNRESET) => self.is_refused = true,
                Err(error) => return Err(Error::Io(error.into())),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        loop {
            self.under_way.wait(&self.stream, PollFlags::IN, &timeout)?;
            match rustix::io::read(&self.stream, self.buffers.input_append_buf()) {
                Ok(read) => {
                    self.buffers.input_appended(read);
                    if read > 0 {
                        self.under_way.set(|state| state.has_heard = true);
                    }
                    return Ok(read > 0);
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(Error::Io(error.into())),
            }
        }
    }

    /// Asked before it is used again. Whatever came unasked, an end included, makes it useless.
    fn is_open(&mut self) -> bool {
        let mut descriptors = [PollFd::new(&self.stream, PollFlags::IN)];
        let is_quiet = matches!(poll(&mut descriptors, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0));
        let is_open = is_quiet && !self.is_refused && !self.under_way.state().wants_fresh;
        self.under_way.set(|state| state.is_reused = is_open);
        is_open
    }
}
