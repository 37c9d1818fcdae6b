//! What does this relay know of the others on its store: who lives, how do their clocks differ, and when was it last in contact?
//!
//! No clock of another machine is believed. That a relay lives is shown by a presence that changes; how far its boot clock is
//! from ours, by the readings in it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use crate::{
    clock::{BootId, Bounds, ClockOffset, Timestamp},
    presence::{Presence, ReplicaId},
    store::StoreError,
    timing::{LEASE, SUCCESSION},
};

#[cfg(test)]
mod tests;

/// A relay whose presence has not changed for so long may hold no lease any more: 3 s more than it counts on.
pub(crate) const TAKE_OVER: Duration = LEASE.saturating_add(SUCCESSION);
/// After the store was away for longer than a lease, nobody could show its presence: so long all get the time to.
const RETURN: Duration = SUCCESSION;
/// For how long after a sign of a new relay the next one is waited for, until its clock is known.
const ACQUAINTANCE: Duration = Duration::from_secs(3);
/// For how many signs: its presence has to be seen, ours by it, and that by us. Three do where all polls are answered.
const ACQUAINTANCE_SIGNS: u32 = 8;
/// An offset that is known less well is worth no more than what the wall clocks tell, and not used: after a long freeze the first
/// reading tells little.
const CLOSE: Duration = Duration::from_secs(10);
/// How much faster one clock may run than another: 200 millionths, twice what a bad quartz does.
const DRIFT: u32 = 5000;
/// After so long without a sign a relay's presence is removed.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// For how long the clock of a relay that is gone is remembered: its record may lie there that long.
const CLOCK_REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// How many clocks a presence tells of.
const CLOCKS_TOLD: usize = 8;
/// How many of its own beats a relay remembers: a minute of them.
const BEATS: usize = 64;

/// What is known of the relays on the store.
#[derive(Debug, Clone)]
pub struct Peers {
    me: ReplicaId,
    boot_id: BootId,
    contact_at: Option<Timestamp>,
    /// Since when no time-out was longer than a lease.
    connected_at: Option<Timestamp>,
    trouble: Option<StoreError>,
    seen: BTreeMap<ReplicaId, Peer>,
    /// Latest last.
    clocks: Vec<KnownClock>,
    /// When the last beats of this relay were sent.
    sent: VecDeque<(u64, Timestamp)>,
}

#[derive(Debug, Clone)]
struct Peer {
    beat: u64,
    boot_id: BootId,
    /// How many polls showed it changed.
    signs: u32,
    /// When the answer came that showed it changed.
    changed_at: Timestamp,
}

/// How far our clock was ahead of another one.
#[derive(Debug, Clone)]
struct KnownClock {
    boot_id: BootId,
    /// As it was at `at`.
    offset: ClockOffset,
    at: Timestamp,
    /// Measured here, not only told by another relay.
    is_measured: bool,
    /// When it was last measured here, or first told.
    learned_at: Timestamp,
}

impl KnownClock {
    fn offset_at(&self, now: Timestamp) -> ClockOffset {
        self.offset.drifted(now.since(self.at) / DRIFT)
    }
}

impl Peers {
    /// Of a relay that has not polled yet.
    pub fn new(me: ReplicaId, boot_id: BootId) -> Self {
        let (seen, clocks, sent) = Default::default();
        Self { me, boot_id, contact_at: None, connected_at: None, trouble: None, seen, clocks, sent }
    }

    /// This relay.
    pub const fn me(&self) -> ReplicaId {
        self.me
    }

    /// When the last poll began that was answered: this relay's presence is shown since. In a keeper's view ([`Self::up_to`])
    /// every write of its record is known up to here.
    pub const fn contact_at(&self) -> Option<Timestamp> {
        self.contact_at
    }

    /// Since when no time-out was longer than a lease.
    pub const fn connected_at(&self) -> Option<Timestamp> {
        self.connected_at
    }

    /// The same for a keeper that knows the writes of its record only up to here, and so counts on its lease from here on.
    #[must_use]
    pub fn up_to(&self, contact_at: Option<Timestamp>) -> Self {
        Self { contact_at, ..self.clone() }
    }

