//! What does an answer of the store change?

use std::sync::Arc;

use super::{
    Action, Debit, Decoded, Failure, Intent, LOAD_RETRY, Machine, NEVER_STORED_GRACE, NoVerdict, NotRestored, Note,
    Now, Phase, Record, ReportAnswer, ReportFailure, STORE_RETRY, Sealed, StoreError, StoreTrouble, Swap, Then,
    Timestamp, UnknownCall, Verdict,
};
use crate::keeper::{record::Credential, schedule::ATTEMPT_GAP};

impl Machine {
    pub(super) fn loaded(&mut self, now: Now, loaded: Result<Option<Sealed>, StoreError>) {
        if !matches!(self.phase, Phase::Loading { .. }) {
            return;
        }
        if self.replica.is_some() {
            return self.looked(now, loaded);
        }
        match loaded {
            Err(error) if now.boot < self.started_at.plus(NEVER_STORED_GRACE) => {
                self.phase = Phase::Loading { ask_at: Some(now.boot.plus(LOAD_RETRY)) };
                self.store_failed(now, error.into());
            }
            Err(error) => {
                self.store_failed(now, error.into());
                self.storing.is_dirty = true;
                self.is_loaded = true;
                self.phase = Phase::Idle;
            }
            Ok(found) => {
                self.phase = Phase::Idle;
                self.is_loaded = true;
                self.store_recovered();
                self.storing.held.clone_from(&found);
                if let Some(sealed) = found {
                    self.take_over(now, &sealed);
                }
            }
        }
    }

    /// Takes a stored record, or says why not.
    fn take_over(&mut self, now: Now, sealed: &Sealed) {
        match Record::decode(sealed, &self.identity, &self.boot, now, self.clock_basis(now)) {
            Ok(Decoded::Ours { record, uncertainty }) => self.resume(now, *record, uncertainty.is_zero()),
            Ok(Decoded::AnothersRecord) => {
                self.note(Note::NotRestored(NotRestored::AnothersRecord));
            }
            Err(unreadable) => {
                self.storing.held = None;
                self.note(Note::Unreadable(unreadable));
                self.act(Action::SetAside);
            }
        }
    }

    /// Goes on where the record's writer stopped.
    fn resume(&mut self, now: Now, record: Record, is_exact: bool) {
        self.record = record;
        if self.record.generation < self.min_generation {
            self.record.credential = None;
            self.record.generation = self.min_generation;
        }
        let latest = now.boot.plus(self.policy.issuer.wait_after_restart);
        self.record.retry_at = self.record.retry_at.map(|at| at.min(latest));
        if is_exact {
            self.storing.durable = self.record.generation;
        } else {
            // moments judged by the wall clock may be judged differently after another reboot: they are written down by this
            // boot's clock before they are relied on
            self.storing.is_dirty = true;
        }
        self.forget_old_secret();
        self.recall_failure();
        if let Some(intent) = self.record.intent.take() {
            self.crashed_in(now, intent);
        }
        if let Some(unrecorded) = self.unrecorded_call(now) {
            self.record.remember(unrecorded);
        }
        match self.record.credential.clone() {
            None => self.note(Note::NotRestored(NotRestored::NoToken)),
            Some(credential) => {
                self.probes.checked_offset_ms = credential.clock_offset_ms;
                let seconds_left = self.promise(&credential, now).seconds_left(now.boot);
                self.note(Note::Restored { generation: credential.generation, seconds_left });
            }
        }
    }

    /// The last failure is the record's.
    pub(super) fn recall_failure(&mut self) {
        let (last, errors) = (self.record.last_error.clone(), self.policy.issuer.errors);
        self.last_failure = last.map(|(error, at)| Arc::new(Failure { error, errors, at, repeated: 1 }));
    }

    /// What WeChat said of another AppSecret does not bind this relay's own.
    pub(super) fn forget_old_secret(&mut self) {
        if self.record.asked_with != self.secret_mark {
            self.record.retry_at = None;
            self.record.failures = 0;
            self.record.last_error = None;
            self.last_failure = None;
        }
    }

    /// The record's writer ended between a call's intent and its outcome: an unknown call, which may still be under way at
    /// WeChat. A call that overtook it would bring a token that the orphan then invalidates, and nobody would know.
    pub(super) fn crashed_in(&mut self, now: Now, intent: Intent) {
        self.record.failures = self.record.failures.saturating_add(1);
        self.invalidate(now, intent, now.boot.plus(self.policy.longest_call));
        let delay = self.policy.back_off(self.record.failures, None, &mut self.rng);
        let retry_at = now.boot.plus(delay);
        self.record.retry_at = Some(self.record.retry_at.map_or(retry_at, |at| at.max(retry_at)));
        self.storing.is_dirty = true;
    }

    /// While a store fails, calls go unrecorded from [`Machine::may_go_unrecorded`] on, and then a crash forgets them: a
    /// record that is loaded after that moment is treated as if one had been made, whatever else it says.
    fn unrecorded_call(&mut self, now: Now) -> Option<UnknownCall> {
        let id = self.new_call(now);
        let credential = self.living(now.boot).filter(|_| self.is_rotating())?;
        let sent_at = credential.last_chance(self.policy.issuer.overlap);
        (sent_at < now.boot).then_some(UnknownCall { id, sent_at, sent_by: now.boot, ended_at: now.boot })
    }

