//! What time is it? The one place that reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since the start, and the wall clock carried on from there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    unix: Duration,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads clocks")]
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The wall clock, for the `Date` header and the rid.
    pub(crate) fn wall(&self) -> SystemTime {
        UNIX_EPOCH + self.unix + self.now()
    }

    /// The wall clock in whole seconds since 1970.
    pub(crate) fn unix_s(&self) -> u64 {
        (self.unix + self.now()).as_secs()
    }
}
