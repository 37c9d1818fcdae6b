//! What does the store's answer to a look change, or that a relay sees of the others?

use super::{
    Action, Generation, LOAD_RETRY, Machine, NEVER_STORED_GRACE, NotRestored, Note, Now, Phase, Sealed, StoreError,
    learning::on_our_clock,
};
use crate::{group::Found, keeper::record::Stored};

impl Machine {
    /// The store of a relay alone answered.
    pub(super) fn loaded(&mut self, now: Now, loaded: Result<Option<Sealed>, StoreError>) {
        if !matches!(self.phase, Phase::Loading { .. }) {
            return;
        }
        match loaded {
            Err(error) => {
                self.known.store_failed(now, error.into());
                if now.boot < self.known.charge.started_at.plus(NEVER_STORED_GRACE) {
                    self.phase = Phase::Loading { ask_at: Some(now.boot.plus(LOAD_RETRY)) };
                    return;
                }
                self.known.writer.is_dirty = true;
            }
            Ok(found) => {
                let recovered = self.known.writer.recovered();
                self.known.note(recovered);
                self.known.writer.held.clone_from(&found);
                if let Some(sealed) = found {
                    self.take_over(now, &sealed);
                }
            }
        }
        self.phase = Phase::Idle;
        self.is_loaded = true;
    }

    /// Takes a stored record, or says why not.
    fn take_over(&mut self, now: Now, sealed: &Sealed) {
        match Stored::decode(sealed, &self.known.charge.identity) {
            Ok(Stored { record, written, is_ours: true }) => {
                let basis = written.basis(&self.known.charge.boot_id, now);
                let record = on_our_clock(record, written.boot_us, basis, now);
                self.known.resume(now, record, basis);
            }
            Ok(Stored { is_ours: false, .. }) => self.known.note(Note::NotRestored(NotRestored::AnothersRecord)),
            Err(unreadable) => {
                self.known.writer.held = None;
                self.known.note(Note::Unreadable(unreadable));
                self.act(Action::SetAside);
            }
        }
    }

    /// Takes in what is known of the other relays since the last step.
    pub(super) fn take_news(&mut self, now: Now) {
        let Some(replica) = &mut self.known.replica else { return };
        match (replica.peers.trouble().cloned(), replica.is_away) {
            (Some(error), false) => {
                replica.is_away = true;
                self.known.store_failed(now, error.into());
            }
            (None, true) => {
                replica.is_away = false;
                self.known.writer.retry_at = None;
                if self.known.has_store_back() {
                    let recovered = self.known.writer.recovered();
                    self.known.note(recovered);
                }
            }
            // the connection is lost first, and then shows why there is no other one
            (Some(error), true) => self.known.writer.now_fails_by(error.into()),
            (None, false) => {}
        }
        match self.phase {
            Phase::Loading { .. } if self.known.replica.as_ref().is_some_and(|replica| replica.is_away) => {
                self.phase = Phase::Idle;
                // where this process has served before, that stays what is shown
                self.is_loaded |= self.known.charge.min_generation == Generation::default();
            }
            // the wait for a permit has no bound, and must not cost the lease
            Phase::Loading { .. } | Phase::Idle | Phase::Reserving => self.take_found(now),
            Phase::Recording(_) | Phase::Calling(_) | Phase::Probing(_) | Phase::Stopped => {}
        }
    }

    fn take_found(&mut self, now: Now) {
        let Some(replica) = &mut self.known.replica else { return };
        let Some(found) = replica.found.take() else { return self.known.judge_again(now) };
        let contact_at = replica.peers.contact_at();
        if found.record == self.known.writer.held && self.is_loaded && replica.contact_at.is_some() {
            replica.contact_at = contact_at;
            return;
        }
        if self.known.writer.answered_at.is_some_and(|at| found.asked_at < at) {
            // our own write may have overtaken the read; not so the record that it was lost to, which is found at that moment
            replica.is_behind = true;
            return self.act(Action::Load);
        }
        if self.phase == Phase::Reserving {
            self.give_up_permit(); // whether a call is due follows from what was found
        }
        let decoded = found.record.as_ref().map(|sealed| Stored::decode(sealed, &self.known.charge.identity));
        if let (Some(Ok(stored)), Some(replica)) = (&decoded, &mut self.known.replica)
            && !self.is_stopping
            && replica.peers.is_about_to_know(&stored.written.boot_id, now.boot)
        {
            replica.found = Some(found);
            return;
        }
        self.phase = Phase::Idle;
        self.is_loaded = true;
        self.known.learn(now, found.record, decoded);
        if self.known.has_store_back() {
            let recovered = self.known.writer.recovered();
            self.known.note(recovered);
        }
        if let Some(replica) = &mut self.known.replica {
            replica.contact_at = contact_at;
        }
    }

    /// Another relay has written before this one: this is its record.
    pub(super) fn lost_to(&mut self, now: Now, record: Option<Sealed>) {
        if let Some(replica) = &mut self.known.replica {
            replica.found = Some(Found { record, asked_at: now.boot });
        }
        self.phase = Phase::Idle;
        let recovered = self.known.writer.recovered();
        self.known.note(recovered);
        self.take_found(now);
        if !self.known.writer.is_dirty {
            // a token handed over shows when it is stored: until then readers see the reported one
            self.answer_stale();
        }
    }
}
