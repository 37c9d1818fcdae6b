//! How many calls has an app spent today and this minute?

use std::time::Duration;

use super::{Refusal, Rules};

/// The counted calls of one app to one endpoint.
#[derive(Debug, Default)]
pub(super) struct Usage {
    day: Window,
    minute: Window,
}

/// The limits of one endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) per_day: u32,
    pub(super) per_minute: Option<u32>,
    pub(super) day: Duration,
}

/// The calls within one window of a fixed length, counted from moment 0.
#[derive(Debug, Default)]
pub(super) struct Window {
    index: u128,
    spent: u32,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Usage {
    /// Counts one call, or says which limit forbids it. A refused call is not counted.
    pub(super) fn charge(&mut self, now: Duration, limits: Limits) -> Result<(), Refusal> {
        if self.day.spent(now, limits.day) >= limits.per_day {
            return Err(Refusal::DailyQuota);
        }
        if limits.per_minute.is_some_and(|most| self.minute.spent(now, MINUTE) >= most) {
            return Err(Refusal::MinuteLimit);
        }
        self.day.add(now, limits.day);
        self.minute.add(now, MINUTE);
        Ok(())
    }

    /// Leaves `left` calls of today's quota.
    pub(super) fn leave(&mut self, now: Duration, limits: Limits, left: u32) {
        self.day.set(now, limits.day, limits.per_day.saturating_sub(left));
    }

    /// The calls spent today.
    pub(super) fn today(&self, now: Duration, day: Duration) -> u32 {
        self.day.spent(now, day)
    }
}

impl Window {
    pub(super) fn spent(&self, now: Duration, length: Duration) -> u32 {
        if self.index == index(now, length) { self.spent } else { 0 }
    }

    pub(super) fn add(&mut self, now: Duration, length: Duration) {
        self.set(now, length, self.spent(now, length).saturating_add(1));
    }

    fn set(&mut self, now: Duration, length: Duration, spent: u32) {
        *self = Self { index: index(now, length), spent };
    }
}

fn index(now: Duration, length: Duration) -> u128 {
    now.as_nanos() / length.as_nanos().max(1)
}

impl Rules {
    pub(super) fn rotating_limits(&self) -> Limits {
        Limits { per_day: self.quota, per_minute: self.per_minute, day: self.day }
    }

    pub(super) fn sticky_limits(&self) -> Limits {
        Limits { per_day: self.stable_quota, per_minute: self.stable_per_minute, day: self.day }
    }
}
