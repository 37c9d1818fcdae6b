//! How old is a record?
//!
//! Of the same boot the boot clock says it, of another one the wall clock does, and an age that cannot be is "unknown". On a
//! store of several relays the wall clock of another machine proves nothing: there the age lies between two looks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{BootId, Now, Timestamp, WallTime};

/// How far two clocks may disagree before it means something, and how wrong an age by the wall clock may be.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);
/// A relay that has not looked at the record for longer, frozen or cut off, knows as little of its age as one that starts:
/// twice what it takes another one to hold the lease.
const LONG_ABSENCE: Duration = Duration::from_secs(30);
/// When a record was written, on both clocks of its writer.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stamp {
    pub(super) boot_id: String,
    pub(super) boot_us: i64,
    pub(super) wall_ms: i64,
}

/// What is known of the time at which bytes were written, beside what they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockBasis {
    /// By this relay, or one that ran before it on this machine.
    Alone,
    /// Perhaps by another machine, whose clocks tell nothing: so long ago at the most, if two looks told them apart.
    Shared(Option<Duration>),
}

/// How old a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// Known by the boot clock.
    Exact(Duration),
    /// Known by the wall clock, give or take its tolerance.
    ByWall(Duration),
    /// At most this: it was not there at the look before.
    Within(Duration),
    Unknown,
}

impl Age {
    /// The most that it can be: by this, nothing is promised too long.
    pub(super) fn most(self) -> Duration {
        match self {
            Self::Exact(age) | Self::Within(age) => age,
            Self::ByWall(age) => age.saturating_add(CLOCK_TOLERANCE),
            Self::Unknown => Duration::ZERO,
        }
    }

    pub(super) fn uncertainty(self) -> Duration {
        if self == Self::Unknown { Duration::MAX } else { self.most().saturating_sub(self.least()) }
    }

    /// The least that it can be: by this, nothing is done too early.
    pub(super) fn least(self) -> Duration {
        match self {
            Self::Exact(age) => age,
            Self::ByWall(age) => age.saturating_sub(CLOCK_TOLERANCE),
            Self::Within(_) | Self::Unknown => Duration::ZERO,
        }
    }
}

impl Stamp {
    pub(super) fn age(&self, boot: &BootId, now: Now, clock_basis: ClockBasis) -> Age {
        if boot.is_same(&BootId::from_text(&self.boot_id)) {
            let written = Timestamp::from_micros(self.boot_us);
            return if written <= now.boot { Age::Exact(now.boot.since(written)) } else { Age::Unknown };
        }
        let millis = now.wall.as_millis().saturating_sub(WallTime::from_millis(self.wall_ms).as_millis());
        let by_wall = |millis: i64| u64::try_from(millis).ok().map(Duration::from_millis);
        match clock_basis {
            // after a long absence the wall clocks tell more, if they agree with what was seen
            ClockBasis::Shared(Some(within)) if within > LONG_ABSENCE => by_wall(millis)
                .filter(|age| *age <= within.saturating_add(CLOCK_TOLERANCE))
                .map_or(Age::Within(within), Age::ByWall),
            ClockBasis::Shared(Some(within)) => Age::Within(within),
            // the first look of a relay: nothing but the wall clocks tells how long the record has lain there
            ClockBasis::Shared(None) => {
                let is_possible = millis > -i64::try_from(CLOCK_TOLERANCE.as_millis()).unwrap_or(i64::MAX);
                if is_possible { Age::ByWall(by_wall(millis).unwrap_or_default()) } else { Age::Unknown }
            }
            // written before this boot, so an age shorter than the uptime is a clock that was set
            ClockBasis::Alone => by_wall(millis)
                .filter(|age| *age >= now.boot.since(Timestamp::default()))
                .map_or(Age::Unknown, Age::ByWall),
        }
    }
}
