//! What does a record that was read change?

use std::sync::Arc;

use super::{
    Failure, Generation, Knowledge, Meanwhile, NotRestored, Note, Now, Record, Sealed, StoreTrouble, Timestamp,
    replica::{Obstacle, Unstored},
};
use crate::{
    clock::{BootId, ClockOffset},
    keeper::{
        record::{Call, CallId, ClockBasis, Credential, Outcome, Precedence, Stored, Unreadable},
        schedule::SUCCESSION,
    },
};

impl Knowledge {
    /// Goes on where the record's writer stopped.
    pub(super) fn resume(&mut self, now: Now, record: Record, basis: ClockBasis) {
        self.record = record;
        if basis == ClockBasis::Unknown {
            self.record.calls.clear(); // a call of another boot has ended
        }
        if self.record.generation < self.charge.min_generation {
            self.lost_in_a_panic(now);
        }
        let latest = now.boot.plus(self.issuer().wait_after_restart);
        self.record.retry_at = self.record.retry_at.map(|at| at.latest.min(latest).into());
        if basis == ClockBasis::Boot(ClockOffset::NONE) {
            self.writer.durable = self.record.generation;
        } else {
            // moments judged by the wall clock may be judged differently after another reboot: they are written down by this
            // boot's clock before they are relied on
            self.writer.is_dirty = true;
        }
        if self.has_another_secret() {
            self.forget_old_secret();
        }
        self.recall_failure();
        if let Some(open) = self.record.take_open_call() {
            self.crashed_in(now, open);
        }
        if let Some(unrecorded) = self.unrecorded_call(now) {
            self.record.remember(unrecorded);
        }
        self.remember_another_accounts();
        let due_at = self.record.credential.as_ref().map(|credential| self.planned(credential));
        if let Some(due_at) = due_at.filter(|due_at| due_at.earliest < now.boot) {
            self.may_have_minted(due_at); // while the store failed, without a record
        }
        let Some(credential) = &self.record.credential else {
            return self.note(Note::NotRestored(NotRestored::NoToken));
        };
        self.probes.checked_offset_ms = credential.clock_offset_ms;
        let promised = self.promise(credential, now).seconds_left(now.boot);
        let seconds_left = if credential.is_refused { 0 } else { promised };
        self.note(Note::Restored { generation: credential.generation, seconds_left });
    }

    /// This process has served a later token than the stored one, and lost it in a panic before it was stored. If the stored call is
    /// still open, or one went unrecorded, that has brought it, and the stored one lives on for the overlap: to drop it would have a
    /// call made at once, and kill it.
    fn lost_in_a_panic(&mut self, now: Now) {
        let served = self.charge.min_generation;
        if self.record.open_call().is_some() || self.unrecorded_call(now).is_some() {
            self.relabel(now, served);
        } else {
            (self.record.credential, self.record.generation) = (None, served);
        }
    }

    /// Another account has called for the same credential, nobody knows when: an unknown call. Nobody was promised anything of
    /// this one's since its keeper ended, so the next call waits for no more.
    fn remember_another_accounts(&mut self) {
        let meanwhile = self.charge.meanwhile.filter(|_| self.issuer().ends_the_living(false));
        let Some(Meanwhile { since, until }) = meanwhile else { return };
        let before = self.record.credential.as_ref().map(|credential| credential.came_at.latest);
        let Some(came_at) = before.filter(|came_at| *came_at < until) else { return };
        let (id, outcome) = (CallId(until.as_micros().unsigned_abs()), Outcome::Unknown { ended: until.into() });
        let call = Call { id, sent: since.map_or(came_at, |since| since.max(came_at)).into(), outcome };
        self.record.remember(call);
        self.writer.is_dirty = true;
    }

    /// The last failure is the record's.
    pub(super) fn recall_failure(&mut self) {
        let errors = self.issuer().errors;
        let last = self.record.last_error.clone();
        // a failure that goes on, here or at another relay, keeps its count: the log is damped by it
        let repeated = |error: &_| self.last_failure.as_ref().filter(|ours| ours.error.is_same_kind(error));
        self.last_failure = last.map(|last| {
            let repeated = repeated(&last.error).map_or(1, |ours| ours.repeated);
            Arc::new(Failure { error: last.error, errors, at: last.at, repeated })
        });
    }

