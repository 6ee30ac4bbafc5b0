//! Under systemd: inherited sockets, notifications, and an upgrade that drops no request.
//!
//! A small parent process plays systemd: it binds the sockets, sets the variables of sd_listen_fds(3) and sd_notify(3),
//! and starts hookbox.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::inbox::Inbox;
use crate::support::wire::Wire;
use crate::support::{BINARY, Hookbox, github, until};

/// Starts hookbox with a listening socket as descriptor 3. A line on stdin restarts it.
const PARENT: &str = r#"
import os, socket, sys
names, program = sys.argv[1], sys.argv[2:]
sock = socket.socket()
sock.bind(("127.0.0.1", 0)); sock.listen(512)
print(sock.getsockname()[1], flush=True)
def start():
    pid = os.fork()
    if pid == 0:
        os.dup2(sock.fileno(), 3); os.set_inheritable(3, True)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
        os.execv(program[0], program)
    return pid
pid = start()
for line in sys.stdin:
    os.kill(pid, 15); os.waitpid(pid, 0)
    pid = start()
os.kill(pid, 15)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// A hookbox on an inherited socket, and its notifications.
struct Supervised {
    parent: Child,
    notifications: UnixDatagram,
    address: SocketAddr,
    setup: Hookbox,
}

impl Supervised {
    fn start(setup: Hookbox, names: &str) -> Self {
        setup.write();
        let notify = setup.folder().join("notify.sock");
        let notifications = UnixDatagram::bind(&notify).unwrap();
        notifications.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", PARENT, names, BINARY, "serve"]);
        command.current_dir(setup.folder()).env("NOTIFY_SOCKET", &notify).env("WATCHDOG_USEC", "200000");
        let mut parent = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(parent.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap()));
        Self { parent, notifications, address, setup }
    }

    /// Waits for a notification with this line.
    fn wait_for(&self, state: &str) {
        let mut message = [0; 512];
        until(state, || {
            let length = self.notifications.recv(&mut message).expect("a notification");
            std::str::from_utf8(&message[..length]).unwrap().lines().any(|line| line == state).then_some(())
        });
    }

    /// Restarts it on the same socket, as an upgrade does.
    fn restart(&mut self) {
        self.parent.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        self.wait_for("STOPPING=1");
        self.wait_for("READY=1");
    }

    fn stop(mut self) {
        drop(self.parent.stdin.take());
        self.wait_for("STOPPING=1");
        assert_eq!(self.parent.wait().unwrap().code(), Some(0));
    }
}

/// Sends a new push on a new connection. Returns its id and the status.
fn deliver(address: SocketAddr) -> std::io::Result<(String, u16)> {
    let push = github::push();
    let request = push.render();
    let reply = Wire::open(address)?.exchange("POST", &request.path, &request.headers, &request.body)?;
    Ok((push.id, reply.status))
}

#[test]
fn inherited_socket_is_used_and_systemd_is_notified() {
    let hookbox = Supervised::start(Hookbox::new(), "hookbox.socket");
    hookbox.wait_for("READY=1");
    assert_eq!(deliver(hookbox.address).unwrap().1, 200);
    hookbox.wait_for("WATCHDOG=1");
    hookbox.wait_for("WATCHDOG=1");
    hookbox.stop();
}

#[test]
fn socket_named_admin_serves_the_admin_address() {
    let hookbox = Supervised::start(Hookbox::new(), "admin");
    hookbox.wait_for("READY=1");
    let reply = Wire::open(hookbox.address).unwrap().exchange("GET", "/healthz", &[], b"").unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    hookbox.stop();
}

#[test]
fn upgrade_drops_no_request() {
    let mut hookbox = Supervised::start(Hookbox::new(), "hooks");
    hookbox.wait_for("READY=1");
    let address = hookbox.address;
    let (is_over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let delivered: Vec<String> = std::thread::scope(|scope| {
        let client = || {
            let mut ids = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let (id, status) = deliver(address).expect("a response");
                assert_eq!(status, 200, "{id}");
                ids.push(id);
                count.fetch_add(1, Ordering::Relaxed);
            }
            ids
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        for _ in 0..3 {
            hookbox.restart();
            let wanted = count.load(Ordering::Relaxed) + 20;
            until("deliveries to go on", || (count.load(Ordering::Relaxed) >= wanted).then_some(()));
        }
        is_over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let inbox = Inbox { file: hookbox.setup.folder().join("hookbox.db") };
    assert!(delivered.iter().all(|id| inbox.state("github", id).is_some()));
    hookbox.stop();
}
