//! What time is it, on the clock that runs through a suspend and on the wall?
//!
//! This is the only file that reads clocks (clippy.toml forbids the rest). What decides takes `now` as an argument, so that
//! the keeper's machine can be driven through years in seconds; the shell around it is given a [`Clock`].

use std::{fmt, time::Duration};

use rustix::time::{ClockId, clock_gettime};

mod bounds;

pub use bounds::{Bounds, ClockOffset};
use serde::{Deserialize, Serialize};

/// A moment on CLOCK_BOOTTIME, in microseconds since the machine started. It may lie before the start (negative): a
/// stored record can be older than the boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Later than every moment that a relay will see (292,000 years).
    pub const NEVER: Self = Self(i64::MAX);
    /// Earlier than every moment that a relay will see.
    pub const LONG_AGO: Self = Self(i64::MIN);

    /// The moment `micros` microseconds after the start of the machine.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds after the start of the machine.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This moment and `by` more; it stops at [`Timestamp::NEVER`].
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }

    /// `by` before this moment; it stops at [`Timestamp::LONG_AGO`].
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
    }

    /// How long after `earlier` this moment is; zero where it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A moment on the wall clock, in milliseconds of Unix time. Anybody may set it to anything at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(i64);

impl WallTime {
    /// The moment `millis` milliseconds after 1970-01-01 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The moment that a `Date` header names.
    pub fn from_http_date(date: &str) -> Option<Self> {
        jiff::fmt::rfc2822::parse(date).ok().map(|moment| Self(moment.timestamp().as_millisecond()))
    }

    /// As a `Date` header names the second; `None` before the year 0 and after 9999.
    pub fn to_http_date(self) -> Option<String> {
        let second = jiff::Timestamp::from_second(self.0.div_euclid(1000)).ok()?;
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&second).ok()
    }

    /// To the millisecond, as logs have it.
    pub fn to_millisecond(self) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .map_or_else(|_| format!("{} ms", self.0), |moment| format!("{moment:.3}"))
    }

    /// Milliseconds of Unix time.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whether `earlier` is no more than `time` before this moment.
    pub fn is_within(self, time: Duration, earlier: Self) -> bool {
        i128::from(self.0.saturating_sub(earlier.0)) <= i128::try_from(time.as_millis()).unwrap_or(i128::MAX)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment:.0}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// CLOCK_BOOTTIME: what every decision is made by.
    pub boot: Timestamp,
    /// Unix time: for generations, for people, and to judge a record of another boot.
    pub wall: WallTime,
}

impl Now {
    /// How far the wall clock is ahead of the boot clock, in milliseconds: it changes only when one of them was set.
    pub const fn offset_ms(self) -> i64 {
        self.wall.0.saturating_sub(self.boot.0 / 1000)
    }
}

/// Which start of which machine the boot clock counts from (`/proc/sys/kernel/random/boot_id`); empty where the system
/// has none, and then no stored record is ever of the same boot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(String);

impl BootId {
    /// The id of this boot.
    pub fn read() -> Self {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self(id.trim().to_owned())
    }

    /// An id by its text, as a record holds it.
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both count from the same start.
    pub fn is_same(&self, other: &Self) -> bool {
        !self.0.is_empty() && self.0 == other.0
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const THROUGH_SUSPEND: ClockId = ClockId::Boottime;
/// Elsewhere a suspend stops the clock; the keeper notices that the wall clock disagrees.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const THROUGH_SUSPEND: ClockId = ClockId::Monotonic;

/// Where the time comes from: the system in production, the runtime's paused time in tests.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Reads both clocks.
    fn now(&self) -> Now;

    /// Reads the boot clock alone: all that a reader of a token needs.
    fn boot_now(&self) -> Timestamp;

    /// Reads the wall clock alone.
    fn wall_now(&self) -> WallTime {
        self.now().wall
    }

    /// Time that does not count a suspend. Heartbeats are judged by it: a machine that slept has no dead tasks.
    fn awake(&self) -> Duration;

    /// What [`Clock::boot_now`] counts from.
    fn boot_id(&self) -> BootId;
}

/// The clocks of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { boot: self.boot_now(), wall: self.wall_now() }
    }

    fn wall_now(&self) -> WallTime {
        WallTime(micros_of(ClockId::Realtime) / 1000)
    }

    fn boot_now(&self) -> Timestamp {
        Timestamp(micros_of(THROUGH_SUSPEND))
    }

    fn awake(&self) -> Duration {
        Duration::from_micros(micros_of(ClockId::Monotonic).unsigned_abs())
    }

    fn boot_id(&self) -> BootId {
        BootId::read()
    }
}

/// A test's clock: it changes only when it is advanced, or follows tokio's paused time.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct FixedClock {
    advanced: std::sync::Mutex<Duration>,
    /// Since when tokio's time counts too.
    follows: Option<tokio::time::Instant>,
}

#[cfg(test)]
impl FixedClock {
    /// One that runs with tokio's time.
    pub(crate) fn following_tokio() -> Self {
        Self { follows: Some(tokio::time::Instant::now()), ..Self::default() }
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.advanced.lock().unwrap() += by;
    }
}

#[cfg(test)]
impl Clock for FixedClock {
    fn now(&self) -> Now {
        // some day in November 2026
        let wall = WallTime(1_795_348_923_000 + i64::try_from(self.awake().as_millis()).unwrap());
        Now { boot: self.boot_now(), wall }
    }

    fn boot_now(&self) -> Timestamp {
        Timestamp::default().plus(self.awake())
    }

    fn awake(&self) -> Duration {
        let by_tokio = self.follows.map_or(Duration::ZERO, |since| since.elapsed());
        Duration::from_secs(1000) + *self.advanced.lock().unwrap() + by_tokio
    }

    fn boot_id(&self) -> BootId {
        BootId::from_text("fixed")
    }
}

fn micros_of(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_header_is_read_and_another_text_is_none() {
        let date = WallTime::from_http_date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.map(|date| date.to_string()).as_deref(), Some("1994-11-06T08:49:37Z"));
        assert_eq!(date.and_then(WallTime::to_http_date).as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(["", "now", "1994-11-06"].map(WallTime::from_http_date), [None; 3]);
    }

    #[test]
    fn the_boot_clock_never_goes_back_and_the_offset_stays() {
        let clock = SystemClock;
        let (first, mut second) = (clock.now(), clock.now());
        assert!(second.boot >= first.boot);
        // the two clocks are read one after the other, and much may come between
        for _ in 0..100 {
            if (second.offset_ms() - first.offset_ms()).abs() < 1000 {
                return;
            }
            second = clock.now();
        }
        panic!("the offset moved by {} ms", second.offset_ms() - first.offset_ms());
    }

    #[test]
    fn a_moment_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp::NEVER.plus(Duration::from_secs(1)), Timestamp::NEVER);
        assert_eq!(Timestamp::LONG_AGO.minus(Duration::MAX), Timestamp::LONG_AGO);
        assert_eq!(Timestamp::from_micros(5).since(Timestamp::from_micros(9)), Duration::ZERO);
    }

    #[test]
    fn an_unknown_boot_is_never_the_same() {
        assert!(!BootId::default().is_same(&BootId::default()));
        assert!(BootId::from_text("a").is_same(&BootId::from_text("a")));
    }
}
