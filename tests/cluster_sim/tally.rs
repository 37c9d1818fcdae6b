//! What happened, for the summary.

use std::collections::BTreeMap;

#[derive(Default, Clone)]
pub(crate) struct Tally {
    pub simulated: i64,
    pub steps: u64,
    pub replies: u64,
    pub excused: u64,
    pub calls: u64,
    /// Microseconds for which a relay was up and a token that the store holds worked, and for which it served one.
    pub alive: i64,
    pub served: i64,
    pub faults: BTreeMap<&'static str, u64>,
    /// How long it took until another relay held the lease, in milliseconds, by what became of the holder.
    pub successions: BTreeMap<&'static str, Vec<i64>>,
}

impl Tally {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.faults.entry(what).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.simulated += other.simulated;
        self.steps += other.steps;
        self.replies += other.replies;
        self.excused += other.excused;
        self.calls += other.calls;
        self.alive += other.alive;
        self.served += other.served;
        for (what, count) in other.faults {
            *self.faults.entry(what).or_default() += count;
        }
        for (what, mut times) in other.successions {
            self.successions.entry(what).or_default().append(&mut times);
        }
    }
}
