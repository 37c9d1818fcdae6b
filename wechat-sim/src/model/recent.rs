//! What is kept of what callers make without end? The newest entries.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// A map that forgets its oldest entry when it is full.
pub(super) struct Recent<T> {
    entries: BTreeMap<String, T>,
    order: VecDeque<String>,
}

/// More than any test makes, and an end to the growth of a demo that runs for weeks.
const KEPT: usize = 10_000;

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<T> Recent<T> {
    /// The key must be new.
    pub(super) fn insert(&mut self, key: String, entry: T) {
        if self.order.len() == KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.entries.insert(key, entry);
    }

    pub(super) fn find(&self, key: &str) -> Option<&T> {
        self.entries.get(key)
    }

    pub(super) fn find_mut(&mut self, key: &str) -> Option<&mut T> {
        self.entries.get_mut(key)
    }
}

/// Shows no key: it may be a token.
impl<T> fmt::Debug for Recent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_is_forgotten_and_no_other() {
        let mut recent = Recent::default();
        for number in 0..=KEPT {
            recent.insert(number.to_string(), number);
        }
        assert_eq!((recent.find("0"), recent.find("1")), (None, Some(&1)));
        assert_eq!(recent.find(&KEPT.to_string()), Some(&KEPT));
    }
}
