//! What does this relay know of the others on its store: who lives, how do their clocks differ, and up to when is it up to date?
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

/// A relay whose presence has not changed for so long may hold no lease any more: 3 s more than it counts on.
pub(crate) const TAKE_OVER: Duration = LEASE.saturating_add(SUCCESSION);
/// After the store was away for longer than a lease, nobody could show its presence: so long all get the time to.
const RETURN: Duration = SUCCESSION;
/// For how long of polls a new relay is waited for until its clock is known: its presence has to be seen, ours by it, and that
/// by us.
const ACQUAINTANCE: Duration = Duration::from_secs(3);
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
    /// Since when every poll was answered.
    answered_since: Option<Timestamp>,
    /// When the answer came that this view holds.
    as_of: Option<Timestamp>,
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
    /// When it was first seen.
    since: Timestamp,
    /// When the answer came that showed it changed.
    changed_at: Timestamp,
}

/// How far our clock was ahead of another one.
#[derive(Debug, Clone)]
struct KnownClock {
    boot_id: BootId,
    offset: ClockOffset,
    at: Timestamp,
    /// Measured here, not told by another relay.
    is_measured: bool,
}

impl Peers {
    /// Of a relay that has not polled yet.
    pub fn new(me: ReplicaId, boot_id: BootId) -> Self {
        let (seen, clocks, sent) = Default::default();
        let (contact_at, connected_at, trouble, answered_since, as_of) = Default::default();
        Self { me, boot_id, contact_at, connected_at, trouble, answered_since, as_of, seen, clocks, sent }
    }

    /// This relay.
    pub const fn me(&self) -> ReplicaId {
        self.me
    }

    /// When the last poll began that was answered and of which everything that it named was read: up to here every write is
    /// known, and this relay's presence is shown since.
    pub const fn contact_at(&self) -> Option<Timestamp> {
        self.contact_at
    }

    /// Up to when this relay may count on its leases.
    pub fn lease_until(&self) -> Option<Timestamp> {
        self.contact_at.map(|at| at.plus(LEASE))
    }

    /// Why the last poll failed, until one succeeds.
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

    /// Whether that relay has shown itself.
    pub fn has_seen(&self, id: ReplicaId) -> bool {
        self.seen.contains_key(&id)
    }

    /// How far our boot clock is ahead of that one at `now`, if it is known.
    pub fn offset(&self, boot_id: &BootId, now: Timestamp) -> Option<ClockOffset> {
        if boot_id.is_same(&self.boot_id) {
            return Some(ClockOffset::NONE);
        }
        self.reading(boot_id, now).filter(is_close)
    }

    fn reading(&self, boot_id: &BootId, now: Timestamp) -> Option<ClockOffset> {
        let known = self.clocks.iter().find(|known| known.boot_id.is_same(boot_id))?;
        Some(known.offset.drifted(now.since(known.at) / DRIFT))
    }

    /// Whether the clock of the writer of a record that was found at `found_at` may be known in a moment: from a relay that has
    /// just shown itself, the writer or one that has measured it, or from the next poll, if there was none of late.
    pub fn is_about_to_know(&self, boot_id: &BootId, found_at: Timestamp, now: Timestamp) -> bool {
        let is_older_than_record = self.as_of.is_none_or(|at| at < found_at);
        let is_stale = self.contact_at.is_none_or(|at| at.plus(ACQUAINTANCE) < now);
        self.offset(boot_id, now).is_none() && (is_older_than_record || is_stale || self.has_stranger(now))
    }

    /// Whether a relay has shown itself whose clock is not known yet, though it may be before long.
    pub(super) fn has_stranger(&self, now: Timestamp) -> bool {
        let answered_since = self.answered_since.unwrap_or(Timestamp::LONG_AGO);
        let has_had_time = |peer: &Peer| {
            let until = peer.since.max(answered_since).plus(ACQUAINTANCE);
            self.contact_at.is_some_and(|at| until <= at)
        };
        self.seen.values().any(|peer| !has_had_time(peer) && self.offset(&peer.boot_id, now).is_none())
    }

