//! For a carrier outside of this crate: told when memory is short, so that it ends what holds the most of it.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::{channel::Noted, hub::Hub};

/// Told when the process takes more memory than it may; dropping it ends that.
#[derive(Debug)]
pub struct Shortage {
    bell: Arc<Bell>,
    hub: Hub,
    id: usize,
}

#[derive(Debug, Default)]
struct Bell(Notify);

impl Noted for Bell {
    fn note(&self, _token: u32) {}

    fn drain(&self) {}

    fn shed(&self) {
        self.0.notify_one();
    }
}

impl Shortage {
    pub(crate) fn new(hub: &Hub) -> Self {
        let bell = Arc::<Bell>::default();
        Self { id: hub.enlist(&bell), hub: hub.clone(), bell }
    }

    /// Waits until the largest debtors are to be cut, one after another as long as [`Hub::claim_debtor`] says so.
    pub async fn told(&self) {
        self.bell.0.notified().await;
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        self.hub.delist(self.id);
    }
}
