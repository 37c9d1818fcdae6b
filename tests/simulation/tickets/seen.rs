//! What does a relay know of tickets that has this record?

use std::collections::BTreeMap;

use super::super::rng::SECOND;

/// How far each reboot moves what is known of a moment, to either side: the wall clock tells the record's age only so well. The
/// record is then written down by the new boot's clock, so that another reboot adds as much again.
const CLOCKS: i64 = 5 * SECOND;

/// When a ticket ends, by what the relay knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) earliest: i64,
    pub(super) latest: i64,
    /// A call of the relay itself had it minted.
    pub(super) is_own: bool,
}

impl End {
    pub(super) fn unsure(self) -> i64 {
        self.latest - self.earliest
    }
}

#[derive(Clone, Default)]
pub(super) struct Seen {
    /// The ticket that it saw last, and when it asked.
    pub(super) last: Option<(u64, i64)>,
    /// Tickets that it saw take another one's place.
    pub(super) known: BTreeMap<u64, End>,
    /// The boot on whose clock its moments stand.
    boot_name: String,
}

impl Seen {
    /// A process reads the record in this boot. Several reboots between which no process wrote it count as one.
    pub(super) fn is_read_on(&mut self, boot_name: &str) {
        if self.boot_name == boot_name {
            return;
        }
        boot_name.clone_into(&mut self.boot_name);
        if let Some((_, asked_at)) = &mut self.last {
            *asked_at -= CLOCKS;
        }
        for end in self.known.values_mut() {
            *end = End { earliest: end.earliest - CLOCKS, latest: end.latest + CLOCKS, ..*end };
        }
    }
}
