//! Up to when may the credential be promised?
//!
//! One idea: a credential has a set of moments at which it may die, and the earliest counts. Its deadline is one; every
//! call whose outcome is open adds another, because it may have minted; so does the next planned rotation.

use std::time::Duration;

use super::{
    ATTEMPT_GAP, Action, Generation, Machine, NEVER_STORED_GRACE, Now, Offer, Phase, Promise, Status, Then, Timestamp,
};
use crate::{
    credential::Sliding,
    keeper::{
        record::{CLOCK_TOLERANCE, Credential},
        schedule::{RiskWindow, SUCCESSION},
    },
};

impl Machine {
    /// The current credential, if it is not known to be dead at `now`.
    pub(super) fn living(&self, now: Timestamp) -> Option<&Credential> {
        self.record.credential.as_ref().filter(|credential| !credential.is_refused && now < credential.deadline)
    }

    /// The same, and up to the latest moment that its deadline can be.
    pub(super) fn perhaps_living(&self, now: Timestamp) -> Option<&Credential> {
        self.record.credential.as_ref().filter(|credential| !credential.is_refused && now < credential.expired_by)
    }

    pub(super) fn status(&self, now: Now) -> Status {
        let served = self.record.credential.as_ref().filter(|credential| !credential.is_refused);
        Status {
            offer: served.map(|credential| Offer {
                generation: credential.generation,
                token: credential.token.clone(),
                promise: Promise {
                    verified_until: self.verified_until(credential, now),
                    ..self.promise(credential, now)
                },
            }),
            rotation_at: served.map(|credential| credential.rotation_at),
            next_attempt_at: match self.phase {
                Phase::Idle if self.may_call(now) => Some(self.call_at(now).min(self.probe_at(now))),
                // the lease's holder calls: what it brings shows at the next look
                Phase::Idle => self.living(now.boot).map(|credential| credential.rotation_at),
                // where none lives, nothing that is being stored is about to show
                Phase::Recording(Then::Keep) if self.living(now.boot).is_none() => Some(self.call_at(now)),
                // a record that does not come is waited for only so long
                Phase::Loading { .. } if self.storing.trouble.is_some() => {
                    Some(self.started_at.plus(NEVER_STORED_GRACE))
                }
                _ => None,
            },
            failures: self.record.failures,
            trouble: self.last_failure.clone().filter(|_| self.record.failures > 0),
            store_trouble: self.storing.trouble.clone().or_else(|| self.others_record()),
            holds_lease: self.replica.is_none() || self.has_lease(),
            budget: self.record.debits.left(now.boot, self.policy.calls_per_day),
        }
    }

    /// Publishes what readers may know, where it changed. A new credential shows only when it is stored, or could not be:
    /// a crash must not make the next process serve an older one (I4).
    pub(super) fn publish(&mut self, now: Now) {
        let is_mute = self.storing.trouble.is_none() || self.min_generation > Generation::default();
        if !self.is_loaded && is_mute && self.record.credential.is_none() {
            // nothing to tell but why the record does not come; what this process has published before stays
            return;
        }
        let mut status = self.status(now);
        if let (Phase::Recording(Then::Keep), Some(published)) = (self.phase, &self.published) {
            let shown = published.offer.as_ref().map(|offer| offer.generation);
            let is_new = status.offer.as_ref().is_some_and(|offer| shown != Some(offer.generation));
            let is_settled = [self.storing.durable, self.storing.untaken].contains(&self.record.generation);
            if is_new && !is_settled {
                status.offer.clone_from(&published.offer);
                status.rotation_at = published.rotation_at;
            }
        }
        if self.published.as_ref() != Some(&status) {
            self.published = Some(status.clone());
            // Publish before answering: a client told to read again must see this state.
            self.actions.insert(0, Action::Publish(status));
        }
    }

    /// The earliest moment since the credential came at which a call may have left that minted another one, and the
    /// latest.
    pub(super) fn invalidations(&self) -> Option<(Timestamp, Timestamp)> {
        if !self.is_rotating() {
            return None;
        }
        let open = self.record.intent.map(|intent| (intent.sent_at, intent.sent_by));
        let calls = self.record.unknown_calls.iter().map(|call| (call.sent_at, call.sent_by)).chain(open);
        calls.reduce(|(first, last), (sent_at, sent_by)| (first.min(sent_at), last.max(sent_by)))
    }

    /// What may be promised without a probe (I3).
    pub(super) fn promise(&self, credential: &Credential, now: Now) -> Promise {
        let window = self.policy.window();
        let invalidated = self.invalidations().map(|(first, _)| first.plus(window));
        let is_durable = self.storing.durable == credential.generation;
        // the other relays call no sooner than the stored R; of a token that is not stored they know nothing, and two calls of
        // theirs kill it at once, when the lease has passed on
        let unwatched = self.watched().map(|watched| {
            if is_durable { watched.max(credential.rotation_at).plus(window) } else { watched.plus(SUCCESSION) }
        });
        let until = [invalidated, unwatched].into_iter().flatten().fold(credential.deadline, Timestamp::min);
        // what is not durable, or was not checked since a clock was set, is promised for O − r from any moment
        let is_provisional = !is_durable
            || self.record.shared.orphan_rotations > 0
            || disagree(credential.clock_offset_ms, now.offset_ms());
        let until_at_least = if is_provisional { Timestamp::LONG_AGO } else { credential.rotation_at.plus(window) };
        let slides = is_provisional || (self.is_rotating() && self.invalidations().is_none());
        Promise { until, sliding: slides.then_some(Sliding { window, until_at_least }), verified_until: None }
    }

    /// The spans in which the current credential may die of an unknown call: an overlap after it, and, if another one
    /// minted before it, at once.
    pub(super) fn risk_windows(&self) -> Vec<RiskWindow> {
        let overlap = self.policy.issuer.overlap;
        let calls = self.record.unknown_calls.iter();
        let invalidations = calls.flat_map(|call| {
            [overlap, Duration::ZERO].map(|after| RiskWindow::of_call(call.sent_at, call.ended_at, after))
        });
        // a relay that is cut off from the store knows nothing of calls after its last contact
        let unwatched = self.watched().zip(self.record.credential.as_ref()).map(|(watched, credential)| RiskWindow {
            from: watched.max(credential.rotation_at).plus(overlap),
            to: Timestamp::NEVER,
        });
        invalidations.chain(unwatched).collect()
    }

    /// Up to when the last accepted probe lets the credential be served with `expires_in` 1 (I8). Not while another call is
    /// open or about to begin: a second mint kills at once, and `expires_in` 1 needs a second more than the moment it is said.
    fn verified_until(&self, credential: &Credential, now: Now) -> Option<Timestamp> {
        let verified_at = self.record.verified_at.filter(|_| self.record.intent.is_none())?;
        let lapse = RiskWindow::verified_until(
            verified_at,
            self.policy.probe_pace(),
            credential.deadline,
            &self.risk_windows(),
        );
        Some(lapse.min(self.call_at(now).minus(ATTEMPT_GAP)).minus(self.record_uncertainty()))
    }
}

/// Whether two readings of the clocks' offset differ by more than their tolerance: one of the clocks was set between them.
pub(super) fn disagree(one_ms: i64, other_ms: i64) -> bool {
    Duration::from_millis(one_ms.abs_diff(other_ms)) > CLOCK_TOLERANCE
}
