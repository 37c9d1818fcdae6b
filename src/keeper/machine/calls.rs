//! What does an answer of the issuer change?

use std::{sync::Arc, time::Duration};

use super::{
    Call, Cause, Debit, Failure, IssueError, Issued, Knowledge, Machine, Note, Now, Outcome, Phase, Remedy,
    ReportAnswer, ReportFailure, RotationMode, Sent, Timestamp, Token, replica::Unstored,
};
use crate::keeper::{
    record::{CLOCK_TOLERANCE, Credential, LastError, Sighting},
    schedule::ATTEMPT_GAP,
};

/// How long a new credential lives, and when it is to be replaced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetime {
    pub(super) deadline: Timestamp,
    pub(super) rotation_at: Timestamp,
    pub(super) sighting: Option<Sighting>,
}

impl Machine {
    pub(super) fn replied(&mut self, now: Now, reply: Result<Issued, IssueError>) {
        let Phase::Calling(sent) = self.phase else { return };
        self.phase = Phase::Idle;
        self.known.writer.is_dirty = true;
        self.known.writer.retry_at = None;
        // the gap counts from the end: a process may be stopped between a call's decision and its first byte
        self.known.record.last_attempt_at = Some(now.boot.into());
        let has_minted_nothing = matches!(&reply, Err(IssueError::Refused { .. } | IssueError::NotSent { .. }));
        self.known.call_ended(sent, has_minted_nothing);
        match reply {
            Ok(issued) => self.issued(now, sent, issued),
            Err(error) => self.failed(now, sent, error),
        }
        self.known.end_waits_of_old_secret(now); // it may have been changed meanwhile
    }

    fn issued(&mut self, now: Now, sent: Sent, issued: Issued) {
        let (life, lives_until) = (issued.life, sent.at.plus(issued.life));
        if self.known.would_break_promises(now, lives_until) {
            return self.failed(now, sent, IssueError::Unknown { cause: Cause::TooShort(life) });
        }
        let before = self.known.record.generation;
        self.known.close(sent);
        let profile = self.known.policy().issuer;
        let current = self.known.record.credential.as_mut();
        let same = current.filter(|c| profile.rotation == RotationMode::Sticky && c.token == issued.token);
        match same {
            // forced, or asked normally: the issuer insists on the token that it refuses. The next call forces, if that is
            // possible and the day's forced calls are not spent; if not, it is asked no more often than a report is probed, and
            // has another one when this one's life is over at the latest.
            Some(credential) if credential.is_refused => {
                self.known.must_force = profile.can_be_forced;
                let forces = self.known.forces(now);
                let pace = if forces { ATTEMPT_GAP } else { self.known.policy().insisting_pace() };
                let again_at = now.boot.plus(pace);
                self.known.record.retry_at = Some(again_at.into());
                self.known.note(Note::SameToken { after_failures: 0 });
                if !forces {
                    // nothing better is to come soon, however often it is asked
                    self.answer_all(&ReportAnswer::Failed { again_at, failure: ReportFailure::TooSoon });
                }
            }
            _ if !profile.tells_remaining_life => self.known.sighted(now, sent, issued),
            // handed over by a relay that was frozen before its call, so that its life counts from long before it was
            // minted: what is told of it now is longer, and never given to the same generation (I3)
            Some(credential)
                if self.known.replica.is_some() && credential.deadline.earliest.plus(CLOCK_TOLERANCE) < lives_until =>
            {
                self.known.rotate(now, sent, issued);
            }
            Some(credential) if now.boot < credential.deadline.earliest => {
                // never later: a generation's deadline is a promise
                credential.deadline = credential.deadline.earliest.min(lives_until).into();
                // no call before this one has ended it
                credential.asked_again_at = Some(sent.at.into());
                self.known.record.forget_earlier_calls();
                self.known.same_token();
                self.known.record.retry_at = Some(now.boot.plus(self.known.policy().sticky_pace()).into());
            }
            _ => self.known.rotate(now, sent, issued),
        }
        if self.known.record.generation != before {
            self.known.keep_thrift(now, life);
        }
    }

    fn failed(&mut self, now: Now, sent: Sent, error: IssueError) {
        let call = self.known.close(sent);
        match &error {
            IssueError::NotSent { .. } => self.known.record.debits.refund(Debit::Call { is_forced: sent.is_forced }),
            IssueError::Unknown { .. } => {
                self.known.may_have_minted(call.sent);
                self.known.invalidate(now, call.given_up(self.known.over_by(now)), sent.is_forced);
                self.known.remember_unknown(now, sent);
            }
            IssueError::Refused { .. } => {}
        }
        self.known.record.failures = self.known.record.failures.saturating_add(1);
        let wait = match self.known.issuer().errors.remedy(&error) {
            Remedy::Soon => {
                let living = self.known.living(now.boot);
                let life_left = living.map(|credential| credential.deadline.earliest.since(now.boot));
                self.known.charge.policy.back_off(self.known.record.failures, life_left, &mut self.known.rng)
            }
            Remedy::Wait(wait) | Remedy::Operator(wait) => wait,
        };
        let is_sent = !matches!(error, IssueError::NotSent { .. });
        let thrift = if is_sent && self.known.is_thrifty(now) { self.known.policy().thrift() } else { wait };
        self.known.record.retry_at = Some(now.boot.plus(wait.max(thrift)).into());
        let repeated = match &self.known.last_failure {
            Some(last) if last.error.is_same_kind(&error) => last.repeated.saturating_add(1),
            _ => 1,
        };
        if let Some(replica) = &mut self.known.replica {
            replica.failed_alike = repeated.min(replica.failed_alike.saturating_add(1));
        }
        let told = ReportFailure::RefreshFailed(error.clone());
        self.known.record.last_error = Some(LastError { error: error.clone(), at: now.wall });
        let failure = Arc::new(Failure { error, errors: self.known.issuer().errors, at: now.wall, repeated });
        self.known.last_failure = Some(failure.clone());
        let again_at = self.known.call_at(now);
        self.known.note(Note::CallFailed { failure, retry_in: again_at.since(now.boot) });
        self.answer_all(&ReportAnswer::Failed { again_at, failure: told });
    }
}

