//! What carries a response: the columns of the matrix.

use std::fmt;

/// A server and the HTTP version that is spoken with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// efir's own server over HTTP/1.1: long responses live in a worker's slab.
    H1,
    /// efir's own server over HTTP/2 with prior knowledge: responses are polled bodies.
    H2c,
    /// The facade's `Router` in somebody's axum app on a multi-thread runtime, over HTTP/1.1: polled bodies.
    Axum,
}

impl Carrier {
    /// Every column.
    pub const ALL: &[Self] = &[Self::H1, Self::H2c, Self::Axum];
    /// Those that speak HTTP/1.
    pub const HTTP1: &[Self] = &[Self::H1, Self::Axum];

    /// Its name in the names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2c => "h2c",
            Self::Axum => "axum",
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
