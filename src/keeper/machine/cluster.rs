//! Several relays on one store: which one may call, how do the others follow, and what becomes of a token that came too late?
//!
//! The lease is a part of the record and expires when the record stops changing. Its holder writes at least every [`RENEWAL`] and counts on it
//! for [`LEASE`] from the start of its last write; a follower takes it over when the record has not changed for
//! [`TAKE_OVER`] of its own clock. So no clock of another machine is ever asked. Everybody looks every [`POLL`].
//!
//! No lock can stop a relay that is frozen between its last look at the lease and the first byte of its call. What can be
//! done is to lose nothing by it: its token is handed over, never dropped, for it may be the one that WeChat keeps.

use std::time::Duration;

use super::{
    Action, CallId, Generation, Intent, Machine, Note, Now, Phase, ReportAnswer, ReportFailure, RotationMode, Sealed,
    StoreError, StoreTrouble, Then, Timestamp, UnknownCall,
};
use crate::keeper::{
    record::{ClockBasis, Credential, Lease, ReplicaId},
    schedule::{LEASE, SUCCESSION},
};

mod forwarded;
mod reconcile;

/// How often everybody looks at the record.
const POLL: Duration = Duration::from_secs(1);
/// How often the holder writes, so that the record changes.
const RENEWAL: Duration = Duration::from_secs(5);
/// A record that has stood still for so long has no holder any more: 3 s more than the holder counts on.
const TAKE_OVER: Duration = LEASE.saturating_add(SUCCESSION);
/// A holder whose address was refused so often in a row gives the lease back: at the whitelist's pace of one call a minute,
/// that is five minutes, in which an operator may have put it on.
const REFUSED_CALLS: u32 = 5;
/// A call that a frozen relay may still send invalidates whatever credential it finds. A relay that has not woken after a day of
/// hourly rotations is taken for dead.
const ORPHAN_ROTATIONS: u8 = 24;

/// What a relay knows of the others.
#[derive(Debug)]
pub(super) struct Replica {
    me: ReplicaId,
    /// Up to here the lease is ours, if the record says that it is.
    lease_until: Option<Timestamp>,
    /// When the record was last seen to change.
    changed_at: Timestamp,
    /// When the last look or write that was answered began: up to here no call went unrecorded.
    contact_at: Option<Timestamp>,
    /// When the last look or write began before which the record was another one. Whoever wrote the next record had seen
    /// this one: he wrote it after this moment, however late it reached the store.
    absent_at: Option<Timestamp>,
    /// When the look or write under way began.
    asked_at: Timestamp,
    /// The greatest revision that was read or written.
    seen_revision: u64,
    /// How far the moments of the record may be off, as it was last read.
    uncertainty: Duration,
    poll_at: Timestamp,
    /// A credential that this relay fetched and that is not durable yet.
    fresh: Option<Fresh>,
    /// A call of this relay whose outcome is not known and not durable either.
    orphan: Option<UnknownCall>,
    /// The forwarded report that answers the reports waiting here.
    awaited: Option<u64>,
    stored: Stored,
    /// At the end the lease is given back once.
    is_leaving: bool,
    /// The lease was given back because this relay's address is refused, and no other relay has held it since.
    has_yielded: bool,
}

/// Whose bytes the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    /// A record of this credential, or nothing.
    Ours,
    /// A record of another appid, endpoint or base URL under the same name.
    Anothers,
    /// No record that we can read: nothing is written over it, and nothing is called.
    Foreign,
}

#[derive(Debug, Clone)]
struct Fresh {
    credential: Credential,
    /// The generation that this relay knew when it called: the call came after that one's reply, provably.
    after: Generation,
    /// Which call brought it.
    call: CallId,
}

impl Replica {
    pub(super) fn new(me: ReplicaId, now: Timestamp) -> Self {
        Self {
            me,
            lease_until: None,
            changed_at: now,
            contact_at: None,
            absent_at: None,
            asked_at: now,
            seen_revision: 0,
            uncertainty: Duration::ZERO,
            poll_at: now,
            fresh: None,
            orphan: None,
            awaited: None,
            stored: Stored::Ours,
            is_leaving: false,
            has_yielded: false,
        }
    }
}

impl Machine {
    pub(super) fn has_lease(&self) -> bool {
        let holder = self.record.shared.lease.map(|lease| lease.holder);
        self.replica.as_ref().is_some_and(|replica| Some(replica.me) == holder)
    }

    /// Up to when the lease is ours by our own clock.
    fn lease_until(&self) -> Option<Timestamp> {
        self.replica.as_ref().and_then(|replica| replica.lease_until).filter(|_| self.has_lease())
    }