    /// Whether the call whose intent could not be stored may be made all the same. With a living token only so late that a
    /// crash, which forgets the call, cannot betray what the stored record promises.
    fn may_go_unrecorded(&self, now: Now) -> bool {
        match self.living(now.boot) {
            // of several relays the next holder would promise on what the store says: there it waits for the store
            _ if self.replica.is_some() && self.is_rotating() => false,
            Some(credential) => {
                self.storing.has_stored && credential.last_chance(self.policy.issuer.overlap) <= now.boot
            }
            None => self.storing.has_stored || self.started_at.plus(NEVER_STORED_GRACE) <= now.boot,
        }
    }

    pub(super) fn stored(&mut self, now: Now, swap: Swap) {
        let Phase::Recording(then) = self.phase else { return };
        let written = self.storing.writing.take();
        let is_stored = match swap {
            Swap::Won => {
                self.storing.held = written;
                self.storing.has_stored = true;
                self.storing.is_dirty = false;
                self.storing.durable = self.record.generation;
                self.written(now);
                self.store_recovered();
                true
            }
            Swap::Lost(current) if self.replica.is_some() => return self.lost(now, then, current),
            Swap::Lost(current) => {
                self.storing.held = current;
                self.storing.untaken = self.record.generation;
                self.store_failed(now, StoreTrouble::Changed);
                false
            }
            Swap::Unknown(error) => {
                self.storing.untaken = self.record.generation;
                self.store_failed(now, error.into());
                false
            }
        };
        self.storing.is_dirty |= !is_stored;
        let may_go_on = !self.is_stopping && self.may_call(now) && (is_stored || self.may_go_unrecorded(now));
        match then {
            Then::Keep => {
                self.phase = Phase::Idle;
                self.answer_stale();
            }
            Then::Call(intent) if may_go_on => {
                self.phase = Phase::Calling(intent);
                self.act(Action::Send { is_forced: intent.is_forced });
            }
            Then::Call(intent) => self.withdraw(now, intent),
            Then::Probe(sent) if may_go_on => {
                self.probes.last_at = Some(sent.at);
                self.phase = Phase::Probing(sent);
                let candidate = self.record.shared.candidate.as_ref().filter(|_| sent.is_candidate);
                let current = self.record.credential.as_ref().map(|credential| &credential.token);
                if let Some(token) = candidate.map(|candidate| &candidate.token).or(current).cloned() {
                    self.act(Action::Probe(token));
                }
            }
            Then::Probe(sent) => {
                self.record.debits.refund(Debit::Probe);
                self.phase = Phase::Probing(sent);
                self.probed(now, Verdict::Inconclusive { cause: NoVerdict::NotStored });
            }
        }
    }

    /// Another relay has written the record: it is taken in, and what was to be done is decided anew.
    fn lost(&mut self, now: Now, then: Then, current: Option<Sealed>) {
        match then {
            Then::Call(intent) => {
                self.record.intent = None;
                self.record.debits.refund(Debit::Call { is_forced: intent.is_forced });
                self.act(Action::Release);
            }
            Then::Probe(_) => self.record.debits.refund(Debit::Probe),
            Then::Keep => {}
        }
        self.phase = Phase::Idle;
        self.learn(now, current);
        if !self.is_foreign() {
            self.store_recovered();
        }
        if !self.storing.is_dirty {
            // a token handed over shows when it is stored: until then readers see the reported one
            self.answer_stale();
        }
    }

    /// The call is not made: nothing left the process.
    fn withdraw(&mut self, now: Now, intent: Intent) {
        self.record.intent = None;
        self.record.debits.refund(Debit::Call { is_forced: intent.is_forced });
        self.storing.is_dirty = true;
        self.phase = Phase::Idle;
        self.act(Action::Release);
        // soon enough for a living token's last chance, when the call goes without a record
        let last_chance = self.living(now.boot).map(|credential| credential.last_chance(self.policy.issuer.overlap));
        let later = last_chance.filter(|at| now.boot < *at).unwrap_or(Timestamp::NEVER);
        let later = later.min(now.boot.plus(STORE_RETRY)).max(now.boot.plus(ATTEMPT_GAP));
        self.record.retry_at = Some(self.record.retry_at.map_or(later, |at| at.max(later)));
        self.answer_all(&ReportAnswer::Failed { again_at: later, failure: ReportFailure::NotStored });
    }

    pub(super) fn store_failed(&mut self, now: Now, trouble: StoreTrouble) {
        self.storing.retry_at = Some(now.boot.plus(STORE_RETRY));
        self.storing.failures = self.storing.failures.saturating_add(1);
        self.storing.trouble = Some(trouble.clone());
        self.note(Note::StoreFailed { trouble, repeated: self.storing.failures });
    }

    pub(super) fn store_recovered(&mut self) {
        self.storing.retry_at = None;
        self.storing.trouble = None;
        if self.storing.failures > 0 {
            self.note(Note::StoreRecovered(self.storing.failures));
            self.storing.failures = 0;
        }
    }
}

impl Credential {
    /// max(R, D − O): a call made from here on leaves this credential alive until its deadline comes near.
    fn last_chance(&self, overlap: std::time::Duration) -> Timestamp {
        self.rotation_at.max(self.deadline.minus(overlap))
    }
}
