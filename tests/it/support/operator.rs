//! Requests to the admin address, as a browser, a script or a foreign page would send them.

use super::running::Running;
use super::wire::{Reply, Wire};

impl Running {
    /// Sends any request. `Host` defaults to the address.
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head.push_str(&format!("Host: {}\r\n", self.admin()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        let mut wire = Wire::open(self.admin()).unwrap();
        wire.write(head.as_bytes()).unwrap();
        wire.reply().unwrap()
    }

    /// Sends a GET with these headers.
    pub fn look(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.ask("GET", target, headers, "")
    }

    /// Submits a form as a browser does from a page of the dashboard.
    pub fn submit(&self, target: &str, headers: &[(&str, &str)], fields: &str) -> Reply {
        let origin = format!("http://{}", self.admin());
        let own = [("Origin", origin.as_str()), ("Sec-Fetch-Site", "same-origin")];
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        let all: Vec<_> = own.into_iter().chain([kind]).chain(headers.iter().copied()).collect();
        self.ask("POST", target, &all, fields)
    }
}
