//! What the streams of one HTTP/2 connection hold in memory together: answers that are not taken, and bodies that are not whole. Whoever asks
//! for more than fits waits. It counts bytes and knows nothing of streams.

use std::{cell::Cell, rc::Rc};

use tokio::sync::Notify;

/// Bytes that are held now.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    bytes: Cell<usize>,
    /// Told whenever it became less.
    less: Notify,
}

impl Ledger {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Waits until no more than so many are held.
    pub(crate) async fn until_at_most(&self, bytes_max: usize) {
        loop {
            let less = self.less.notified();
            if self.bytes.get() <= bytes_max {
                return;
            }
            less.await;
        }
    }

    /// So many more, until the entry is dropped.
    pub(crate) fn enter(self: &Rc<Self>, bytes: usize) -> Entry {
        self.bytes.set(self.bytes.get() + bytes);
        Entry { ledger: Rc::clone(self), bytes }
    }
}

/// Bytes that are held as long as this lives.
#[derive(Debug)]
pub(crate) struct Entry {
    ledger: Rc<Ledger>,
    bytes: usize,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.ledger.bytes.set(self.ledger.bytes.get().saturating_sub(self.bytes));
        self.ledger.less.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    #[test]
    fn whoever_asks_for_too_much_waits() {
        let ledger = Rc::<Ledger>::default();
        let mut cx = Context::from_waker(Waker::noop());
        let (one, two) = (ledger.enter(60), ledger.enter(60));
        let mut waiting = pin!(ledger.until_at_most(100));
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        drop(one);
        assert!(waiting.as_mut().poll(&mut cx).is_ready());
        assert!(pin!(ledger.until_at_most(59)).poll(&mut cx).is_pending());
        drop(two);
        assert!(pin!(ledger.until_at_most(0)).poll(&mut cx).is_ready());
    }
}
