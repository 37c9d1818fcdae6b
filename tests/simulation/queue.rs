//! What happens when? Events by the moment at which they are due, and of one moment in the order in which they were planned.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

pub(crate) struct Queue<T> {
    entries: BinaryHeap<Reverse<Entry<T>>>,
    sequence: u64,
}

struct Entry<T> {
    at: i64,
    sequence: u64,
    /// Boxed, for the queue moves its entries about.
    what: Box<T>,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl<T> Eq for Entry<T> {}
impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { entries: BinaryHeap::new(), sequence: 0 }
    }

    pub(crate) fn push(&mut self, at: i64, what: T) {
        self.sequence += 1;
        self.entries.push(Reverse(Entry { at, sequence: self.sequence, what: Box::new(what) }));
    }

    /// The next event, and when it is due.
    pub(crate) fn pop(&mut self) -> Option<(i64, T)> {
        self.entries.pop().map(|Reverse(entry)| (entry.at, *entry.what))
    }
}
