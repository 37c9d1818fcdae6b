//! What is explored: how many relays and calls, with which faults, and without which rules?

use crate::record::CallId;

/// What goes wrong, so often at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Faults {
    /// A process stands still, for any time.
    pub freezes: u8,
    /// A process ends, and another one may start.
    pub crashes: u8,
    /// The store loses its last write.
    pub losses: u8,
    /// A process cannot reach the store.
    pub cuts: u8,
    /// A call ends without a known outcome, whether it has minted or not.
    pub unknowns: u8,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self { freezes: 0, crashes: 0, losses: 0, cuts: 0, unknowns: 0 };
    /// One freeze.
    pub const FREEZE: Self = Self { freezes: 1, ..Self::NONE };
    /// One crash.
    pub const CRASH: Self = Self { crashes: 1, ..Self::NONE };
    /// One lost write.
    pub const LOSS: Self = Self { losses: 1, ..Self::NONE };
}

/// A rule of the design, which can be left out to show what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Another relay takes the lease only when its holder's presence has stood still for the time of a take-over. With
    /// [`Rule::DistrustLease`] no promise depends on it.
    WaitToTakeOver,
    /// A write is a compare-and-set of the record that was read last.
    CompareAndSet,
    /// A call's intent is stored before its first byte.
    StoreIntent,
    /// What is promised ends O − r after the call that is open in the record.
    CountOpenCall,
    /// What is promised ends O − r after the last contact.
    CountContact,
    /// An open call that is found at a take-over has perhaps minted.
    RememberLostCall,
    /// While a lost relay may still send its call, nothing is promised for more than O − r from any moment.
    ExpectOrphan,
    /// A token that came after the lease was lost is handed over.
    HandOver,
    /// Of two tokens the stored one stays current, where nobody can tell which is newer.
    KeepStored,
    /// What a relay without the lease tells of counts from when all have heard of it.
    CountHearing,
    /// A call without an outcome is told of after the lease was lost, too.
    RememberUnknown,
    /// A store with fewer writes than a relay has seen went back: all read all.
    NoticeLoss,
    /// What is remembered and the store has lost is written again.
    Repair,
    /// So it is by a relay that has a token to hand over.
    RepairWithToken,
    /// What is written again counts from when all have heard of it again.
    CountHearingAnew,
    /// What a holder promises ends O − r after its last contact, too, not after the end of its lease.
    DistrustLease,
}

/// What is explored.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// How many relays run at first.
    pub relays: usize,
    /// So many calls are announced; with the next one the run ends.
    pub calls: CallId,
    /// What may go wrong.
    pub faults: Faults,
    /// The rules that are left out.
    pub without: &'static [Rule],
}

impl Setup {
    pub(crate) fn has(&self, rule: Rule) -> bool {
        !self.without.contains(&rule)
    }
}
