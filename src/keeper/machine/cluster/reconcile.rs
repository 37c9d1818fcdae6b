//! How do several relays come to one record? What another one wrote is taken in, what it cannot know is added, and a token
//! that came too late is handed over.
//!
//! A store without faults tells one history, and then whatever is found there comes after what is known here. What breaks
//! that is found by numbers: a revision that was seen before means that the store went back.

use super::{
    super::{
        Decoded, Generation, Machine, NotRestored, Note, Now, ProbeSent, Record, Sealed, StoreTrouble, Timestamp,
        UnknownCall, Verdict,
    },
    Fresh, Stored,
};
use crate::keeper::{
    record::{Candidate, Credential, Lease, ReplicaId, Shared, Unreadable},
    schedule::DEATH_MARGIN,
};

impl Machine {
    /// Takes in a record that is not the one last seen.
    pub(in crate::keeper::machine) fn learn(&mut self, now: Now, found: Option<Sealed>) {
        let clock_basis = self.clock_basis(now);
        self.storing.held.clone_from(&found);
        self.storing.retry_at = None; // somebody could write
        let Some(replica) = &mut self.replica else { return };
        replica.changed_at = now.boot;
        replica.absent_at = replica.contact_at;
        let before = std::mem::replace(&mut replica.stored, Stored::Ours);
        let Some(sealed) = found else { return self.repair() };
        match Record::decode(&sealed, &self.identity, &self.boot, now, clock_basis) {
            Ok(Decoded::Ours { record, uncertainty }) => {
                let is_stale = record.shared.revision <= replica.seen_revision;
                replica.seen_revision = replica.seen_revision.max(record.shared.revision);
                if !is_stale {
                    replica.uncertainty = uncertainty;
                }
                self.agree(now, *record, is_stale);
            }
            Ok(Decoded::AnothersRecord) => {
                // of settings that were changed, here or there: taken over like any other that stands still
                replica.stored = Stored::Anothers;
                if before != Stored::Anothers {
                    self.note(Note::NotRestored(NotRestored::AnothersSharedRecord));
                }
                self.record.shared.lease = Some(Lease { holder: ReplicaId::default() });
            }
            Err(unreadable) => {
                self.note(Note::Unreadable(unreadable));
                self.record.shared.lease = None;
                self.replica.as_mut().expect("only relays that share look").stored = Stored::Foreign;
                self.store_failed(
                    now,
                    match unreadable {
                        Unreadable::Foreign => StoreTrouble::Foreign,
                        Unreadable::Newer(layout) => StoreTrouble::Newer(layout),
                    },
                );
            }
        }
    }

    /// The store was flushed, or put back to an old record: what is remembered is written again.
    fn repair(&mut self) {
        self.storing.is_dirty |= self.record.generation > Generation::default();
    }

    fn agree(&mut self, now: Now, theirs: Record, is_stale: bool) {
        let fresh = self.replica.as_mut().and_then(|replica| replica.fresh.take());
        let ours = self.record.generation;
        let holder = |record: &Record| record.shared.lease.map(|lease| lease.holder);
        if self.has_lease() && holder(&theirs) == holder(&self.record) {
            let is_handed_over = self.merge(now, theirs);
            self.record.forget_earlier_calls();
            if !is_handed_over {
                // nobody has rotated meanwhile: ours is current, and written next
                if let Some(replica) = &mut self.replica {
                    replica.fresh = fresh;
                }
                return;
            }
        } else if fresh.is_none() && (theirs.generation < ours || (is_stale && theirs.generation == ours)) {
            self.restore(now, theirs);
        } else {
            self.adopt(now, theirs);
            if self.has_lease()
                && let Some(intent) = self.record.intent.take()
            {
                // the last run of this keeper had the lease, and ended in a panic in mid-call
                self.crashed_in(now, intent);
            }
            // it stays until it is stored: this write may be lost as well
            if let Some(call) = self.replica.as_ref().and_then(|replica| replica.orphan) {
                self.record.remember(call);
                self.storing.is_dirty = true;
            }
            self.record.forget_earlier_calls();
        }
        if let Some(mut fresh) = fresh {
            self.hand_over(now, &fresh);
            // it is fresh until it is stored: another relay may rotate before, and then nobody can tell which is newer
            fresh.credential.generation = fresh.credential.generation.max(self.record.generation);
            self.replica.as_mut().expect("only relays that share agree").fresh = Some(fresh);
        }
    }