impl Knowledge {
    /// A new credential that lives for less than an even pace of the day's calls does not set its own, once half of them are spent.
    fn keep_thrift(&mut self, now: Now, life: Duration) {
        let thrift = self.policy().thrift();
        if life < thrift / 2 && self.is_thrifty(now) && !self.record.revocation.is_pending() {
            self.put_off(now.boot.plus(thrift));
        }
    }

    /// The call is under way no longer.
    pub(super) fn close(&mut self, sent: Sent) -> Call {
        let at = self.record.calls.iter().position(|call| call.id == sent.id);
        at.map_or_else(|| sent.call(Outcome::Void), |at| self.record.calls.remove(at))
    }

    /// Whether a new token that lives until `lives_until` expires before the promises made of the current one have run out.
    /// The call that must follow then would be the second rotation within an overlap, and kill the current one under those
    /// promises (I3). So it is not taken: its call counts as an unknown one, and the next comes when nothing is promised any
    /// more. Rejected: to take it and wait with the next call, which leaves nothing to serve for up to O − r.
    pub(super) fn would_break_promises(&self, now: Now, lives_until: Timestamp) -> bool {
        let current =
            self.living(now.boot).filter(|current| self.is_rotating() && !current.is_revoked(self.record.revocation));
        current.is_some_and(|current| {
            let promise = self.promise(current, now);
            promise.seconds_left(now.boot) > 0 && lives_until < promise.until
        })
    }

    pub(super) fn rotate(&mut self, now: Now, sent: Sent, issued: Issued) {
        let life = issued.life;
        let rotation_at = self.charge.policy.rotation_at(sent.at, life, &mut self.rng);
        self.note_rotated(now, life);
        let lifetime = Lifetime { deadline: sent.at.plus(life), rotation_at, sighting: None };
        self.take_new(now, sent, issued.token, lifetime);
    }

    pub(super) fn note_rotated(&mut self, now: Now, life: Duration) {
        let generation = self.record.generation.next(now.wall);
        if self.record.credential.is_some() {
            self.probes.rotated_at = Some(now.boot);
        }
        self.note(Note::Rotated { generation, life, after_failures: self.record.failures });
    }

    /// What a call of ours brought is a new generation.
    pub(super) fn take_new(&mut self, now: Now, sent: Sent, token: Token, lifetime: Lifetime) {
        let (after, generation) = (self.record.generation, self.record.generation.next(now.wall));
        self.record.calls.clear();
        self.count_rotation(&token);
        if self.record.credential.as_ref().is_some_and(|current| current.token == token) {
            self.record.renumber(generation);
        }
        let credential = Credential {
            token,
            generation,
            call: Some(sent.id),
            asked_at: sent.at.into(),
            asked_again_at: None,
            came_at: now.boot.into(),
            deadline: lifetime.deadline.into(),
            rotation_at: lifetime.rotation_at.into(),
            is_refused: false,
            clock_offset_ms: now.offset_ms(),
            sighting: lifetime.sighting,
        };
        if let Some(replica) = &mut self.replica {
            // should the lease be lost by now, it is handed over
            replica.unstored = Some(Unstored::Token { credential: credential.clone(), after });
        }
        self.take_credential(now, credential);
        self.succeeded();
        // the waits of the failures before end with a success
        self.record.retry_at = None;
    }

    /// The call has brought the current token again.
    pub(super) fn same_token(&mut self) {
        self.note(Note::SameToken { after_failures: self.record.failures });
        self.succeeded();
    }

    pub(super) fn succeeded(&mut self) {
        self.record.unanswered_at = None;
        self.record.failures = 0;
        self.record.last_error = None;
        self.last_failure = None;
    }

    /// When a call is over at the issuer that we have given up: it may still be under way there. A rotating issuer is called again only
    /// O − r after it was sent; the call that tells the newest token is made at once, and must not overtake it.
    pub(super) fn over_by(&self, now: Now) -> Timestamp {
        if self.is_rotating() { now.boot } else { now.boot.plus(self.policy().longest_call) }
    }

    /// The call may have minted: from now on the current credential may die of it (I8). Where none lives, all that counts is
    /// how long the call may still be under way.
    pub(super) fn invalidate(&mut self, now: Now, call: Call, is_forced: bool) {
        if !self.issuer().ends_the_living(is_forced) {
            return;
        }
        // of several relays another one may hand a token over that all of them may have invalidated
        if self.perhaps_living(now.boot).is_none() && self.replica.is_none() {
            self.record.calls.clear();
        }
        self.record.remember(call);
        self.record.verified_at = None;
        self.probes.retry_at = None;
    }
}
