//! What does the store's answer to a write change?

use super::{
    Action, Debit, Knowledge, Machine, NEVER_STORED_GRACE, NoVerdict, Note, Now, Phase, ProbeReason, ReportAnswer,
    ReportFailure, STORE_RETRY, Sent, StoreTrouble, Swap, Then, Timestamp, Verdict,
};
use crate::keeper::{record::Credential, schedule::ATTEMPT_GAP};

impl Machine {
    pub(super) fn stored(&mut self, now: Now, swap: Swap) {
        let Phase::Recording(then) = self.phase else { return };
        let is_stored = swap == Swap::Won;
        match swap {
            Swap::Won => self.known.wrote(now),
            Swap::Lost(current) if self.known.replica.is_some() => {
                self.known.writer.lost(now.boot);
                self.undo(&then);
                return self.lost_to(now, current);
            }
            Swap::Lost(current) => {
                self.known.writer.held = current;
                self.known.not_stored(now, StoreTrouble::Changed);
            }
            Swap::Unknown(error) => self.known.not_stored(now, error.into()),
        }
        let not_stored = ReportAnswer::Failed { again_at: now.boot, failure: ReportFailure::RevocationNotStored };
        self.answer_revocations(if is_stored { &ReportAnswer::Accepted } else { &not_stored });
        self.go_on(now, then, is_stored);
    }

    /// Does what the record was written for, if it may be done.
    fn go_on(&mut self, now: Now, then: Then, is_stored: bool) {
        let may_go_on =
            !self.is_stopping && self.known.may_call(now) && (is_stored || self.known.may_go_unrecorded(now, &then));
        match then {
            Then::Keep => {
                self.phase = Phase::Idle;
                self.answer_stale();
            }
            Then::Call { sent, until } if may_go_on && now.boot < until => {
                self.known.is_announced(now, sent);
                // the one that it is made with: it may have been changed since the intent was written
                self.known.record.asked_with = self.known.charge.secret_mark.clone();
                self.phase = Phase::Calling(sent);
                self.act(Action::Send { is_forced: sent.is_forced });
            }
            Then::Call { .. } => {
                self.undo(&then);
                self.withdraw(now);
            }
            Then::Probe(sent) if may_go_on => {
                let record = &self.known.record;
                let candidate = record.candidate().filter(|_| sent.reason == ProbeReason::Candidate);
                let current = record.credential.as_ref().map(|credential| &credential.token);
                let Some(token) = candidate.map(|(_, late)| &late.token).or(current).cloned() else {
                    // another AppSecret came meanwhile, and the token went with the one before
                    self.undo(&then);
                    self.phase = Phase::Idle;
                    return;
                };
                self.known.probes.last_at = Some(sent.at);
                self.phase = Phase::Probing(sent);
                self.act(Action::Probe(token));
            }
            Then::Probe(sent) => {
                self.undo(&then);
                self.phase = Phase::Probing(sent);
                self.probed(now, Verdict::Inconclusive { cause: NoVerdict::NotStored });
            }
        }
    }

    /// What was written to do it: nothing left the process.
    fn undo(&mut self, then: &Then) {
        match then {
            Then::Call { sent, .. } => {
                self.known.record.calls.retain(|call| call.id != sent.id);
                self.known.record.debits.refund(Debit::Call { is_forced: sent.is_forced });
                self.known.call_ended(*sent, true);
                self.act(Action::Release);
            }
            Then::Probe(_) => self.known.record.debits.refund(Debit::Probe),
            Then::Keep => {}
        }
    }

    /// The call is not made.
    fn withdraw(&mut self, now: Now) {
        self.known.writer.is_dirty = true;
        self.phase = Phase::Idle;
        // soon enough for a living token's last chance, when the call goes without a record
        let last_chance = self.known.last_chance(now).filter(|at| now.boot < *at).unwrap_or(Timestamp::NEVER);
        let retry_at = self.known.store_retry_at(now);
        let later = last_chance.min(retry_at).max(now.boot.plus(ATTEMPT_GAP));
        self.known.put_off(later);
        self.answer_all(&ReportAnswer::Failed { again_at: later, failure: ReportFailure::NotStored });
    }
}

impl Knowledge {
    fn wrote(&mut self, now: Now) {
        let is_holder = self.is_holder();
        if let Some(replica) = &mut self.replica {
            let is_new = is_holder && !replica.is_confirmed;
            replica.wrote(now.boot, self.record.revision);
            self.note(is_new.then_some(Note::LeaseTaken)); // not before: several may try at once
        }
        let recovered = self.writer.won(now.boot, self.record.generation);
        self.note(recovered);
    }

    fn not_stored(&mut self, now: Now, trouble: StoreTrouble) {
        self.writer.not_stored(now.boot, self.record.generation);
        self.store_failed(now, trouble);
    }

    /// The store failed, to read or to write.
    pub(super) fn store_failed(&mut self, now: Now, trouble: StoreTrouble) {
        let retry_at = self.store_retry_at(now);
        let note = self.writer.failed(retry_at, trouble);
        self.note(note);
    }

    fn store_retry_at(&mut self, now: Now) -> Timestamp {
        now.boot.plus(STORE_RETRY.mul_f64(1.0 + self.rng.f64() / 2.0))
    }

    /// The intent is stored. Until then other relays made promises without it: they count from now.
    pub(super) fn is_announced(&mut self, now: Now, sent: Sent) {
        let open = self.record.calls.iter_mut().filter(|call| call.id == sent.id && self.replica.is_some());
        open.for_each(|call| call.sent.latest = now.boot);
    }

    /// Nothing more will come of a call of ours.
    pub(super) fn call_ended(&mut self, sent: Sent, has_minted_nothing: bool) {
        if let Some(replica) = &mut self.replica {
            replica.ended = Some((sent.id, has_minted_nothing));
        }
    }

    /// max(R, D − O) of a living credential.
    pub(super) fn last_chance(&self, now: Now) -> Option<Timestamp> {
        let overlap = self.issuer().overlap;
        let latest = |credential: &Credential| credential.last_chance(overlap).latest;
        self.living(now.boot).map(latest)
    }

    /// Whether the call whose intent could not be stored may be made all the same. With a living token only so late that a
    /// crash, which forgets the call, cannot betray what the stored record promises.
    pub(super) fn may_go_unrecorded(&self, now: Now, then: &Then) -> bool {
        let call = match then {
            Then::Call { sent, .. } => Some(*sent),
            Then::Probe(_) | Then::Keep => None,
        };
        let is_forced = call.is_some_and(|sent| sent.is_forced);
        let betrays_nothing = call.is_some() && self.issuer().tells_the_newest(is_forced);
        match self.last_chance(now).filter(|_| !betrays_nothing) {
            // of several relays the next holder would promise on what the store says: there a call that ends a token waits for the
            // store
            _ if self.replica.is_some() && self.issuer().ends_the_living(is_forced) => false,
            Some(last_chance) => self.writer.has_stored && last_chance <= now.boot,
            None => self.writer.has_stored || self.charge.started_at.plus(NEVER_STORED_GRACE) <= now.boot,
        }
    }
}
