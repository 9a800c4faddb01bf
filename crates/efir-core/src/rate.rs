//! How often something may happen: the generic cell rate algorithm, in which one number says when all that was taken so far will be
//! made up for. The clock is the caller's: ns from any moment on, the same for all that share an allowance.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::codes::{Code, Problem};
use crate::limits::Limits;

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// So much a second, and so much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_s: u64,
    burst_ns: u64,
}

impl Rate {
    /// `per_s` units a second (0 counts as 1), and `burst` units at once (at least one).
    #[must_use]
    pub fn new(per_s: u64, burst: u64) -> Self {
        let mut rate = Self { per_s: per_s.max(1), burst_ns: u64::MAX };
        rate.burst_ns = rate.span_ns(burst.max(1));
        rate
    }

    /// Units a second.
    #[must_use]
    pub fn per_s(&self) -> u64 {
        self.per_s
    }

    /// How long it takes to make up for so many units. What is more than fits at once counts as what fits, so that it passes after
    /// a rest instead of never.
    fn span_ns(&self, units: u64) -> u64 {
        let ns = units.saturating_mul(NS_PER_S) / self.per_s;
        ns.clamp(1, self.burst_ns)
    }
}

/// What has been taken of one rate: 8 bytes, shared without a lock. A fresh one is full.
#[derive(Debug, Default)]
pub struct Allowance {
    /// When all that was taken is made up for.
    until_ns: AtomicU64,
}

impl Allowance {
    /// Takes `units`, or says in how many ns they could be taken; then nothing is taken.
    ///
    /// # Errors
    /// The ns to wait.
    pub fn take(&self, rate: &Rate, units: u64, now_ns: u64) -> Result<(), u64> {
        let span_ns = rate.span_ns(units);
        let mut known = self.until_ns.load(Ordering::Relaxed);
        loop {
            let until = known.max(now_ns).saturating_add(span_ns);
            let ahead_ns = until.saturating_sub(now_ns);
            if ahead_ns > rate.burst_ns {
                return Err(ahead_ns - rate.burst_ns);
            }
            match self.until_ns.compare_exchange_weak(known, until, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => known = other,
            }
        }
    }

    /// Puts back what was taken.
    fn put_back(&self, rate: &Rate, units: u64) {
        let span_ns = rate.span_ns(units);
        // Never fails: the closure always gives a value.
        let _ = self
            .until_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until| Some(until.saturating_sub(span_ns)));
    }

    /// Whether everything that was taken is made up for: a fresh one would be the same.
    #[must_use]
    pub fn is_full(&self, now_ns: u64) -> bool {
        self.until_ns.load(Ordering::Relaxed) <= now_ns
    }
}

/// What somebody may publish: messages and bytes a second, under the names of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishRate {
    messages: Rate,
    bytes: Rate,
    messages_limit: &'static str,
    bytes_limit: &'static str,
    /// Who is meant, in problems.
    who: &'static str,
}

/// The rates of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishRates {
    /// Of one connection.
    pub connection: PublishRate,
    /// Of one user, and of one address whose clients say nothing of who they are.
    pub user: PublishRate,
    /// Of one server key.
    pub key: PublishRate,
}

impl PublishRates {
    /// The rates that the limits ask for. As much as a second allows may come at once, and at least one message of any size.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let rate = |who, (messages_limit, messages), (bytes_limit, bytes): (_, usize)| PublishRate {
            messages: Rate::new(messages, messages),
            bytes: Rate::new(bytes as u64, bytes.max(limits.message_bytes_max) as u64),
            messages_limit,
            bytes_limit,
            who,
        };
        Self {
            connection: rate(
                "this connection",
                ("connection_publishes_per_s_max", limits.connection_publishes_per_s_max),
                ("connection_bytes_per_s_max", limits.connection_bytes_per_s_max),
            ),
            user: rate(
                "this user or address",
                ("user_publishes_per_s_max", limits.user_publishes_per_s_max),
                ("user_bytes_per_s_max", limits.user_bytes_per_s_max),
            ),
            key: rate(
                "this server key",
                ("key_publishes_per_s_max", limits.key_publishes_per_s_max),
                ("key_bytes_per_s_max", limits.key_bytes_per_s_max),
            ),
        }
    }
}

/// What has been published at a [`PublishRate`]: 16 bytes.
#[derive(Debug, Default)]
pub struct Purse {
    messages: Allowance,
    bytes: Allowance,
}

impl Purse {
    /// Pays for one message.
    ///
    /// # Errors
    /// `rate_limited`, with the limit and when to come back; nothing was paid then.
    pub fn pay(&self, rate: &PublishRate, bytes: usize, now_ns: u64) -> Result<(), Problem> {
        let refuse = |unit: &str, (name, limit): (&'static str, Rate), wait_ns: u64| {
            let (who, per_s) = (rate.who, limit.per_s());
            let detail = format!("{who} publishes more than {per_s} {unit} a second; come back later");
            Problem::new(Code::RateLimited, detail)
                .with_limit(name, per_s)
                .with_retry_after_ms(wait_ns.div_ceil(NS_PER_MS).max(1))
        };
        self.messages
            .take(&rate.messages, 1, now_ns)
            .map_err(|wait_ns| refuse("messages", (rate.messages_limit, rate.messages), wait_ns))?;
        self.bytes.take(&rate.bytes, bytes as u64, now_ns).map_err(|wait_ns| {
            self.messages.put_back(&rate.messages, 1);
            refuse("bytes", (rate.bytes_limit, rate.bytes), wait_ns)
        })
    }

