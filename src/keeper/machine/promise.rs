//! Up to when may the credential be promised?
//!
//! One idea: a credential has a set of moments at which it may die, and the earliest counts. Its deadline is one; every
//! call whose outcome is open adds another, because it may have minted; so does the next planned rotation.

use std::time::Duration;

use super::{ATTEMPT_GAP, Knowledge, Now, Promise, Timestamp};
use crate::{
    credential::Sliding,
    keeper::{
        record::{CLOCK_TOLERANCE, Credential},
        schedule::RiskWindow,
    },
};

impl Knowledge {
    /// What may be promised without a probe (I3).
    pub(super) fn promise(&self, credential: &Credential, now: Now) -> Promise {
        let window = self.window_of(credential);
        let planned = self.rotation_at(credential);
        let invalidated = self.invalidated().map(|calls| calls.earliest.plus(window));
        let is_durable = self.writer.durable == credential.generation;
        // the other relays call no sooner than the stored R; of a token that is not stored they know nothing, and two calls of
        // theirs kill it at once, when the lease has passed on
        let unwatched = self
            .watched_until()
            .map(|at| if is_durable { at.max(planned).plus(window) } else { self.another_calls_after(at) });
        let until = [invalidated, unwatched].into_iter().flatten().fold(credential.deadline.earliest, Timestamp::min);
        // what is not durable, or was not checked since a clock was set, is promised for O − r from any moment
        let is_provisional =
            !is_durable || self.awaits_orphan(now.boot) || disagree(credential.clock_offset_ms, now.offset_ms());
        let until_at_least = if is_provisional { Timestamp::LONG_AGO } else { planned.plus(window) };
        let is_replaced = self.record.is_replaced_while_it_lives(self.issuer());
        let slides = is_provisional || (is_replaced && self.invalidated().is_none());
        Promise { until, sliding: slides.then_some(Sliding { window, until_at_least }), verified_until: None }
    }

    /// Whether a lost relay may still send the call that it had announced.
    fn awaits_orphan(&self, now: Timestamp) -> bool {
        let issuer = self.issuer();
        let mut orphans = self.record.orphans.iter().filter(|orphan| issuer.ends_the_living(orphan.is_forced));
        orphans.any(|orphan| now < orphan.until.latest)
    }

    /// The spans in which the current credential may die of an unknown call: an overlap after it, and, if another one
    /// minted before it, at once.
    pub(super) fn risk_windows(&self) -> Vec<RiskWindow> {
        let overlap = self.issuer().overlap;
        let ended = self.record.calls.iter().filter_map(|call| Some((call.sent, call.ended()?)));
        let invalidations = ended.flat_map(|(sent, ended)| {
            [overlap, Duration::ZERO].map(|after| RiskWindow::of_call(sent.earliest, ended.latest, after))
        });
        // a relay that is cut off from the store knows nothing of calls after its last contact
        let unwatched = self.watched_until().zip(self.record.credential.as_ref()).map(|(at, credential)| RiskWindow {
            from: at.max(self.rotation_at(credential)).plus(overlap),
            to: Timestamp::NEVER,
        });
        invalidations.chain(unwatched).collect()
    }

    /// Up to when the last accepted probe lets the credential be served with `expires_in` 1 (I8). Not while another call is
    /// open or about to begin, here or at another relay: a second mint kills at once, and `expires_in` 1 needs a second more
    /// than the moment it is said.
    pub(super) fn verified_until(&self, credential: &Credential, now: Now) -> Option<Timestamp> {
        let verified_at = self.record.verified_at.filter(|_| self.record.open_call().is_none())?;
        let lapse = RiskWindow::verified_until(
            verified_at.earliest,
            self.policy().probe_pace(),
            credential.deadline.earliest,
            &self.risk_windows(),
        );
        // what puts a holder's call off may not be stored: the next holder calls without knowing of it
        let next_calls_after = self.watched_until().filter(|_| self.has_lease()).map(|at| self.another_calls_after(at));
        let call_at = next_calls_after.into_iter().fold(self.call_at_the_earliest(now), Timestamp::min);
        Some(lapse.min(call_at.minus(ATTEMPT_GAP)))
    }
}

/// Whether two readings of the clocks' offset differ by more than their tolerance: one of the clocks was set between them.
pub(super) fn disagree(one_ms: i64, other_ms: i64) -> bool {
    Duration::from_millis(one_ms.abs_diff(other_ms)) > CLOCK_TOLERANCE
}
