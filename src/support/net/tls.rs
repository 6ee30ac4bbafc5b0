//! The certificate of the server: read from files, and read again when they change.
//!
//! A certificate and key that do not match, as while they are being replaced, change nothing. An expired certificate is
//! still served, with a warning in the log, because the alternative is no service.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode as _;

use crate::support::locks;
use crate::support::time::Millis;

/// Shortest interval between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long before it expires the log warns of a certificate. Most are renewed a month before.
const WARN_WITHIN: Duration = Duration::from_hours(14 * 24);

/// PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own certificate first.
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// The certificate that is served. Clones share it.
#[derive(Debug, Clone)]
pub struct Certificate(Arc<Mutex<Served>>);

#[derive(Debug)]
struct Served {
    files: TlsFiles,
    key: Arc<CertifiedKey>,
    versions: FileVersions,
    checked_at: Instant,
    /// Unix seconds.
    expiry: Gauge,
}

/// Device, inode, length and time of change of both files.
type FileVersions = [Option<(u64, u64, u64, i64, i64)>; 2];

impl Certificate {
    pub fn read(files: &TlsFiles) -> io::Result<Self> {
        let versions = file_versions(files);
        let key = load(files)?;
        let (checked_at, expiry) = (Instant::now(), Gauge::default());
        let served = Served { files: files.clone(), key, versions, checked_at, expiry };
        Ok(Self(Arc::new(Mutex::new(served))))
    }

    /// Keeps the gauge up to date from now on, and warns in the log before the certificate expires.
    pub fn watch(&self, expiry: Gauge) {
        let mut served = locks::lock(&self.0);
        served.expiry = expiry;
        served.publish();
    }

    /// `None` if the certificate cannot be parsed.
    #[must_use]
    pub fn expires_at(&self) -> Option<Millis> {
        let served = locks::lock(&self.0);
        validity(&served.key).map(|(_, until)| until)
    }

    /// A certificate that is expired, not yet valid or about to expire: `the certificate in cert.pem has expired at …`.
    #[must_use]
    pub fn warning(&self, now: Millis) -> Option<String> {
        locks::lock(&self.0).warning(now)
    }

    /// Switches to other files. After an error the old certificate is still served.
    pub fn replace(&self, files: &TlsFiles) -> io::Result<()> {
        let (versions, key) = (file_versions(files), load(files)?);
        let mut served = locks::lock(&self.0);
        let expiry = served.expiry.clone();
        *served = Served { files: files.clone(), key, versions, checked_at: Instant::now(), expiry };
        served.publish();
        Ok(())
    }

    /// TLS 1.2 and 1.3 with rustls' defaults.
    pub fn server_config(&self) -> io::Result<ServerConfig> {
        let provider = Arc::new(provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        Ok(builder.with_no_client_auth().with_cert_resolver(Arc::new(self.clone())))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut served = locks::lock(&self.0);
        if served.checked_at.elapsed() >= CHECK_INTERVAL {
            served.reload_if_changed();
        }
        Some(served.key.clone())
    }
}

impl Served {
    fn reload_if_changed(&mut self) {
        self.checked_at = Instant::now();
        let versions = file_versions(&self.files);
        if versions == self.versions {
            return;
        }
        self.versions = versions;
        match load(&self.files) {
            Ok(key) => {
                self.key = key;
                log::info!("certificate in {} replaced", self.files.cert.display());
                self.publish();
            }
            Err(error) => log::warn!("certificate changed but not usable, serving the old one: {error}"),
        }
    }

    fn publish(&self) {
        let until = validity(&self.key).map_or(0, |(_, until)| until.0 / 1000);
        self.expiry.set(until);
        if let Some(warning) = self.warning(Millis::now()) {
            log::warn!("{warning}");
        }
    }