    /// What this relay shows with the poll that begins `now`.
    pub(super) fn show(&mut self, beat: u64, now: Timestamp) -> Presence {
        self.sent.push_back((beat, now));
        if self.sent.len() > BEATS {
            self.sent.pop_front();
        }
        let measured = self.clocks.iter().rev().filter(|known| known.is_measured && is_close(&known.offset));
        let told = |known: &KnownClock| (known.boot_id.clone(), known.offset.drifted(now.since(known.at) / DRIFT));
        Presence {
            beat,
            boot_id: self.boot_id.clone(),
            boot_at: now,
            heard: self.seen.iter().map(|(id, peer)| (*id, peer.beat)).collect(),
            clocks: measured.take(CLOCKS_TOLD).map(told).collect(),
        }
    }

    /// Takes in what a poll showed that was answered at `now`. Whether a clock is known that was unknown before.
    pub(super) fn showed(&mut self, now: Timestamp, presences: Vec<(ReplicaId, Presence)>) -> bool {
        self.as_of = Some(now);
        let known = |peers: &Self| peers.clocks.iter().filter(|known| is_close(&known.offset)).count();
        let before = known(self);
        let shown: BTreeSet<_> = presences.iter().map(|(id, _)| *id).collect();
        self.seen.retain(|id, peer| shown.contains(id) || now.since(peer.changed_at) < FORGOTTEN);
        let me = self.me;
        for (id, presence) in presences.into_iter().filter(|(id, _)| *id != me) {
            self.is_shown(id, presence, now);
        }
        self.clocks.retain(|known| now.since(known.at) < CLOCK_REMEMBERED);
        before < known(self)
    }

    fn is_shown(&mut self, id: ReplicaId, presence: Presence, now: Timestamp) {
        let Presence { beat, boot_id, boot_at, heard, clocks } = presence;
        // a lower beat, or the same, is from an old dump or of a relay that is gone
        let is_news = self.seen.get(&id).is_none_or(|peer| peer.beat < beat);
        if !is_news {
            return;
        }
        let since = self.seen.get(&id).map_or(now, |peer| peer.since);
        self.seen.insert(id, Peer { beat, boot_id: boot_id.clone(), since, changed_at: now });
        let ours = heard.into_iter().find(|(of, _)| *of == self.me).map(|(_, beat)| beat);
        let sent_at = ours.and_then(|beat| self.sent.iter().find(|(sent, _)| *sent == beat)).map(|(_, at)| *at);
        let read = Bounds::between(sent_at.unwrap_or(Timestamp::LONG_AGO), now);
        self.learn_clock(&boot_id, ClockOffset::between(boot_at, read), now, true);
        let Some(ahead) = self.offset(&boot_id, now) else { return };
        for (other, offset) in clocks {
            self.learn_clock(&other, ahead.and_then(offset), now, false);
        }
    }

    /// Our clock is so far ahead of that one.
    fn learn_clock(&mut self, boot_id: &BootId, offset: ClockOffset, now: Timestamp, is_measured: bool) {
        // an empty id is that of a system that has none, and never the same
        if boot_id.is_same(&self.boot_id) || !boot_id.is_same(boot_id) {
            return;
        }
        let known = self.reading(boot_id, now);
        let was_measured = self.clocks.iter().any(|clock| clock.boot_id.is_same(boot_id) && clock.is_measured);
        let at = self.clocks.iter().find(|clock| clock.boot_id.is_same(boot_id)).map_or(now, |clock| clock.at);
        // what another relay tells does not keep alive what nobody measures any more
        let at = if is_measured || known.is_none() { now } else { at };
        let offset = known.and_then(|known| known.and(offset)).unwrap_or(offset);
        self.clocks.retain(|clock| !clock.boot_id.is_same(boot_id));
        let is_measured = is_measured || was_measured;
        self.clocks.push(KnownClock { boot_id: boot_id.clone(), offset, at, is_measured });
    }

    /// Everything was read that the poll named which began at `asked_at`.
    pub(super) fn is_up_to_date(&mut self, asked_at: Timestamp) {
        let is_back = self.contact_at.is_none_or(|at| at.plus(LEASE) < asked_at);
        if is_back {
            self.connected_at = Some(asked_at);
        }
        self.contact_at = Some(asked_at);
        if self.trouble.take().is_some() || self.answered_since.is_none() {
            self.answered_since = Some(asked_at);
        }
    }

    /// The store did not answer.
    pub(super) fn is_cut_off(&mut self, error: StoreError) {
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
