//! Certificates from files: which one is shown to whom, and how they are exchanged while connections come.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{
    client::verify_server_name,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::config::resolved::CertificateFiles;

/// The certificates in force.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: Vec<CertificateFiles>,
    keys: ArcSwap<Vec<Arc<CertifiedKey>>>,
    /// What the files looked like when they were read last.
    seen: Mutex<Vec<Stamp>>,
}

/// What changes when a file is written or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Certificates {
    /// Reads all of them.
    ///
    /// # Errors
    /// A file that cannot be read, or a key that does not belong to its certificate.
    pub(crate) fn read(files: Vec<CertificateFiles>) -> anyhow::Result<Self> {
        let seen = Mutex::new(stamps(&files));
        let keys = read_all(&files)?;
        Ok(Self { files, keys: ArcSwap::from_pointee(keys), seen })
    }

    /// Reads all of them again; connections that come from now on get the new ones.
    ///
    /// # Errors
    /// As [`Certificates::read`]; then those in force stay.
    pub(crate) fn reload(&self) -> anyhow::Result<()> {
        let seen = stamps(&self.files);
        *self.seen.lock() = seen;
        self.keys.store(Arc::new(read_all(&self.files)?));
        Ok(())
    }

    /// The one that is good for this name; unlike [`Certificates::resolve`] none for others.
    pub(super) fn fitting(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = ServerName::try_from(name).ok()?;
        self.keys.load().iter().find(|key| is_for(key, &name)).cloned()
    }

    /// Whether there is none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Reads them again if a file has changed.
    pub(crate) fn look(&self) {
        if *self.seen.lock() == stamps(&self.files) {
            return;
        }
        match self.reload() {
            Ok(()) => tracing::info!(
                event = "certificates_changed",
                "the certificates have changed and are in force"
            ),
            // Between two files that are written one after the other this is nothing to worry about: the next look mends it.
            Err(error) => tracing::warn!(
                event = "certificates_bad",
                error = format!("{error:#}"),
                "the certificates have changed and are no good; the old ones stay in force"
            ),
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.keys.load();
        let Some(name) = hello.server_name().and_then(|name| ServerName::try_from(name).ok()) else {
            return keys.first().cloned();
        };
        if let [only] = keys.as_slice() {
            return Some(Arc::clone(only));
        }
        let fits = |key: &&Arc<CertifiedKey>| is_for(key, &name);
        // Of two for one name, perhaps with different kinds of keys, the one that the client can check.
        let can_be_checked = |key: &&Arc<CertifiedKey>| {
            fits(key) && key.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        keys.iter().find(can_be_checked).or_else(|| keys.iter().find(fits)).or(keys.first()).cloned()
    }
}

/// Whether a certificate is good for a name.
pub(super) fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = key.cert.first().and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
    parsed.is_some_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

fn stamps(files: &[CertificateFiles]) -> Vec<Stamp> {
    files.iter().flat_map(|files| [stamp(&files.certificate), stamp(&files.key)]).collect()
}

fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    match std::fs::metadata(path) {
        Ok(found) => Stamp { modified: found.modified().ok(), bytes: found.len(), inode: found.ino() },
        Err(_) => Stamp { modified: None, bytes: 0, inode: 0 },
    }
}

fn read_all(files: &[CertificateFiles]) -> anyhow::Result<Vec<Arc<CertifiedKey>>> {
    files.iter().map(|files| read_one(files).map(Arc::new)).collect()
}

fn read_one(files: &CertificateFiles) -> anyhow::Result<CertifiedKey> {
    certified(files, &read_file(&files.certificate)?, &read_file(&files.key)?)
}

/// What the texts of these files say.
///
/// # Errors
/// A text that is no good, or a key that does not belong to its certificate.
pub(super) fn certified(files: &CertificateFiles, chain: &[u8], key: &[u8]) -> anyhow::Result<CertifiedKey> {
    let shown = |path: &PathBuf| path.display().to_string();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.with_context(|| format!("{} is not PEM", shown(&files.certificate)))?;
    let Some(first) = chain.first() else {
        bail!("{} has no CERTIFICATE in PEM", shown(&files.certificate));
    };
    if ParsedCertificate::try_from(first).is_err() {
        bail!("the first CERTIFICATE of {} cannot be read", shown(&files.certificate));
    }
    // What is wrong with a key is not shown word for word.
    let Ok(key) = PrivateKeyDer::from_pem_slice(key) else {
        bail!("{} has no private key in PEM", shown(&files.key));
    };
    let Ok(key) = any_supported_type(&key) else {
        bail!("the private key in {} is of no kind that is known here", shown(&files.key));
    };
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(_) => bail!("the key in {} does not belong to {}", shown(&files.key), shown(&files.certificate)),
    }
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
