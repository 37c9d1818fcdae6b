//! What does a relay know, what may it promise, and what is due? After `src/keeper/machine/promise.rs`, `plan.rs`, `role.rs`
//! and `lease.rs`, and `src/group/peers.rs`.

use crate::{
    record::{Call, CallId, Credential, Generation, Record, RelayId, TokenId},
    setup::{Rule, Setup},
    store::{Cursor, Version},
    timing::{CALL, DEATH_MARGIN, LEASE, LONG_AGO, NEVER, NOW, OVERLAP, SUCCESSION, Tick, WINDOW, age},
};

/// Whether a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// It is to be started after a crash.
    Unborn,
    /// It runs.
    Active,
    /// It runs, and the store cannot be reached.
    Cut,
    /// Nothing of its process runs.
    Frozen,
    /// It has crashed.
    Dead,
}

/// A call of this relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sent {
    /// Which one.
    pub id: CallId,
    /// s.
    pub at: Tick,
    /// It goes out before that.
    pub until: Tick,
    /// Its relay was frozen before the first byte.
    pub is_orphan: bool,
    /// Its relay was frozen before its end.
    pub was_frozen: bool,
    /// The store has lost its intent.
    pub is_unannounced: bool,
}

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing.
    Idle,
    /// The intent is stored.
    Recorded(Sent),
    /// The lease was looked at for the last time.
    Cleared(Sent),
    /// The first byte left then.
    Out(Sent, Tick),
    /// `WeChat` has minted this token; the first byte left then.
    Answered(Sent, Tick, TokenId),
}

/// What a call of this relay brought that is not stored yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unstored {
    /// A token, and the generation that was known when it was asked for.
    Token(Credential, Generation),
    /// No known outcome.
    Unknown(Call),
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// To write what was learnt.
    Write,
    /// To take the lease.
    Lease,
    /// To call.
    Call,
    /// To probe the candidate.
    Probe,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Relay {
    /// Whether it runs.
    pub status: Status,
    /// What is under way.
    pub phase: Phase,
    /// When its last poll was answered.
    pub polled_at: Tick,
    /// Since when no time without an answer was longer than a lease.
    pub connected_at: Tick,
    /// Up to here every write of the record is known.
    pub contact_at: Tick,
    /// The record was named and is still to be read.
    pub is_behind: bool,
    /// Whose presence had stood still for the time of a take-over, one bit each.
    pub gone: u8,
    /// Up to where the last poll has read.
    pub cursor: Cursor,
    /// The latest that the store has answered with, to a poll or a write.
    pub latest: Cursor,
    /// What the store is believed to hold.
    pub held: Version,
    /// When that was first seen.
    pub learned_at: Tick,
    /// The greatest revision that was read or written.
    pub seen_revision: u8,
    /// The stored record names its holder as ours does.
    pub is_confirmed: bool,
    /// What is known; of a relay that has not read a record, nothing.
    pub record: Option<Record>,
    /// Something is to be written.
    pub is_dirty: bool,
    /// The generation that is stored.
    pub durable: Generation,
    /// The generation that was offered to the store in vain.
    pub untaken: Generation,
    /// What a call brought that is not stored yet.
    pub unstored: Option<Unstored>,
    /// The last call that has ended, and whether it has minted nothing for certain.
    pub ended: Option<(CallId, bool)>,
    /// The generation and token that were served last.
    pub served: Option<(Generation, TokenId)>,
}

impl Relay {
    pub(crate) const fn new(status: Status) -> Self {
        Self {
            status,
            phase: Phase::Idle,
            polled_at: LONG_AGO,
            connected_at: LONG_AGO,
            contact_at: LONG_AGO,
            is_behind: false,
            gone: 0,
            cursor: Cursor::NONE,
            latest: Cursor::NONE,
            held: 0,
            learned_at: LONG_AGO,
            seen_revision: 0,
            is_confirmed: false,
            record: None,
            is_dirty: false,
            durable: 0,
            untaken: 0,
            unstored: None,
            ended: None,
            served: None,
        }
    }

    pub(crate) const fn runs(&self) -> bool {
        matches!(self.status, Status::Active | Status::Cut)
    }

    /// Up to when it may call.
    pub(crate) fn lease(&self, me: RelayId) -> Option<Tick> {
        let is_named = self.record.as_ref().is_some_and(|record| record.holder == Some(me));
        (self.is_confirmed && is_named).then(|| self.contact_at.saturating_add(LEASE))
    }

    pub(crate) fn may_call(&self, me: RelayId) -> bool {
        let lease = self.lease(me);
        lease.is_some_and(|until| NOW < until)
    }

    /// The call that it is about to announce.
    pub(crate) fn about_to_send(&self, me: RelayId, id: CallId) -> Sent {
        let until = self.lease(me).unwrap_or(LONG_AGO);
        Sent { id, at: NOW, until, is_orphan: false, was_frozen: false, is_unannounced: false }
    }

