//! Everything random in a run comes from one seed.

/// One microsecond-exact second.
pub(crate) const SECOND: i64 = 1_000_000;
/// A minute of microseconds.
pub(crate) const MINUTE: i64 = 60 * SECOND;
/// An hour of microseconds.
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// A day of microseconds.
pub(crate) const DAY: i64 = 24 * HOUR;

/// A seeded source of random numbers.
pub(crate) struct Rng(fastrand::Rng);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        // neighbouring seeds must not look alike
        Self(fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995))
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.0.u32(0..100) < percent
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.0.bool()
    }

    pub(crate) fn seed(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// Both ends included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        if high <= low { low } else { self.0.i64(low..=high) }
    }

    /// Between `low` (positive) and `high`, every order of magnitude as likely as the others.
    pub(crate) fn spread(&mut self, low: i64, high: i64) -> i64 {
        let doublings = (high / low).max(1).ilog2();
        let from = low << self.0.u32(0..=doublings);
        self.between(from.min(high), (2 * from).min(high))
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.usize(0..from.len())]
    }
}