    /// Why the store did not answer last, until it does.
    pub const fn trouble(&self) -> Option<&StoreError> {
        self.trouble.as_ref()
    }

    /// Whether `holder` counts on no lease any more, since at the latest it was in a record first seen at `since`.
    pub fn is_gone(&self, holder: ReplicaId, since: Timestamp) -> bool {
        let unchanged_since = self.seen.get(&holder).map_or(since, |peer| peer.changed_at);
        let (Some(contact_at), Some(connected_at)) = (self.contact_at, self.connected_at) else { return false };
        // only a poll that began so long after the change shows that there was none since
        holder != self.me && unchanged_since.plus(TAKE_OVER).max(connected_at.plus(RETURN)) <= contact_at
    }

    /// Whether another relay shows that it lives.
    pub fn has_company(&self) -> bool {
        self.seen.iter().any(|(id, peer)| *id != self.me && !self.is_gone(*id, peer.changed_at))
    }

    /// Whether that relay has shown itself.
    pub fn has_seen(&self, id: ReplicaId) -> bool {
        self.seen.contains_key(&id)
    }

    /// How far our boot clock is ahead of that one at `now`, if it is known.
    pub fn offset(&self, boot_id: &BootId, now: Timestamp) -> Option<ClockOffset> {
        if boot_id.is_same(&self.boot_id) {
            return Some(ClockOffset::NONE);
        }
        let known = self.clocks.iter().find(|known| known.boot_id.is_same(boot_id))?;
        Some(known.offset_at(now)).filter(is_close)
    }

    /// Whether that clock may be known in a moment: from a relay that has just shown itself, its own or one that has measured
    /// it, or from the next poll, if there was none of late.
    pub fn is_about_to_know(&self, boot_id: &BootId, now: Timestamp) -> bool {
        let is_stale = self.contact_at.is_none_or(|at| at.plus(ACQUAINTANCE) < now);
        self.offset(boot_id, now).is_none() && (is_stale || self.has_stranger(now))
    }

    /// Whether a relay has shown itself whose clock is not known yet, and can be.
    pub(super) fn has_stranger(&self, now: Timestamp) -> bool {
        let is_new = |peer: &Peer| now < peer.changed_at.plus(ACQUAINTANCE) && peer.signs < ACQUAINTANCE_SIGNS;
        let has_clock = |peer: &Peer| !peer.boot_id.as_str().is_empty();
        let mut strangers = self.seen.values().filter(|peer| is_new(peer) && has_clock(peer));
        strangers.any(|peer| self.offset(&peer.boot_id, now).is_none())
    }

    /// What this relay shows with the poll that begins `now`.
    pub(super) fn show(&mut self, beat: u64, now: Timestamp) -> Presence {
        self.sent.push_back((beat, now));
        if self.sent.len() > BEATS {
            self.sent.pop_front();
        }
        let measured = self.clocks.iter().rev().filter(|known| known.is_measured && is_close(&known.offset));
        let told = |known: &KnownClock| (known.boot_id.clone(), known.offset_at(now));
        let living = self.seen.iter().filter(|(_, peer)| now < peer.changed_at.plus(TAKE_OVER));
        Presence {
            beat,
            boot_id: self.boot_id.clone(),
            boot_at: now,
            heard: living.map(|(id, peer)| (*id, peer.beat)).collect(),
            clocks: measured.take(CLOCKS_TOLD).map(told).collect(),
        }
    }

    /// Takes in what a poll showed that was answered at `now`. Whether a clock is known that was unknown before.
    pub(super) fn showed(&mut self, now: Timestamp, presences: Vec<(ReplicaId, Presence)>) -> bool {
        let known = |peers: &Self| peers.clocks.iter().filter(|known| is_close(&known.offset)).count();
        let before = known(self);
        let shown: BTreeSet<_> = presences.iter().map(|(id, _)| *id).collect();
        self.seen.retain(|id, peer| shown.contains(id) || now.since(peer.changed_at) < FORGOTTEN);
        let me = self.me;
        for (id, presence) in presences.into_iter().filter(|(id, _)| *id != me) {
            self.take_presence(id, presence, now);
        }
        self.clocks.retain(|known| now.since(known.learned_at) < CLOCK_REMEMBERED);
        before < known(self)
    }

