//! What do readers see?

use super::{
    Action, Generation, Grounds, Machine, NEVER_STORED_GRACE, Now, Offer, Phase, Policy, Promise, Status, Then,
};
use crate::{
    clock::WallTime,
    keeper::record::{self, DAY, Debits},
    status::{Doubt, HandedOut},
};

impl Machine {
    fn status(&self, now: Now) -> Status {
        let served = self.known.record.credential.as_ref().filter(|credential| !credential.is_refused);
        Status {
            offer: served.map(|credential| Offer {
                generation: credential.generation,
                token: credential.token.clone(),
                promise: Promise {
                    verified_until: self.known.verified_until(credential, now),
                    ..self.known.promise(credential, now)
                },
            }),
            handed_out: self.handed_out(now),
            rotation_at: served.map(|credential| self.known.rotation_at(credential)),
            next_attempt_at: match self.phase {
                Phase::Idle if self.known.may_call(now) => Some(self.known.call_at(now).min(self.known.probe_at(now))),
                // the lease's holder calls: what it brings shows at the next look
                Phase::Idle => self.known.living(now.boot).map(|credential| self.known.rotation_at(credential)),
                // where none lives, nothing that is being stored is about to show
                Phase::Recording(Then::Keep) if self.known.living(now.boot).is_none() => Some(self.known.call_at(now)),
                // a record that does not come is waited for only so long
                Phase::Loading { .. } if self.known.writer.trouble.is_some() => {
                    Some(self.known.charge.started_at.plus(NEVER_STORED_GRACE))
                }
                _ => None,
            },
            failures: self.known.record.failures,
            trouble: self.known.last_failure.clone().filter(|_| self.known.record.failures > 0),
            store_trouble: self.known.writer.trouble.clone().or_else(|| self.known.others_record()),
            is_loaded: self.is_loaded,
            lease: self.known.lease(),
            doubt: self.doubt(now),
            is_revoked: served.is_some_and(|credential| credential.is_revoked(self.known.record.revocation)),
            rotations_to_revoke: self.known.record.revocation.rotations_left,
            ended_by_others_at: self.ended_by_others_at(now),
            life: served.map(record::Credential::life).unwrap_or_default(),
            budget: self.known.record.debits.left(now.boot, self.known.policy().calls_per_day),
            whole_budget: Debits::whole(self.known.policy().calls_per_day),
        }
    }

    /// Of the last day. A clock that was wrong may have told a moment that is far ahead.
    fn ended_by_others_at(&self, now: Now) -> Option<WallTime> {
        let at = self.known.record.ended_by_others_at;
        at.filter(|at| now.wall.is_within(DAY, *at) && at.is_within(DAY, now.wall))
    }

    /// What early fetches mean.
    fn doubt(&self, now: Now) -> Doubt {
        let life = self.known.record.credential.as_ref().map(record::Credential::life).unwrap_or_default();
        Doubt {
            margin: Policy::early_margin(life),
            from: self.known.doubt_from(now, Grounds::EarlyFetch),
            burst_from: self.known.doubt_from(now, Grounds::Burst),
        }
    }

    /// What clients may have beside what is offered: earlier tokens, one that was refused, and one of a call that ended too late.
    fn handed_out(&self, now: Now) -> Vec<HandedOut> {
        let record = &self.known.record;
        let refused =
            record.credential.as_ref().filter(|credential| credential.is_refused).map(record::HandedOut::from);
        let late = record.candidate().map(|(_, late)| record::HandedOut {
            digest: late.token.digest(),
            until: late.deadline,
            generation: record.generation,
        });
        let all = record.handed_out.iter().copied().chain(refused).chain(late);
        let living = all.filter(|handed_out| {
            now.boot < handed_out.until.earliest && !record.revocation.covers(handed_out.generation)
        });
        living.map(|record::HandedOut { digest, until, .. }| HandedOut { digest, until: until.earliest }).collect()
    }

    /// Publishes what readers may know, where it changed. A new credential shows only when it is stored, or could not be:
    /// a crash must not make the next process serve an older one (I4).
    pub(super) fn publish(&mut self, now: Now) {
        let is_mute = self.known.writer.trouble.is_none() || self.known.charge.min_generation > Generation::default();
        if !self.is_loaded && is_mute && self.known.record.credential.is_none() {
            // nothing to tell but why the record does not come; what this process has published before stays
            return;
        }
        let mut status = self.status(now);
        if let (Phase::Recording(Then::Keep), Some(published)) = (&self.phase, &self.published) {
            let shown = published.offer.as_ref().filter(|offer| Some(offer.generation) != self.known.probes.refused);
            let is_shown = |offer: &Offer| shown.is_some_and(|shown| shown.generation == offer.generation);
            let is_new = status.offer.as_ref().is_some_and(|offer| !is_shown(offer));
            if is_new && !self.known.writer.is_settled(self.known.record.generation) {
                status.offer = shown.cloned();
                status.rotation_at = published.rotation_at.filter(|_| shown.is_some());
            }
        }
        if self.published.as_ref() != Some(&status) {
            self.published = Some(status.clone());
            // Publish before answering: a client told to read again must see this state.
            self.actions.insert(0, Action::Publish(status));
        }
    }
}
