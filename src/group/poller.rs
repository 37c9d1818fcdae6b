//! What is asked of the store next, and which records are read after its answer, batch by batch?
//!
//! No I/O and no clock: the same code polls in production and in the simulation.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::peers::Peers;
use crate::{
    clock::{BootId, Timestamp},
    credential::CredentialId,
    presence::{Presence, ReplicaId},
    store::{Changed, Cursor, Poll, READ_AT_ONCE, StoreError},
};

#[cfg(test)]
mod tests;

/// How often every relay polls, when nothing makes it poll sooner.
pub const POLL: Duration = Duration::from_secs(1);
/// The same while a relay is new whose clock is not known: two that poll so know each other's within half a second.
const FAST_POLL: Duration = Duration::from_millis(200);
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
    /// To be read.
    wanted: BTreeSet<CredentialId>,
    /// Those that a poll named and that were not read since: up to when all writes of each are known.
    behind: BTreeMap<CredentialId, Option<Timestamp>>,
    /// So many of the credentials were read again in this round.
    swept: usize,
    /// What was known when everybody was last woken.
    gone: BTreeSet<ReplicaId>,
}

/// What is to be read next: one batch, of a poll or of what it left over.
#[derive(Debug)]
pub struct Reading {
    /// The records, at most [`READ_AT_ONCE`]. None is a batch too, of a poll that named nothing.
    pub ids: Vec<CredentialId>,
    /// All keepers are to look again.
    is_news: bool,
}

impl Poller {
    /// Of a relay that has not polled yet.
    pub fn new(me: ReplicaId, boot_id: BootId) -> Self {
        let peers = Peers::new(me, boot_id);
        let (ids, wanted, behind, gone) = Default::default();
        Self { peers, ids, cursor: None, beat: 0, wanted, behind, swept: 0, gone }
    }

    /// What is known of the others.
    pub const fn peers(&self) -> &Peers {
        &self.peers
    }

    /// What a keeper may count on: while its record is still to be read, on no poll that named it.
    pub fn peers_of(&self, id: &CredentialId) -> Peers {
        self.behind.get(id).map_or_else(|| self.peers.clone(), |contact_at| self.peers.up_to(*contact_at))
    }

    /// Those whose records were named and are still to be read: up to when all writes of each are known.
    pub(super) fn behind(&self) -> impl Iterator<Item = (&CredentialId, Option<Timestamp>)> {
        self.behind.iter().map(|(id, contact_at)| (id, *contact_at))
    }

    /// From now on this credential is kept: its record is read after the next poll.
    pub fn add(&mut self, id: CredentialId) {
        self.wanted.insert(id.clone());
        self.ids.insert(id);
    }

    /// It is kept no longer.
    pub fn remove(&mut self, id: &CredentialId) {
        self.wanted.remove(id);
        self.behind.remove(id);
        self.ids.remove(id);
    }

    /// Its record is to be read, whether a poll names it or not.
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

    /// The poll that began at `asked_at` was answered. Its names are kept until they are read, so the next poll asks from here
    /// on; this relay's presence is shown, and whoever was not named knows every write up to here.
    pub fn answered(&mut self, asked_at: Timestamp, now: Timestamp, poll: Poll) -> Reading {
        let is_clock_known = self.peers.showed(now, poll.presences);
        // what nothing calls for waits until the rest is read
        if self.wanted.is_empty() {
            let part = self.sweep();
            self.wanted.extend(part);
        }
        let contact_at = self.peers.contact_at();
        let named = match poll.changed {
            Changed::All => self.ids.iter().cloned().collect(),
            Changed::These(changed) => changed,
        };
        for id in named.into_iter().filter(|id| self.ids.contains(id)) {
            self.behind.entry(id.clone()).or_insert(contact_at);
            self.wanted.insert(id);
        }
        self.cursor = Some(poll.cursor);
        self.peers.contacted(asked_at);
        let gone = self.peers.gone().collect();
        let is_other = std::mem::replace(&mut self.gone, gone) != self.gone;
        Reading { is_news: is_other || is_clock_known || contact_at.is_none(), ids: self.batch() }
    }

    /// What the last poll left over to be read.
    pub fn more(&mut self) -> Option<Reading> {
        (!self.wanted.is_empty()).then(|| Reading { ids: self.batch(), is_news: false })
    }

    fn batch(&mut self) -> Vec<CredentialId> {
        let next = self.wanted.iter().nth(READ_AT_ONCE).cloned();
        let rest = next.map_or_else(BTreeSet::new, |next| self.wanted.split_off(&next));
        std::mem::replace(&mut self.wanted, rest).into_iter().collect()
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
        for id in &reading.ids {
            self.behind.remove(id);
        }
        let was_away = self.peers.trouble().is_some();
        self.peers.recovered();
        was_away || reading.is_news
    }

    /// The poll failed, or this reading after it: that is read again later. Whether all keepers are to look again.
    pub fn failed(&mut self, reading: Option<Reading>, error: StoreError) -> bool {
        let mut is_news = self.peers.trouble() != Some(&error);
        if let Some(Reading { ids, is_news: was_news }) = reading {
            self.wanted.extend(ids);
            is_news |= was_news;
        }
        self.peers.cut_off(error);
        is_news
    }

    /// How long after the beginning of a poll the next one begins.
    pub fn pace(&self, now: Timestamp) -> Duration {
        if self.peers.has_stranger(now) { FAST_POLL } else { POLL }
    }

    /// Whose presence is to be removed from the store.
    pub fn long_gone(&self, now: Timestamp) -> Vec<ReplicaId> {
        self.peers.long_gone(now)
    }
}
