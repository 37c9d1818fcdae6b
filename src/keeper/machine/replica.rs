//! What does a machine know of the other relays on its store?

use std::sync::Arc;

use super::Timestamp;
use crate::{
    clock::BootId,
    credential::Generation,
    group::{
        Found,
        peers::{Peers, TAKE_OVER},
    },
    keeper::record::{Call, CallId, Credential},
    presence::ReplicaId,
};

/// What this relay is among those on its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The only one: it may call.
    Alone,
    /// It has the lease, and may call until this moment.
    Holder { until: Timestamp },
    /// Another one has the lease, or nobody.
    Follower,
    /// What is stored is not to be written over.
    Blocked(Obstacle),
}

/// Whose bytes stand in the place of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// No record that we can read. Nothing is written over it, and nothing is called.
    Foreign,
    /// A record of another appid, endpoint or base URL, of a relay that may be alive.
    Anothers(ReplicaId),
}

/// What is known of the others, and of what they wrote.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub(super) struct Replica {
    pub(super) peers: Arc<Peers>,
    /// That the store is away was taken in.
    pub(super) is_away: bool,
    /// What was read of the record, and not taken in yet.
    pub(super) found: Option<Found>,
    /// It is to be read again.
    pub(super) is_behind: bool,
    /// Up to here every write of the record is known: the machine's own, for it may be behind its relay.
    pub(super) contact_at: Option<Timestamp>,
    /// When the record that the store holds was first seen.
    pub(super) learned_at: Timestamp,
    /// When the store still held the record before that one. Whoever writes the next had seen this one: he writes it later.
    pub(super) absent_at: Option<Timestamp>,
    /// When the write under way began.
    pub(super) write_began_at: Timestamp,
    /// The greatest revision that was read or written.
    pub(super) seen_revision: u64,
    /// The record that the store holds names its holder as ours does.
    pub(super) is_confirmed: bool,
    pub(super) obstacle: Option<Obstacle>,
    /// The clock of the stored record's writer, if only the wall clocks told how old that is.
    pub(super) judged_by_wall: Option<BootId>,
    /// What a call of this relay brought that is not durable yet.
    pub(super) unstored: Option<Unstored>,
    /// The last call of this relay of which nothing more will come, and whether it has minted nothing for certain.
    pub(super) ended: Option<(CallId, bool)>,
    /// The forwarded report that answers the reports waiting here.
    pub(super) awaited: Option<u64>,
    /// When the lease, which is free, is taken.
    pub(super) take_at: Option<Timestamp>,
    /// The lease was given back, for another relay may fare better: the others go first, until the record names a holder.
    pub(super) has_yielded: bool,
    /// How many calls in a row have failed alike since this relay took the lease.
    pub(super) failed_alike: u32,
}

impl Replica {
    /// Whether `at` is so long ago that a relay which is not seen may hold nothing any more.
    pub(super) fn has_stood_still(&self, at: Timestamp) -> bool {
        self.contact_at.is_some_and(|contact_at| at.plus(TAKE_OVER) <= contact_at)
    }

    pub(super) fn new(peers: Arc<Peers>, now: Timestamp) -> Self {
        Self {
            peers,
            is_away: false,
            found: None,
            is_behind: true,
            contact_at: None,
            learned_at: now,
            absent_at: None,
            write_began_at: now,
            seen_revision: 0,
            is_confirmed: false,
            obstacle: None,
            judged_by_wall: None,
            unstored: None,
            ended: None,
            awaited: None,
            take_at: None,
            has_yielded: false,
            failed_alike: 0,
        }
    }

    pub(super) fn me(&self) -> ReplicaId {
        self.peers.me()
    }

    pub(super) fn see(&mut self, peers: Arc<Peers>, found: Option<Found>) {
        self.peers = peers;
        if let Some(found) = found {
            self.found = Some(found);
            self.is_behind = false;
        }
        if self.found.is_none() && !self.is_behind {
            self.contact_at = self.peers.contact_at();
        }
    }

    /// The number of the next write, greater than any that was seen.
    pub(super) fn number_write(&mut self, now: Timestamp, revision: u64) -> u64 {
        self.write_began_at = now;
        revision.max(self.seen_revision).saturating_add(1)
    }

    /// The store holds what was written.
    pub(super) fn wrote(&mut self, now: Timestamp, revision: u64) {
        self.absent_at = Some(self.write_began_at);
        self.learned_at = now;
        self.seen_revision = revision;
        self.is_confirmed = true;
        (self.obstacle, self.judged_by_wall, self.unstored, self.take_at) = (None, None, None, None);
    }
}

/// What a call of this relay brought, until it is durable.
#[derive(Debug, Clone)]
pub(super) enum Unstored {
    /// A token.
    Token {
        credential: Credential,
        /// The generation that this relay knew when it called: the call was sent after that one came.
        after: Generation,
    },
    /// No known outcome.
    Unknown(Call),
}
