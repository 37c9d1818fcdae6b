//! Is a keeper still alive?
//!
//! A task that hangs looks like one that has nothing to do. So each keeper beats, at least every [`BEAT`], and one that has
//! not beaten for [`STALE_AFTER`] counts as dead. Judged by [`Clock::awake`](crate::clock::Clock::awake), which
//! does not count a suspend.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::clock::Timestamp;

/// A keeper beats at least this often. Ten thousand of them then take 0.6 % of a core (docs/PERFORMANCE.md).
pub const BEAT: Duration = Duration::from_secs(10);

/// Beats fall on multiples of so many microseconds. Thousands of keepers then wake the process fifty times a second at most,
/// and not each for itself: to wake it costs more than a keeper's beat.
const GRID_MICROS: i64 = 20_000;

/// How long a keeper that has nothing to do may sleep from `now` until its next beat: [`BEAT`], or up to 20 ms less.
pub fn next_beat_in(now: Timestamp) -> Duration {
    BEAT.saturating_sub(Duration::from_micros(now.as_micros().rem_euclid(GRID_MICROS).unsigned_abs()))
}

/// Three beats: a busy machine does not miss so many.
pub const STALE_AFTER: Duration = BEAT.saturating_mul(3);

/// One keeper's heartbeat.
#[derive(Debug)]
pub struct Heartbeat(AtomicU64);

impl Heartbeat {
    /// A heartbeat that beats now, at `awake`: a keeper is not dead before it starts.
    pub fn starting(awake: Duration) -> Self {
        Self(AtomicU64::new(millis(awake)))
    }

    /// The keeper is alive at `awake`.
    pub fn beat(&self, awake: Duration) {
        self.0.store(millis(awake), Relaxed);
    }

    /// How long it has been silent at `awake`, if that is longer than [`STALE_AFTER`].
    pub fn silence(&self, awake: Duration) -> Option<Duration> {
        let age = Duration::from_millis(millis(awake).saturating_sub(self.0.load(Relaxed)));
        (age > STALE_AFTER).then_some(age)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepers_that_sleep_until_their_next_beat_wake_together_and_never_late() {
        let wakes_at = |micros| {
            let now = Timestamp::from_micros(micros);
            now.plus(next_beat_in(now)).as_micros()
        };
        assert_eq!([7_000_000, 7_000_001, 7_019_999].map(wakes_at), [17_000_000; 3]);
        assert_eq!(wakes_at(7_020_000), 17_020_000);
    }

    #[test]
    fn a_keeper_that_stops_beating_is_silent_until_it_beats_again() {
        let start = Duration::from_secs(100);
        let heartbeat = Heartbeat::starting(start);
        let (last, late) = (start + STALE_AFTER, start + STALE_AFTER + Duration::from_millis(1));
        assert_eq!(heartbeat.silence(last), None);
        assert_eq!(heartbeat.silence(late), Some(STALE_AFTER + Duration::from_millis(1)));
        heartbeat.beat(late);
        assert_eq!(heartbeat.silence(late + STALE_AFTER), None);
    }
}
