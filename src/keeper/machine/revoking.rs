//! How does a leaked token die? By two rotations: WeChat keeps the newest token and the one before it alive.
//!
//! The revocation stands in the record before the first of them, so that it outlives a restart and is carried out by whichever
//! relay has the lease. What was promised of the revoked token is broken by it: that is what the operator asks for.

use std::time::Duration;

use super::{Action, Knowledge, Machine, Note, Now, Record, ReportAnswer, ReportFailure, ReportId, Timestamp, Token};
use crate::{
    clock::Bounds,
    issuer::Profile,
    keeper::record::{Credential, Revocation},
};

/// From the first rotation to the second: time for every reader to have the token in between, which lives on.
const BETWEEN_ROTATIONS: Duration = Duration::from_secs(30);

impl Machine {
    /// An operator revokes what is current.
    pub(super) fn revoke(&mut self, id: ReportId) {
        if self.known.can_be_ended() {
            self.revoking.push(id);
        } else {
            let failure = ReportFailure::CannotRevoke;
            self.act(Action::Answer(id, ReportAnswer::Failed { again_at: Timestamp::NEVER, failure }));
        }
    }

    /// Takes the revocations in that wait for it, when nothing is under way. They are answered when that is stored.
    pub(super) fn take_revocations(&mut self, now: Now) {
        if self.revoking.is_empty() {
            return;
        }
        let record = &mut self.known.record;
        record.revocation = record.revocation.join(Revocation::of(record.generation));
        let up_to = record.revocation.up_to;
        self.known.drop_backoff(now);
        if self.known.last_failure.is_none() {
            self.known.record.retry_at = None; // what no failure has put off was to spare the day's calls
        }
        self.known.writer.is_dirty = true;
        self.known.note(Note::Revoking(up_to));
        self.recorded.append(&mut self.revoking);
    }

    /// Answers those that stand in the record, which was stored or not.
    pub(super) fn answer_revocations(&mut self, answer: &ReportAnswer) {
        for id in std::mem::take(&mut self.recorded) {
            self.act(Action::Answer(id, answer.clone()));
        }
    }
}

impl Knowledge {
    /// A call has brought `token`: one rotation of a revocation, if it is another one than before.
    pub(super) fn count_rotation(&mut self, token: &Token) {
        let is_other = self.record.credential.as_ref().is_none_or(|current| current.token != *token);
        if self.record.revocation.is_pending() && is_other {
            self.record.revocation.rotated();
            if !self.record.revocation.is_pending() {
                self.note(Note::Revoked);
            }
        }
    }
}

impl Record {
    /// Whether a call of any relay may end the current credential: a rotating issuer's does, and a sticky one's while a revocation
    /// is carried out by force.
    pub(super) fn is_replaced_while_it_lives(&self, issuer: &Profile) -> bool {
        issuer.ends_the_living(self.is_revoked_by_force(issuer))
    }

    /// Whether what is left of a revocation takes forced calls.
    pub(super) const fn is_revoked_by_force(&self, issuer: &Profile) -> bool {
        self.revocation.is_pending() && issuer.can_be_forced
    }
}

impl Knowledge {
    /// O − r. A late token that becomes current while two rotations of a revocation are still to come is not revoked itself, and
    /// the second of them ends it.
    pub(super) fn window_of(&self, credential: &Credential) -> Duration {
        let revocation = self.record.revocation;
        let ends_with_the_second = revocation.rotations_left > 1 && !credential.is_revoked(revocation);
        if ends_with_the_second { self.policy().window().min(BETWEEN_ROTATIONS) } else { self.policy().window() }
    }

    /// R, which a revocation brings forward: to the past for what is revoked, and for what has replaced it to 30 s after it
    /// came.
    pub(super) fn planned(&self, credential: &Credential) -> Bounds {
        let planned = credential.rotation_at;
        let Revocation { rotations_left, .. } = self.record.revocation;
        let sooner = match rotations_left {
            0 => return planned,
            _ if credential.is_revoked(self.record.revocation) => credential.came_at,
            _ => credential.came_at.plus(BETWEEN_ROTATIONS),
        };
        Bounds::between(planned.earliest.min(sooner.earliest), planned.latest.min(sooner.latest))
    }
}
