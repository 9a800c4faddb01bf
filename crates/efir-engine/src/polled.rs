//! The other carrier: a response that somebody else polls for bytes. HTTP/2 streams, embedded routers and upgraded connections use it.

use std::{
    future::poll_fn,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::AtomicUsize},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use slab::Slab;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::Sleep,
};

use crate::{
    channel::{Channel, Noted, Watch},
    contained::{internal_problem, note},
    counters::Transport,
    exchange::{Exchange, Turn},
    outbox::{Framing, Outbox},
    reader::{Change, Reader},
    seam::Seam,
    sync::{AtomicBool, Mutex, Ordering},
};

/// Bytes read from an upgraded connection at once.
const READ_BYTES: usize = 16 * 1024;
/// Unconsumed input beyond which a client is no longer read.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// What rings a polled response.
#[derive(Default)]
struct Bell {
    notes: Mutex<Vec<u32>>,
    is_draining: AtomicBool,
    is_rechecking: AtomicBool,
    /// Of a message that has begun to arrive.
    held_bytes: AtomicUsize,
    is_cut: AtomicBool,
    sleeper: Mutex<Option<Waker>>,
}

impl Bell {
    fn wake(&self) {
        let sleeper = self.sleeper.lock().take();
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// Ready when the response has to go for want of memory. Not beside [`Polled::poll_piece`], which hears of it by itself.
    fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<()> {
        *self.sleeper.lock() = Some(cx.waker().clone());
        if self.is_cut.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Noted for Bell {
    fn note(&self, token: u32) {
        self.notes.lock().push(token);
        self.wake();
    }

    fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn recheck(&self) {
        self.is_rechecking.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.wake();
    }
}

/// A response and its reader, polled for what goes out. Dropping it leaves its channels.
pub struct Polled {
    exchange: Box<dyn Exchange>,
    reader: Reader,
    outbox: Outbox,
    bell: Arc<Bell>,
    /// Token → watch, channel and the reader's subscription.
    watches: Slab<(Arc<Watch>, Arc<Channel>, u32)>,
    sleep: Option<Pin<Box<Sleep>>>,
    drain_id: usize,
    /// By what it delivers.
    transport: Option<Transport>,
    has_begun: bool,
    has_ended: bool,
}

impl std::fmt::Debug for Polled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Polled").field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl Polled {
    /// A response that begins with its first poll.
    pub fn new(exchange: Box<dyn Exchange>, reader: Reader) -> Self {
        let bell = Arc::<Bell>::default();
        // A body's chunks are its carrier's affair, but the header of a WebSocket frame is part of what goes out.
        let framing = if exchange.form().is_websocket() { Framing::Chunked } else { Framing::Plain };
        let drain_id = reader.hub().enlist(&bell);
        let transport = Transport::of(exchange.form(), exchange.is_whole());
        transport.into_iter().for_each(|transport| reader.hub().counters().open(transport, 1));
        Self {
            exchange,
            reader,
            outbox: Outbox::new(framing),
            bell,
            watches: Slab::new(),
            sleep: None,
            drain_id,
            transport,
            has_begun: false,
            has_ended: false,
        }
    }

    /// The next bytes to send; `None` when the response is complete. A piece that was handed out counts as sent. A panic ends the response.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.poll_next(cx)));
        polled.unwrap_or_else(|_| {
            self.end_broken();
            self.poll_next(cx)
        })
    }

    /// What the exchange does panicked: nothing of it is trusted any more.
    #[cold]
    fn end_broken(&mut self) {
        let hub = self.reader.hub().clone();
        note(hub.counters(), "a polled response");
        self.unwatch_all();
        self.reader = Reader::new(hub);
        self.outbox = Outbox::new(self.outbox.framing());
        self.has_ended = true;
        let words = || self.exchange.last_words(&internal_problem(), &mut self.outbox);
        if catch_unwind(AssertUnwindSafe(words)).is_err() {
            self.outbox = Outbox::new(Framing::Plain);
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.outbox.pop(&mut self.reader) {
                let delivered = self.outbox.take_delivered();
                if let Some(transport) = self.transport {
                    self.reader.hub().counters().deliver(transport, delivered);
                }
                if bytes.is_empty() {
                    continue;
                }
                return Poll::Ready(Some(bytes));
            }
            self.reader.settle();
            if self.has_ended {
                return Poll::Ready(None);
            }
            if !std::mem::replace(&mut self.has_begun, true) {
                self.begin();
            } else if !self.hear_bell(cx) && !self.advance() && self.poll_time(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Whether an answer without a message was pushed since the last call, for the books.
    pub fn take_empty_answer(&mut self) -> bool {
        self.outbox.take_empty_answer()
    }

    /// Lets the exchange consume bytes of the client. Replies come out of [`Polled::poll_piece`].
    pub fn receive(&mut self, input: &mut BytesMut) {
        if !self.has_ended {
            let received = catch_unwind(AssertUnwindSafe(|| {
                let turn = self.exchange.receive(input, &mut self.reader, &mut self.outbox);
                self.follow(turn);
            }));
            if received.is_err() {
                self.end_broken();
                input.clear();
            }
            self.bell.held_bytes.store(input.len() + self.exchange.held_bytes(), Ordering::Relaxed);
            self.bell.wake();
        }
    }

    fn begin(&mut self) {
        self.follow_changes();
        let turn = self.exchange.open(Instant::now(), &mut self.reader, &mut self.outbox);
        self.follow(turn);
        if !self.has_ended {
            let turn = self.exchange.ready(&mut self.reader, &mut self.outbox);
            self.follow(turn);
        }
        self.reader.pass_seam(Seam::Read);
    }

    /// Takes the notes that came; true if there were any. Otherwise the next one wakes the task.
    fn hear_bell(&mut self, cx: &mut Context<'_>) -> bool {
        // Registered before looking, so that a note in between is not slept through.
        *self.bell.sleeper.lock() = Some(cx.waker().clone());
        let notes = std::mem::take(&mut *self.bell.notes.lock());
        for token in &notes {
            if let Some((watch, _, subscription)) = self.watches.get(*token as usize) {
                watch.rearm();
                self.reader.note(*subscription);
            }
        }
        if self.bell.is_cut.swap(false, Ordering::SeqCst) {
            let problem = self.reader.hub().overload().problem();
            let turn = self.exchange.shed(&problem, &mut self.reader, &mut self.outbox);
            self.follow(turn);
            return true;
        }
        if self.bell.is_draining.swap(false, Ordering::SeqCst) {
            let turn = self.exchange.drain(&mut self.reader, &mut self.outbox);
            self.follow(turn);
            return true;
        }
        if self.bell.is_rechecking.swap(false, Ordering::SeqCst) {
            let turn = self.exchange.recheck(&mut self.reader, &mut self.outbox);
            self.follow(turn);
            return true;
        }
        !notes.is_empty()
    }

    /// Reads what the cursors are owed; true if there was anything to do.
    fn advance(&mut self) -> bool {
        if !self.reader.is_behind() {
            return false;
        }
        let turn = self.exchange.ready(&mut self.reader, &mut self.outbox);
        self.follow(turn);
        self.has_ended || !self.outbox.is_empty() || self.reader.is_behind()
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.exchange.due() else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due.into())));
        if sleep.deadline() != due.into() {
            sleep.as_mut().reset(due.into());
        }
        std::task::ready!(Future::poll(sleep.as_mut(), cx));
        let turn = self.exchange.tick(Instant::now(), &mut self.reader, &mut self.outbox);
        self.follow(turn);
        Poll::Ready(())
    }

    fn follow(&mut self, turn: Turn) {
        self.follow_changes();
        if turn != Turn::Wait {
            self.has_ended = true;
        }
    }

    fn follow_changes(&mut self) {
        for change in self.reader.take_changes() {
            match change {
                Change::Joined { subscription } => {
                    let Some(name) = self.reader.name(subscription).cloned() else { continue };
                    let token = self.watches.vacant_key() as u32;
                    let watch = Watch::new(Arc::clone(&self.bell) as _, token);
                    let channel = self.reader.hub().broker().watch(&name, Arc::clone(&watch));
                    channel.add_subscriber();
                    self.watches.insert((watch, Arc::clone(&channel), subscription));
                    self.reader.attach(subscription, channel, (token, 0));
                    self.reader.hub().seams().pass(Seam::Watched, &name);
                }
                Change::Left { slot, .. } => self.unwatch(slot as usize),
            }
        }
    }

    fn unwatch(&mut self, token: usize) {
        if let Some((watch, channel, _)) = self.watches.try_remove(token) {
            channel.unwatch(&watch);
            channel.remove_subscriber();
        }
    }
}

impl Polled {
    fn unwatch_all(&mut self) {
        let tokens: Vec<usize> = self.watches.iter().map(|(token, _)| token).collect();
        for token in tokens {
            self.unwatch(token);
        }
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.reader.hub().delist(self.drain_id);
        if let Some(transport) = self.transport {
            let counters = self.reader.hub().counters();
            // An answer that went another way than out of here.
            counters.deliver(transport, self.outbox.take_delivered());
            counters.close(transport, 1);
        }
        self.unwatch_all();
    }
}

enum Event {
    Piece(Bytes),
    End,
    Heard(usize),
}

/// Carries a socket-like response over an upgraded connection until either side ends it.
///
/// # Errors
/// The connection's own, `TimedOut` when the client takes nothing for `stall_ms_max`, `OutOfMemory` when it takes nothing and memory is short.
pub async fn carry<IO>(mut io: IO, mut polled: Polled, mut input: BytesMut) -> io::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let stall_max = Duration::from_millis(polled.reader.hub().times().stall_ms_max);
    if !input.is_empty() {
        polled.receive(&mut input);
    }
    let bell = Arc::clone(&polled.bell);
    // The response begins before its client is heard.
    let mut hear_first = true;
    loop {
        input.reserve(READ_BYTES);
        // In turns, so that neither a busy channel nor a busy client keeps the other side waiting.
        hear_first = !hear_first;
        match next(&mut io, &mut polled, &mut input, hear_first).await? {
            Event::Piece(bytes) => {
                let written = tokio::time::timeout(stall_max, async {
                    io.write_all(&bytes).await?;
                    io.flush().await
                });
                let mut written = std::pin::pin!(written);
                // Who does not read cannot be told.
                let outcome = poll_fn(|cx| match written.as_mut().poll(cx) {
                    Poll::Ready(written) => {
                        Poll::Ready(written.unwrap_or(Err(io::ErrorKind::TimedOut.into())))
                    }
                    Poll::Pending => bell.poll_cut(cx).map(|()| Err(io::ErrorKind::OutOfMemory.into())),
                });
                outcome.await?;
                // What a full outbox held back may go on now.
                if !input.is_empty() {
                    polled.receive(&mut input);
                }
            }
            Event::Heard(0) => return Ok(()),
            Event::Heard(_) => polled.receive(&mut input),
            Event::End => break,
        }
    }
    io.shutdown().await?;
    // Reads the client's own end, so that its last bytes do not turn ours into a reset.
    let linger = async {
        let mut rest = [0; 1024];
        while matches!(io.read(&mut rest).await, Ok(1..)) {}
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), linger).await;
    Ok(())
}

async fn next<IO>(
    io: &mut IO,
    polled: &mut Polled,
    input: &mut BytesMut,
    hear_first: bool,
) -> io::Result<Event>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    // A client that does not read our answers is not heard further.
    let is_deaf = input.len() > INPUT_BYTES_MAX;
    let mut hearing = std::pin::pin!(io.read_buf(input));
    poll_fn(|cx| {
        if hear_first
            && !is_deaf
            && let Poll::Ready(heard) = hearing.as_mut().poll(cx)
        {
            return Poll::Ready(heard.map(Event::Heard));
        }
        if let Poll::Ready(piece) = polled.poll_piece(cx) {
            return Poll::Ready(Ok(piece.map_or(Event::End, Event::Piece)));
        }
        if is_deaf || hear_first {
            return Poll::Pending;
        }
        hearing.as_mut().poll(cx).map_ok(Event::Heard)
    })
    .await
}
