//! What does the store do: compare-and-set of the whole record, a number that counts the writes, and the loss of the last
//! one. After `src/store/redis/group.lua`, `swap.lua` and `poll.lua`.

use crate::record::{Record, RelayId};

/// Names what one write wrote.
pub type Version = u8;
/// What is written now: with the next state all others are less.
const NEW: Version = 3;

/// Which history of the store, and how many of its writes were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cursor {
    /// Names the history.
    pub nonce: u8,
    /// The change number.
    pub change: u8,
}

impl Cursor {
    /// Of a relay that has not asked yet.
    pub const NONE: Self = Self { nonce: 0, change: 0 };
}

/// What one write replaced.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Undo {
    /// Who wrote.
    pub writer: RelayId,
    /// It was written in the tick before.
    pub is_old: bool,
    /// What was there before.
    pub before: (Version, Cursor, Record),
}

/// The store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Store {
    /// How many writes there are.
    pub cursor: Cursor,
    /// What was written last.
    pub version: Version,
    /// The same.
    pub record: Record,
    /// The last write, which may be lost.
    pub last: Option<Undo>,
    /// The write of this relay and revision was lost, and nobody who has seen it has written since.
    pub lost: Option<(RelayId, u8)>,
    /// It was lost with its writer, or another relay has written since that had not seen it: nobody could know what the writer
    /// did, and what follows is not judged (`a lost record` in `tests/simulation/excuses.rs`).
    pub is_beyond_repair: bool,
}

impl Store {
    pub(crate) const fn new(record: Record) -> Self {
        Self {
            cursor: Cursor { nonce: 1, change: 3 },
            version: 1,
            record,
            last: None,
            lost: None,
            is_beyond_repair: false,
        }
    }

    /// Time passes.
    pub(crate) fn age(&mut self) {
        self.record.age();
        // replicas are behind by a tick at most
        self.last = self.last.take().filter(|last| !last.is_old);
        if let Some(last) = &mut self.last {
            last.is_old = true;
            last.before.2.age();
        }
    }

    /// A relay asks that has seen so much: a history with fewer writes went back, and gets another name.
    pub(crate) const fn enter(&mut self, seen: Cursor, notices_loss: bool) {
        if notices_loss && self.cursor.nonce == seen.nonce && self.cursor.change < seen.change {
            self.cursor.nonce += 1;
        }
    }

    pub(crate) fn write(&mut self, writer: RelayId, seen: u8, record: Record) {
        let before = (self.version, self.cursor, std::mem::replace(&mut self.record, record));
        self.last = Some(Undo { writer, is_old: false, before });
        self.version = NEW;
        self.cursor.change += 1;
        self.lost = self.lost.filter(|(_, revision)| seen < *revision);
        self.is_beyond_repair |= self.lost.is_some();
    }

    /// Answers whose write is lost.
    pub(crate) fn lose_last(&mut self) -> Option<RelayId> {
        let Undo { writer, before, .. } = self.last.take()?;
        self.lost = Some((writer, self.record.revision));
        (self.version, self.cursor, self.record) = before;
        Some(writer)
    }
}
