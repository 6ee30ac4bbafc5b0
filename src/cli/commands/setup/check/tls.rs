//! What `check` tells of the certificate for the providers' address.
//!
//! Its files come in, when it ends and what is wrong with that go out. That it can be served was checked with the
//! configuration; one that is not valid is no error, since `serve` serves it too.

use serde::Serialize;

use crate::support::net::tls::{Certificate, TlsFiles};
use crate::support::time::Millis;

#[derive(Debug, Serialize)]
pub(crate) struct Row {
    cert: String,
    expires_at: Option<Millis>,
    /// Why it will be turned away, now or soon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warning: Option<String>,
}

impl Row {
    pub(crate) fn of(files: &TlsFiles) -> Self {
        // TlsFiles that have changed since the configuration was read are told of by the next check.
        let certificate = Certificate::read(files).ok();
        let certificate = certificate.as_ref();
        Self {
            cert: files.cert.display().to_string(),
            expires_at: certificate.and_then(Certificate::expires_at),
            warning: certificate.and_then(|certificate| certificate.warning(Millis::now())),
        }
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let until = self.expires_at.map(|at| format!(", valid until {}", at.to_rfc3339())).unwrap_or_default();
        write!(f, "{}{until}", self.cert)
    }
}
