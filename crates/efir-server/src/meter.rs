//! A connection while HTTP heads are read from it: a socket with the bytes read ahead, counted for the client that they belong to.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use efir_engine::{Guest, Socket, Tally};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::frames::FrameBudget;

/// Frames of one HTTP/2 connection before others have their turn: work for less than a millisecond.
const TURN_FRAMES: u64 = 256;
/// As many bytes are as much work as a frame.
const FRAME_WORK_BYTES: u64 = 256;
/// What is read at once.
const READ_BYTES: usize = 8 * 1024;

/// What is known of a connection's traffic between two requests.
///
/// HTTP/1.1 requests of one connection follow each other, so what is written belongs to the request that is being answered, and what
/// was read since the last one belongs to the next.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Bytes read that no request has claimed yet.
    unclaimed: Cell<u64>,
    owner: RefCell<Option<Arc<Tally>>>,
    /// Bytes of a request have come that is not complete yet.
    has_begun: Cell<bool>,
    /// A request is being answered; what is read meanwhile is its body.
    is_answering: Cell<bool>,
    /// Bytes of the head that is coming.
    head_bytes: Cell<usize>,
    /// Work with frames of HTTP/2 before others have their turn.
    work_left: Cell<u64>,
    /// Held once more by each stream of HTTP/2 that is being answered, and each tunnel.
    streams: Arc<()>,
    /// The socket took less than was offered, so an answer may wait in the HTTP library's buffer.
    is_blocked: Cell<bool>,
    /// A request has come that is not for the library; it stands ahead.
    is_turned: Cell<bool>,
}

impl Meter {
    /// The request being answered belongs to this client (or to nobody who counts).
    pub(crate) fn claim(&self, owner: Option<Arc<Tally>>) {
        let unclaimed = self.unclaimed.take();
        self.has_begun.set(false);
        if let Some(tally) = &owner {
            tally.add_request();
            tally.add_up(unclaimed);
        }
        *self.owner.borrow_mut() = owner;
    }

    /// So many bytes that were read belong to a later request, which somebody else will count.
    pub(crate) fn leave(&self, bytes: usize) {
        self.unclaimed.set(self.unclaimed.get().saturating_sub(bytes as u64));
    }

    /// Whether a request has come whose answer is not written to its end.
    pub(crate) fn is_answering(&self) -> bool {
        self.is_answering.get()
    }

    /// Whether a head has begun to arrive and is not complete.
    pub(crate) fn is_in_head(&self) -> bool {
        self.has_begun.get() && !self.is_answering.get()
    }

    /// How much of that head is there. Bytes that came behind another request are not counted: the library's buffer bounds them.
    pub(crate) fn head_bytes(&self) -> usize {
        self.head_bytes.get()
    }

    /// Whether a connection of HTTP/2 carries nothing: no stream and no socket.
    pub(crate) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.streams) == 1
    }

    /// The connection has its turn: it may read again, until that was some work.
    pub(crate) fn begin_turn(&self) {
        self.work_left.set(TURN_FRAMES);
    }

    /// Whether the socket took less than it was offered.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked.get()
    }

    /// Whether the next request is not for the library.
    pub(crate) fn is_turned(&self) -> bool {
        self.is_turned.get()
    }

    /// Whether bytes that come now are the beginning of a request, and nothing of an earlier one is under way.
    fn is_between(&self) -> bool {
        !self.has_begun.get() && !self.is_answering.get() && !self.is_blocked.get()
    }

    fn add_read(&self, bytes: &[u8]) {
        self.unclaimed.set(self.unclaimed.get() + bytes.len() as u64);
        // Empty lines between two requests are nothing (RFC 9112 §2.2).
        if !bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            self.has_begun.set(true);
        }
        if !self.is_answering.get() {
            self.head_bytes.set(self.head_bytes.get() + bytes.len());
        }
    }

    fn add_written(&self, count: usize) {
        if let Some(tally) = &*self.owner.borrow() {
            tally.add_down(count as u64);
        }
    }
}

