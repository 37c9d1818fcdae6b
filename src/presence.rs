//! By what do several relays on one store know one another?

use serde::{Deserialize, Serialize};

use crate::clock::{BootId, ClockOffset, Timestamp};

/// One relay process among several on one store: random, new at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(pub u64);

/// What a relay shows of itself with every poll. Together the presences tell everybody how far apart the clocks are: one read
/// after its relay had seen beat 7 of ours was read after we had sent that beat, and before we saw the reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Greater with every poll: by it the others see that the relay lives.
    pub beat: u64,
    /// What `boot_at` counts from.
    pub boot_id: BootId,
    /// The relay's boot clock, read just before the poll was sent: how the others read the moments in its records.
    pub boot_at: Timestamp,
    /// The last beat of each other relay that it had seen by then.
    #[serde(default)]
    pub heard: Vec<(ReplicaId, u64)>,
    /// How far its boot clock is ahead of others that it has measured, also of relays that are gone: they may have written
    /// the record that the next relay starts with.
    #[serde(default)]
    pub clocks: Vec<(BootId, ClockOffset)>,
}