    /// Takes one message's payment back, because somebody else's purse was empty.
    pub fn refund(&self, rate: &PublishRate, bytes: usize) {
        self.messages.put_back(&rate.messages, 1);
        self.bytes.put_back(&rate.bytes, bytes as u64);
    }

    /// Whether a fresh one would be the same.
    #[must_use]
    pub fn is_full(&self, now_ns: u64) -> bool {
        self.messages.is_full(now_ns) && self.bytes.is_full(now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = NS_PER_MS;

    #[test]
    fn a_purse_is_small() {
        assert_eq!(size_of::<Purse>(), 16);
    }

    /// A bucket of tokens that fills by and by, in fractions: the same rule in other words.
    struct Bucket {
        tokens: f64,
        at_ns: u64,
    }

    impl Bucket {
        fn take(&mut self, (per_s, burst): (u64, u64), units: u64, now_ns: u64) -> bool {
            let grown = (now_ns - self.at_ns) as f64 / NS_PER_S as f64 * per_s as f64;
            self.tokens = (self.tokens + grown).min(burst as f64);
            self.at_ns = now_ns;
            let is_there = self.tokens + 1e-6 >= units.min(burst) as f64;
            if is_there {
                self.tokens -= units.min(burst) as f64;
            }
            is_there
        }
    }

    #[test]
    fn it_does_what_a_bucket_does() {
        let mut seed = 0x9e37_79b9_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..200 {
            // Rates that divide a second, so that the reference has nothing to round.
            let (per_s, burst) = ([1, 10, 50, 1_000, 1_000_000][random(5) as usize], 1 + random(40));
            let rate = Rate::new(per_s, burst);
            let allowance = Allowance::default();
            let mut bucket = Bucket { tokens: burst as f64, at_ns: 0 };
            let mut now_ns = 0;
            for _ in 0..200 {
                now_ns += random(3) * random(NS_PER_S / per_s * 2);
                let units = 1 + random(burst + 3);
                let taken = allowance.take(&rate, units, now_ns);
                assert_eq!(taken.is_ok(), bucket.take((per_s, burst), units, now_ns), "{per_s}/{burst}");
                if let Err(wait_ns) = taken {
                    let again = Allowance { until_ns: allowance.until_ns.load(Ordering::Relaxed).into() };
                    assert!(again.take(&rate, units, now_ns + wait_ns - 1).is_err(), "not a ns earlier");
                    assert!(again.take(&rate, units, now_ns + wait_ns).is_ok(), "{per_s}/{burst}");
                }
            }
        }
    }

    #[test]
    fn more_than_fits_at_once_passes_after_a_rest() {
        let rate = Rate::new(10, 10);
        let allowance = Allowance::default();
        assert_eq!(allowance.take(&rate, 1_000, 5), Ok(()));
        assert_eq!(allowance.take(&rate, 1, 5), Err(100 * MS));
        assert!(!allowance.is_full(999 * MS) && allowance.is_full(NS_PER_S + 5));
        // Nothing overflows at the ends.
        let widest = Rate::new(u64::MAX, u64::MAX);
        assert_eq!(Allowance::default().take(&widest, u64::MAX, u64::MAX - 1), Ok(()));
        assert_eq!(Rate::new(0, 0).per_s(), 1);
    }

    #[test]
    fn a_refusal_names_the_limit_and_pays_nothing() {
        let limits = Limits {
            connection_publishes_per_s_max: 2,
            connection_bytes_per_s_max: 100,
            message_bytes_max: 50,
            ..Limits::default()
        };
        let rate = PublishRates::new(&limits).connection;
        let purse = Purse::default();
        assert_eq!(purse.pay(&rate, 60, 0), Ok(()));
        let problem = purse.pay(&rate, 60, 0).unwrap_err();
        assert_eq!(
            (problem.code, problem.limit),
            (Code::RateLimited, Some(("connection_bytes_per_s_max", 100)))
        );
        assert_eq!(problem.retry_after_ms, Some(200));
        // The message that was too many bytes does not count as a message.
        assert_eq!(purse.pay(&rate, 40, 0), Ok(()));
        let problem = purse.pay(&rate, 1, 0).unwrap_err();
        assert_eq!(problem.limit, Some(("connection_publishes_per_s_max", 2)));
        assert_eq!(problem.retry_after_ms, Some(500));
        purse.refund(&rate, 40);
        assert_eq!(purse.pay(&rate, 40, 0), Ok(()));
        // The largest message always fits into what may come at once.
        let rate = PublishRates::new(&Limits { connection_bytes_per_s_max: 10, ..limits }).connection;
        assert_eq!(Purse::default().pay(&rate, 50, 0), Ok(()));
    }
}
