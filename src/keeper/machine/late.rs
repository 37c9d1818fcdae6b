//! What becomes of a call of ours when another relay has the lease by the time it ends?
//!
//! Nothing of it is lost: an unknown outcome is remembered in the record, and a token is handed over. If it was provably sent
//! after the stored one came, it is the newer one. Else it waits in the record, until one probe can tell, or of a sticky issuer
//! one normal call.

use super::{Knowledge, Note, Now, ProbeSent, Sent, Verdict, replica::Unstored};
use crate::{
    clock::{Bounds, Timestamp},
    credential::Generation,
    keeper::{
        record::{Call, Credential, LateToken, Outcome},
        schedule::SUCCESSION,
    },
};

impl Knowledge {
    /// A call of ours ended in the unknown: should the lease be lost by now, the others must hear of it. A relay that was
    /// frozen before its first byte may have sent it a moment ago, long after the intent that the others read.
    pub(super) fn remember_unknown(&mut self, now: Now, sent: Sent) {
        let sent_at = sent.at.max(now.boot.minus(self.policy().longest_call));
        let over_by = now.boot.plus(self.policy().longest_call);
        let ends_the_living = self.issuer().ends_the_living(sent.is_forced);
        if let Some(replica) = self.replica.as_mut().filter(|_| ends_the_living) {
            let outcome = Outcome::Unknown { ended: over_by.into() };
            replica.unstored =
                Some(Unstored::Unknown(Call { id: sent.id, sent: Bounds::between(sent_at, now.boot), outcome }));
        }
    }

    /// A token of ours is not stored yet. If nobody has rotated since we knew the stored one, our call came after it and wins.
    /// Else nobody can tell which is newer: the stored one stays, ours is the candidate, and its call may have invalidated the stored
    /// one. A third rotation now would kill one of the two at once.
    pub(super) fn hand_over(&mut self, now: Now, mut credential: Credential, after: Generation) {
        self.writer.is_dirty = true;
        let stored = self.record.credential.as_ref();
        let is_same = stored.is_some_and(|stored| stored.token == credential.token);
        let is_living = self.living(now.boot).is_some();
        let is_rotating = self.is_rotating();
        let has_followed = stored.is_some_and(|stored| stored.generation != after);
        let is_overtaken = has_followed && (is_living || is_rotating);
        let later_calls = self.ending_calls().filter(|call| call.may_invalidate(&credential)).count();
        if is_same {
            // a sticky issuer gives the same one to all
            self.relabel(now, credential.generation);
        } else if is_overtaken {
            let candidate = self.candidate(now, &credential);
            self.relabel(now, credential.generation);
            if is_living && self.record.candidate().is_none() {
                self.record.remember(candidate);
                self.note(Note::HandedOver { is_candidate: true });
            } else {
                // Where the newer token is dead, its call may have ended ours too: nothing is promised of ours, and a call is due.
                self.record.remember(candidate.given_up(credential.came_at));
            }
        } else if later_calls > 1 {
            // each of them may have minted, and the second of two mints ends ours at once
            let call = self.candidate(now, &credential);
            self.relabel(now, credential.generation);
            self.record.remember(call.given_up(credential.came_at));
        } else {
            if credential.generation <= self.record.generation {
                credential.generation = self.record.generation.next(now.wall);
            }
            let unpromised_at = self.heard_at(now).plus(self.policy().window()).min(credential.deadline.earliest);
            credential.rotation_at = credential.rotation_at.not_before(unpromised_at);
            self.take_credential(now, credential);
            self.record.forget_earlier_calls();
            if !self.is_holder() {
                self.note(Note::HandedOver { is_candidate: false });
            }
        }
    }

    /// When the others have heard of what is stored now. The lease's holder has announced its call before it was sent, and what
    /// they promise reaches only O − r past their last look; of what comes without the lease they learn at their next look, and
    /// promise on for O − r until then.
    pub(super) fn heard_at(&self, now: Now) -> Timestamp {
        if self.is_holder() { now.boot } else { now.boot.plus(SUCCESSION) }
    }

