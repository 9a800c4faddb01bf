//! Where the server is, how connections are encrypted on their way to it, and what they show of who they are.

use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use efir_bench::efir::Tokens;
use efir_bench::{Destination, Encryption, Trust};

use super::Bench;
use crate::cli::Failure;

/// How long an address of the server may take to answer, where it has several.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// The most that is read of a file with tokens, in bytes: one for each of a hundred thousand connections.
const TOKENS_BYTES_MAX: u64 = 64 << 20;

/// Where the server is.
pub(super) struct Place {
    pub(super) destination: Destination,
    /// The `Host` header.
    pub(super) host: String,
    /// What stands before efir's own paths, without a slash at its end.
    pub(super) base: String,
}

impl Place {
    /// # Errors
    /// When the URL is none or names no host, or it is not clear whom to trust.
    pub(super) fn of(bench: &Bench) -> Result<Self, Failure> {
        let url = &bench.url;
        let (is_encrypted, rest) = match url.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some((scheme, _)) => {
                return Err(Failure::usage(format!("{url}: expected http:// or https://, not {scheme}://")));
            }
            None => (false, url.as_str()),
        };
        if !is_encrypted && (bench.cacert.is_some() || bench.insecure) {
            return Err(Failure::usage(format!(
                "{url} is not encrypted, so there is nobody to trust: expected https:// with --cacert or --insecure"
            )));
        }
        let (host, base) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => (name, port),
            _ => (host, if is_encrypted { "443" } else { "80" }),
        };
        let found =
            format!("{name}:{port}").to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
        // localhost is 127.0.0.1 and ::1, and a server may listen on one of them.
        let is_open = |address: &&SocketAddr| TcpStream::connect_timeout(address, CONNECT_MAX).is_ok();
        let address = found.iter().find(is_open).or(found.first()).copied();
        let Some(address) = address else {
            return Err(Failure::usage(format!(
                "{url}: there is no such host; expected a URL as http://127.0.0.1:8080"
            )));
        };
        let encryption = if is_encrypted { Some(encryption(bench, name)?) } else { None };
        Ok(Self {
            destination: Destination { address, encryption },
            host: host.to_owned(),
            base: base.trim_end_matches('/').to_owned(),
        })
    }
}

fn encryption(bench: &Bench, name: &str) -> Result<Encryption, Failure> {
    let trust = match &bench.cacert {
        Some(path) => Trust::File(path.clone()),
        None if bench.insecure => Trust::Anybody,
        None => Trust::Machine,
    };
    Encryption::new(name, &trust).map_err(|error| Failure::usage(format!("{error:#}")))
}

/// What connections show.
///
/// # Errors
/// When a file or variable is not there, or holds what is no token.
pub(super) fn tokens(bench: &Bench) -> Result<Tokens, Failure> {
    let (text, place) = match (&bench.token_file, &bench.token_env) {
        (Some(path), _) => (read(path)?, path.display().to_string()),
        (None, Some(name)) => {
            let value = std::env::var(name);
            let unset = |_| Failure::usage(format!("the environment variable {name} is not set"));
            (value.map_err(unset)?, name.clone())
        }
        (None, None) => return Ok(Tokens::default()),
    };
    Tokens::parse(&text).map_err(|error| Failure::usage(format!("{place}: {error}")))
}

/// A file, or stdin for `-`.
fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => io::stdin().lock().take(TOKENS_BYTES_MAX).read_to_string(&mut text),
        _ => File::open(path).and_then(|file| file.take(TOKENS_BYTES_MAX).read_to_string(&mut text)),
    };
    read.map(|_| text).map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
}
