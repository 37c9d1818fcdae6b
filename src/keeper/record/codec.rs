//! How is a record written, and what does its reader know of the clock that its moments stand on?
//!
//! Beside the record stands its writer's reading of both clocks. Of the same boot that clock is ours. Of several relays the
//! presence of the writer tells how far its clock is from ours; only where that was never seen the wall clocks are asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Identity, Record};
use crate::{
    clock::{BootId, Bounds, ClockOffset, Now, Timestamp, WallTime},
    group::peers::Peers,
    store::Sealed,
};

/// The version written here. A relay stands aside of a greater one; what only adds fields does not raise it, for a reader
/// passes over a field that it does not know.
const VERSION: u32 = 2;
/// How far two clocks may disagree before it means something, and how wrong an age by the wall clock may be.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// A little more than most records have, in bytes: they are written at once, and grow no buffer.
const USUAL_SIZE: usize = 1536;

/// Why bytes are not a record. Never with a byte of them: they may hold a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Torn, or not ours.
    #[error("not a record of token-relay")]
    Foreign,
    /// Of a newer relay.
    #[error("written by a newer token-relay (layout {0})")]
    Newer(u32),
}

/// When a record was written, on both clocks of its writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// What the boot clock counts from.
    pub boot_id: BootId,
    /// The boot clock: the record's moments are on it too.
    pub boot_us: Timestamp,
    /// The wall clock.
    pub wall_ms: WallTime,
}

/// A stored record, as its writer wrote it.
#[derive(Debug)]
pub struct Stored {
    /// Its moments are on the clock of `written`.
    pub record: Record,
    /// When.
    pub written: Stamp,
    /// It is of this base URL, appid and endpoint.
    pub is_ours: bool,
}

/// What is known of the clock that a record's moments stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockBasis {
    /// By the boot clocks.
    Boot(ClockOffset),
    /// By the wall clocks, give or take their tolerance.
    Wall(ClockOffset),
    /// Nothing.
    Unknown,
}

/// What is written is borrowed, what is read is not.
#[derive(Serialize, Deserialize)]
struct Layout<I, R> {
    version: u32,
    identity: I,
    written: Stamp,
    record: R,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl Record {
    /// The bytes of this record, written at `now`.
    pub fn encode(&self, identity: &Identity, boot_id: &BootId, now: Now) -> Sealed {
        let written = Stamp { boot_id: boot_id.clone(), boot_us: now.boot, wall_ms: now.wall };
        let layout = Layout { version: VERSION, identity, written, record: self };
        let mut bytes = Vec::with_capacity(USUAL_SIZE);
        serde_json::to_writer(&mut bytes, &layout).expect("a record of numbers and strings is JSON");
        Sealed::new(bytes)
    }
}

impl Stored {
    /// Reads what [`Record::encode`] wrote.
    ///
    /// # Errors
    /// [`Unreadable`], and then the bytes are somebody else's: they are never overwritten.
    pub fn decode(bytes: &Sealed, identity: &Identity) -> Result<Self, Unreadable> {
        let VersionOnly { version } = serde_json::from_slice(bytes.expose()).map_err(|_| Unreadable::Foreign)?;
        if version > VERSION {
            return Err(Unreadable::Newer(version));
        }
        let read: Layout<Identity, Record> = serde_json::from_slice(bytes.expose()).map_err(|_| Unreadable::Foreign)?;
        Ok(Self { record: read.record, written: read.written, is_ours: read.identity == *identity })
    }
}

impl Stamp {
    /// Of a record that only this machine writes: of this boot, or of one before it, whose age only the wall clock tells.
    pub fn basis(&self, boot_id: &BootId, now: Now) -> ClockBasis {
        if boot_id.is_same(&self.boot_id) {
            // what lies ahead of a clock was not written by it
            return if self.boot_us <= now.boot { ClockBasis::Boot(ClockOffset::NONE) } else { ClockBasis::Unknown };
        }
        // it was written before this boot, so an age shorter than the uptime is a clock that was set
        let uptime = now.boot.since(Timestamp::default());
        let age = self.age_by_wall(now).and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis);
        let Some(age) = age.filter(|age| *age >= uptime) else { return ClockBasis::Unknown };
        ClockBasis::Wall(self.written_ago(age, now))
    }

    /// Of one that several relays write; it was not there yet at `absent_at`.
    pub fn shared_basis(&self, peers: &Peers, now: Now, absent_at: Option<Timestamp>) -> ClockBasis {
        let seen =
            ClockOffset::between(self.boot_us, Bounds::between(absent_at.unwrap_or(Timestamp::LONG_AGO), now.boot));
        if let Some(known) = peers.offset(&self.boot_id, now.boot) {
            // where they contradict each other a clock has jumped: the latest measurement will tell
            return ClockBasis::Boot(known.and(seen).unwrap_or(known));
        }
        let age = self.age_by_wall(now).filter(|millis| i128::from(*millis) > -tolerance_ms());
        let age = age.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
        let by_wall = age.and_then(|age| self.written_ago(age, now).and(seen));
        match by_wall {
            Some(offset) => ClockBasis::Wall(offset),
            None if absent_at.is_some() => ClockBasis::Wall(seen),
            None => ClockBasis::Unknown,
        }
    }

    fn age_by_wall(&self, now: Now) -> Option<i64> {
        now.wall.as_millis().checked_sub(self.wall_ms.as_millis())
    }

    fn written_ago(&self, age: Duration, now: Now) -> ClockOffset {
        let earliest = now.boot.minus(age.saturating_add(CLOCK_TOLERANCE));
        let latest = now.boot.minus(age.saturating_sub(CLOCK_TOLERANCE));
        ClockOffset::between(self.boot_us, Bounds::between(earliest, latest))
    }
}

const fn tolerance_ms() -> i128 {
    CLOCK_TOLERANCE.as_millis().cast_signed()
}
