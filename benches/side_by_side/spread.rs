//! What has a server used under load, and how far apart are many such rounds?

use std::time::Duration;

/// One server under load for a while.
pub(crate) struct Round {
    pub(crate) requests: u32,
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

impl Round {
    pub(crate) fn micros_per_request(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(self.requests.max(1))
    }

    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.requests) / self.wall.as_secs_f64()
    }
}

/// The median and the quartiles.
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |quarter: usize| values.get(values.len() * quarter / 4).copied().unwrap_or(f64::NAN);
        Self { low: at(1), median: at(2), high: at(3) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.low, self.high)
    }
}
