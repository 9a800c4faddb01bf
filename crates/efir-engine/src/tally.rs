//! What one client's traffic came to, counted where the bytes pass.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one client on one transport. Bytes are those of the socket, HTTP heads and frame headers included.
#[derive(Debug, Default)]
pub struct Tally {
    requests: AtomicU64,
    empty: AtomicU64,
    bytes_down: AtomicU64,
    bytes_up: AtomicU64,
}

/// A reading of a [`Tally`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Requests made.
    pub requests: u64,
    /// Answers without a message.
    pub empty: u64,
    /// Bytes from the server to the client.
    pub bytes_down: u64,
    /// Bytes from the client to the server.
    pub bytes_up: u64,
}

impl Tally {
    /// One more request.
    pub fn add_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// One more answer without a message.
    pub fn add_empty(&self) {
        self.empty.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes written to the client.
    pub fn add_down(&self, bytes: u64) {
        self.bytes_down.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes read from the client.
    pub fn add_up(&self, bytes: u64) {
        self.bytes_up.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The counters now.
    pub fn read(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            empty: self.empty.load(Ordering::Relaxed),
            bytes_down: self.bytes_down.load(Ordering::Relaxed),
            bytes_up: self.bytes_up.load(Ordering::Relaxed),
        }
    }
}
