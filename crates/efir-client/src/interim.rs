//! Interim answers (1xx, RFC 9110 §15.2): a server may send some before the answer, and one that means ill sends nothing else. The HTTP
//! library reads as many as come and keeps none; here they are counted. Only over HTTP/1.1, where it tells of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use tokio::sync::Notify;

use crate::error::ClientError;

/// Interim answers to one request; nobody needs more than one or two. Each is a head, which the HTTP library bounds.
const INTERIM_MAX: usize = 8;

/// The interim answers to one request.
#[derive(Debug, Default)]
pub(crate) struct Interim {
    count: AtomicUsize,
    exceeded: Notify,
}

impl Interim {
    /// Counts those to this request from now on.
    pub(crate) fn watch<B>(request: &mut Request<B>) -> Arc<Self> {
        let interim = Arc::new(Self::default());
        let counting = Arc::clone(&interim);
        hyper::ext::on_informational(request, move |_| {
            if counting.count.fetch_add(1, Ordering::Relaxed) >= INTERIM_MAX {
                counting.exceeded.notify_one();
            }
        });
        interim
    }

    /// Waits until there are too many, for ever where there never are.
    pub(crate) async fn too_many(&self) -> ClientError {
        self.exceeded.notified().await;
        ClientError::Protocol(format!(
            "more than {INTERIM_MAX} interim answers (1xx) came instead of an answer"
        ))
    }
}
