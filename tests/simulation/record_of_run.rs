//! What happened in a run: counts for the summary, a hash that tells whether a replay is identical, and a trace to read.

use std::{collections::BTreeMap, fmt::Arguments};

use super::dice::{DAY, SECOND};

/// Counts of one run, or of many.
#[derive(Default, Clone)]
pub(crate) struct Tally {
    pub simulated: i64,
    pub steps: u64,
    pub replies: u64,
    /// Replies that an outsider made wrong, as I3 excepts.
    pub excused: u64,
    pub faults: BTreeMap<&'static str, u64>,
    /// Time for which the relay was up and held a token that worked, and how much of it that token was served.
    pub alive: i64,
    pub served: i64,
    /// The same without crashes, outsiders and broken disks.
    pub wire_alive: i64,
    pub wire_served: i64,
    pub hash: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.faults.entry(what).or_default() += 1;
    }

    pub(crate) fn mix(&mut self, value: u64) {
        self.hash = (self.hash.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.simulated += other.simulated;
        self.steps += other.steps;
        self.replies += other.replies;
        self.excused += other.excused;
        self.alive += other.alive;
        self.served += other.served;
        self.wire_alive += other.wire_alive;
        self.wire_served += other.wire_served;
        for (what, count) in &other.faults {
            *self.faults.entry(what).or_default() += count;
        }
        // seeds may be run in any order
        self.hash = self.hash.wrapping_add(other.hash);
    }

    pub(crate) fn years(&self) -> f64 {
        f64::from(u32::try_from(self.simulated / DAY).unwrap_or(u32::MAX)) / 365.0
    }
}

/// `part` of `whole`, for people.
pub(crate) fn ratio(part: i64, whole: i64) -> f64 {
    let exact = |number: i64| f64::from(u32::try_from(number.unsigned_abs() >> 20).unwrap_or(u32::MAX));
    if whole < 1 << 32 {
        let small = |number: i64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        return if whole == 0 { 1.0 } else { small(part) / small(whole) };
    }
    exact(part) / exact(whole)
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
