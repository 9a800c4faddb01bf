//! The folder in which an account and a certificate outlive the process. Each file is for one authority and, the certificate's, one
//! list of names: whoever changes those begins anew and finds the old ones again when they come back.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use aws_lc_rs::digest;

use crate::config::acme::AcmeOptions;

/// Where things are kept.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    /// The account, as JSON.
    pub(super) account: PathBuf,
    /// The certificate, those that vouch for it, and its private key, in PEM.
    pub(super) certificate: PathBuf,
}

impl Cache {
    /// Makes the folder where it is missing.
    ///
    /// # Errors
    /// Nothing can be written there: each start would order anew, until the authority has enough of it.
    pub(super) fn open(options: &AcmeOptions) -> anyhow::Result<Self> {
        let folder = options.cache_dir.clone();
        let directory = options.directory.to_string();
        let mut holder = options.contacts.clone();
        holder.extend(options.customer.iter().map(|customer| customer.key_id.clone()));
        let account = format!("account-{}.json", digest_of(&directory, &holder));
        let certificate = format!("certificate-{}.pem", digest_of(&directory, &options.names));
        let cache = Self { account: folder.join(account), certificate: folder.join(certificate), folder };
        let probe = cache.folder.join("writable");
        let written = DirBuilder::new().recursive(true).mode(0o700).create(&cache.folder);
        let written = written.and_then(|()| cache.write(&probe, b"")).and_then(|()| fs::remove_file(&probe));
        written
            .with_context(|| format!("tls.acme.cache_dir {}: cannot be written", cache.folder.display()))?;
        Ok(cache)
    }

    /// Writes a file as a whole, for its owner only.
    ///
    /// # Errors
    /// It cannot be written; what was there is there.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let unfinished = path.with_extension("unfinished");
        // Of a process that was killed while it wrote.
        let _ = fs::remove_file(&unfinished);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        fs::File::open(&self.folder)?.sync_all()
    }
}

/// A text from a file; `None` where there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same for the same list in any order, in 16 digits.
fn digest_of(directory: &str, list: &[String]) -> String {
    let mut list: Vec<_> = list.iter().map(String::as_str).collect();
    list.sort_unstable();
    let text = format!("{directory}\n{}", list.join("\n"));
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_written_is_whole_and_its_owners() {
        let folder =
            std::env::temp_dir().join(format!("efir-acme-{}-{}", std::process::id(), fastrand::u64(..)));
        let options = |names: &[&str]| AcmeOptions {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            contacts: Vec::new(),
            directory: "https://ca.example/dir".parse().unwrap(),
            ca_file: None,
            cache_dir: folder.join("deeper"),
            customer: None,
        };
        let cache = Cache::open(&options(&["a.example", "b.example"])).unwrap();
        assert_eq!(read(&cache.certificate).unwrap(), None);
        for text in ["one", "another"] {
            cache.write(&cache.certificate, text.as_bytes()).unwrap();
        }
        assert_eq!(read(&cache.certificate).unwrap().unwrap(), b"another");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&cache.certificate), mode(&cache.folder)), (0o600, 0o700));
        let files = fs::read_dir(&cache.folder).unwrap().count();
        assert_eq!(files, 1);
        let other = Cache::open(&options(&["b.example", "a.example"])).unwrap();
        assert_eq!(other.certificate, cache.certificate);
        let other = Cache::open(&options(&["a.example"])).unwrap();
        assert!(other.certificate != cache.certificate && other.account == cache.account);
        fs::remove_dir_all(&folder).unwrap();
        // A file where the folder should be.
        fs::write(&folder, "").unwrap();
        assert!(Cache::open(&options(&[])).is_err());
        fs::remove_file(&folder).unwrap();
    }
}