    /// What another AppSecret has brought about ends. Where the secret alone says whose a token is, the stored one may be another's,
    /// and so may those before it.
    pub(super) fn forget_old_secret(&mut self) {
        self.record.retry_at = None;
        self.record.failures = 0;
        self.record.last_error = None;
        self.last_failure = None;
        if self.issuer().secret_names_owner {
            (self.record.credential, self.record.verified_at) = (None, None);
            self.record.handed_out.clear();
        }
    }

    /// The record's writer ended between a call's intent and its outcome: an unknown call, which may still be under way at
    /// WeChat. A call that overtook it would bring a token that the orphan then invalidates, and nobody would know.
    pub(super) fn crashed_in(&mut self, now: Now, mut open: Call) {
        self.record.failures = self.record.failures.saturating_add(1);
        // its first byte left some time after the intent, at the latest now
        self.record.last_attempt_at = Some(now.boot.into());
        if let Some(replica) = &self.replica {
            // until the intent was seen, promises were made without it
            open.sent.latest = open.sent.latest.max(replica.learned_at);
        }
        self.may_have_minted(open.sent);
        let is_forced = open.is_forced();
        self.invalidate(now, open.given_up(now.boot.plus(self.policy().longest_call)), is_forced);
        let delay = self.charge.policy.back_off(self.record.failures, None, &mut self.rng);
        self.put_off(now.boot.plus(delay));
        self.writer.is_dirty = true;
    }

    /// No call before `at`.
    pub(super) fn put_off(&mut self, at: Timestamp) {
        self.record.retry_at = Some(self.record.retry_at.map_or(at, |known| known.latest.max(at)).into());
    }

    /// While a store fails, calls go unrecorded from [`Knowledge::may_go_unrecorded`] on, and then a crash forgets them: a
    /// record that is loaded after that moment is treated as if one had been made, whatever else it says.
    pub(super) fn unrecorded_call(&self, now: Now) -> Option<Call> {
        let credential = self.living(now.boot).filter(|_| self.is_rotating())?;
        let sent_at = credential.last_chance(self.issuer().overlap).earliest;
        (sent_at < now.boot).then(|| Call {
            id: CallId(now.boot.as_micros().unsigned_abs()),
            sent: (sent_at, now.boot).into(),
            outcome: Outcome::Unknown { ended: now.boot.into() },
        })
    }

    /// The clock of the record's writer is known by now.
    pub(super) fn judge_again(&mut self, now: Now) {
        let Some(replica) = &mut self.replica else { return };
        let is_known = |boot_id: &BootId| replica.peers.offset(boot_id, now.boot).is_some();
        if self.writer.is_dirty || replica.unstored.is_some() || !replica.judged_by_wall.as_ref().is_some_and(is_known)
        {
            return;
        }
        replica.judged_by_wall = None;
        let Some(Ok(stored)) = self.writer.held.as_ref().map(|held| Stored::decode(held, &self.charge.identity)) else {
            return;
        };
        let basis = stored.written.shared_basis(&replica.peers, now, None);
        self.record = on_our_clock(stored.record, stored.written.boot_us, basis, now);
    }