    fn is_store_away(&self) -> bool {
        self.storing.trouble.is_some()
    }

    /// Whether this relay may call WeChat: alone always; of several the holder; and with a sticky issuer anybody while the
    /// store is away, since all are given the same token.
    pub(super) fn may_call(&self, now: Now) -> bool {
        if self.replica.is_none() {
            return true;
        }
        let is_holder = self.lease_until().is_some_and(|until| now.boot < until);
        is_holder || (self.policy.issuer.rotation == RotationMode::Sticky && self.is_store_away() && !self.is_foreign())
    }

    /// What is stored must not be written over.
    pub(super) fn is_foreign(&self) -> bool {
        self.replica.as_ref().is_some_and(|replica| replica.stored == Stored::Foreign)
    }

    /// Reported as long as another deployment writes under this account's name.
    pub(super) fn others_record(&self) -> Option<StoreTrouble> {
        self.replica.as_ref().filter(|replica| replica.stored == Stored::Anothers).map(|_| StoreTrouble::AnothersRecord)
    }

    /// The last moment up to which this relay knows that no call went unrecorded (I3); `None`: always.
    pub(super) fn watched(&self) -> Option<Timestamp> {
        let replica = self.replica.as_ref().filter(|_| self.is_rotating())?;
        Some(self.lease_until().max(replica.contact_at).unwrap_or(Timestamp::LONG_AGO))
    }

    /// How much later than this relay knows another one may take the moments of the credential to be.
    pub(super) fn uncertainty(&self, credential: &Credential) -> Duration {
        if self.replica.is_some() && self.is_rotating() { credential.uncertainty() } else { Duration::ZERO }
    }

    /// How much later than this relay takes it to be the holder of the lease may take a moment of the record to be.
    pub(super) fn record_uncertainty(&self) -> Duration {
        self.replica.as_ref().map_or(Duration::ZERO, |replica| replica.uncertainty)
    }

    pub(super) fn clock_basis(&self, now: Now) -> ClockBasis {
        match &self.replica {
            None => ClockBasis::Alone,
            Some(replica) => ClockBasis::Shared(replica.absent_at.map(|at| now.boot.since(at))),
        }
    }

    pub(super) fn poll_at(&self) -> Timestamp {
        self.replica.as_ref().map_or(Timestamp::NEVER, |replica| replica.poll_at)
    }

    pub(super) fn poll_now(&mut self, now: Now) {
        if let Some(replica) = &mut self.replica {
            replica.poll_at = now.boot;
        }
    }

    pub(super) fn is_renewal_due(&self, now: Now) -> bool {
        self.renew_at() <= now.boot
    }

    /// When the holder writes next, if nothing else makes it.
    pub(super) fn renew_at(&self) -> Timestamp {
        let Some(replica) = self.replica.as_ref().filter(|_| self.has_lease()) else { return Timestamp::NEVER };
        replica.lease_until.map_or(Timestamp::LONG_AGO, |until| until.minus(LEASE).plus(RENEWAL))
    }

    /// Looks at the record.
    pub(super) fn begin_look(&mut self, now: Now) {
        self.phase = Phase::Loading { ask_at: None };
        if let Some(replica) = &mut self.replica {
            replica.asked_at = now.boot;
            replica.poll_at = now.boot.plus(POLL);
        }
        self.act(Action::Load);
    }

    /// Numbers the write, and notes when it began.
    pub(super) fn number(&mut self, now: Now) {
        if let Some(replica) = &mut self.replica {
            replica.asked_at = now.boot;
            self.record.shared.revision = self.record.shared.revision.max(replica.seen_revision) + 1;
        }
    }

    /// The write was taken: it renews the lease, and what was fresh is durable.
    pub(super) fn written(&mut self, now: Now) {
        let has_lease = self.has_lease();
        if has_lease && self.replica.as_ref().is_some_and(|replica| replica.lease_until.is_none()) {
            self.note(Note::LeaseTaken); // not before: several may try at once
        }
        if let Some(replica) = &mut self.replica {
            replica.contact_at = Some(replica.asked_at);
            replica.absent_at = replica.contact_at;
            replica.uncertainty = Duration::ZERO;
            replica.seen_revision = self.record.shared.revision;
            replica.changed_at = now.boot;
            replica.lease_until = has_lease.then(|| replica.asked_at.plus(LEASE));
            replica.fresh = None;
            replica.orphan = None;
            replica.stored = Stored::Ours;
        }
    }

