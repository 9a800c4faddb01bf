//! The body of an answer, piece by piece or as a whole, and never more than is allowed.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::connection::Lease;
use crate::error::ClientError;

/// A body that is being received, and the connection that it comes over.
#[derive(Debug)]
pub(crate) struct Body {
    incoming: Incoming,
    /// Goes back to the idle connections when the body has been read to its end; dropped before, it closes the connection.
    lease: Option<Lease>,
}

impl Body {
    pub(crate) fn new(incoming: Incoming, lease: Lease) -> Self {
        Self { incoming, lease: Some(lease) }
    }

    /// The next piece; `None` at the end. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.incoming.frame().await {
                Some(frame) => {
                    // A frame that is no data is trailers, which nobody sends.
                    if let Ok(data) = frame?.into_data() {
                        return Ok(Some(data));
                    }
                }
                None => {
                    if let Some(lease) = self.lease.take() {
                        lease.give_back();
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// The rest as a whole.
    pub(crate) async fn read_all(mut self, bytes_max: usize) -> Result<Bytes, ClientError> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if all.len() + piece.len() > bytes_max {
                return Err(ClientError::TooLarge { what: "the answer", bytes_max });
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}
