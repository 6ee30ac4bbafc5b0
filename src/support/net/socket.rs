//! Listening sockets, bound before any server starts: TCP, unix, or inherited from systemd (sd_listen_fds(3)).

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;

/// Connections waiting to be accepted.
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

#[derive(Debug)]
pub enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketRole {
    /// `server.listen`
    Hooks,
    /// `admin.listen`
    Admin,
}

impl SocketRole {
    fn key(self) -> &'static str {
        match self {
            Self::Hooks => "server.listen",
            Self::Admin => "admin.listen",
        }
    }

    /// Whether an inherited socket of this name has this role. The name is `FileDescriptorName=` of the systemd unit, by
    /// default the unit's name. Sockets that are not named for `admin` are for `server`.
    fn has_name(self, name: &str) -> bool {
        let is_for_admin = name == "admin" || name.ends_with("-admin.socket");
        is_for_admin == (self == Self::Admin)
    }
}

/// Sockets that systemd has bound.
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
    #[must_use]
    pub fn none() -> Self {
        Self { sockets: ListenFd::empty(), names: Vec::new() }
    }

    #[must_use]
    pub fn from_environment() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self { sockets: ListenFd::from_env(), names: names.split(':').map(String::from).collect() }
    }

    /// Returns the inherited socket for this role, or binds the configured address.
    pub fn take_or_bind(&mut self, role: SocketRole, listen: &Listen) -> io::Result<BoundSocket> {
        let name = |index: usize| self.names.get(index).map_or("", String::as_str);
        let found = (0..self.sockets.len()).find(|index| role.has_name(name(*index)));
        let Some(index) = found else { return Socket::bind(listen, role.key()).map(BoundSocket::ours) };
        let socket = self.take(index).map_err(|error| {
            let hint = "hint: hookbox accepts TCP and unix stream sockets (ListenStream=)";
            io::Error::other(format!("cannot use the socket inherited from systemd: {error}\n{hint}"))
        })?;
        let Some(socket) = socket else { return Socket::bind(listen, role.key()).map(BoundSocket::ours) };
        log::info!("using a socket inherited from systemd instead of `{}`", role.key());
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

#[derive(Debug)]
pub struct BoundSocket {
    pub socket: Socket,
    /// The file to remove when the socket is closed, if hookbox created it.
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

/// The file of a unix socket that hookbox created.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl SocketFile {
    pub fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            log::debug!("{} not removed: {error}", self.0.display());
        }
    }
}

impl Socket {
    /// `key` is the setting with the address, for the error.
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
            let hint = "hint: if another program listens there, configure another address, or port 0 for a free one";
            io::Error::new(error.kind(), format!("cannot listen on {listen} (`{key}`): {error}\n{hint}"))
        })
    }

    /// With the actual port, if port 0 was configured.
    pub fn address(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(_, path) => Ok(Listen::Unix(path.clone())),
        }
    }
}

/// Removes the file of a unix socket that no process listens on any more.
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
    fn only_a_stale_unix_socket_is_replaced() {
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
    fn inherited_socket_is_assigned_by_its_name() {
        for (name, role) in [
            ("", SocketRole::Hooks),
            ("hooks", SocketRole::Hooks),
            ("hookbox.socket", SocketRole::Hooks),
            ("admin", SocketRole::Admin),
            ("hookbox-admin.socket", SocketRole::Admin),
        ] {
            assert!(role.has_name(name), "{name}");
            assert_eq!(
                [SocketRole::Hooks, SocketRole::Admin].iter().filter(|other| other.has_name(name)).count(),
                1,
                "{name}"
            );
        }
    }

    #[test]
    fn address_has_the_actual_port() {
        let socket = Socket::bind(&Listen::Tcp(([127, 0, 0, 1], 0).into()), "server.listen").unwrap();
        assert!(matches!(socket.address().unwrap(), Listen::Tcp(address) if address.port() != 0));
    }
}