    /// Takes in a record that is not the one last seen.
    pub(super) fn learn(&mut self, now: Now, found: Option<Sealed>, decoded: Option<Result<Stored, Unreadable>>) {
        let Some(replica) = &mut self.replica else { return };
        self.writer.held = found;
        self.writer.retry_at = None; // somebody could write
        let absent_at = std::mem::replace(&mut replica.absent_at, replica.contact_at);
        replica.learned_at = now.boot;
        (replica.is_confirmed, replica.judged_by_wall) = (false, None);
        let before = replica.obstacle.take();
        match decoded {
            // the store was flushed, or put back: what is remembered is written again
            None => self.writer.is_dirty |= self.record.generation > Generation::default(),
            Some(Ok(Stored { record, written, is_ours: true })) => {
                let is_stale = record.revision <= replica.seen_revision;
                // one that the store went back to was written long before
                let basis = written.shared_basis(&replica.peers, now, absent_at.filter(|_| !is_stale));
                replica.judged_by_wall = matches!(basis, ClockBasis::Wall(_)).then_some(written.boot_id);
                replica.is_confirmed = record.holder == Some(replica.me());
                replica.seen_revision = replica.seen_revision.max(record.revision);
                if matches!(basis, ClockBasis::Wall(_) | ClockBasis::Unknown) {
                    self.note(Note::AgedByWall);
                }
                self.agree(now, &on_our_clock(record, written.boot_us, basis, now), is_stale);
            }
            Some(Ok(Stored { record, is_ours: false, .. })) => {
                // of settings that were changed, here or there: taken over when its holder is gone
                let obstacle = Obstacle::Anothers(record.holder.unwrap_or_default());
                replica.obstacle = Some(obstacle);
                if !matches!(before, Some(Obstacle::Anothers(_))) {
                    self.note(Note::NotRestored(NotRestored::AnothersSharedRecord));
                }
            }
            Some(Err(unreadable)) => {
                replica.obstacle = Some(Obstacle::Foreign);
                self.note(Note::Unreadable(unreadable));
                let trouble = match unreadable {
                    Unreadable::Foreign => StoreTrouble::Foreign,
                    Unreadable::Newer(version) => StoreTrouble::Newer(version),
                };
                self.store_failed(now, trouble);
            }
        }
    }

    /// The record of several relays: what the store holds and what is known here become one.
    pub(super) fn agree(&mut self, now: Now, theirs: &Record, is_stale: bool) {
        let expected = self.invalidated();
        let Some(replica) = &mut self.replica else { return };
        let (me, mut unstored, ended) = (replica.me(), replica.unstored.take(), replica.ended);
        if theirs.holder.is_some() {
            replica.has_yielded = false;
        }
        let refused = theirs.credential.as_ref().filter(|credential| credential.is_refused);
        self.probes.refused = refused.map(|credential| credential.generation).or(self.probes.refused);
        let mut ours = std::mem::take(&mut self.record);
        let before = ours.credential.as_ref().map(|credential| credential.generation);
        let token_before = ours.credential.as_ref().map(|credential| credential.token.clone());
        let has_minted = matches!(unstored, Some(Unstored::Token { .. }));
        // this process served what that open call brought, and lost it in a panic before it was stored: the stored credential is
        // the one before, which lives on for the overlap. To drop it would have a call made at once, and kill it.
        let served = ours.generation;
        let has_lost_call = ours.credential.is_none() && theirs.holder == Some(me) && theirs.open_call().is_some();
        let precedence = match (ours.holder, theirs.holder) {
            (Some(one), Some(other)) if (one, other) == (me, me) => Precedence::Ours,
            _ if has_lost_call => Precedence::Theirs,
            _ => of_another_holder(&ours, theirs, is_stale, has_minted),
        };
        if let Some(Unstored::Token { credential, after }) = &mut unstored
            && let Some(current) = ours.credential.take_if(|current| current.token == credential.token)
        {
            // ours is what it was before that token: it is taken in after theirs, with what was learnt of it meanwhile
            *credential = Credential { generation: credential.generation, ..current };
            ours.generation = *after;
        }
        if precedence == Precedence::Neither
            && let Some(open) = ours.take_open_call()
            && self.issuer().ends_the_living(open.is_forced())
        {
            ours.remember(open.given_up(now.boot.plus(self.policy().longest_call)));
        }
        self.record = ours.reconcile(theirs.clone(), precedence);
        if has_lost_call {
            self.relabel(now, served);
        }
        self.add_own(now, unstored, ended);
        if is_stale {
            self.count_hearing_anew(now, theirs);
        }
        let invalidated = self.invalidated();
        if invalidated.map(|calls| calls.latest) < expected.map(|calls| calls.latest) && self.is_holder() {
            // the others have verified the token up to the call that they expect: they see first that it comes sooner
            self.put_off(now.boot.plus(SUCCESSION));
        }
        let after = self.record.credential.as_ref().map(|credential| credential.generation);
        self.writer.is_dirty = self.record.is_news_to(theirs);
        if let Some(replica) = self.replica.as_mut().filter(|_| !self.writer.is_dirty) {
            replica.unstored = None; // the store holds it
        }
        if precedence == Precedence::Theirs {
            self.writer.durable = theirs.generation;
            self.must_force = false;
            self.recall_failure();
        }
        if before != after {
            self.new_credential(now);
            let token = self.record.credential.as_ref().map(|credential| &credential.token);
            let is_followed = precedence == Precedence::Theirs && !has_minted && token != token_before.as_ref();
            self.note(after.filter(|_| is_followed).map(Note::Followed));
        }
    }

