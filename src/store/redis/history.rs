//! Has the group's history in Redis gone back behind what this relay has seen of it?

use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::{Cmd, Value};

use crate::store::Cursor;

/// Nonces stay below: a script's numbers are doubles, and what reads the hash later may have no others either.
const NONCE_LIMIT: u64 = 1 << 53;

/// The latest cursor that Redis has answered with, to a poll or a swap. Each script gets it and compares: a group with the
/// same nonce and fewer writes was restored from an older dump, and gets another nonce.
#[derive(Default)]
pub(super) struct History(Mutex<Option<Cursor>>);

impl History {
    /// Adds what `group.lua` expects: the nonce to use if a new one is needed, and the latest cursor.
    pub(super) fn add_to(&self, eval: &mut Cmd) {
        eval.arg(fastrand::u64(1..NONCE_LIMIT));
        add_cursor(eval, *self.latest());
    }

    /// Remembers the cursor of a reply. Replies may be handled out of order: within one history the later one stays.
    pub(super) fn saw(&self, cursor: Cursor) {
        let mut latest = self.latest();
        if latest.is_none_or(|latest| latest.nonce != cursor.nonce || latest.change < cursor.change) {
            *latest = Some(cursor);
        }
    }

    fn latest(&self) -> MutexGuard<'_, Option<Cursor>> {
        // A cursor is replaced whole, so a panic elsewhere poisons nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds a nonce and a change number; no group has the nonce that stands for `None`.
pub(super) fn add_cursor(eval: &mut Cmd, cursor: Option<Cursor>) {
    match cursor {
        Some(Cursor { nonce, change }) => eval.arg(nonce).arg(change),
        None => eval.arg("").arg(0),
    };
}

/// The cursor in a script's reply.
pub(super) fn cursor(nonce: &Value, change: &Value) -> Option<Cursor> {
    let (Value::BulkString(nonce), Value::Int(change)) = (nonce, change) else { return None };
    Some(Cursor { nonce: std::str::from_utf8(nonce).ok()?.parse().ok()?, change: u64::try_from(*change).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_one_history_the_later_cursor_stays_and_another_history_replaces_it() {
        let history = History::default();
        for (seen, latest) in [((1, 5), (1, 5)), ((1, 4), (1, 5)), ((1, 6), (1, 6)), ((2, 0), (2, 0))] {
            history.saw(Cursor { nonce: seen.0, change: seen.1 });
            assert_eq!(*history.latest(), Some(Cursor { nonce: latest.0, change: latest.1 }));
        }
    }
}