/// Lives as long as a stream of HTTP/2 is being answered, the body of the answer included, or as a tunnel (RFC 8441), which goes on
/// behind its answer in a task of its own.
#[derive(Debug)]
pub(crate) struct Streaming {
    _counted: Arc<()>,
}

impl Streaming {
    pub(crate) fn begin(meter: &Meter) -> Self {
        Self { _counted: Arc::clone(&meter.streams) }
    }
}

/// Lives as long as a request is being answered, the body of the answer included.
#[derive(Debug)]
pub(crate) struct Answering(Rc<Meter>);

impl Answering {
    pub(crate) fn begin(meter: &Rc<Meter>) -> Self {
        meter.is_answering.set(true);
        meter.head_bytes.set(0);
        Self(Rc::clone(meter))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.is_answering.set(false);
    }
}

/// A connection for the HTTP library.
#[derive(Debug)]
pub(crate) struct Metered {
    stream: Socket,
    guest: Option<Arc<Guest>>,
    /// Where it speaks HTTP/2: what it may send.
    frames: Option<FrameBudget>,
    /// Read before the library was asked to.
    ahead: BytesMut,
    meter: Rc<Meter>,
    /// Between two requests a read begins with the next one (HTTP/1), and one into a network of the lab is not for the library.
    is_watched: bool,
}

impl Metered {
    /// `ahead` belongs to the request that comes first.
    pub(crate) fn new(stream: Socket, guest: Option<Arc<Guest>>, ahead: BytesMut) -> Self {
        let meter = Rc::<Meter>::default();
        meter.has_begun.set(!ahead.is_empty());
        meter.unclaimed.set(ahead.len() as u64);
        meter.head_bytes.set(ahead.len());
        Self { stream, guest, frames: None, ahead, meter, is_watched: false }
    }

    /// From now on a request into a network of the lab is kept from the library. Only for HTTP/1: HTTP/2 reads frames, and what stands in
    /// them, a WebSocket's bytes for example, is whatever somebody wanted to send.
    pub(crate) fn watch_for_lab(&mut self) {
        self.is_watched = true;
    }

    pub(crate) fn meter(&self) -> Rc<Meter> {
        Rc::clone(&self.meter)
    }

    /// From here on it speaks HTTP/2: its frames are counted.
    pub(crate) fn count_frames(&mut self) {
        self.frames = Some(FrameBudget::new(Instant::now()));
    }

    /// Who it comes from.
    pub(crate) fn guest(&self) -> Option<&Arc<Guest>> {
        self.guest.as_ref()
    }

    /// Whether it is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// What was read before the library was asked to.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// How many bytes were read and not answered, `taken` by the library among them.
    pub(crate) fn unread(&self, taken: &[u8]) -> usize {
        taken.len() + self.ahead.len()
    }

    /// The stream, and everything that was read from it and not answered: what the library had taken (`taken`), then what stood
    /// ahead of it.
    pub(crate) fn into_parts(self, taken: &[u8]) -> (Socket, BytesMut) {
        // Copies: even an empty slice would keep a buffer of several KiB alive.
        let mut unread = BytesMut::from(taken);
        unread.extend_from_slice(&self.ahead);
        (self.stream, unread)
    }

    /// Reads until the bytes ahead differ from `preface` or are as long; true if they begin with it. Waits `idle_max` for the first
    /// byte and `head_max` for each further one.
    pub(crate) async fn begins_with(
        &mut self,
        preface: &[u8],
        idle_max: Duration,
        head_max: Duration,
    ) -> io::Result<bool> {
        use tokio::io::AsyncReadExt;
        loop {
            let common = self.ahead.len().min(preface.len());
            if self.ahead.get(..common) != preface.get(..common) {
                return Ok(false);
            }
            if common == preface.len() {
                return Ok(true);
            }
            let wait_max = if self.ahead.is_empty() { idle_max } else { head_max };
            let count = tokio::time::timeout(wait_max, self.stream.read_buf(&mut self.ahead)).await??;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let begin = self.ahead.len() - count;
            self.meter.add_read(self.ahead.get(begin..).unwrap_or_default());
        }
    }
}

