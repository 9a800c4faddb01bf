//! One connection through the proxy: how its bytes pass, and how it ends.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Network,
    fault::{Ending, Kind, Lot, Manner, Way},
    repeat,
};

const BUFFER_BYTES: usize = 16 * 1024;
/// How long a side that was told of the end may take to agree.
const FAREWELL: Duration = Duration::from_millis(300);

/// Why nothing passes any more.
pub(super) enum Break {
    /// One side is gone.
    Gone,
    /// The lot of this connection.
    By(Ending),
    /// Somebody wants it so.
    Silenced,
}

impl From<std::io::Error> for Break {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

/// What both ways of a connection share.
pub(super) struct Wire<'a> {
    pub(super) network: &'a Network,
    pub(super) lot: Lot,
    is_noted: AtomicBool,
}

/// Carries a connection until it ends.
pub(super) async fn carry(
    mut near: TcpStream,
    mut far: TcpStream,
    network: &Network,
    (number, lot): (u64, Lot),
) {
    let wire = Wire { network, lot, is_noted: AtomicBool::new(false) };
    let broken = {
        let (mut near, mut far) = (near.split(), far.split());
        let carried = async {
            if let Some(Manner::Repeat { skip }) = lot.manner {
                repeat::carry(&mut near, &mut far, &wire, skip).await?;
            }
            tokio::try_join!(
                pump(Way::Up, &mut near.0, &mut far.1, &wire),
                pump(Way::Down, &mut far.0, &mut near.1, &wire)
            )
        };
        tokio::select! {
            carried = carried => carried.err(),
            () = network.silenced(number) => Some(Break::Silenced),
        }
    };
    match broken {
        Some(Break::By(ending)) => {
            network.note(ending.kind);
            end(ending, near, far, network).await;
        }
        // Both sockets stay open until the proxy ends.
        Some(Break::Silenced) => std::future::pending().await,
        Some(Break::Gone) | None => {}
    }
}

/// Passes bytes one way until their source ends.
pub(super) async fn pump(
    way: Way,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    wire: &Wire<'_>,
) -> Result<(), Break> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut passed = 0;
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        let mut piece = &buffer[..count];
        let ending = wire.lot.ending;
        let is_last = wire.network.is_bad() && ending.way == way && passed + count as u64 > ending.after;
        if is_last {
            piece = &piece[..ending.after.saturating_sub(passed) as usize];
        }
        wire.pass(way, piece, passed, to).await?;
        passed += count as u64;
        if is_last {
            return Err(Break::By(ending));
        }
    }
}

impl Wire<'_> {
    /// The manner of this connection takes effect, which counts once.
    pub(super) fn note_manner(&self, kind: Kind) {
        if !self.is_noted.swap(true, Ordering::Relaxed) {
            self.network.note(kind);
        }
    }

    /// Writes a piece in the manner of this connection; `passed` bytes went before it.
    async fn pass(
        &self,
        way: Way,
        piece: &[u8],
        passed: u64,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Break> {
        let manner = self.lot.manner.filter(|_| self.network.is_bad() && !piece.is_empty());
        match manner {
            Some(Manner::Delay { each, pieces }) if passed / 100 < pieces => {
                self.note_manner(Kind::Delay);
                tokio::time::sleep(each).await;
            }
            Some(Manner::Throttle { bytes_per_s, bytes }) if passed < bytes => {
                self.note_manner(Kind::Throttle);
                let micros = piece.len() as u64 * 1_000_000 / bytes_per_s;
                tokio::time::sleep(Duration::from_micros(micros)).await;
            }
            Some(Manner::Bytewise { bytes }) if way == Way::Down && passed < bytes => {
                self.note_manner(Kind::Bytewise);
                let slow = piece.len().min(usize::try_from(bytes - passed).unwrap_or(usize::MAX));
                let (slow, rest) = piece.split_at(slow);
                for byte in slow {
                    to.write_all(std::slice::from_ref(byte)).await?;
                    tokio::task::yield_now().await;
                }
                to.write_all(rest).await?;
                return Ok(());
            }
            _ => {}
        }
        Ok(to.write_all(piece).await?)
    }
}

async fn end(ending: Ending, near: TcpStream, far: TcpStream, network: &Network) {
    match ending.kind {
        Kind::Cut => {
            tokio::join!(farewell(near), farewell(far));
        }
        Kind::Truncate => {
            reset(far);
            farewell(near).await;
        }
        Kind::Silence => {
            network.wait(ending.lasts).await;
            reset(near);
            reset(far);
        }
        Kind::HalfOpen => {
            reset(far);
            network.wait(ending.lasts).await;
            reset(near);
        }
        _ => {
            reset(near);
            reset(far);
        }
    }
}

/// Says the end and waits for a moment that the other side says it, too: unread bytes would make a reset of it.
async fn farewell(mut stream: TcpStream) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let heard = async {
        stream.shutdown().await?;
        while stream.read(&mut buffer).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // Whoever does not answer is dropped.
    drop(tokio::time::timeout(FAREWELL, heard).await);
}

/// The stream is dropped at once, and the other side is told by a reset.
fn reset(stream: TcpStream) {
    drop(stream.set_zero_linger());
    drop(stream);
}
