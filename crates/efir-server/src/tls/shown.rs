//! Which certificate a client is shown: one from a file, the one that was ordered, or to an authority that comes and looks the answer
//! to its challenge.

use std::sync::Arc;

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{
    acme::{ALPN, Ordered},
    certificates::Certificates,
};

/// All of them.
#[derive(Debug)]
pub(super) struct Shown {
    files: Arc<Certificates>,
    ordered: Option<Arc<Ordered>>,
}

impl Shown {
    pub(super) fn new(files: Arc<Certificates>, ordered: Option<Arc<Ordered>>) -> Self {
        Self { files, ordered }
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Some(ordered) = &self.ordered else { return self.files.resolve(hello) };
        let name = hello.server_name().map(str::to_ascii_lowercase);
        if is_challenge(&hello) {
            return ordered.answer(&name?);
        }
        match name.filter(|name| ordered.is_for(name)) {
            // Whoever moves from files to orders goes on with the file until the order is there.
            Some(name) => {
                ordered.shown().or_else(|| self.files.fitting(&name)).or_else(|| ordered.tell_missing(&name))
            }
            None if self.files.is_empty() => ordered.shown().or_else(|| ordered.tell_missing("")),
            None => self.files.resolve(hello),
        }
    }
}

/// Whether it is an authority: it offers that one protocol and no other (RFC 8737 §3).
fn is_challenge(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.next() == Some(ALPN) && offered.next().is_none())
}