    fn is_lease_free(&self, setup: &Setup, me: RelayId) -> bool {
        let holder = self.record.as_ref().and_then(|record| record.holder);
        match holder {
            _ if self.lease(me).is_some() => false,
            Some(holder) if holder != me => self.is_gone(setup, holder),
            Some(_) | None => true,
        }
    }

    fn is_gone(&self, setup: &Setup, holder: RelayId) -> bool {
        !setup.has(Rule::WaitToTakeOver) || self.gone & (1 << holder) != 0
    }

    /// What is due, of a relay that does nothing else.
    pub(crate) fn due(&self, setup: &Setup, me: RelayId) -> Option<Due> {
        let record = self.record.as_ref().filter(|_| self.runs() && self.phase == Phase::Idle)?;
        let is_offered = self.status == Status::Cut && self.untaken == record.generation;
        if self.is_dirty && !is_offered {
            return Some(Due::Write);
        }
        if self.status == Status::Cut {
            return None;
        }
        if !self.may_call(me) {
            return self.is_lease_free(setup, me).then_some(Due::Lease);
        }
        if record.decide_at() <= NOW {
            return Some(Due::Probe);
        }
        (record.call_at() <= NOW).then_some(Due::Call)
    }

    /// Whether the current token may be shown.
    pub(crate) fn is_settled(&self) -> bool {
        let generation = self.record.as_ref().map(|record| record.generation);
        generation == Some(self.durable) || generation == Some(self.untaken)
    }

    /// Until when a reader who asks now is promised that the current token works (I3).
    pub(crate) fn promised_until(&self, setup: &Setup, me: RelayId) -> Option<Tick> {
        let record = self.record.as_ref()?;
        let planned = record.credential.rotation_at;
        let is_durable = self.durable == record.credential.generation;
        let counted = record.minting().filter(|call| setup.has(Rule::CountOpenCall) || !call.is_open());
        let invalidated = counted.map(|call| call.earliest).min();
        let lease = self.lease(me).unwrap_or(self.contact_at);
        let watched = if setup.has(Rule::DistrustLease) { self.contact_at } else { lease };
        let unwatched =
            if is_durable { watched.max(planned).saturating_add(WINDOW) } else { lease.saturating_add(SUCCESSION) };
        let unwatched = if setup.has(Rule::CountContact) { unwatched } else { NEVER };
        let until = invalidated.map_or(NEVER, |at| at.saturating_add(WINDOW)).min(unwatched);
        let is_provisional = !is_durable || (setup.has(Rule::ExpectOrphan) && !record.orphans.is_empty());
        let at_least = if is_provisional { LONG_AGO } else { planned.saturating_add(WINDOW) };
        let slides = is_provisional || invalidated.is_none();
        let end = if slides { until.min(at_least.max(NOW + WINDOW)) } else { until };
        (NOW < end).then_some(end)
    }
}

impl Relay {
    /// Time passes.
    pub(crate) fn age(&mut self) {
        for at in [&mut self.polled_at, &mut self.connected_at, &mut self.contact_at, &mut self.learned_at] {
            age(at);
        }
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Recorded(sent) | Phase::Cleared(sent) => sent.age(),
            Phase::Out(sent, out_at) | Phase::Answered(sent, out_at, _) => {
                age(out_at);
                sent.age();
            }
        }
        if let Some(record) = &mut self.record {
            record.age();
        }
        match &mut self.unstored {
            Some(Unstored::Token(credential, _)) => credential.age(),
            Some(Unstored::Unknown(call)) => call.age(),
            None => {}
        }
    }
}

impl Sent {
    const fn age(&mut self) {
        age(&mut self.at);
        age(&mut self.until);
    }
}

impl Record {
    /// When the next call is due.
    pub(crate) fn call_at(&self) -> Tick {
        let minting = self.calls.iter().filter(|call| call.may_invalidate(self.credential));
        let due = match minting.map(|call| call.latest).max() {
            _ if self.candidate().is_some() => NEVER,
            Some(latest) => latest.saturating_add(WINDOW),
            None => self.credential.rotation_at,
        };
        // it is asked for after that, not in the same tick
        let ended = self.calls.iter().filter_map(|call| call.ended()).max().map(|ended| ended + 1);
        due.max(self.retry_at).max(ended.unwrap_or(LONG_AGO))
    }

    /// When the candidate's probe is due: when `WeChat` accepts it only if it is newer than the current token.
    fn decide_at(&self) -> Tick {
        self.candidate().map_or(NEVER, |_| self.credential.came_at + OVERLAP + DEATH_MARGIN)
    }

    /// The relay `me` takes the lease: the open call of the holder before is given up, and may be sent all the same.
    pub(crate) fn take_lease(&mut self, setup: &Setup, me: RelayId, learned_at: Tick) {
        if let Some(mut open) = self.take_open_call() {
            self.add_orphan(open.id);
            // until the intent was seen, promises were made without it
            open.latest = open.latest.max(learned_at);
            if setup.has(Rule::RememberLostCall) {
                self.remember(open.given_up(NOW + CALL));
            }
        }
        self.holder = Some(me);
    }
}
