//! What does the shared store know of the relays, and of what was written when?

use std::collections::BTreeMap;

use token_relay::{
    presence::{Presence, ReplicaId},
    store::{Changed, Cursor, Poll},
};

use super::group::id;

/// What the store knows of the relays and of its own history.
#[derive(Clone, Default)]
pub(crate) struct History {
    nonce: Option<u64>,
    change: u64,
    /// The number of the record's last write.
    record: u64,
    presences: BTreeMap<ReplicaId, Presence>,
}

impl History {
    /// A relay that has seen `seen` asks or writes: has this history gone back behind it?
    pub(crate) fn enter(&mut self, seen: Option<Cursor>, fresh: u64) {
        let is_behind = seen.is_some_and(|seen| Some(seen.nonce) == self.nonce && self.change < seen.change);
        if self.nonce.is_none() || is_behind {
            (self.nonce, self.record) = (Some(fresh), 0);
        }
    }

    pub(crate) fn written(&mut self) {
        self.change += 1;
        self.record = self.change;
    }

    pub(crate) fn cursor(&self) -> Option<Cursor> {
        Some(Cursor { nonce: self.nonce?, change: self.change })
    }

    pub(crate) fn show(&mut self, who: ReplicaId, presence: Presence) {
        if self.presences.get(&who).is_none_or(|known| known.beat < presence.beat) {
            self.presences.insert(who, presence);
        }
    }

    pub(crate) fn poll(&self, cursor: Option<Cursor>) -> Poll {
        let now = self.cursor().expect("it was entered");
        let changed = match cursor {
            Some(cursor) if cursor.nonce == now.nonce => {
                Changed::These(if cursor.change < self.record { vec![id()] } else { Vec::new() })
            }
            _ => Changed::All,
        };
        let presences = self.presences.iter().map(|(who, presence)| (*who, presence.clone())).collect();
        Poll { cursor: now, changed, presences }
    }
}
