//! When was a moment that another process wrote down by its own clock? Between an earliest and a latest of ours.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A moment that is known only so far: it lies between two, both included. Of one's own moments both are the same.
///
/// Which of the two counts is for the one who asks: nothing is promised beyond the earliest, and nothing is done before the
/// latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Timestamp, Timestamp)", into = "(Timestamp, Timestamp)")]
pub struct Bounds {
    /// Not before this.
    pub earliest: Timestamp,
    /// Not after this.
    pub latest: Timestamp,
}

impl Bounds {
    /// Between `earliest` and `latest`.
    pub const fn between(earliest: Timestamp, latest: Timestamp) -> Self {
        Self { earliest, latest }
    }

    /// This moment and `by` more.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self { earliest: self.earliest.plus(by), latest: self.latest.plus(by) }
    }

    /// The same moment, put off to `other` where it may be before that.
    #[must_use]
    pub fn not_before(self, other: Timestamp) -> Self {
        Self { earliest: self.earliest.max(other), latest: self.latest.max(other) }
    }

    /// How far apart the two are.
    pub fn uncertainty(self) -> Duration {
        self.latest.since(self.earliest)
    }

    /// What is known of a moment that is known from two sides. Where they contradict each other, this one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let both = Self { earliest: self.earliest.max(other.earliest), latest: self.latest.min(other.latest) };
        if both.earliest <= both.latest { both } else { self }
    }

    /// A moment that may have been either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { earliest: self.earliest.min(other.earliest), latest: self.latest.max(other.latest) }
    }

    /// The same moment of another clock, on ours.
    #[must_use]
    pub fn shifted(self, by: ClockOffset) -> Self {
        Self { earliest: by.earliest(self.earliest), latest: by.latest(self.latest) }
    }
}

impl From<Timestamp> for Bounds {
    fn from(moment: Timestamp) -> Self {
        Self { earliest: moment, latest: moment }
    }
}

/// In either order: what another process wrote may be the wrong way round, and its moment lies between the two all the same.
impl From<(Timestamp, Timestamp)> for Bounds {
    fn from((one, other): (Timestamp, Timestamp)) -> Self {
        Self { earliest: one.min(other), latest: one.max(other) }
    }
}

impl From<Bounds> for (Timestamp, Timestamp) {
    fn from(bounds: Bounds) -> Self {
        (bounds.earliest, bounds.latest)
    }
}

/// No boot clock is further ahead of another one: 100 years, in microseconds.
const MOST_AHEAD_US: u64 = 100 * 366 * 24 * 3600 * 1_000_000;

/// How far our boot clock is ahead of another one, in microseconds: at least and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ReadOffset")]
pub struct ClockOffset {
    least_us: i64,
    most_us: i64,
}

impl ClockOffset {
    /// Both are the same clock.
    pub const NONE: Self = Self { least_us: 0, most_us: 0 };

    /// The moment `theirs` of the other clock lay within `ours` of ours.
    pub fn between(theirs: Timestamp, ours: Bounds) -> Self {
        let ahead = |ours: Timestamp| ours.as_micros().saturating_sub(theirs.as_micros());
        Self { least_us: ahead(ours.earliest), most_us: ahead(ours.latest) }
    }

    /// The earliest of ours that a moment of theirs can be.
    pub const fn earliest(self, theirs: Timestamp) -> Timestamp {
        Timestamp::from_micros(theirs.as_micros().saturating_add(self.least_us))
    }

    /// The latest of ours that a moment of theirs can be.
    pub const fn latest(self, theirs: Timestamp) -> Timestamp {
        Timestamp::from_micros(theirs.as_micros().saturating_add(self.most_us))
    }

    /// How far apart the two are.
    pub const fn uncertainty(self) -> Duration {
        Duration::from_micros(self.most_us.saturating_sub(self.least_us).unsigned_abs())
    }

