//! Listening sockets, bound before any server starts: TCP, or a unix socket in the place of a stale one.
//!
//! A configured address comes in, a bound socket goes out, or an error that names the setting. A unix socket that
//! somebody still listens on is left alone.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::config::Listen;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 2048;

/// A bound socket that listens.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpListener),
    /// In the file system; the file goes when it is closed with [`remove`].
    Unix(UnixListener, PathBuf),
}

impl Socket {
    /// Binds and listens; `key` is the setting that names the address.
    ///
    /// # Errors
    /// When the address cannot be had: which, and why.
    pub fn bind(listen: &Listen, key: &str) -> io::Result<Self> {
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

/// Removes the file of a unix socket that is closed.
pub fn remove(address: &Listen) {
    if let Listen::Unix(path) = address
        && let Err(error) = std::fs::remove_file(path)
    {
        log::debug!("{} could not be removed: {error}", path.display());
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
        drop(Socket::bind(&listen, "server.listen").unwrap());
        remove(&listen);
        assert!(!folder.path().join("hookbox.sock").exists());
    }

    #[test]
    fn a_free_port_is_told() {
        let socket = Socket::bind(&Listen::Tcp(([127, 0, 0, 1], 0).into()), "server.listen").unwrap();
        assert!(matches!(socket.address().unwrap(), Listen::Tcp(address) if address.port() != 0));
    }
}
