//! What is asked of the store next, and which records are read after its answer?
//!
//! No I/O and no clock: the same code polls in production and in the simulation.

use std::{collections::BTreeSet, time::Duration};

use super::peers::Peers;
use crate::{
    clock::{BootId, Timestamp},
    credential::CredentialId,
    presence::{Presence, ReplicaId},
    store::{Changed, Cursor, Poll, StoreError},
};

/// How often every relay polls, when nothing makes it poll sooner.
pub const POLL: Duration = Duration::from_secs(1);
/// The same while a relay is new whose clock is not known: two that poll so know each other's within half a second.
const HURRY: Duration = Duration::from_millis(200);
/// With every fifth poll a part of the records is read again, and within twelve such parts all of them, in a minute: a key that
/// was deleted or evicted is named by no change. Of fewer credentials one is read each time.
const SWEEP_EVERY: u64 = 5;
const SWEEP_PARTS: usize = 12;

/// What one relay polls the store for.
#[derive(Debug)]
pub struct Poller {
    peers: Peers,
    ids: BTreeSet<CredentialId>,
    cursor: Option<Cursor>,
    beat: u64,
    /// To be read with the next poll, whether it names them or not.
    wanted: BTreeSet<CredentialId>,
    /// So many of the credentials were read again in this round.
    swept: usize,
    /// What was known when everybody was last woken.
    gone: BTreeSet<ReplicaId>,
}

/// A poll that was answered: what must be read before the relay is up to date.
#[derive(Debug)]
pub struct Reading {
    /// The records.
    pub ids: Vec<CredentialId>,
    /// When the poll was answered: they are read after that.
    pub answered_at: Timestamp,
    asked_at: Timestamp,
    cursor: Cursor,
    is_clock_known: bool,
}

impl Poller {
    /// Of a relay that has not polled yet.
    pub fn new(me: ReplicaId, boot_id: BootId) -> Self {
        let peers = Peers::new(me, boot_id);
        let (ids, wanted, gone) = Default::default();
        Self { peers, ids, cursor: None, beat: 0, wanted, swept: 0, gone }
    }

    /// What is known of the others.
    pub const fn peers(&self) -> &Peers {
        &self.peers
    }

    /// From now on this credential is kept: its record is read with the next poll.
    pub fn add(&mut self, id: CredentialId) {
        self.wanted.insert(id.clone());
        self.ids.insert(id);
    }

    /// It is kept no longer.
    pub fn remove(&mut self, id: &CredentialId) {
        self.wanted.remove(id);
        self.ids.remove(id);
    }

    /// Its record is to be read with the next poll.
    pub fn want(&mut self, id: CredentialId) {
        if self.ids.contains(&id) {
            self.wanted.insert(id);
        }
    }

    /// What a poll shows and asks that begins `now`.
    pub fn begin(&mut self, now: Timestamp) -> (Presence, Option<Cursor>) {
        self.beat += 1;
        (self.peers.show(self.beat, now), self.cursor)
    }

    /// The poll that began at `asked_at` was answered.
    pub fn answered(&mut self, asked_at: Timestamp, now: Timestamp, poll: Poll) -> Reading {
        let is_clock_known = self.peers.showed(now, poll.presences);
        let mut ids = std::mem::take(&mut self.wanted);
        match poll.changed {
            Changed::All => ids.clone_from(&self.ids),
            Changed::These(changed) => ids.extend(changed.into_iter().filter(|id| self.ids.contains(id))),
        }
        ids.extend(self.sweep());
        Reading { ids: ids.into_iter().collect(), answered_at: now, asked_at, cursor: poll.cursor, is_clock_known }
    }

    /// The next part of the credentials, in their order and round again.
    fn sweep(&mut self) -> Vec<CredentialId> {
        if !self.beat.is_multiple_of(SWEEP_EVERY) {
            return Vec::new();
        }
        let share = self.ids.len().div_ceil(SWEEP_PARTS);
        let part: Vec<_> = self.ids.iter().skip(self.swept).take(share).cloned().collect();
        self.swept += part.len();
        if self.ids.len() <= self.swept {
            self.swept = 0;
        }
        part
    }

    /// All of it was read, and every keeper has what concerns it. Whether all keepers are to look again, because a relay is
    /// gone or back, its clock is known, or the store answers again.
    pub fn read(&mut self, reading: &Reading) -> bool {
        let was_away = self.peers.trouble().is_some() || self.peers.contact_at().is_none();
        self.cursor = Some(reading.cursor);
        self.peers.contacted(reading.asked_at);
        self.peers.recovered();
        let gone = self.peers.gone().collect();
        let is_news = std::mem::replace(&mut self.gone, gone) != self.gone;
        was_away || is_news || reading.is_clock_known
    }

    /// The poll or a read after it failed. Whether all keepers are to look again, because that is new.
    pub fn failed(&mut self, reading: Option<Reading>, error: StoreError) -> bool {
        self.wanted.extend(reading.into_iter().flat_map(|reading| reading.ids));
        let is_news = self.peers.trouble() != Some(&error);
        self.peers.cut_off(error);
        is_news
    }

    /// How long after the beginning of a poll the next one begins.
    pub fn pace(&self, now: Timestamp) -> Duration {
        if self.peers.has_stranger(now) { HURRY } else { POLL }
    }

    /// Whose presence is to be removed from the store.
    pub fn long_gone(&self, now: Timestamp) -> Vec<ReplicaId> {
        self.peers.long_gone(now)
    }
}
