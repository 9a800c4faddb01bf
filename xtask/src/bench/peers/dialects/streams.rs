//! Server-Sent Events: one answer that does not end.

use anyhow::Result;
use efir_bench::{Heard, Seat, Subscribe, http};

/// Reads a channel at its path.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) host: String,
    /// What stands before the channel's name.
    pub(crate) before: &'static str,
}

impl Subscribe for Subscriber {
    fn name(&self) -> &str {
        "sse"
    }

    fn open(&self, seat: &mut Seat, out: &mut Vec<u8>) {
        let request = format!(
            "GET {}{} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
            self.before,
            seat.channel(),
            self.host
        );
        out.extend_from_slice(request.as_bytes());
    }

    fn receive(&self, seat: &mut Seat, bytes: &[u8], heard: &mut Heard) -> Result<usize> {
        http::stream(seat, bytes, heard, |_, _, heard| {
            heard.is_joined = true;
            Ok(())
        })
    }
}
