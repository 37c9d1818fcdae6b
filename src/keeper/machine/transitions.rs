//! What does an answer change: of the store, of the issuer, of a probe?

use std::sync::Arc;

use super::{
    Action, Cause, Debit, Decoded, Failure, Generation, Intent, IssueError, Issued, LOAD_RETRY, Machine,
    NEVER_STORED_GRACE, NoVerdict, NotRestored, Note, Now, Phase, Record, Remedy, ReportAnswer, ReportFailure,
    RotationMode, STORE_RETRY, Sealed, StoreError, StoreTrouble, Swap, Then, UnknownCall, Verdict,
};
use crate::{
    clock::Timestamp,
    keeper::{
        record::{CLOCK_TOLERANCE, Credential},
        schedule::ATTEMPT_GAP,
    },
};

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
            // moments that the wall clock told may be told differently after another reboot: they are written down by this
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
    /// record that is loaded after that moment is treated as if one had been made, whatever else it tells.
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

    pub(super) fn replied(&mut self, now: Now, reply: Result<Issued, IssueError>) {
        let Phase::Calling(intent) = self.phase else { return };
        self.phase = Phase::Idle;
        self.storing.is_dirty = true;
        self.storing.retry_at = None;
        // the gap counts from the end: a process may be stopped between a call's decision and its first byte
        self.record.last_attempt_at = Some(now.boot);
        match reply {
            Ok(issued) => self.issued(now, intent, issued),
            Err(error) => self.failed(now, intent, error),
        }
        self.record.intent = None;
    }

    fn issued(&mut self, now: Now, intent: Intent, issued: Issued) {
        let lives_until = intent.sent_at.plus(issued.life);
        let is_too_short = self.would_break_promises(now, lives_until);
        let profile = self.policy.issuer;
        let current = self.record.credential.as_mut();
        let same = current.filter(|c| profile.rotation == RotationMode::Sticky && c.token == issued.token);
        match same {
            // forced, or asked normally: the issuer insists on the token that it refuses. The next call forces, if that is
            // possible; if not, it is asked no more often than a report is probed.
            Some(credential) if credential.is_refused => {
                self.must_force = profile.can_be_forced;
                let pace = if self.must_force { ATTEMPT_GAP } else { self.policy.insisting_pace() };
                self.record.retry_at = Some(now.boot.plus(pace));
                self.note(Note::SameToken);
            }
            // handed over by a relay that was frozen before its call, so that its life counts from long before it was
            // minted: what is told of it now is longer, and never given to the same generation (I3)
            Some(credential)
                if profile.tells_remaining_life
                    && self.replica.is_some()
                    && credential.deadline.plus(CLOCK_TOLERANCE) < lives_until =>
            {
                self.rotate(now, intent, issued);
            }
            Some(credential) if now.boot < credential.deadline => {
                // never later: a generation's deadline is a promise
                credential.deadline = credential.deadline.min(lives_until);
                credential.expired_by = credential.deadline;
                self.succeeded();
                self.record.retry_at = Some(now.boot.plus(self.policy.sticky_pace()));
                self.note(Note::SameToken);
            }
            _ if is_too_short => {
                self.failed(now, intent, IssueError::Unknown { cause: Cause::TooShort(issued.life) });
            }
            _ => self.rotate(now, intent, issued),
        }
    }

    /// Whether a new token that lives until `lives_until` expires before the promises made of the current one have run out.
    /// The call that must follow then would be the second rotation within an overlap, and kill the current one under those
    /// promises (I3). So it is not taken: its call counts as an unknown one, and the next comes when nothing is promised any
    /// more. Rejected: to take it and wait with the next call, which leaves nothing to serve for up to O − r.
    fn would_break_promises(&self, now: Now, lives_until: Timestamp) -> bool {
        let current = self.living(now.boot).filter(|_| self.is_rotating());
        current.is_some_and(|current| {
            let promise = self.promise(current, now);
            promise.seconds_left(now.boot) > 0 && lives_until < promise.until
        })
    }

    fn rotate(&mut self, now: Now, intent: Intent, issued: Issued) {
        let generation = self.record.generation.next(now.wall);
        let life = issued.life;
        self.note(Note::Rotated { generation, life, after_failures: self.record.failures });
        if self.record.credential.is_some() {
            self.rotated_at = Some(now.boot);
        }
        let after = std::mem::replace(&mut self.record.generation, generation);
        self.record.unknown_calls.clear();
        self.record.shared.candidate = None;
        self.record.shared.orphan_rotations = self.record.shared.orphan_rotations.saturating_sub(1);
        let credential = Credential {
            token: issued.token,
            generation,
            asked_at: intent.sent_at,
            call: Some(intent.id),
            came_at: now.boot,
            deadline: intent.sent_at.plus(life),
            expired_by: intent.sent_at.plus(life),
            rotation_at: self.policy.rotation_at(intent.sent_at, life, &mut self.rng),
            is_refused: false,
            clock_offset_ms: now.offset_ms(),
        };
        self.remember_fresh(&credential, after, intent.id);
        self.record.credential = Some(credential);
        self.must_force = false;
        self.record.verified_at = None;
        self.new_credential(now);
        self.succeeded();
        // a rotating issuer's reply that is already past its planned rotation must not become a loop
        self.record.retry_at = None;
    }

    /// What probes have told was of another credential.
    pub(super) fn new_credential(&mut self, now: Now) {
        self.probes.retry_at = None;
        self.probes.checked_offset_ms = now.offset_ms();
    }

    fn succeeded(&mut self) {
        self.record.failures = 0;
        self.record.last_error = None;
        self.last_failure = None;
    }

    fn failed(&mut self, now: Now, intent: Intent, error: IssueError) {
        match &error {
            IssueError::NotSent { .. } => self.record.debits.refund(Debit::Call { is_forced: intent.is_forced }),
            IssueError::Unknown { .. } => {
                self.invalidate(now, intent, now.boot);
                self.remember_unknown(now, intent);
            }
            IssueError::Refused { .. } => {}
        }
        self.record.failures = self.record.failures.saturating_add(1);
        let wait = match self.policy.issuer.errors.remedy(&error) {
            Remedy::Soon => {
                let life_left = self.living(now.boot).map(|credential| credential.deadline.since(now.boot));
                self.policy.back_off(self.record.failures, life_left, &mut self.rng)
            }
            Remedy::Wait(wait) | Remedy::Operator(wait) => wait,
        };
        let is_sent = !matches!(error, IssueError::NotSent { .. });
        let thrift = if is_sent && self.is_thrifty(now) { self.policy.thrift() } else { wait };
        self.record.retry_at = Some(now.boot.plus(wait.max(thrift)));
        let repeated = match &self.last_failure {
            Some(last) if last.error.is_same_kind(&error) => last.repeated.saturating_add(1),
            _ => 1,
        };
        let told = ReportFailure::RefreshFailed(error.clone());
        self.record.last_error = Some((error.clone(), now.wall));
        let failure = Arc::new(Failure { error, errors: self.policy.issuer.errors, at: now.wall, repeated });
        self.last_failure = Some(failure.clone());
        self.record.intent = None;
        let retry_in = self.call_at(now).since(now.boot);
        self.note(Note::CallFailed { failure, retry_in });
        self.answer_all(&ReportAnswer::Failed { again_at: self.call_at(now), failure: told });
    }

    /// Half the day's calls are spent.
    fn is_thrifty(&self, now: Now) -> bool {
        self.record.debits.spent(now.boot).calls >= self.policy.calls_per_day / 2
    }

    /// The call may have minted: from now on the current credential may die of it (I8). Where none lives, all that counts is
    /// how long the call may still be under way.
    fn invalidate(&mut self, now: Now, intent: Intent, ended_at: Timestamp) {
        if !self.is_rotating() {
            return;
        }
        // of several relays another one may hand a token over that all of them may have invalidated
        if self.perhaps_living(now.boot).is_none() && self.replica.is_none() {
            self.record.unknown_calls.clear();
        }
        self.record.remember(intent.unknown(ended_at));
        self.record.verified_at = None;
        self.probes.retry_at = None;
    }

    pub(super) fn probed(&mut self, now: Now, verdict: Verdict) {
        let Phase::Probing(sent) = self.phase else { return };
        self.phase = Phase::Idle;
        if sent.is_candidate {
            self.decided(now, sent, &verdict);
            return self.note(Note::Probed(verdict));
        }
        let pace = self.policy.probe_pace();
        let credential = self.record.credential.as_mut().filter(|credential| credential.generation == sent.generation);
        match (&verdict, credential) {
            (Verdict::Accepted, Some(_)) => {
                self.record.verified_at = Some(sent.at);
                self.probes.retry_at = None;
                self.probes.checked_offset_ms = now.offset_ms();
                self.storing.is_dirty |= self.replica.is_some(); // the others serve by it too
                self.answer_all(&ReportAnswer::Accepted);
            }
            (Verdict::Refused { .. }, Some(credential)) => {
                credential.is_refused = true;
                self.record.verified_at = None;
                self.storing.is_dirty = true;
                self.drop_backoff(now);
            }
            (Verdict::Inconclusive { cause }, _) => {
                self.probes.retry_at = Some(sent.at.plus(pace));
                let again_at = sent.at.plus(self.policy.report_cooldown);
                self.answer_all(&ReportAnswer::Failed { again_at, failure: ReportFailure::NoVerdict(cause.clone()) });
            }
            (_, None) => {}
        }
        self.note(Note::Probed(verdict));
    }

    /// The token is gone: a back-off that was meant to spare a living one ends. What WeChat or thrift demands stays.
    fn drop_backoff(&mut self, now: Now) {
        let errors = self.policy.issuer.errors;
        let was_back_off = self.last_failure.as_ref().is_none_or(|last| errors.remedy(&last.error) == Remedy::Soon);
        if was_back_off && !self.is_thrifty(now) {
            self.record.retry_at = None;
        }
    }

    /// The generation that readers see now: until the record is read, what this process published before its keeper was
    /// started again.
    pub(super) fn current_generation(&self) -> Option<Generation> {
        let before = (!self.is_loaded).then_some(self.min_generation);
        self.record.credential.as_ref().map(|credential| credential.generation).or(before)
    }
}

impl Credential {
    /// max(R, D − O): a call made from here on leaves this credential alive until its deadline comes near.
    fn last_chance(&self, overlap: std::time::Duration) -> Timestamp {
        self.rotation_at.max(self.deadline.minus(overlap))
    }
}
