//! How often does something happen within some time?

use std::time::Duration;

use crate::clock::Timestamp;

/// A count that begins anew when its time is over.
#[derive(Debug)]
pub(super) struct Window {
    began: Timestamp,
    count: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self { began: Timestamp::LONG_AGO, count: 0 }
    }
}

impl Window {
    /// How many there were in this window of `length`, with this one.
    pub(super) fn count(&mut self, now: Timestamp, length: Duration) -> u32 {
        if now.since(self.began) >= length {
            *self = Self { began: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}
