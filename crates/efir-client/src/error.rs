//! What can go wrong between this client and a server. A gap is no error: it is an [`crate::Event`].

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use crate::wire::Problem;

/// Why a request, a connection or a stream failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The base URL is not `http://host[:port][/prefix]` or `https://…`.
    #[error("'{url}' is not a URL that this client can use: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The host name has no address.
    #[error("no address for '{host}': {source}")]
    Lookup {
        /// The name that was asked for.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody listens there, or it cannot be reached.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The address that was tried last.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No agreement on encryption: the server's certificate is not trusted or not for this name, or it speaks no TLS.
    #[error("no encrypted connection to '{host}': {source}")]
    Tls {
        /// The name that was asked for.
        host: String,
        /// What is wrong.
        source: io::Error,
    },
    /// Nothing came in time.
    #[error("{what}: nothing within {after:?}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// The connection broke, or the peer does not speak HTTP.
    #[error("{}", http_text(.0))]
    Http(#[from] hyper::Error),
    /// The socket broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// A header or URL that cannot be sent.
    #[error("the request cannot be sent: {0}")]
    Request(#[from] http::Error),
    /// The server refused, and said why.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The server (or something before it) refused without a problem object.
    #[error("the server answered {status}{}", if .body.is_empty() { String::new() } else { format!(": {}", .body) })]
    Status {
        /// The HTTP status.
        status: u16,
        /// When to come back, if the answer said so.
        retry_after: Option<Duration>,
        /// The beginning of the body.
        body: String,
    },
    /// The server sent something that docs/protocol.md does not allow.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// Something is larger than this client accepts.
    #[error("{what} has more than {bytes_max} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it may be.
        bytes_max: usize,
    },
    /// The request asks for something that this transport or HTTP version cannot do.
    #[error("{0}")]
    Unsupported(&'static str),
}

impl ClientError {
    /// The problem object, if the server sent one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// The code of the problem, if the server sent one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.problem().map(|problem| problem.code.as_str())
    }

    /// How long the server asked to wait before the next try.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem(problem) => problem.retry_after(),
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the same request would fail again, so that only another one helps.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.action == "stop",
            Self::Url { .. } | Self::Request(_) | Self::Unsupported(_) => true,
            _ => false,
        }
    }
}

/// hyper's own text names the step only; the cause says what happened.
fn http_text(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("the connection broke: {cause}"),
        None => format!("the connection broke: {error}"),
    }
}
