//! What happened to a credential of late? Its last rotations and failures, for operators.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::clock::WallTime;

/// How many entries are kept of a credential: half a kilobyte, allocated as they come.
pub const KEPT: usize = 20;

/// The capacity grows by this many entries.
const STEP: usize = 4;

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// This relay fetched a new credential.
    Rotated,
    /// Another relay of the group did.
    Followed,
    /// The credential was found dead, and no call of the group had ended it.
    EndedByOthers,
    /// A call was not sent.
    NotSent,
    /// The outcome of a call is unknown.
    Unknown,
    /// A call was answered with this errcode; one that fits no `i32` stands at its end.
    Refused(i32),
}

impl Happening {
    /// A refusal with this errcode.
    pub fn refused(errcode: i64) -> Self {
        let nearest = if errcode < 0 { i32::MIN } else { i32::MAX };
        Self::Refused(i32::try_from(errcode).unwrap_or(nearest))
    }
}

/// An entry of a [`History`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When it happened, or happened first.
    pub at: WallTime,
    /// What happened.
    pub what: Happening,
    /// How many times in a row; at least once.
    pub times: u32,
}

/// The last [`KEPT`] entries of one credential. Failures of one kind in a row are one entry, so that an outage does not push the
/// rotations out. In memory: a new process begins with none.
#[derive(Debug, Default)]
pub struct History(Mutex<VecDeque<Entry>>);

impl History {
    /// Adds an entry; the oldest one makes room.
    pub fn add(&self, at: WallTime, what: Happening) {
        let mut entries = self.lock();
        if entries.len() == KEPT {
            entries.pop_front();
        }
        if entries.len() == entries.capacity() {
            entries.reserve_exact(STEP); // it would double, to 32 at last
        }
        entries.push_back(Entry { at, what, times: 1 });
    }

    /// The same as the last entry once more, if that is of this kind.
    pub fn repeat(&self, at: WallTime, what: Happening) {
        if let Some(last) = self.lock().back_mut().filter(|last| last.what == what) {
            last.times = last.times.saturating_add(1);
            return;
        }
        self.add(at, what);
    }

    /// All entries, the oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().iter().copied().collect()
    }

    /// The last one.
    pub fn last(&self) -> Option<Entry> {
        self.lock().back().copied()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        // A panic elsewhere leaves no entry half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> WallTime {
        WallTime::from_millis(second * 1000)
    }

    #[test]
    fn the_last_twenty_are_kept_in_their_order() {
        let history = History::default();
        assert_eq!((history.entries(), history.last()), (vec![], None));
        (0..25).for_each(|second| history.add(at(second), Happening::Rotated));
        let kept: Vec<_> = history.entries().iter().map(|entry| entry.at).collect();
        assert_eq!(kept, (5..25).map(at).collect::<Vec<_>>());
        assert_eq!(history.last().unwrap().at, at(24));
    }

    #[test]
    fn failures_of_a_kind_in_a_row_are_one_entry_and_push_no_rotation_out() {
        let history = History::default();
        history.add(at(0), Happening::Rotated);
        history.add(at(1), Happening::refused(40164));
        (2..100).for_each(|second| history.repeat(at(second), Happening::refused(40164)));
        history.repeat(at(100), Happening::Unknown);
        let entries = history.entries().into_iter().map(|Entry { at, what, times }| (at, what, times));
        let expected =
            [(at(0), Happening::Rotated, 1), (at(1), Happening::Refused(40164), 99), (at(100), Happening::Unknown, 1)];
        assert_eq!(entries.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_errcode_out_of_all_bounds_stands_at_their_end() {
        assert_eq!(Happening::refused(-1), Happening::Refused(-1));
        assert_eq!([i64::MIN, i64::MAX].map(Happening::refused), [i32::MIN, i32::MAX].map(Happening::Refused));
    }

    #[test]
    fn a_full_history_takes_no_more_than_half_a_kilobyte() {
        let history = History::default();
        (0..100).for_each(|second| history.add(at(second), Happening::Rotated));
        assert!(history.lock().capacity() * size_of::<Entry>() <= 512);
    }
}
