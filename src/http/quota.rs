//! Is there room for one more request now?

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Duration,
};

use crate::clock::Timestamp;

/// A client over its quota is logged at WARN once in this time.
const NAMED_EVERY: Duration = Duration::from_secs(3600);

/// What one client may ask for, with all its keys together. Made anew at each reload.
#[derive(Debug, Default)]
pub struct ClientLimits {
    /// `max_requests_per_second`; `None` is no limit.
    pub requests: Option<Quota>,
    /// `max_reports_per_minute`; `None` is no limit.
    pub reports: Option<Quota>,
}

/// So many in a time, evenly or at once: a token bucket, kept as the one moment at which it is full again. Rejected: governor, whose
/// clocks would be read elsewhere than in `clock`.
#[derive(Debug)]
pub struct Quota {
    /// What one costs, in nanoseconds.
    each: i64,
    /// What all cost.
    whole: i64,
    full_at: AtomicI64,
    named: Hourly,
}

/// What is worth a warning once in an hour.
#[derive(Debug)]
pub(super) struct Hourly(AtomicI64);

impl Default for Hourly {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Hourly {
    /// Whether it is; then not again for an hour.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let at = nanos_at(now);
        let due = |named_at: i64| (at.saturating_sub(named_at) >= nanos(NAMED_EVERY)).then_some(at);
        self.0.fetch_update(Relaxed, Relaxed, due).is_ok()
    }
}

/// One too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exceeded {
    /// After this time there is room for one.
    pub(super) retry_in: Duration,
    /// Whether it is worth a warning.
    pub(super) is_news: bool,
}

impl Quota {
    /// `count` in `time`, which is at most an hour; as many at once after a rest.
    pub fn new(count: NonZeroU32, time: Duration) -> Self {
        let each = nanos(time) / i64::from(count.get());
        let whole = each * i64::from(count.get());
        Self { each, whole, full_at: AtomicI64::new(i64::MIN), named: Hourly::default() }
    }

    /// Takes one, and says no more if there is none.
    pub(super) fn passes(&self, now: Timestamp) -> bool {
        self.take_one(now).is_ok()
    }

    /// Takes one.
    pub(super) fn take(&self, now: Timestamp) -> Result<(), Exceeded> {
        self.take_one(now).map_err(|retry_in| Exceeded { retry_in, is_news: self.named.is_due(now) })
    }

    /// Takes one, or says after which time there is one.
    fn take_one(&self, now: Timestamp) -> Result<(), Duration> {
        let at = nanos_at(now);
        let with_one = |full_at: i64| full_at.max(at).saturating_add(self.each);
        let taken = self.full_at.fetch_update(Relaxed, Relaxed, |full_at| {
            let full_at = with_one(full_at);
            (full_at.saturating_sub(at) <= self.whole).then_some(full_at)
        });
        let wait = |full_at| with_one(full_at).saturating_sub(at).saturating_sub(self.whole).max(0).unsigned_abs();
        taken.map(drop).map_err(|full_at| Duration::from_nanos(wait(full_at)))
    }
}

fn nanos_at(now: Timestamp) -> i64 {
    now.as_micros().saturating_mul(1000)
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::default().plus(Duration::from_millis(millis))
    }

    fn quota(count: u32, seconds: u64) -> Quota {
        Quota::new(count.try_into().unwrap(), Duration::from_secs(seconds))
    }

    /// How many of a hundred pass at this moment.
    fn passed(quota: &Quota, millis: u64) -> usize {
        (0..100).filter(|_| quota.take(at(millis)).is_ok()).count()
    }

    #[test]
    fn after_a_rest_the_whole_quota_passes_at_once_and_then_as_much_as_time_brings() {
        let quota = quota(10, 1);
        assert_eq!(passed(&quota, 5000), 10);
        assert_eq!(passed(&quota, 5099), 0);
        assert_eq!(passed(&quota, 5100), 1);
        assert_eq!(passed(&quota, 5450), 3);
        assert_eq!(passed(&quota, 60_000), 10);
    }

    #[test]
    fn who_is_refused_learns_when_there_is_room_and_passes_then() {
        let quota = quota(6, 60);
        assert_eq!(passed(&quota, 1000), 6);
        let exceeded = quota.take(at(4000)).unwrap_err();
        assert_eq!(exceeded.retry_in, Duration::from_secs(7));
        assert_eq!(quota.take(at(10_999)).unwrap_err().retry_in, Duration::from_millis(1));
        assert_eq!(quota.take(at(11_000)), Ok(()));
    }

    #[test]
    fn who_is_over_its_quota_is_news_once_an_hour() {
        let quota = quota(1, 3600);
        quota.take(at(0)).unwrap();
        let is_news = |seconds: u64| quota.take(at(seconds * 1000)).unwrap_err().is_news;
        assert!(is_news(1));
        assert!((2..3000).all(|second| !is_news(second)));
        quota.take(at(3_600_000)).unwrap();
        assert!(is_news(3601));
    }

    #[test]
    fn a_quota_holds_among_threads() {
        let quota = quota(1000, 1);
        let passed = || (0..1000).filter(|_| quota.take(at(5000)).is_ok()).count();
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(passed)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(total, 1000);
    }
}
