//! Listening sockets, bound before any server starts: TCP, or a unix socket in the place of a stale one.
//!
//! A configured address comes in, a bound socket goes out, or an error that names the setting. A unix socket that
//! somebody still listens on is left alone. Where systemd hands sockets over (sd_listen_fds(3)), those are used.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 2048;

/// The address of a server, as in `listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `"127.0.0.1:8080"`. Port 0 takes a free one.
    Tcp(SocketAddr),
    /// `"unix:/run/hookbox.sock"`
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A bound socket that listens.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpListener),
    /// In the file system, at this path.
    Unix(UnixListener, PathBuf),
}

/// Which of hookbox's addresses a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketRole {
    /// `server.listen`
    Hooks,
    /// `admin.listen`
    Admin,
}

impl SocketRole {
    /// The setting that names the address.
    fn key(self) -> &'static str {
        match self {
            Self::Hooks => "server.listen",
            Self::Admin => "admin.listen",
        }
    }

    /// Whether a socket of this name is meant. systemd calls it as `FileDescriptorName=` says, else by its unit; one
    /// that is not said to be for the operator is for providers.
    fn is_meant(self, name: &str) -> bool {
        let is_for_admin = name == "admin" || name.ends_with("-admin.socket");
        is_for_admin == (self == Self::Admin)
    }
}

/// Sockets that are bound already, handed over by systemd.
pub struct InheritedSockets {
    sockets: ListenFd,
    names: Vec<String>,
}

impl std::fmt::Debug for InheritedSockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InheritedSockets").field("names", &self.names).finish_non_exhaustive()
    }
}

impl InheritedSockets {
    /// None: whoever starts hookbox in the same process, such as a demonstration.
    #[must_use]
    pub fn none() -> Self {
        Self { sockets: ListenFd::empty(), names: Vec::new() }
    }

    /// Those that the environment tells of.
    #[must_use]
    pub fn from_environment() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self { sockets: ListenFd::from_env(), names: names.split(':').map(String::from).collect() }
    }

    /// The one for this purpose, if it was handed over; otherwise binds the configured address.
    ///
    /// # Errors
    /// When the address cannot be had, or what was handed over is no listening socket.
    pub fn take_or_bind(&mut self, purpose: SocketRole, listen: &Listen) -> io::Result<BoundSocket> {
        let name = |index: usize| self.names.get(index).map_or("", String::as_str);
        let found = (0..self.sockets.len()).find(|index| purpose.is_meant(name(*index)));
        let Some(index) = found else { return Socket::bind(listen, purpose.key()).map(BoundSocket::ours) };
        let socket = self.take(index).map_err(|error| {
            let hint = "hint: hookbox takes stream sockets, over TCP or in the file system (ListenStream=)";
            io::Error::other(format!("the socket that systemd handed over cannot be used: {error}\n{hint}"))
        })?;
        let Some(socket) = socket else { return Socket::bind(listen, purpose.key()).map(BoundSocket::ours) };
        log::info!("systemd handed over a socket, used in place of `{}`", purpose.key());
        Ok(BoundSocket { socket, file: None })
    }

    fn take(&mut self, index: usize) -> io::Result<Option<Socket>> {
        if let Ok(Some(listener)) = self.sockets.take_unix_listener(index) {
            let path = listener.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default();
            return Ok(Some(Socket::Unix(listener, path)));
        }
        Ok(self.sockets.take_tcp_listener(index)?.map(Socket::Tcp))
    }
}

/// A socket, and the file that goes when it is closed.
#[derive(Debug)]
pub struct BoundSocket {
    /// The socket.
    pub socket: Socket,
    /// Its file, where hookbox made it.
    pub file: Option<SocketFile>,
}

impl BoundSocket {
    fn ours(socket: Socket) -> Self {
        let file = match &socket {
            Socket::Tcp(_) => None,
            Socket::Unix(_, path) => Some(SocketFile(path.clone())),
        };
        Self { socket, file }
    }
}

/// The file of a unix socket that hookbox made.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl SocketFile {
    /// Removes it, once the socket is closed.
    pub fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            log::debug!("{} could not be removed: {error}", self.0.display());
        }
    }
}

impl Socket {
    /// Binds and listens; `key` is the setting that names the address.
    ///
    /// # Errors
    /// When the address cannot be had: which, and why.
    fn bind(listen: &Listen, key: &str) -> io::Result<Self> {
        let socket = match listen {
            Listen::Tcp(address) => TcpListener::bind(address).map(Self::Tcp),
            Listen::Unix(path) => remove_stale(path)
                .and_then(|()| UnixListener::bind(path))
                .map(|socket| Self::Unix(socket, path.clone())),
        };
        let widened = socket.and_then(|socket| {
            match &socket {
                Self::Tcp(listener) => rustix::net::listen(listener.as_fd(), BACKLOG)?,
                Self::Unix(listener, _) => rustix::net::listen(listener.as_fd(), BACKLOG)?,
            }
            Ok(socket)
        });
        widened.map_err(|error| {
            let hint = "hint: is something else listening there? another address, or port 0 for a free one, goes into the configuration";
            io::Error::new(error.kind(), format!("cannot listen on {listen} (`{key}`): {error}\n{hint}"))
        })
    }

    /// Where it listens, with the port it was given.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(_, path) => Ok(Listen::Unix(path.clone())),
        }
    }
}

/// A socket that nobody listens on any more is in the way; one that somebody does is not ours.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let listen = Listen::Unix(folder.path().join("hookbox.sock"));
        let first = Socket::bind(&listen, "server.listen").unwrap();
        let refused = Socket::bind(&listen, "server.listen").unwrap_err().to_string();
        assert!(refused.contains("`server.listen`") && refused.contains("hookbox.sock"), "{refused}");
        drop(first);
        let bound = InheritedSockets::none().take_or_bind(SocketRole::Hooks, &listen).unwrap();
        bound.file.unwrap().remove();
        assert!(!folder.path().join("hookbox.sock").exists());
    }

    #[test]
    fn a_handed_socket_is_known_by_its_name() {
        for (name, purpose) in [
            ("", SocketRole::Hooks),
            ("hooks", SocketRole::Hooks),
            ("hookbox.socket", SocketRole::Hooks),
            ("admin", SocketRole::Admin),
            ("hookbox-admin.socket", SocketRole::Admin),
        ] {
            assert!(purpose.is_meant(name), "{name}");
            assert_eq!(
                [SocketRole::Hooks, SocketRole::Admin].iter().filter(|other| other.is_meant(name)).count(),
                1,
                "{name}"
            );
        }
    }

    #[test]
    fn a_free_port_is_told() {
        let socket = Socket::bind(&Listen::Tcp(([127, 0, 0, 1], 0).into()), "server.listen").unwrap();
        assert!(matches!(socket.address().unwrap(), Listen::Tcp(address) if address.port() != 0));
    }
}
