//! One connection of a visitor on its way: what is read from each side, understood, held up, lost or sent on.

use std::{
    io,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{net::TcpStream, sync::watch};

use super::{
    super::network::Faults,
    Carried, Way, begins_via,
    dialogue::{Dialogue, Next},
    flow::Flow,
    reset,
};

/// What gathers before a buffering proxy lets go of it.
const HELD_BYTES_MAX: usize = 64 * 1024;
/// How long a visitor may take to close when the server has.
const LINGER: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 16 * 1024;
/// Rounds of one connection before others get their turn.
const AT_ONCE_MAX: u32 = 32;
/// When to look again where all networks together hold as much as they may.
const PAUSE: Duration = Duration::from_millis(100);
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

#[derive(Debug)]
struct Side {
    stream: TcpStream,
    /// Nothing more comes from it.
    has_ended: bool,
}

/// What a turn of the pipe says about its end.
enum Turn {
    GoOn,
    Over,
    Back,
}

#[derive(Debug)]
pub(super) struct Pipe {
    way: Way,
    faults: Faults,
    dialogue: Dialogue,
    client: Side,
    server: Side,
    /// Read from the visitor and not understood yet.
    input: BytesMut,
    /// Answers that a buffering proxy holds back.
    held: BytesMut,
    up: Flow,
    down: Flow,
    /// Bytes have vanished: what is left of the streams makes no sense.
    has_lost: bool,
    /// Since when a head is incomplete.
    head_since: Option<Instant>,
    /// When it is cut whatever the visitor does; only ever comes nearer.
    ends_by: Option<Instant>,
    /// The next request is not for this network.
    is_leaving: bool,
    /// The server goes away: nothing is wrong with any network, and nobody is waited for.
    is_stopping: bool,
}

impl Pipe {
    pub(super) fn new(
        way: Way,
        faults: Faults,
        (client, server): (TcpStream, TcpStream),
        input: BytesMut,
    ) -> Self {
        Self {
            dialogue: Dialogue::new(&way.visitor, way.access),
            way,
            faults,
            client: Side { stream: client, has_ended: false },
            server: Side { stream: server, has_ended: false },
            input,
            held: BytesMut::new(),
            up: Flow::new(),
            down: Flow::new(),
            has_lost: false,
            head_since: None,
            ends_by: None,
            is_leaving: false,
            is_stopping: false,
        }
    }

    /// Carries it to its end, or until a request comes that is not for this network.
    pub(super) async fn run(
        mut self,
        mut listener: watch::Receiver<Faults>,
        mut stop: watch::Receiver<bool>,
    ) -> Carried {
        for round in 1_u32.. {
            match self.turn() {
                Turn::GoOn => {}
                Turn::Over => return Carried::Over,
                Turn::Back => return Carried::Back(self.client.stream, self.input),
            }
            if round % AT_ONCE_MAX == 0 {
                tokio::task::yield_now().await;
            }
            let slow = self.faults.slow_bytes_per_s;
            let is_free = self.way.pass.hold(self.bytes());
            let looks_at = (!is_free).then(|| Instant::now() + PAUSE);
            let times = [self.up.wakes_at(0), self.down.wakes_at(slow), self.due(), looks_at];
            // Where bytes have vanished there is nothing to be done until that is over.
            let wakes_at = times.into_iter().flatten().min().filter(|_| !self.has_lost);
            tokio::select! {
                _ = self.client.stream.readable(), if is_free && self.wants_client() => self.read_client(),
                _ = self.server.stream.readable(), if is_free && self.wants_server() => self.read_server(),
                _ = self.server.stream.writable(), if self.up.is_blocked() => {}
                _ = self.client.stream.writable(), if self.down.is_blocked() => {}
                () = sleep_until(wakes_at), if wakes_at.is_some() => {}
                Ok(()) = listener.changed(), if !self.is_stopping => self.faults = *listener.borrow_and_update(),
                _ = stop.wait_for(|is_stopping| *is_stopping), if !self.is_stopping => {
                    (self.is_stopping, self.faults) = (true, Faults::default());
                    self.up.hurry();
                    self.down.hurry();
                }
            }
        }
        Carried::Over
    }

    /// Everything that can be done without waiting.
    fn turn(&mut self) -> Turn {
        if self.faults.drop
            && (self.up.lose() | self.down.lose() | !std::mem::take(&mut self.held).is_empty())
        {
            self.has_lost = true;
        }
        if self.faults.cut || (self.has_lost && !self.faults.drop) {
            if self.is_at_rest() {
                return Turn::Back;
            }
            self.way.count_reset();
            return self.cut();
        }
        if self.has_lost {
            // Nobody learns anything until it is over.
            let is_deserted = self.client.has_ended && self.server.has_ended;
            return if is_deserted { self.cut() } else { Turn::GoOn };
        }
        let now = Instant::now();
        if self.due().is_some_and(|due| due <= now) {
            return self.cut();
        }
        self.take_input(now);
        if self.has_lost {
            return Turn::GoOn;
        }
        self.let_go(now);
        self.send(now)
    }

    /// Whether nothing of this network is on the connection. The next request may be the one that mends it, so it is not to be lost.
    fn is_at_rest(&self) -> bool {
        let is_idle = self.up.is_empty() && self.down.is_empty() && self.held.is_empty();
        let is_open = !self.client.has_ended && !self.server.has_ended;
        let has_come = begins_via(&self.input) == Some(self.way.visitor.as_str());
        self.dialogue.is_at_rest() && is_idle && is_open && !self.has_lost && !has_come
    }

    fn cut(&self) -> Turn {
        reset(&self.client.stream);
        reset(&self.server.stream);
        Turn::Over
    }

    fn send(&mut self, now: Instant) -> Turn {
        if self.up.send(&self.server.stream, 0).is_err() {
            // It may have answered before it closed.
            self.up.give_up();
        }
        match self.down.send(&self.client.stream, self.faults.slow_bytes_per_s) {
            Ok(sent) => {
                self.way.pass.network.counts.bytes_down.fetch_add(sent as u64, Ordering::Relaxed);
            }
            Err(_) => return self.cut(),
        }
        if self.down.is_shut() {
            self.end_within(now, LINGER);
            if self.client.has_ended || self.is_stopping {
                return Turn::Over;
            }
        }
        let is_idle = self.down.is_empty() && self.held.is_empty() && self.up.is_empty();
        if self.is_leaving && is_idle && !self.server.has_ended { Turn::Back } else { Turn::GoOn }
    }

    /// What is held of both directions.
    fn bytes(&self) -> usize {
        self.up.len() + self.down.len() + self.held.len() + self.input.len()
    }

    fn wants_client(&self) -> bool {
        !self.client.has_ended && !self.is_leaving && (self.has_lost || self.up.has_room(self.input.len(), 0))
    }

    fn wants_server(&self) -> bool {
        let slow = self.faults.slow_bytes_per_s;
        !self.server.has_ended && (self.has_lost || self.down.has_room(self.held.len(), slow))
    }

    /// When it is cut unless something happens before.
    fn due(&self) -> Option<Instant> {
        let head = self.head_since.map(|since| since + self.way.head_max);
        let stall = self.down.stalled().map(|since| since + self.way.stall_max);
        [self.ends_by, head, stall].into_iter().flatten().min()
    }

    fn end_within(&mut self, now: Instant, most: Duration) {
        let due = now + most;
        self.ends_by = Some(self.ends_by.map_or(due, |known| known.min(due)));
    }

    /// Nothing more comes from the server; the visitor has to take what is left, as fast as it may.
    fn server_has_ended(&mut self, now: Instant, delay: Duration) {
        self.server.has_ended = true;
        self.down.end(now + delay);
        let slow = match self.faults.slow_bytes_per_s {
            0 => 0,
            slow => self.down.len() as u64 / slow,
        };
        self.end_within(now, self.way.stall_max + delay + Duration::from_secs(slow));
    }

    fn read_client(&mut self) {
        let mut space = [0; READ_BYTES];
        match self.client.stream.try_read(&mut space) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) => self.client_has_ended(false),
            Err(_) => self.client_has_ended(true),
            Ok(count) => {
                self.way.pass.network.counts.bytes_up.fetch_add(count as u64, Ordering::Relaxed);
                if !self.has_lost && !self.down.is_shut() {
                    self.input.extend_from_slice(space.get(..count).unwrap_or_default());
                }
            }
        }
    }

    fn client_has_ended(&mut self, is_reset: bool) {
        self.client.has_ended = true;
        if self.faults.drop {
            // The server is not to learn of it.
            self.has_lost = true;
        } else if is_reset {
            self.ends_by = Some(Instant::now());
        } else {
            self.up.end(Instant::now() + self.faults.delay());
        }
    }

    fn read_server(&mut self) {
        let mut space = [0; READ_BYTES];
        let now = Instant::now();
        match self.server.stream.try_read(&mut space) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) if self.faults.drop => (self.server.has_ended, self.has_lost) = (true, true),
            Ok(0) | Err(_) => {
                // An end lets go of everything.
                self.push_down(now, usize::MAX);
                self.server_has_ended(now, self.faults.delay());
            }
            Ok(_) if self.faults.drop || self.has_lost => self.has_lost = true,
            Ok(count) => {
                let bytes = space.get(..count).unwrap_or_default();
                let whole = self.dialogue.down(bytes);
                let before = self.held.len();
                self.held.extend_from_slice(bytes);
                let free = if whole > 0 { before + whole } else { 0 };
                self.push_down(now, free);
            }
        }
    }

    /// Sends the first bytes of what is held on their way.
    fn push_down(&mut self, now: Instant, count: usize) {
        let bytes = self.held.split_to(count.min(self.held.len()));
        self.down.push(now, self.faults.delay(), &bytes);
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
    }

    /// Without a buffering proxy nothing is held, and with one no more than it holds.
    fn let_go(&mut self, now: Instant) {
        if !self.faults.buffer || self.dialogue.is_tunnel() || self.held.len() >= HELD_BYTES_MAX {
            self.push_down(now, usize::MAX);
        }
    }

    /// Understands what the visitor has sent, and sends it on its way.
    fn take_input(&mut self, now: Instant) {
        let mut out = BytesMut::new();
        let next = self.dialogue.up(&mut self.input, &mut out);
        if self.faults.drop {
            self.has_lost |= !out.is_empty();
            out.clear();
        }
        self.up.push(now, self.faults.delay(), &out);
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        match next {
            // A request that came before its predecessor was answered waits here.
            Next::Elsewhere => self.is_leaving = self.dialogue.is_at_rest(),
            Next::Bad => {
                self.input.clear();
                self.down.push(now, Duration::ZERO, BAD_REQUEST);
                self.server_has_ended(now, Duration::ZERO);
            }
            Next::More => {}
        }
        let is_within = next == Next::More && !self.input.is_empty() && self.dialogue.awaits_head();
        self.head_since = if is_within { self.head_since.or(Some(now)) } else { None };
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