    /// The store went back to an older record, or somebody who knew only that one wrote on from it: what is remembered here is
    /// written again, and what the store has is joined to it. The lease is theirs.
    fn restore(&mut self, now: Now, theirs: Record) {
        self.storing.is_dirty = true;
        let has_lease = self.has_lease();
        let Shared { lease, candidate, forwarded, orphan_rotations, .. } = theirs.shared;
        let ours = &mut self.record.shared;
        ours.lease = lease;
        ours.forwarded = forwarded.or(ours.forwarded.take());
        ours.candidate = ours.candidate.take().or(candidate);
        ours.orphan_rotations = ours.orphan_rotations.max(orphan_rotations);
        for call in theirs.unknown_calls {
            self.record.remember(call);
        }
        if let Some(open) = theirs.intent
            && let Some(forgotten) = self.record.intent.replace(open).filter(|forgotten| forgotten.id != open.id)
        {
            self.record.remember(forgotten.unknown(now.boot.plus(self.policy.longest_call)));
        }
        self.record.forget_earlier_calls();
        if has_lease && let Some(replica) = &mut self.replica {
            replica.lease_until = None;
        }
    }

    /// The lease is ours: a follower has added a forwarded report, or handed a token over. Whether the handed-over one is current now.
    fn merge(&mut self, now: Now, theirs: Record) -> bool {
        self.storing.is_dirty = true;
        let token = |record: &Record| record.credential.as_ref().map(|credential| credential.token.clone());
        let is_same = token(&theirs) == token(&self.record);
        let is_newer = theirs.generation > self.storing.durable && !is_same;
        self.record.shared.forwarded = theirs.shared.forwarded;
        self.record.shared.orphan_rotations = theirs.shared.orphan_rotations;
        let has_orphan = is_same && theirs.unknown_calls.len() > self.record.unknown_calls.len();
        if let (true, Some(ours), Some(told)) = (is_same, &mut self.record.credential, &theirs.credential)
            && told.is_much_clearer_than(ours)
        {
            *ours = Credential { generation: ours.generation, is_refused: ours.is_refused, ..told.clone() };
        }
        if is_same && self.record.generation < theirs.generation {
            // a follower remembers a later generation of it, and writes that until it stands (I4)
            self.record.generation = theirs.generation;
            if let Some(ours) = &mut self.record.credential {
                ours.generation = theirs.generation;
            }
        }
        if is_newer {
            self.record.generation = self.record.generation.max(theirs.generation);
            let ours = std::mem::replace(&mut self.record.unknown_calls, theirs.unknown_calls);
            if let Some(told) = theirs.credential {
                for call in ours.into_iter().filter(|call| call.may_invalidate(&told)) {
                    self.record.remember(call);
                }
                self.record.credential = Some(Credential { generation: self.record.generation, ..told });
            }
            self.new_credential(now);
        } else if has_orphan || (self.record.shared.candidate.is_none() && theirs.shared.candidate.is_some()) {
            for call in theirs.unknown_calls {
                self.record.remember(call);
            }
        }
        if self.record.shared.candidate.is_none() {
            self.record.shared.candidate = theirs.shared.candidate;
        }
        is_newer
    }

    /// Somebody else holds the lease, or nobody: their record is ours.
    fn adopt(&mut self, now: Now, mut theirs: Record) {
        let known = self.record.credential.take().filter(|known| known.generation == theirs.generation);
        let is_new = known.is_none();
        let mut has_news = false;
        if let Some(mut known) = known {
            // the same credential: of its moments the exacter are kept
            if let Some(told) = &mut theirs.credential {
                has_news = known.is_refused && !told.is_refused;
                told.is_refused |= known.is_refused;
                known.is_refused = told.is_refused;
            }
            match &mut theirs.credential {
                Some(told) if told.uncertainty() < known.uncertainty() => {}
                told => {
                    has_news |= told.as_ref().is_some_and(|told| known.is_much_clearer_than(told));
                    *told = Some(known);
                }
            }
        }
        self.record = theirs;
        if self.record.shared.lease.is_some()
            && let Some(replica) = &mut self.replica
        {
            replica.has_yielded = false;
        }
        self.storing.is_dirty = has_news;
        self.storing.durable = self.record.generation;
        self.must_force = false;
        self.recall_failure();
        if let Some(replica) = &mut self.replica {
            replica.lease_until = None;
        }
        if is_new {
            self.new_credential(now);
            if self.record.credential.is_some() {
                self.note(Note::Followed(self.record.generation));
            }
        }
    }