    fn warning(&self, now: Millis) -> Option<String> {
        let what = validity_warning(validity(&self.key)?, now)?;
        Some(format!("the certificate in {} {what}", self.files.cert.display()))
    }
}

fn validity_warning((from, until): (Millis, Millis), now: Millis) -> Option<String> {
    let effect = "providers that check it will not deliver";
    if now < from {
        return Some(format!("is not valid before {}: {effect} until then", from.to_rfc3339()));
    }
    if now > until {
        return Some(format!("has expired at {}: {effect} until it is renewed", until.to_rfc3339()));
    }
    let is_near = until.since(now) < WARN_WITHIN;
    is_near.then(|| format!("expires at {}, within {} days", until.to_rfc3339(), WARN_WITHIN.as_secs() / 86_400))
}

/// Validity period of the server's own certificate; `None` if it cannot be parsed.
fn validity(key: &CertifiedKey) -> Option<(Millis, Millis)> {
    let own = x509_cert::Certificate::from_der(key.cert.first()?).ok()?;
    let valid = own.tbs_certificate().validity();
    let at = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_millis()).ok().map(Millis);
    Some((at(valid.not_before)?, at(valid.not_after)?))
}

fn file_versions(files: &TlsFiles) -> FileVersions {
    [&files.cert, &files.key].map(|path| {
        let file = fs::metadata(path).ok()?;
        Some((file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
    })
}

fn load(files: &TlsFiles) -> io::Result<Arc<CertifiedKey>> {
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(&files.cert, &error))?;
    if chain.is_empty() {
        return Err(failed(&files.cert, &"contains no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| failed(&files.key, &error))?;
    CertifiedKey::from_der(chain, key, &provider()).map(Arc::new).map_err(|error| {
        let what = "is not the private key of the first certificate in";
        io::Error::other(format!("{} {what} {}: {error}", files.key.display(), files.cert.display()))
    })
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

fn provider() -> CryptoProvider {
    ring::default_provider()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder {
        folder: tempfile::TempDir,
    }

    impl Folder {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap() }
        }

        fn paths(&self) -> TlsFiles {
            let path = |name: &str| self.folder.path().join(name);
            TlsFiles { cert: path("cert.pem"), key: path("key.pem") }
        }

        /// Writes a new certificate and key, or only one of them.
        fn put(&self, name: &str, cert: bool, key: bool) {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            if cert {
                fs::write(self.paths().cert, made.cert.pem()).unwrap();
            }
            if key {
                fs::write(self.paths().key, made.signing_key.serialize_pem()).unwrap();
            }
        }
    }

    fn served(certificate: &Certificate) -> Arc<CertifiedKey> {
        let mut served = certificate.0.lock().unwrap();
        served.reload_if_changed();
        served.key.clone()
    }

    #[test]
    fn replaced_certificate_is_served_once_its_key_matches() {
        let files = Folder::new();
        files.put("one.example", true, true);
        let certificate = Certificate::read(&files.paths()).unwrap();
        let first = served(&certificate);
        assert!(Arc::ptr_eq(&first, &served(&certificate)), "unchanged files are not reloaded");
        files.put("two.example", true, false);
        assert!(Arc::ptr_eq(&first, &served(&certificate)), "the key does not match yet");
        files.put("three.example", true, true);
        let third = served(&certificate);
        assert_ne!(first.cert, third.cert);
        fs::remove_file(files.paths().key).unwrap();
        assert!(Arc::ptr_eq(&third, &served(&certificate)));
    }

    #[test]
    fn warns_of_certificates_outside_their_validity_period() {
        let day = |day: i64| Millis(day * 86_400_000);
        for (now, expected) in [
            (day(99), Some("is not valid before 1970-04-11T00:00:00.000Z")),
            (day(100), None),
            (day(186), None),
            (Millis(day(186).0 + 1), Some("expires at 1970-07-20T00:00:00.000Z, within 14 days")),
            (day(200), Some("expires at")),
            (Millis(day(200).0 + 1), Some("has expired at 1970-07-20T00:00:00.000Z")),
        ] {
            let warning = validity_warning((day(100), day(200)), now);
            assert_eq!(warning.is_some(), expected.is_some(), "{now:?}: {warning:?}");
            assert!(warning.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{now:?}");
        }
    }

    #[test]
    fn unusable_files_are_named() {
        let files = Folder::new();
        let error = |files: &Folder| Certificate::read(&files.paths()).unwrap_err().to_string();
        assert!(error(&files).contains("cert.pem: "), "{}", error(&files));
        files.put("one.example", true, false);
        assert!(error(&files).contains("key.pem: "), "{}", error(&files));
        files.put("two.example", false, true);
        assert!(error(&files).contains("is not the private key of the first certificate in"), "{}", error(&files));
        fs::write(files.paths().cert, "nothing here").unwrap();
        assert!(error(&files).contains("no certificate"), "{}", error(&files));
    }
}