    fn take_presence(&mut self, id: ReplicaId, presence: Presence, now: Timestamp) {
        let Presence { beat, boot_id, boot_at, heard, clocks } = presence;
        // a lower beat, or the same, is from an old dump or of a relay that is gone
        let is_news = self.seen.get(&id).is_none_or(|peer| peer.beat < beat);
        if !is_news {
            return;
        }
        let signs = self.seen.get(&id).map_or(0, |peer| peer.signs).saturating_add(1);
        self.seen.insert(id, Peer { beat, boot_id: boot_id.clone(), signs, changed_at: now });
        let ours = heard.into_iter().find(|(of, _)| *of == self.me).map(|(_, beat)| beat);
        let sent_at = ours.and_then(|beat| self.sent.iter().find(|(sent, _)| *sent == beat)).map(|(_, at)| *at);
        let sent_at = sent_at.unwrap_or(Timestamp::LONG_AGO);
        // since the reading our clock may have fallen behind
        let read = Bounds::between(sent_at.minus(now.since(sent_at) / DRIFT), now);
        self.learn_clock(&boot_id, ClockOffset::between(boot_at, read), now, true);
        let Some(ahead) = self.offset(&boot_id, now) else { return };
        let told_before = now.since(ahead.earliest(boot_at));
        for (other, offset) in clocks {
            self.learn_clock(&other, ahead.and_then(offset.drifted(told_before / DRIFT)), now, false);
        }
    }

    /// Our clock is so far ahead of that one.
    fn learn_clock(&mut self, boot_id: &BootId, offset: ClockOffset, now: Timestamp, is_measured: bool) {
        // an empty id is that of a system that has none, and never the same
        if boot_id.is_same(&self.boot_id) || boot_id.as_str().is_empty() {
            return;
        }
        let mut clock = KnownClock { boot_id: boot_id.clone(), offset, at: now, is_measured, learned_at: now };
        if let Some(place) = self.clocks.iter().position(|known| known.boot_id.is_same(boot_id)) {
            let known = self.clocks.remove(place);
            let before = known.offset_at(now);
            // where two measurements contradict each other, the clock has jumped; what contradicts them and is only told is wrong
            let is_wrong = known.is_measured && !is_measured;
            clock.offset = before.and(offset).unwrap_or(if is_wrong { before } else { offset });
            clock.is_measured |= known.is_measured;
            if !is_measured {
                // what another relay tells does not keep alive what nobody measures any more
                clock.learned_at = known.learned_at;
            }
        }
        self.clocks.push(clock);
    }

    /// The poll that began at `asked_at` was answered.
    pub(super) fn contacted(&mut self, asked_at: Timestamp) {
        let is_back = self.contact_at.is_none_or(|at| at.plus(LEASE) < asked_at);
        if is_back {
            self.connected_at = Some(asked_at);
        }
        self.contact_at = Some(asked_at);
    }

    /// The store answers whatever it is asked.
    pub(super) fn recovered(&mut self) {
        self.trouble = None;
    }

    /// The store did not answer.
    pub(super) fn cut_off(&mut self, error: StoreError) {
        self.trouble = Some(error);
    }

    /// Those without a sign for so long that their presence is to be removed.
    pub(super) fn long_gone(&self, now: Timestamp) -> Vec<ReplicaId> {
        let gone = self.seen.iter().filter(|(_, peer)| now.since(peer.changed_at) >= FORGOTTEN);
        gone.map(|(id, _)| *id).collect()
    }

    /// Those that count on no lease any more.
    pub(super) fn gone(&self) -> impl Iterator<Item = ReplicaId> {
        self.seen.iter().filter(|(id, peer)| self.is_gone(**id, peer.changed_at)).map(|(id, _)| *id)
    }
}

fn is_close(offset: &ClockOffset) -> bool {
    offset.uncertainty() <= CLOSE
}
