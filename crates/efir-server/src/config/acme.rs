//! `[tls.acme]`: for which names a certificate is ordered, from whom, and where it is kept.

use std::{fmt, path::PathBuf};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Uri;

use super::keys::{Key, Kind};
use super::resolved::{is_on, list, text};
use super::unit::Value;
use super::{ConfigError, Origin, Settings};

/// Where Let's Encrypt begins.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
const FILE_OF_CUSTOMER: &str = "tls.acme.external_account_file";
/// As many names as Let's Encrypt puts into one certificate.
const NAMES_MAX: usize = 100;

/// How certificates are ordered (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeOptions {
    /// The names, in lower case; all of them in one certificate.
    pub names: Vec<String>,
    /// Mail addresses of whoever is to be told that something is wrong.
    pub contacts: Vec<String>,
    /// Where the authority says what it offers.
    pub directory: Uri,
    /// The authorities that vouch for that address; `None`: those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Where the account, the certificate and their keys are kept.
    pub cache_dir: PathBuf,
    /// The customer of the authority that the account is for, where it wants to know that.
    pub customer: Option<Customer>,
}

/// What an authority has given a customer to show for a new account (external account binding, RFC 8555 §7.3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Customer {
    /// The key's identifier.
    pub key_id: String,
    /// The key of an HMAC-SHA256.
    pub key: Vec<u8>,
}

impl fmt::Debug for Customer {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Customer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The keys of the section.
pub(super) fn keys() -> [Key; 7] {
    let key = |name: &str, kind, default, meaning| Key {
        section: "tls.acme",
        name: name.to_owned(),
        kind,
        default,
        meaning,
        flag: None,
        row: None,
    };
    let (none, empty) = (|| Value::List(Vec::new()), || Value::Text(String::new()));
    [
        key(
            "names",
            Kind::Names,
            none(),
            "Names for which a certificate is ordered from an authority that speaks ACME, instead of read from files. The authority must reach this server under each of them on port 443. Empty: none is ordered.",
        ),
        key(
            "terms_agreed",
            Kind::Switch,
            Value::Switch(false),
            "Whether you agree to the authority's terms of service; nothing is ordered without. Let's Encrypt's are at https://letsencrypt.org/repository/.",
        ),
        key(
            "contact",
            Kind::Contacts,
            none(),
            "Mail addresses that the authority may write to. They are sent to it.",
        ),
        key(
            "directory",
            Kind::Url,
            Value::Text(DIRECTORY.to_owned()),
            "The URL of the authority's directory. The default is Let's Encrypt; to try things, take https://acme-staging-v02.api.letsencrypt.org/directory, which nobody trusts and which has generous limits.",
        ),
        key(
            "cache_dir",
            Kind::Folder,
            empty(),
            "A folder of this server's own for the account, the certificate and their private keys; made where it is missing, for its owner only. In a file, relative to that file.",
        ),
        key(
            "ca_file",
            Kind::File,
            empty(),
            "A PEM file with the authorities that vouch for the directory's own address, for one of your own. Empty: those that this machine trusts. In a file, relative to that file.",
        ),
        key(
            "external_account_file",
            Kind::File,
            empty(),
            "A file with what an authority such as ZeroSSL gives its customers for ACME (external account binding): the key's identifier and the key in base64url, with a space or a line between. Empty: the authority wants to know no customer. In a file, relative to that file.",
        ),
    ]
}

/// The section as a whole; `None` where nothing is ordered.
///
/// # Errors
/// What is wrong with it.
pub(super) fn resolve(settings: &Settings, has_tls: bool) -> Result<Option<AcmeOptions>, ConfigError> {
    let names = list(settings, "tls.acme.names").to_vec();
    if names.is_empty() {
        return Ok(None);
    }
    let wrong = |key: &str, value: String, expected: &str| {
        Err(ConfigError::BadValue {
            origin: settings.setting(key).map_or(Origin::Default, |setting| setting.origin.clone()),
            key: key.to_owned(),
            value,
            expected: expected.to_owned(),
        })
    };
    if names.len() > NAMES_MAX {
        return wrong("tls.acme.names", format!("{} names", names.len()), "at most 100 names");
    }
    if !has_tls {
        let expected = "an address with https:// in `listen` besides";
        return wrong("tls.acme.names", format!("{names:?}"), expected);
    }
    if !is_on(settings, "tls.acme.terms_agreed") {
        let expected = "true, once you have read the authority's terms of service and agree to them";
        return wrong("tls.acme.terms_agreed", "false".to_owned(), expected);
    }
    let cache_dir = text(settings, "tls.acme.cache_dir");
    if cache_dir.is_empty() {
        let expected = "a folder such as /var/lib/efir/acme: without one each start orders anew, until the authority refuses";
        return wrong("tls.acme.cache_dir", "empty".to_owned(), expected);
    }
    let directory = text(settings, "tls.acme.directory");
    let Ok(directory) = directory.parse() else {
        return wrong("tls.acme.directory", format!("'{directory}'"), &Kind::Url.expected());
    };
    let ca_file = Some(text(settings, "tls.acme.ca_file")).filter(|file| !file.is_empty());
    Ok(Some(AcmeOptions {
        names,
        contacts: list(settings, "tls.acme.contact").to_vec(),
        directory,
        ca_file: ca_file.map(PathBuf::from),
        cache_dir: PathBuf::from(cache_dir),
        customer: match text(settings, FILE_OF_CUSTOMER) {
            "" => None,
            file => match read_customer(file) {
                Ok(customer) => Some(customer),
                Err(why) => {
                    let expected = "a file with the key's identifier and the key in base64url";
                    return wrong(FILE_OF_CUSTOMER, format!("'{file}' ({why})"), expected);
                }
            },
        },
    }))
}

/// Reads the file, of which no word gets into an error.
fn read_customer(file: &str) -> Result<Customer, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let [key_id, key] = words.as_slice() else { return Err(format!("it has {} words", words.len())) };
    let key = URL_SAFE_NO_PAD.decode(key.trim_end_matches('=')).ok().filter(|key| !key.is_empty());
    let key = key.ok_or("its second word is not base64url")?;
    Ok(Customer { key_id: (*key_id).to_owned(), key })
}

