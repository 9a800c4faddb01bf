//! What can befall a connection, and what befalls the one with a given number: drawn from a seed, so that the same seed spoils the
//! same connections in the same way. How it is done is in [`super::cable`].

use std::time::Duration;

use fastrand::Rng;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// The kinds of faults, as they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Closed in good order (FIN both ways) after so many bytes.
    Cut,
    /// Reset (RST both ways, `SO_LINGER` 0) after so many bytes.
    Reset,
    /// The answer ends early: FIN to the client after so many bytes, the server sees a reset.
    Truncate,
    /// Nothing passes any more, and nobody is told.
    Silence,
    /// The server's side is gone, the client's stays open and silent.
    HalfOpen,
    /// Every piece comes later.
    Delay,
    /// So many bytes a second.
    Throttle,
    /// Byte by byte.
    Bytewise,
    /// What the server said comes twice: a poll's answer once more for the next poll, chunks of a stream, frames of a socket.
    Repeat,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Cut,
        Self::Reset,
        Self::Truncate,
        Self::Silence,
        Self::HalfOpen,
        Self::Delay,
        Self::Throttle,
        Self::Bytewise,
        Self::Repeat,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Reset => "reset",
            Self::Truncate => "truncated body",
            Self::Silence => "silence",
            Self::HalfOpen => "half-open",
            Self::Delay => "delay",
            Self::Throttle => "throttle",
            Self::Bytewise => "byte by byte",
            Self::Repeat => "duplicated response",
        }
    }
}

/// How a connection is carried while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// So many pieces wait so long each.
    Delay { each: Duration, pieces: u64 },
    /// So many bytes pass at so many bytes a second.
    Throttle { bytes_per_s: u64, bytes: u64 },
    /// So many bytes of the server are written one by one.
    Bytewise { bytes: u64 },
    /// At the chance after so many others what the server said comes twice.
    Repeat { skip: u64 },
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) kind: Kind,
    pub(crate) way: Way,
    /// After so many bytes of that way.
    pub(crate) after: u64,
    /// How long silence lasts before a reset; `None`: as long as the network is bad.
    pub(crate) lasts: Option<Duration>,
}

/// How bad a network is.
#[derive(Debug, Clone, Copy)]
pub struct Severity {
    /// A connection ends after at most so many bytes of one way; small numbers are drawn as often as large ones.
    pub bytes_max: u64,
    /// Whether what the server says can come twice: only in cleartext HTTP/1.1 does a proxy know what that is.
    pub can_repeat: bool,
}

/// What befalls one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lot {
    pub(crate) manner: Option<Manner>,
    pub(crate) ending: Ending,
}

impl Lot {
    /// The lot of the connection with this number.
    pub(crate) fn draw(seed: u64, number: u64, severity: Severity) -> Self {
        let mut random = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // The first numbers of neighbouring seeds are alike.
        random.u64(..);
        let manner = (random.u8(..100) < 45).then(|| manner(&mut random, severity.can_repeat));
        Self { manner, ending: ending(&mut random, severity.bytes_max) }
    }
}

fn manner(random: &mut Rng, can_repeat: bool) -> Manner {
    match random.u8(..if can_repeat { 5 } else { 3 }) {
        0 => Manner::Delay { each: Duration::from_millis(random.u64(1..=20)), pieces: scaled(random, 200) },
        1 => {
            Manner::Throttle { bytes_per_s: 20_000 + scaled(random, 400_000), bytes: scaled(random, 60_000) }
        }
        2 => Manner::Bytewise { bytes: scaled(random, 3_000) },
        _ => Manner::Repeat { skip: random.u64(..5) },
    }
}

fn ending(random: &mut Rng, bytes_max: u64) -> Ending {
    let kind = match random.u8(..100) {
        0..28 => Kind::Cut,
        28..60 => Kind::Reset,
        60..80 => Kind::Truncate,
        80..91 => Kind::Silence,
        _ => Kind::HalfOpen,
    };
    let is_up = kind != Kind::Truncate && random.u8(..100) < 30;
    let is_for_ever = random.u8(..12) == 0;
    Ending {
        kind,
        way: if is_up { Way::Up } else { Way::Down },
        after: scaled(random, bytes_max) - 1,
        lasts: (!is_for_ever).then(|| Duration::from_millis(random.u64(50..=700))),
    }
}

/// From 1 to `max`, each order of magnitude as likely as another.
fn scaled(random: &mut Rng, max: u64) -> u64 {
    let scale = (max as f64).ln() * random.f64();
    (scale.exp() as u64).clamp(1, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEVERITY: Severity = Severity { bytes_max: 100_000, can_repeat: true };

    fn of(manner: Manner) -> Kind {
        match manner {
            Manner::Delay { .. } => Kind::Delay,
            Manner::Throttle { .. } => Kind::Throttle,
            Manner::Bytewise { .. } => Kind::Bytewise,
            Manner::Repeat { .. } => Kind::Repeat,
        }
    }

    #[test]
    fn a_seed_draws_the_same_lots_again() {
        for number in 0..100 {
            let (one, other) = (Lot::draw(7, number, SEVERITY), Lot::draw(7, number, SEVERITY));
            assert_eq!((one.manner, one.ending), (other.manner, other.ending));
        }
    }

    #[test]
    fn every_kind_is_drawn() {
        let lots: Vec<Lot> = (0..2_000).map(|number| Lot::draw(1, number, SEVERITY)).collect();
        for kind in Kind::ALL {
            let count = lots.iter().filter(|lot| lot.ending.kind == kind || lot.manner.map(of) == Some(kind));
            assert!(count.count() > 20, "{}", kind.name());
        }
        assert!(lots.iter().all(|lot| lot.ending.after < SEVERITY.bytes_max));
    }

    #[test]
    fn nothing_is_repeated_where_nobody_can_read() {
        let severity = Severity { can_repeat: false, ..SEVERITY };
        let lots = (0..2_000).map(|number| Lot::draw(1, number, severity));
        assert!(!lots.into_iter().any(|lot| matches!(lot.manner, Some(Manner::Repeat { .. }))));
    }
}