impl Read for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.meter.is_turned() {
            return Poll::Pending;
        }
        if this.frames.is_some() && this.meter.work_left.get() == 0 {
            // There may be more, but it is somebody else's turn.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !this.ahead.is_empty() {
            let count = this.ahead.len().min(into.remaining()).min(READ_BYTES);
            into.put_slice(&this.ahead[..count]);
            count_frames(&mut this.frames, &this.meter, &this.ahead[..count])?;
            this.ahead.advance(count);
            if this.ahead.is_empty() {
                this.ahead = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        // Through a buffer on the stack: heads are small, and safe code cannot lend the library's uninitialised memory to tokio.
        let mut space = [std::mem::MaybeUninit::<u8>::uninit(); READ_BYTES];
        let most = into.remaining().min(space.len());
        let mut buffer = ReadBuf::uninit(&mut space[..most]);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
        let may_turn = this.is_watched && !this.stream.is_tls() && this.meter.is_between();
        if may_turn && crate::lab::begins_via(buffer.filled()).is_some() {
            // The lab's, which takes connections and not requests. The library sees nothing more of this one.
            this.ahead.extend_from_slice(buffer.filled());
            this.meter.is_turned.set(true);
            return Poll::Pending;
        }
        this.meter.add_read(buffer.filled());
        count_frames(&mut this.frames, &this.meter, buffer.filled())?;
        into.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

/// Refuses what overdraws the budget.
fn count_frames(frames: &mut Option<FrameBudget>, meter: &Meter, bytes: &[u8]) -> io::Result<()> {
    let Some(frames) = frames else { return Ok(()) };
    let before = frames.work();
    frames.take(bytes, Instant::now).map_err(|overdrawn| {
        tracing::debug!(
            event = "http2_flood",
            kind = overdrawn.kind,
            "an HTTP/2 connection that sends too many frames is ended"
        );
        io::Error::new(io::ErrorKind::InvalidData, "too many frames")
    })?;
    let work = (frames.work() - before).max(bytes.len() as u64 / FRAME_WORK_BYTES);
    meter.work_left.set(meter.work_left.get().saturating_sub(work));
    Ok(())
}

impl Metered {
    fn book(&self, offered: usize, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &outcome {
            Poll::Ready(Ok(count)) => {
                self.meter.add_written(*count);
                self.meter.is_blocked.set(*count < offered);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.meter.is_blocked.set(true),
        }
        outcome
    }
}

impl Write for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.book(bytes.len(), outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.book(slices.iter().map(|slice| slice.len()).sum(), outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::ReadBuf as HyperBuf;

    use super::*;

    /// What one turn reads of so many frames of a kind that no budget bounds.
    async fn one_turn(frames: usize) -> (Metered, usize, tokio::net::TcpListener) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let heads = [0, 0, 0, 1, 4, 0, 0, 0, 1].repeat(frames);
        let ahead = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), heads].concat();
        let mut metered = Metered::new(Socket::Tcp(stream), None, BytesMut::from(&ahead[..]));
        metered.count_frames();
        let read = turn(&mut metered);
        (metered, read, listener)
    }

    fn turn(metered: &mut Metered) -> usize {
        metered.meter.begin_turn();
        let (mut place, mut read) = ([0; 4 * 1024], 0);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        loop {
            let mut buffer = HyperBuf::new(&mut place);
            match Pin::new(&mut *metered).poll_read(&mut cx, buffer.unfilled()) {
                Poll::Ready(done) => done.unwrap(),
                Poll::Pending => return read,
            }
            read += buffer.filled().len();
        }
    }

    #[tokio::test]
    async fn a_turn_of_http2_ends_after_some_frames_and_the_next_one_goes_on() {
        let (mut metered, first, _listener) = one_turn(100_000).await;
        assert!(first < 8 * 1024, "{first} bytes of short frames");
        assert!(turn(&mut metered) > 0);
        let (_metered, all, _listener) = one_turn(100).await;
        assert_eq!(all, 24 + 900);
    }
}