/// A name that a certificate can be ordered for by its server: no wildcard (those need DNS), no address.
pub(super) fn name(text: &str) -> Option<String> {
    let is_label = |label: &str| {
        let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = text.len() <= 253
        && text.split('.').all(is_label)
        && text.rsplit('.').next().is_some_and(|last| !is_number(last));
    is_name.then(|| text.to_ascii_lowercase())
}

/// A mail address, with or without `mailto:`.
pub(super) fn contact(text: &str) -> Option<String> {
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let (user, host) = address.rsplit_once('@')?;
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && !b",?<>\"".contains(&byte));
    (is_plain && !user.is_empty() && name(host).is_some()).then(|| address.to_owned())
}

/// A URL with TLS.
pub(super) fn url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let is_fit = uri.scheme_str() == Some("https")
        && !authority.host().is_empty()
        && !authority.as_str().contains('@');
    is_fit.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_a_server_can_prove() {
        assert_eq!(name("Chat.Example.org").as_deref(), Some("chat.example.org"));
        assert!(name("xn--e1aybc.xn--p1ai").is_some());
        for text in ["", "*.example.org", "127.0.0.1", "[::1]", "a..b", "a.b.", "-a.b", "тест.рф", "a.b:443"]
        {
            assert_eq!(name(text), None, "{text}");
        }
        assert_eq!(name(&format!("{}.org", "a".repeat(64))), None);
    }

    #[test]
    fn contacts_and_urls() {
        assert_eq!(contact("mailto:op@example.org"), contact("op@example.org"));
        for text in ["op", "@example.org", "op@", "a b@example.org", "a@b.org,c@d.org", "a@b.org?cc=x"] {
            assert_eq!(contact(text), None, "{text}");
        }
        assert!(url(DIRECTORY).is_some() && url("https://localhost:14000/dir").is_some());
        for text in ["http://example.org/", "example.org", "https://", "https://a@b/"] {
            assert_eq!(url(text), None, "{text}");
        }
    }
}
