//! What carries a response: the columns of the matrix.

use std::fmt;

/// A server and the HTTP version that is spoken with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// efir's own server over HTTP/1.1: long responses live in a worker's slab.
    H1,
    /// efir's own server over HTTP/2 with prior knowledge: responses are polled bodies.
    H2c,
    /// As [`Carrier::H1`], over TLS.
    TlsH1,
    /// efir's own server over HTTP/2 that was agreed on in the TLS handshake.
    TlsH2,
    /// The facade's `Router` in somebody's axum app on a multi-thread runtime, over HTTP/1.1: polled bodies.
    Axum,
}

impl Carrier {
    /// Every column.
    pub const ALL: &[Self] = &[Self::H1, Self::H2c, Self::TlsH1, Self::TlsH2, Self::Axum];
    /// Those that speak HTTP/1.
    pub const HTTP1: &[Self] = &[Self::H1, Self::TlsH1, Self::Axum];
    /// Those that speak HTTP/2.
    pub const HTTP2: &[Self] = &[Self::H2c, Self::TlsH2];
    /// Those whose long responses are polled bodies.
    pub const POLLED: &[Self] = &[Self::H2c, Self::TlsH2, Self::Axum];
    /// Those whose long responses live in a worker's slab.
    pub const SLAB: &[Self] = &[Self::H1, Self::TlsH1];
    /// Those that are encrypted.
    pub const TLS: &[Self] = &[Self::TlsH1, Self::TlsH2];

    /// Its name in the names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2c => "h2c",
            Self::TlsH1 => "tls-h1",
            Self::TlsH2 => "tls-h2",
            Self::Axum => "axum",
        }
    }

    /// Whether HTTP/2 is spoken.
    pub fn is_http2(self) -> bool {
        Self::HTTP2.contains(&self)
    }

    /// Whether it is encrypted.
    pub fn is_tls(self) -> bool {
        Self::TLS.contains(&self)
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
