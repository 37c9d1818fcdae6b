//! What does an answer of the issuer change?

use std::sync::Arc;

use super::{
    Cause, Debit, Failure, Intent, IssueError, Issued, Machine, Note, Now, Phase, Remedy, ReportAnswer, ReportFailure,
    RotationMode, Timestamp,
};
use crate::keeper::{
    record::{CLOCK_TOLERANCE, Credential},
    schedule::ATTEMPT_GAP,
};

impl Machine {
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
    pub(super) fn is_thrifty(&self, now: Now) -> bool {
        self.record.debits.spent(now.boot).calls >= self.policy.calls_per_day / 2
    }

    /// The call may have minted: from now on the current credential may die of it (I8). Where none lives, all that counts is
    /// how long the call may still be under way.
    pub(super) fn invalidate(&mut self, now: Now, intent: Intent, ended_at: Timestamp) {
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
}