    /// Known a while ago, while each clock may have run faster than the other by a part of `elapsed`.
    #[must_use]
    pub fn drifted(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self { least_us: self.least_us.saturating_sub(by), most_us: self.most_us.saturating_add(by) }
    }

    /// How far ours is ahead of a third one that the other is so far ahead of.
    #[must_use]
    pub const fn and_then(self, other: Self) -> Self {
        Self {
            least_us: self.least_us.saturating_add(other.least_us),
            most_us: self.most_us.saturating_add(other.most_us),
        }
    }

    /// What is known from two measurements; `None` where they contradict each other.
    pub fn and(self, other: Self) -> Option<Self> {
        let both = Self { least_us: self.least_us.max(other.least_us), most_us: self.most_us.min(other.most_us) };
        (both.least_us <= both.most_us).then_some(both)
    }
}

/// An offset as it was found.
#[derive(Deserialize)]
struct ReadOffset {
    least_us: i64,
    most_us: i64,
}

/// That cannot be the offset of two clocks.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("not an offset of two clocks")]
struct NotAnOffset;

impl TryFrom<ReadOffset> for ClockOffset {
    type Error = NotAnOffset;

    fn try_from(ReadOffset { least_us, most_us }: ReadOffset) -> Result<Self, NotAnOffset> {
        let is_possible = least_us <= most_us && least_us.unsigned_abs().max(most_us.unsigned_abs()) <= MOST_AHEAD_US;
        if is_possible { Ok(Self { least_us, most_us }) } else { Err(NotAnOffset) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_moment_of_another_clock_lies_within_what_is_known_of_that_clock() {
        let offset = ClockOffset::between(at(100), Bounds::between(at(500), at(502)));
        let moved = Bounds::from(at(110)).shifted(offset);
        assert_eq!(moved, Bounds::between(at(510), at(512)));
        assert_eq!(moved.uncertainty(), Duration::from_secs(2));
        assert_eq!(moved.shifted(ClockOffset::NONE), moved);
    }

    #[test]
    fn two_measurements_narrow_the_offset_unless_they_contradict_each_other() {
        let first = ClockOffset::between(at(100), Bounds::between(at(500), at(502)));
        let second = ClockOffset::between(at(200), Bounds::between(at(601), at(603)));
        assert_eq!(first.and(second), Some(ClockOffset::between(at(0), Bounds::between(at(401), at(402)))));
        let jumped = ClockOffset::between(at(300), Bounds::between(at(710), at(712)));
        assert_eq!(first.and(jumped), None);
        assert!(first.drifted(Duration::from_secs(10)).and(jumped).is_some());
    }

    #[test]
    fn of_two_accounts_of_one_moment_both_count_and_of_two_moments_either() {
        let (one, other) = (Bounds::between(at(1), at(5)), Bounds::between(at(3), at(9)));
        assert_eq!(one.and(other), Bounds::between(at(3), at(5)));
        assert_eq!(one.or(other), Bounds::between(at(1), at(9)));
        let apart = Bounds::between(at(7), at(9));
        assert_eq!(one.and(apart), one);
    }
    #[test]
    fn bounds_the_wrong_way_round_are_turned_and_an_offset_is_refused() {
        let read = |json| serde_json::from_str::<Bounds>(json).unwrap();
        assert_eq!(read("[9000000,3000000]"), Bounds::between(at(3), at(9)));
        assert_eq!(read("[3000000,9000000]"), Bounds::between(at(3), at(9)));
        assert_eq!(
            read("[-9223372036854775808,9223372036854775807]").uncertainty(),
            Duration::from_micros(u64::MAX / 2)
        );
        let read = |json: &str| serde_json::from_str::<ClockOffset>(json).ok();
        let offset = ClockOffset::between(at(100), Bounds::between(at(500), at(502)));
        assert_eq!(read(&serde_json::to_string(&offset).unwrap()), Some(offset));
        assert_eq!(read(r#"{"least_us":4,"most_us":3}"#), None);
        assert_eq!(read(r#"{"least_us":0,"most_us":9223372036854775807}"#), None);
    }
}
