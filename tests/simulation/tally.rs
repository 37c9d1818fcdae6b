//! What happened in a run: counts for the summary, a hash that tells whether a replay is identical, and a trace to read.

use std::{collections::BTreeMap, fmt::Arguments};

use super::rng::{DAY, SECOND};

/// Counts of one run, or of many.
#[derive(Default, Clone)]
pub(crate) struct Tally {
    pub simulated: i64,
    /// The same, times the relays.
    pub relay_time: i64,
    pub steps: u64,
    pub replies: u64,
    /// Replies that were wrong and are not held against the relay (see `excuses`).
    pub excused: u64,
    pub calls: u64,
    pub faults: BTreeMap<&'static str, u64>,
    /// Time for which a relay was up and a token that it could know of worked, and how much of it a token was served.
    pub alive: i64,
    pub served: i64,
    /// The same of the runs without crashes, outsiders and broken disks.
    pub wire_alive: i64,
    pub wire_served: i64,
    /// How long it took until another relay held the lease, in milliseconds, by what became of the holder.
    pub successions: BTreeMap<&'static str, (u64, i64)>,
    pub hash: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.faults.entry(what).or_default() += 1;
    }

    pub(crate) fn mix(&mut self, value: u64) {
        self.hash = (self.hash.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    pub(crate) fn succession(&mut self, after: &'static str, times: u64, millis: i64) {
        let (count, longest) = self.successions.entry(after).or_default();
        (*count, *longest) = (*count + times, millis.max(*longest));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.simulated += other.simulated;
        self.relay_time += other.relay_time;
        self.steps += other.steps;
        self.replies += other.replies;
        self.excused += other.excused;
        self.calls += other.calls;
        self.alive += other.alive;
        self.served += other.served;
        self.wire_alive += other.wire_alive;
        self.wire_served += other.wire_served;
        for (what, count) in &other.faults {
            *self.faults.entry(what).or_default() += count;
        }
        for (after, (times, longest)) in &other.successions {
            self.succession(after, *times, *longest);
        }
        // seeds may be run in any order
        self.hash = self.hash.wrapping_add(other.hash);
    }
}

/// `part` of `whole`, for people.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn ratio(part: i64, whole: i64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// Prints what happens, if somebody reads along.
#[derive(Clone, Copy)]
pub(crate) struct Trace {
    pub is_on: bool,
}

impl Trace {
    pub(crate) fn line(self, at: i64, text: Arguments<'_>) {
        if self.is_on {
            println!("{} {text}", clock(at));
        }
    }
}

/// Days, hours, minutes, seconds and microseconds since the run began.
pub(crate) fn clock(at: i64) -> String {
    let (day, rest) = (at.div_euclid(DAY), at.rem_euclid(DAY));
    let second = rest / SECOND;
    format!("{day:4}d {:02}:{:02}:{:02}.{:06}", second / 3600, second / 60 % 60, second % 60, rest % SECOND)
}