    /// The call that brought `credential`, while another one is current.
    pub(super) fn candidate(&self, now: Now, credential: &Credential) -> Call {
        let came = credential.came_at;
        let sent_at = credential.asked_at.earliest.max(came.earliest.minus(self.policy().longest_call));
        Call {
            id: credential.call.expect("a call of ours brought it"),
            sent: Bounds::between(sent_at, came.latest.max(self.heard_at(now))),
            outcome: Outcome::Late(LateToken {
                token: credential.token.clone(),
                came_at: came,
                deadline: credential.deadline,
            }),
        }
    }

    /// A token of ours that nobody could store was served already: the stored one gets a generation after it, for what is
    /// served never goes back (I4).
    pub(super) fn relabel(&mut self, now: Now, ours: Generation) {
        if self.record.generation < ours {
            self.record.renumber(ours.next(now.wall));
        }
    }

    /// The candidate was probed when only the newer of the two could still be accepted.
    pub(super) fn decided(&mut self, now: Now, sent: ProbeSent, verdict: &Verdict) {
        let Some((call, late)) = self.record.candidate().map(|(call, late)| (call.clone(), late.clone())) else {
            return;
        };
        match verdict {
            Verdict::Inconclusive { .. } => {
                self.probes.retry_at = Some(sent.at.plus(self.policy().probe_pace()));
                return;
            }
            Verdict::Accepted if !self.ends_under_promises(now, &call, &late) => {
                let asked_at = call.sent.earliest;
                let life = late.deadline.earliest.since(asked_at);
                // what was promised of the stored one counts from the latest that the candidate's call can have left, or was heard of
                let unpromised_at = call.sent.latest.plus(self.policy().window()).min(late.deadline.earliest);
                let rotation_at = self.charge.policy.rotation_at(asked_at, life, &mut self.rng).max(unpromised_at);
                let stored = self.record.credential.as_ref();
                if stored.is_some_and(|stored| !stored.is_revoked(self.record.revocation)) {
                    // what was revoked is no longer one of the two newest
                    self.count_rotation(&late.token);
                }
                self.take_credential(
                    now,
                    Credential {
                        token: late.token,
                        generation: self.record.generation.next(now.wall),
                        call: Some(call.id),
                        asked_at: asked_at.into(),
                        asked_again_at: None,
                        came_at: late.came_at,
                        deadline: late.deadline,
                        rotation_at: rotation_at.into(),
                        is_refused: false,
                        clock_offset_ms: now.offset_ms(),
                        sighting: None,
                    },
                );
                // another call may have come after this one
                self.record.forget_earlier_calls();
            }
            // refused: most likely it was the older one; but WeChat refuses at times what it accepts a moment later, and then the stored
            // one is dead. So its call is reckoned with like one without an outcome: the next rotation settles it. Rejected: to
            // believe the refusal, which served a dead token for the rest of its life (1 of 300 seeds)
            Verdict::Accepted | Verdict::Refused { .. } | Verdict::Replaced => {
                self.record.calls.retain(|other| other.id != call.id);
                self.record.remember(call.given_up(late.came_at));
            }
        }
        // the others have verified the stored one up to the call that they expect: they see first that it comes sooner
        self.put_off(now.boot.plus(SUCCESSION));
        self.writer.is_dirty = true;
    }

    /// Whether the candidate, whose life counts from before its relay was frozen, is over before what was promised of the stored
    /// one: the call that must follow then would kill that one. As in [`Self::would_break_promises`], it is not taken.
    fn ends_under_promises(&self, now: Now, call: &Call, late: &LateToken) -> bool {
        let promised_until = call.sent.latest.plus(self.policy().window());
        let stored = self.living(now.boot).filter(|stored| !stored.is_revoked(self.record.revocation));
        let ends_at = stored.map(|stored| stored.deadline.earliest.min(promised_until));
        ends_at.is_some_and(|ends_at| now.boot < ends_at && late.deadline.earliest < ends_at)
    }

    /// Another credential is current from now on.
    pub(super) fn take_credential(&mut self, now: Now, credential: Credential) {
        self.record.generation = credential.generation;
        self.record.replace_credential(now.boot, credential);
        self.record.verified_at = None;
        self.new_credential(now);
    }

    /// What probes and calls have told was of another credential.
    pub(super) fn new_credential(&mut self, now: Now) {
        self.must_force = false;
        (self.probes.retry_at, self.probes.refused_once_at) = (None, None);
        self.probes.checked_offset_ms = now.offset_ms();
    }
}