    /// What the others cannot know: what a call of this relay brought that is not durable yet, and that one has ended which
    /// they reckon with.
    pub(super) fn add_own(&mut self, now: Now, mut unstored: Option<Unstored>, ended: Option<(CallId, bool)>) {
        if self.is_holder()
            && let Some(open) = self.record.take_open_call()
        {
            // the last run of this keeper had the lease, and ended in a panic in mid-call
            self.crashed_in(now, open);
        }
        if let Some((id, has_minted_nothing)) = ended {
            self.record.orphans.retain(|orphan| orphan.call != id);
            let known = self.record.calls.iter_mut().filter(|call| call.id == id && has_minted_nothing);
            known.for_each(|call| call.outcome = Outcome::Void);
        }
        match unstored.clone() {
            Some(Unstored::Token { credential, after }) => self.hand_over(now, credential, after),
            Some(Unstored::Unknown(mut call)) => {
                match self.record.counted(call.id) {
                    Some(sent) => call.sent = sent,
                    None => call.sent.latest = call.sent.latest.max(self.heard_at(now)),
                }
                self.record.remember(call);
            }
            None => {}
        }
        self.remember_another_accounts();
        self.record.forget_earlier_calls();
        if let Some(Unstored::Token { credential, .. }) = &mut unstored {
            credential.generation = credential.generation.max(self.record.generation);
        }
        if let Some(replica) = &mut self.replica {
            replica.unstored = unstored; // until it is stored: this write may be lost as well, and another relay may rotate before
        }
    }

    /// The store has lost the calls that `theirs` does not tell of. The others promise without them until they hear of them again.
    fn count_hearing_anew(&mut self, now: Now, theirs: &Record) {
        let heard_at = now.boot.plus(SUCCESSION);
        for call in &mut self.record.calls {
            if !theirs.calls.iter().any(|told| told.id == call.id && told.is_open() == call.is_open()) {
                call.sent.latest = call.sent.latest.max(heard_at);
            }
        }
    }
}

/// Which record is taken whole where another relay may have written the stored one. What the store has lost, such as another
/// relay's call, is known here alone.
fn of_another_holder(ours: &Record, theirs: &Record, is_stale: bool, has_minted: bool) -> Precedence {
    let is_behind = theirs.generation < ours.generation || (is_stale && theirs.generation == ours.generation);
    let is_lost = if has_minted { is_stale } else { is_behind };
    if is_lost { Precedence::Neither } else { Precedence::Theirs }
}

/// A record on our boot clock. Of one whose age nobody knows only that is left which needs none.
pub(super) fn on_our_clock(record: Record, written: Timestamp, basis: ClockBasis, now: Now) -> Record {
    let as_if_new = ClockOffset::between(written, now.boot.into());
    let mut record = match basis {
        ClockBasis::Boot(offset) => record.shifted(offset),
        // a wall clock may be wrong, and an orphan that is forgotten too soon makes a promise that its call breaks
        ClockBasis::Wall(offset) => Record { orphans: record.orphans_shifted(as_if_new), ..record.shifted(offset) },
        ClockBasis::Unknown => record.without_moments().shifted(as_if_new),
    };
    if basis != ClockBasis::Boot(ClockOffset::NONE)
        && let Some(credential) = &mut record.credential
    {
        // how far apart another machine's clocks are, or this one's before a reboot, tells nothing
        credential.clock_offset_ms = now.offset_ms();
    }
    record
}
