//! Times in buckets: 32 a power of two, so that a quantile is right within 3 %.

/// How often which time (µs) was seen.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

const FINE: u32 = 5;

impl Histogram {
    pub fn new() -> Self {
        Self { buckets: vec![0; 64 << FINE], count: 0 }
    }

    pub fn add(&mut self, us: u64) {
        if let Some(bucket) = self.buckets.get_mut(bucket(us)) {
            *bucket += 1;
            self.count += 1;
        }
    }

    pub fn clear(&mut self) {
        self.buckets.fill(0);
        self.count = 0;
    }

    /// The time (µs) that `share` (0 to 1) of all stayed at or below; 0 when nothing was seen.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (n, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(n);
            }
        }
        0
    }
}

fn bucket(us: u64) -> usize {
    let high = 63_u32.saturating_sub(us.leading_zeros());
    if high <= FINE {
        return us as usize;
    }
    let step = high - FINE;
    ((step as usize) << FINE) + (us >> step) as usize
}

/// The greatest time that falls into bucket `n`.
fn upper(n: usize) -> u64 {
    let mut low = n as u64;
    if n >= 2 << FINE {
        let step = (n >> FINE) as u32 - 1;
        low = ((n as u64 - (u64::from(step) << FINE)) + 1) << step;
        low -= 1;
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_within_its_bucket() {
        for us in (0..200_000).chain([1 << 40, u64::from(u32::MAX)]) {
            let top = upper(bucket(us));
            assert!(us <= top && top - us <= us / 32, "{us} in a bucket up to {top}");
        }
    }

    #[test]
    fn quantiles_are_found() {
        let mut histogram = Histogram::new();
        (1..=100).for_each(|us| histogram.add(us * 10));
        assert_eq!(histogram.quantile(0.5), 503);
        assert!((990..=1023).contains(&histogram.quantile(0.99)));
        histogram.clear();
        assert_eq!(histogram.quantile(0.5), 0);
    }
}
