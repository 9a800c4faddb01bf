//! What reaches a worker from outside: notes of channels that grew, connections to adopt, sockets that became ready.
//!
//! One lock, taken for a moment. A worker is woken once a batch: only the first entry after it went to sleep wakes it.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    task::{Wake, Waker},
};

use bytes::BytesMut;

use crate::{
    channel::Noted,
    exchange::Response,
    guest::Guest,
    socket::Socket,
    sync::{AtomicBool, Mutex, Ordering},
};

/// A connection for the worker.
pub struct Adoption {
    /// Whose connection it is; `None`: one that no limit asks for.
    pub guest: Option<Arc<Guest>>,
    /// The socket; nothing of an earlier response waits to be written to it.
    pub socket: Socket,
    /// Bytes that were read and not consumed.
    pub input: BytesMut,
    /// What is carried on it first.
    pub response: Response,
}

impl std::fmt::Debug for Adoption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adoption").field("socket", &self.socket).finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(super) struct Batch {
    pub(super) notes: Vec<u32>,
    pub(super) ready: Vec<u32>,
    pub(super) adoptions: Vec<Adoption>,
    pub(super) is_draining: bool,
    pub(super) is_shedding: bool,
    pub(super) is_rechecking: bool,
}

impl Batch {
    fn is_empty(&self) -> bool {
        let is_told = self.is_draining || self.is_shedding || self.is_rechecking;
        self.notes.is_empty() && self.ready.is_empty() && self.adoptions.is_empty() && !is_told
    }
}

#[derive(Default)]
struct Inner {
    batch: Batch,
    sleeper: Option<Waker>,
}

/// The letter box of one worker.
pub struct Intake {
    inner: Mutex<Inner>,
    /// Connections that were handed in and have not left.
    carried: AtomicUsize,
    /// Connections of the whole server.
    count: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Intake")
    }
}

impl Intake {
    /// An empty one; `count` goes up and down with the connections that are handed in.
    pub fn new(count: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), carried: AtomicUsize::new(0), count })
    }

    /// Hands a connection over to the worker. It must be called on the worker's own thread, whose event loop knows the socket.
    pub fn adopt(&self, adoption: Adoption) {
        self.carried.fetch_add(1, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.put(|batch| batch.adoptions.push(adoption));
    }

    /// How many connections the worker carries, counting those that it has yet to take in.
    pub fn carried(&self) -> usize {
        self.carried.load(Ordering::Relaxed)
    }

    pub(super) fn let_go(&self) {
        self.carried.fetch_sub(1, Ordering::Relaxed);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Serves a connection again as if its bell had rung.
    pub(super) fn ring(&self, key: u32) {
        self.put(|batch| batch.ready.push(key));
    }

    fn put(&self, put: impl FnOnce(&mut Batch)) {
        let sleeper = {
            let mut inner = self.inner.lock();
            put(&mut inner.batch);
            inner.sleeper.take()
        };
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// Swaps what has come with the empty `batch`; when nothing has, `sleeper` is woken by the next thing that does.
    pub(super) fn take(&self, batch: &mut Batch, sleeper: &Waker) -> bool {
        let mut inner = self.inner.lock();
        if inner.batch.is_empty() {
            if !inner.sleeper.as_ref().is_some_and(|known| known.will_wake(sleeper)) {
                inner.sleeper = Some(sleeper.clone());
            }
            return false;
        }
        std::mem::swap(&mut inner.batch, batch);
        true
    }
}

impl Noted for Intake {
    fn note(&self, token: u32) {
        self.put(|batch| batch.notes.push(token));
    }

    fn drain(&self) {
        self.put(|batch| batch.is_draining = true);
    }

    fn shed(&self) {
        self.put(|batch| batch.is_shedding = true);
    }

    fn recheck(&self) {
        self.put(|batch| batch.is_rechecking = true);
    }
}

/// Wakes a worker for one connection.
pub(super) struct Bell {
    pub(super) key: u32,
    is_rung: AtomicBool,
    intake: Arc<Intake>,
}

impl Bell {
    pub(super) fn new(key: u32, intake: Arc<Intake>) -> Arc<Self> {
        Arc::new(Self { key, is_rung: AtomicBool::new(false), intake })
    }

    /// The worker looks at the connection now; later events ring again.
    pub(super) fn rearm(&self) {
        self.is_rung.store(false, Ordering::Release);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            self.intake.put(|batch| batch.ready.push(self.key));
        }
    }
}
