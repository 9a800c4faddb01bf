//! The transport lab: a generator of messages ([`runs`]) and networks with faults ([`network`], [`via`]), each for one visitor only.
//!
//! It is for people who want to see what the transports do, and off where strangers could reach it. Everything in it is bounded and
//! ends by itself. Channels and transports know nothing of it: a run publishes like anybody, and what comes through a visitor's
//! network reaches the server by its own front door. The URLs are in [`routes`].

mod access;
mod clock;
mod network;
mod routes;
mod runs;
mod via;
mod visitors;

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use efir_core::{Code, Problem};
use efir_transports::Site;
use http::request::Parts;

pub(crate) use access::Access;
pub(crate) use routes::router;
pub(crate) use via::{Carried, begins_via, carry};

use self::{clock::Clock, runs::Runs, visitors::Visitors};

/// What all of the lab shares.
#[derive(Debug)]
pub(crate) struct Lab {
    site: Site,
    access: Access,
    /// Where the server itself can be reached from here.
    server: SocketAddr,
    clock: Clock,
    visitors: Visitors,
    runs: Runs,
}

impl Lab {
    /// The lab of a server that listens on `address`.
    pub(crate) fn new(site: Site, access: Access, address: SocketAddr) -> Self {
        let limits = site.hub().limits();
        let visitors = Visitors::new(limits);
        let mut server = address;
        // Nobody can connect to "all addresses".
        if server.ip().is_unspecified() {
            server.set_ip(if server.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        Self { site, access, server, clock: Clock::new(), visitors, runs: Runs::default() }
    }

    /// Whether anybody may use it.
    pub(crate) fn is_on(&self) -> bool {
        self.access != Access::Nobody
    }

    /// Ends what has lasted long enough. Called about four times a second.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.visitors.sweep(now);
        self.runs.sweep(now);
    }

    /// Refuses everything while the lab is off, and who comes through a proxy where nobody has switched it on.
    fn check_on(&self, parts: &Parts) -> Result<(), Problem> {
        if self.access.admits(parts.version, parts.headers.keys().map(http::HeaderName::as_str)) {
            return Ok(());
        }
        let why = if self.is_on() {
            "the transport lab of this server is on for its own machine only, and this request came through a proxy (it has a Via, \
             Forwarded, X-Forwarded-… or X-Real-IP header, or is HTTP/1.0)"
        } else {
            "the transport lab of this server is off, because others can reach it"
        };
        let how = "whoever runs the server enables it for everybody with `efir --lab`, or with `lab = true` in efir.toml";
        Err(Problem::new(Code::LabDisabled, format!("{why}; {how}")))
    }
}

/// Checks the name that a visitor gave itself: 1–64 of `[A-Za-z0-9._~-]`.
fn check_visitor(name: &str) -> Result<(), Problem> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    // A path with `.` or `..` in it is another path to every browser.
    if matches!(name, "" | "." | "..") || name.len() > 64 || !name.bytes().all(is_letter) {
        let detail =
            "a visitor's name is 1–64 characters of A–Z a–z 0–9 . _ ~ - (random, so that nobody else has it)";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    Ok(())
}

/// A problem with a value that is greater than it may be.
fn too_great(field: &str, value: u64, name: &'static str, most: u64) -> Problem {
    Problem::new(Code::InvalidRequest, format!("`{field}` is {value}; at most {most} is possible"))
        .with_limit(name, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_visitors() {
        for name in ["a", "A-z_0.9~", &"x".repeat(64)] {
            assert!(check_visitor(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a b", "э", "a%20", &"x".repeat(65)] {
            assert_eq!(check_visitor(name).unwrap_err().code, Code::InvalidRequest, "{name}");
        }
    }
}