    /// A token of ours came while somebody else had the lease. If nobody has rotated since we knew the stored one, our call
    /// came after it and wins. Else nobody can tell which is newer: the stored one stays, ours is the candidate, and its call
    /// may have invalidated the stored one. A third rotation now would kill one of the two at once.
    fn hand_over(&mut self, now: Now, fresh: &Fresh) {
        self.storing.is_dirty = true;
        let Fresh { mut credential, after, call } = fresh.clone();
        if self.record.credential.as_ref().is_some_and(|stored| stored.token == credential.token) {
            // a sticky issuer gives the same one to all
            return self.relabel(now, credential.generation);
        }
        let stored = self.living(now.boot).map(|stored| (stored.generation, stored.came_at));
        match stored {
            Some((generation, came_at)) if generation != after => {
                let longest = self.policy.longest_call;
                let call = UnknownCall {
                    id: call,
                    sent_at: credential.asked_at.max(credential.came_at.minus(longest)),
                    sent_by: credential.came_at,
                    ended_at: credential.came_at,
                };
                self.record.remember(call);
                self.relabel(now, credential.generation);
                self.record.shared.candidate = Some(Candidate {
                    call: call.id,
                    token: credential.token,
                    asked_at: credential.asked_at,
                    came_at: credential.came_at,
                    deadline: credential.deadline,
                    decided_at: came_at.plus(self.policy.issuer.overlap).plus(DEATH_MARGIN),
                });
                self.note(Note::HandedOver { is_candidate: true });
            }
            _ => {
                let is_later = self.record.generation < credential.generation;
                self.record.generation =
                    if is_later { credential.generation } else { self.record.generation.next(now.wall) };
                credential.generation = self.record.generation;
                self.record.unknown_calls.retain(|other| other.may_invalidate(&credential));
                self.record.credential = Some(credential);
                self.record.verified_at = None;
                self.new_credential(now);
                self.note(Note::HandedOver { is_candidate: false });
            }
        }
    }

    /// A token of ours that nobody could store was served already: the stored one gets a generation after it, for what is
    /// served never goes back (I4).
    fn relabel(&mut self, now: Now, ours: Generation) {
        if self.record.generation < ours {
            self.record.generation = ours.next(now.wall);
            if let Some(stored) = &mut self.record.credential {
                stored.generation = self.record.generation;
            }
        }
    }

    /// When the candidate's probe is due.
    pub(in crate::keeper::machine) fn decide_at(&self) -> Timestamp {
        let decided_at = self.record.shared.candidate.as_ref().map(|candidate| candidate.decided_at);
        decided_at.map_or(Timestamp::NEVER, |at| at.max(self.probes.retry_at.unwrap_or(at)))
    }

    /// The candidate was probed when only the newer of the two could still be accepted.
    pub(in crate::keeper::machine) fn decided(&mut self, now: Now, sent: ProbeSent, verdict: &Verdict) {
        let Some(candidate) = self.record.shared.candidate.take() else { return };
        match verdict {
            Verdict::Inconclusive { .. } => {
                self.record.shared.candidate = Some(candidate);
                self.probes.retry_at = Some(sent.at.plus(self.policy.probe_pace()));
                return;
            }
            Verdict::Refused { .. } => {
                // it was the older one, and its call harmed nothing
                self.record.unknown_calls.retain(|call| call.id != candidate.call);
            }
            Verdict::Accepted => {
                let life = candidate.deadline.since(candidate.asked_at);
                // what was promised of the stored one counts from the latest that the candidate's call can have left
                let unpromised_at = candidate.came_at.plus(self.policy.window()).min(candidate.deadline);
                self.record.generation = self.record.generation.next(now.wall);
                self.record.credential = Some(Credential {
                    rotation_at: self.policy.rotation_at(candidate.asked_at, life, &mut self.rng).max(unpromised_at),
                    token: candidate.token,
                    generation: self.record.generation,
                    asked_at: candidate.asked_at,
                    call: Some(candidate.call),
                    came_at: candidate.came_at,
                    deadline: candidate.deadline,
                    expired_by: candidate.deadline,
                    is_refused: false,
                    clock_offset_ms: now.offset_ms(),
                });
                self.record.unknown_calls.clear();
                self.record.verified_at = None;
                self.new_credential(now);
            }
        }
        self.storing.is_dirty = true;
    }
}
