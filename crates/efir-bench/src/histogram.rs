//! Times in buckets: 32 a power of two, so that a quantile is right within 3 %.

/// How often which time (µs) was seen.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; 64 << FINE], count: 0, max: 0 }
    }
}

const FINE: u32 = 5;

impl Histogram {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A time (µs) was seen.
    pub fn add(&mut self, us: u64) {
        if let Some(bucket) = self.buckets.get_mut(bucket(us)) {
            *bucket += 1;
            self.count += 1;
            self.max = self.max.max(us);
        }
    }

    /// Takes over what another one has seen.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += count;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets.fill(0);
        (self.count, self.max) = (0, 0);
    }

    /// How many times were seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest time (µs), exactly; 0 when nothing was seen.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The time (µs) that `share` (0 to 1) of all stayed at or below; 0 when nothing was seen.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (n, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(n).min(self.max);
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
        let mut histogram = Histogram::default();
        (1..=100).for_each(|us| histogram.add(us * 10));
        assert_eq!(histogram.quantile(0.5), 503);
        assert!((990..=1023).contains(&histogram.quantile(0.99)));
        histogram.clear();
        assert_eq!(histogram.quantile(0.5), 0);
    }
}