    /// A call of ours ended in the unknown: should the lease be lost by now, the others must hear of it. A relay that was
    /// frozen before its first byte may have sent it a moment ago, long after the intent that the others read.
    pub(super) fn remember_unknown(&mut self, now: Now, intent: Intent) {
        let sent_at = intent.sent_at.max(now.boot.minus(self.policy.longest_call));
        if let Some(replica) = &mut self.replica {
            replica.orphan = Some(UnknownCall { id: intent.id, sent_at, sent_by: now.boot, ended_at: now.boot });
        }
    }

    /// A credential came by our own call: should the lease be lost by now, it is handed over.
    pub(super) fn remember_fresh(&mut self, credential: &Credential, after: Generation, call: CallId) {
        if let Some(replica) = &mut self.replica {
            replica.fresh = Some(Fresh { credential: credential.clone(), after, call });
        }
    }

    /// The store answered a look.
    pub(super) fn looked(&mut self, now: Now, found: Result<Option<Sealed>, StoreError>) {
        self.phase = Phase::Idle;
        match found {
            Err(error) => {
                self.is_loaded |= self.min_generation == Generation::default();
                self.store_failed(now, error.into());
            }
            Ok(found) => {
                self.is_loaded = true;
                if found != self.storing.held || self.replica.as_ref().is_some_and(|s| s.contact_at.is_none()) {
                    self.learn(now, found);
                }
                // a store that is full or read-only can be read: that is no recovery
                if !self.storing.is_dirty && !self.is_foreign() {
                    self.store_recovered();
                }
                if let Some(replica) = &mut self.replica {
                    replica.contact_at = Some(replica.asked_at);
                }
            }
        }
    }

    /// Whether the lease may be taken: nobody has it, or its record has stood still.
    fn may_take_lease(&self, now: Now) -> bool {
        let Some(replica) = &self.replica else { return false };
        if replica.contact_at.is_none() || self.is_store_away() || self.is_stopping || replica.stored == Stored::Foreign
        {
            return false;
        }
        let others = self.record.shared.lease.filter(|lease| lease.holder != replica.me);
        // a relay that has yielded lets the others take the lease first
        let is_free = self.storing.held.is_none() || (others.is_none() && !replica.has_yielded);
        is_free || replica.changed_at.plus(TAKE_OVER) <= now.boot
    }

    /// What a relay does that may not call: take the lease when nobody has it, and pass reports on.
    pub(super) fn follow(&mut self, now: Now) {
        if self.may_take_lease(now) {
            return self.take_lease(now);
        }
        self.answer_stale();
        if self.reports.is_empty() {
            if let Some(replica) = &mut self.replica {
                replica.awaited = None;
            }
            return;
        }
        if self.is_store_away() {
            let failure = ReportFailure::StoreAway;
            return self.answer_all(&ReportAnswer::Failed { again_at: now.boot.plus(POLL), failure });
        }
        self.forwarded();
    }

    fn take_lease(&mut self, now: Now) {
        let Some(me) = self.replica.as_ref().map(|replica| replica.me) else { return };
        self.forget_old_secret();
        if let Some(intent) = self.record.intent.take() {
            // its sender may be frozen, and send it later
            self.crashed_in(now, intent);
            self.record.shared.orphan_rotations = ORPHAN_ROTATIONS;
        }
        self.record.shared.lease = Some(Lease { holder: me });
        self.write(now, Then::Keep);
    }

    /// Whether another relay should try: this one's address has been refused for some minutes.
    pub(super) fn should_yield(&self) -> bool {
        let errors = self.policy.issuer.errors;
        self.has_lease()
            && self
                .last_failure
                .as_ref()
                .is_some_and(|failure| failure.repeated >= REFUSED_CALLS && errors.is_about_this_host(&failure.error))
    }

    /// Gives the lease back, so that another relay takes it at its next look. Where none does, this one takes it again when
    /// the record has stood still, and counts anew.
    pub(super) fn yield_lease(&mut self, now: Now) {
        self.recall_failure();
        if let Some(replica) = &mut self.replica {
            replica.has_yielded = true;
            self.note(Note::LeaseYielded);
            self.give_lease_back(now);
        }
    }

    pub(super) fn must_leave(&self) -> bool {
        self.has_lease() && self.replica.as_ref().is_some_and(|replica| !replica.is_leaving)
    }

    /// Gives the lease back, once, so that another relay takes it at its next look.
    pub(super) fn leave(&mut self, now: Now) {
        if let Some(replica) = &mut self.replica {
            replica.is_leaving = true;
            self.give_lease_back(now);
        }
    }

    fn give_lease_back(&mut self, now: Now) {
        if let Some(replica) = &mut self.replica {
            replica.lease_until = None;
        }
        self.record.shared.lease = None;
        self.write(now, Then::Keep);
    }
}
