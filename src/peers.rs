//! What does a relay know of the others on its store?

use serde::{Deserialize, Serialize};

use crate::clock::{BootId, Timestamp};

/// One relay process among several on one store: random, new at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(pub u64);

/// What a relay shows of itself with every poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Greater with every poll: by it the others see that the relay lives.
    pub beat: u64,
    /// The last beat that the store has acknowledged before `boot_at` was read; 0 where none was.
    pub follows: u64,
    /// What `boot_at` counts from.
    pub boot_id: BootId,
    /// The relay's boot clock, read just before the poll was sent: how the others read the moments in its records.
    pub boot_at: Timestamp,
}
