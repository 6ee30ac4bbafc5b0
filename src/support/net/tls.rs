//! HTTPS for the providers' address: a certificate chain and its key, read from files, read again once they change.
//!
//! Paths come in, what rustls needs to serve them goes out, and until when the certificate is valid. Promises: a handshake
//! always gets a certificate that fits its key; files that do not fit together yet, as while they are being replaced,
//! change nothing. One that is not valid is served all the same and warned of, since without it nothing would be served.

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

/// The shortest time between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So long before its end a certificate is warned of; most are renewed a month before.
const RENEW_WITHIN: Duration = Duration::from_hours(14 * 24);

/// Where a certificate and its key are; both files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The certificate that is served; clones serve the same one.
#[derive(Debug, Clone)]
pub struct Certificate(Arc<Mutex<Served>>);

#[derive(Debug)]
struct Served {
    files: TlsFiles,
    key: Arc<CertifiedKey>,
    seen: Seen,
    looked_at: Instant,
    /// Where the end of what is served is told, in unix seconds.
    expiry: Gauge,
}

/// What tells that a file has been replaced: device, inode, length and time of change.
type Seen = [Option<(u64, u64, u64, i64, i64)>; 2];

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// Which file cannot be read, or does not fit the other.
    pub fn read(files: &TlsFiles) -> io::Result<Self> {
        let seen = seen(files);
        let key = load(files)?;
        let (looked_at, expiry) = (Instant::now(), Gauge::default());
        let served = Served { files: files.clone(), key, seen, looked_at, expiry };
        Ok(Self(Arc::new(Mutex::new(served))))
    }

    /// From now on `expiry` tells until when what is served is valid, and the log warns when that is a matter of days.
    pub fn watch(&self, expiry: Gauge) {
        let mut served = locks::lock(&self.0);
        served.expiry = expiry;
        served.tell();
    }

    /// Until when it is valid, where that can be read.
    #[must_use]
    pub fn expires_at(&self) -> Option<Millis> {
        let served = locks::lock(&self.0);
        validity(&served.key).map(|(_, until)| until)
    }

    /// What is wrong with when it is valid: `the certificate in cert.pem has expired at …`.
    #[must_use]
    pub fn warning(&self, now: Millis) -> Option<String> {
        locks::lock(&self.0).warning(now)
    }

    /// From now on these files count; the ones that are served go on when these cannot be.
    ///
    /// # Errors
    /// As for [`Certificate::read`].
    pub fn replace(&self, files: &TlsFiles) -> io::Result<()> {
        let (seen, key) = (seen(files), load(files)?);
        let mut served = locks::lock(&self.0);
        let expiry = served.expiry.clone();
        *served = Served { files: files.clone(), key, seen, looked_at: Instant::now(), expiry };
        served.tell();
        Ok(())
    }

    /// For the server: TLS 1.2 and 1.3, as rustls has them by default.
    ///
    /// # Errors
    /// When the library was built without any of them.
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
        if served.looked_at.elapsed() >= LOOK_EVERY {
            served.look();
        }
        Some(served.key.clone())
    }
}

impl Served {
    /// Takes in what has been replaced since the last look.
    fn look(&mut self) {
        self.looked_at = Instant::now();
        let seen = seen(&self.files);
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        match load(&self.files) {
            Ok(key) => {
                self.key = key;
                log::info!(
                    "the certificate in {} has been replaced and is served from now on",
                    self.files.cert.display()
                );
                self.tell();
            }
            Err(error) => log::warn!("the certificate has changed and cannot be served, the old one is: {error}"),
        }
    }

    fn tell(&self) {
        let until = validity(&self.key).map_or(0, |(_, until)| until.0 / 1000);
        self.expiry.set(until);
        if let Some(warning) = self.warning(Millis::now()) {
            log::warn!("{warning}");
        }
    }

    fn warning(&self, now: Millis) -> Option<String> {
        let what = doubt(validity(&self.key)?, now)?;
        Some(format!("the certificate in {} {what}", self.files.cert.display()))
    }
}

fn doubt((from, until): (Millis, Millis), now: Millis) -> Option<String> {
    let refused = "providers that check it deliver nothing";
    if now < from {
        return Some(format!("is not valid before {}: {refused} until then", from.to_rfc3339()));
    }
    if now > until {
        return Some(format!("has expired at {}: {refused} until it is renewed", until.to_rfc3339()));
    }
    let is_near = until.since(now) < RENEW_WITHIN;
    is_near.then(|| format!("expires at {}, within {} days", until.to_rfc3339(), RENEW_WITHIN.as_secs() / 86_400))
}

/// From when until when, of the server's own certificate. What rustls takes and this cannot read is not doubted.
fn validity(key: &CertifiedKey) -> Option<(Millis, Millis)> {
    let own = x509_cert::Certificate::from_der(key.cert.first()?).ok()?;
    let valid = own.tbs_certificate().validity();
    let at = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_millis()).ok().map(Millis);
    Some((at(valid.not_before)?, at(valid.not_after)?))
}

fn seen(files: &TlsFiles) -> Seen {
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
        return Err(failed(&files.cert, &"there is no certificate in it"));
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

        /// Puts a fresh certificate in place, or only its half.
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
        served.look();
        served.key.clone()
    }

    #[test]
    fn a_replaced_certificate_is_served_once_its_key_fits() {
        let files = Folder::new();
        files.put("one.example", true, true);
        let certificate = Certificate::read(&files.paths()).unwrap();
        let first = served(&certificate);
        assert!(Arc::ptr_eq(&first, &served(&certificate)), "unchanged files are not read again");
        files.put("two.example", true, false);
        assert!(Arc::ptr_eq(&first, &served(&certificate)), "its key does not fit yet");
        files.put("three.example", true, true);
        let third = served(&certificate);
        assert_ne!(first.cert, third.cert);
        fs::remove_file(files.paths().key).unwrap();
        assert!(Arc::ptr_eq(&third, &served(&certificate)));
    }

    #[test]
    fn a_certificate_is_doubted_before_its_time_and_from_two_weeks_before_its_end() {
        let day = |day: i64| Millis(day * 86_400_000);
        for (now, doubted) in [
            (day(99), Some("is not valid before 1970-04-11T00:00:00.000Z")),
            (day(100), None),
            (day(186), None),
            (Millis(day(186).0 + 1), Some("expires at 1970-07-20T00:00:00.000Z, within 14 days")),
            (day(200), Some("expires at")),
            (Millis(day(200).0 + 1), Some("has expired at 1970-07-20T00:00:00.000Z")),
        ] {
            let told = doubt((day(100), day(200)), now);
            assert_eq!(told.is_some(), doubted.is_some(), "{now:?}: {told:?}");
            assert!(told.unwrap_or_default().starts_with(doubted.unwrap_or_default()), "{now:?}");
        }
    }

    #[test]
    fn what_cannot_be_served_is_named() {
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
