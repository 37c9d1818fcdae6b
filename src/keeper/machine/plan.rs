//! When is the next thing due?
//!
//! The latest of the demands counts: what the credential allows, what the last attempts call for, and what the budgets leave.

use std::time::Duration;

use super::{ATTEMPT_GAP, Grounds, Knowledge, Now, Timestamp, promise::disagree};
use crate::{
    clock::Bounds,
    keeper::{
        record::{Call, Credential, PROBES_PER_DAY, SHORT_CALM, UNASKED_PROBES_PER_DAY},
        schedule::{DEATH_MARGIN, RiskWindow},
    },
};

/// How long after a regular probe was refused it is made again.
const SECOND_OPINION: Duration = Duration::from_secs(3);
/// Regular probes come up to this share of their time sooner, so that keepers that were started together drift apart.
const PROBE_JITTER: f64 = 0.1;

/// Which of its bounds a moment is taken to be.
type Side = fn(Bounds) -> Timestamp;

impl Knowledge {
    /// When the next call is due, from what the credential allows and what the last attempts demand. Other relays have made
    /// promises by their own clocks: the latest of each moment counts.
    pub(super) fn call_at(&self, now: Now) -> Timestamp {
        self.call_by(now, |moment| moment.latest)
    }

    /// The same by the clock of the hastiest relay: not before this does any of them call.
    pub(super) fn call_at_the_earliest(&self, now: Now) -> Timestamp {
        self.call_by(now, |moment| moment.earliest)
    }

    fn call_by(&self, now: Now, side: Side) -> Timestamp {
        let record = &self.record;
        let due =
            self.perhaps_living(now.boot).map_or(Timestamp::LONG_AGO, |credential| self.due_by(now, credential, side));
        let after_attempt = record.last_attempt_at.map(|at| side(at).min(now.boot).plus(ATTEMPT_GAP));
        let forced_at = record.forced_at.filter(|_| self.forces(now));
        let after_forced = forced_at.map(|at| side(at).plus(self.policy().forced_pace()));
        // the keeper before may have served it a moment ago with `expires_in` 1, by a probe that is in no record
        let served = self.living(now.boot).filter(|credential| !credential.is_revoked(record.revocation));
        let after_start = served.filter(|_| self.is_rotating()).map(|_| self.charge.started_at.plus(ATTEMPT_GAP));
        // a call whose process was killed may still be under way (I1)
        let after_orphan = record.calls.iter().filter_map(Call::ended).map(side).max();
        let retry_at = record.retry_at.map(side);
        // a normal call does not rotate, and a revocation wants nothing else, once it is known which token is the newest
        let is_known = self.living(now.boot).is_some_and(|credential| self.last_call(credential, side).is_none());
        let is_spent = self.is_revoking_by_force() && !self.forces(now);
        let forced_relief = (is_spent && is_known).then(|| record.debits.relief_at(now.boot, |spent| spent.forced));
        let budget_at = Some(self.budget_at(now));
        let demands = [after_attempt, after_start, after_forced, after_orphan, retry_at, forced_relief, budget_at];
        demands.into_iter().flatten().fold(due, Timestamp::max)
    }

    fn due_by(&self, now: Now, credential: &Credential, side: Side) -> Timestamp {
        let expired_by = side(credential.deadline);
        match self.last_call(credential, side) {
            // a revoked token is replaced as planned, whatever else a call may have invalidated
            _ if credential.is_revoked(self.record.revocation) => side(self.planned(credential)),
            Some(_) if self.next_tells_the_newest(now) => Timestamp::LONG_AGO,
            // two tokens, and one probe will tell which is the newer: a call before would kill one at once
            _ if self.record.candidate().is_some() => expired_by,
            Some(sent) => expired_by.min(sent.plus(self.policy().window())),
            // a wrong secret is better known now than at the rotation, where a call costs nobody a token
            None if self.has_untried_secret() && self.next_tells_the_newest(now) => Timestamp::LONG_AGO,
            None => side(self.planned(credential)),
        }
    }

    /// When the last call was sent that may have minted another one. While a sticky issuer's forced call may still be sent, no answer
    /// tells what it will have done: it counts from when it is over.
    fn last_call(&self, credential: &Credential, side: Side) -> Option<Timestamp> {
        let is_over = |call: &&Call| self.is_rotating() || !call.is_open();
        let ending = self.ending_calls().filter(|call| call.may_invalidate(credential)).filter(is_over);
        ending.map(|call| side(call.sent)).max()
    }

    /// Whether the answer to the next call is the newest token, whatever calls there were, and that call ends none.
    fn next_tells_the_newest(&self, now: Now) -> bool {
        self.issuer().tells_the_newest(self.forces(now))
    }

    /// When the day's budget allows a call.
    pub(super) fn budget_at(&self, now: Now) -> Timestamp {
        let debits = &self.record.debits;
        let left = debits.left(now.boot, self.policy().calls_per_day);
        if left.calls == 0 { debits.relief_at(now.boot, |spent| spent.calls) } else { Timestamp::LONG_AGO }
    }

    fn is_revoking_by_force(&self) -> bool {
        self.record.is_revoked_by_force(self.issuer())
    }

    /// Whether the next call asks a sticky issuer to rotate.
    pub(super) fn forces(&self, now: Now) -> bool {
        (self.must_force || self.is_revoking_by_force())
            && self.record.debits.left(now.boot, self.policy().calls_per_day).forced > 0
    }

    /// Half the day's calls are spent.
    pub(super) fn is_thrifty(&self, now: Now) -> bool {
        self.record.debits.spent(now.boot).calls >= self.policy().calls_per_day / 2
    }

    /// When a probe is worth its debit without anybody asking: the promise has run out and no call can renew it yet, or a
    /// clock was set.
    pub(super) fn probe_at(&self, now: Now) -> Timestamp {
        let Some(credential) = self.living(now.boot.plus(ATTEMPT_GAP)) else { return Timestamp::NEVER };
        let risk_windows = self.risk_windows();
        let pace = self.policy().probe_pace();
        let wanted = if disagree(self.probes.checked_offset_ms, now.offset_ms()) {
            now.boot
        } else if self.promise(credential, now).seconds_left(now.boot) > 0 {
            return Timestamp::NEVER;
        } else {
            match self.record.verified_at {
                Some(at) => RiskWindow::next_probe(at.earliest, pace, &risk_windows),
                None => RiskWindow::next_safe(now.boot, &risk_windows),
            }
        };
        wanted.max(self.probe_allowed_at(now, PROBES_PER_DAY))
    }

    /// When somebody else may have rotated for so long that it is worth a probe, though nobody asks.
    pub(super) fn regular_probe_at(&self, now: Now) -> Timestamp {
        let every = self.policy().probe_every;
        // while a call of ours may have ended it, `probe_at` and the next rotation tell
        let living = self.living(now.boot.plus(ATTEMPT_GAP)).filter(|_| self.invalidated().is_none());
        let Some(credential) = living.filter(|_| !every.is_zero() && self.issuer().is_asked_by_us_alone) else {
            return Timestamp::NEVER;
        };
        let probed_at = self.record.probed_at.map_or(credential.came_at.latest, |at| at.latest);
        let in_time =
            probed_at.max(credential.came_at.latest).plus(every.mul_f64(1.0 - PROBE_JITTER * self.probes.jitter));
        let wanted = self.probes.refused_once_at.map_or(in_time, |at| at.plus(SECOND_OPINION));
        wanted.max(self.probe_allowed_at(now, UNASKED_PROBES_PER_DAY))
    }

    /// From when on an early fetch is worth a probe.
    pub(super) fn doubt_from(&self, now: Now, grounds: Grounds) -> Timestamp {
        let calm_until = self.record.verified_at.map_or(Timestamp::LONG_AGO, |at| {
            let short = at.latest.plus(SHORT_CALM);
            let calm = self.record.calm;
            match calm.since {
                Some(since) if grounds != Grounds::Burst || calm.is_long() => {
                    short.max(since.latest.plus(calm.length()))
                }
                _ => short,
            }
        });
        calm_until.max(self.probe_allowed_at(now, UNASKED_PROBES_PER_DAY))
    }

    /// Not before this a probe, of which `most` may be made in a day, and never two in step.
    fn probe_allowed_at(&self, now: Now, most: u32) -> Timestamp {
        let debits = &self.record.debits;
        let is_spent = debits.spent(now.boot).probes >= most;
        let relief_at = is_spent.then(|| debits.relief_at(now.boot, |spent| spent.probes));
        let after_last = self.probes.last_at.map(|at| at.plus(ATTEMPT_GAP));
        [relief_at, after_last, self.probes.retry_at].into_iter().flatten().fold(Timestamp::LONG_AGO, Timestamp::max)
    }

    /// When the candidate's probe is due: when WeChat accepts it only if it is the newer one, for the overlap after the current
    /// token's mint is over. Without a current one there is nothing to decide between, or where a call tells: a call is due.
    pub(super) fn decide_at(&self, now: Now) -> Timestamp {
        let current = self.record.credential.as_ref().filter(|_| !self.next_tells_the_newest(now));
        let (Some(current), Some(_)) = (current, self.record.candidate()) else {
            return Timestamp::NEVER;
        };
        let both_until = current.came_at.latest.plus(self.issuer().overlap);
        both_until.plus(DEATH_MARGIN).max(self.probe_allowed_at(now, PROBES_PER_DAY))
    }

    /// The first moment at which less than a second can be promised, if it lies ahead.
    pub(super) fn run_out_at(&self, now: Now) -> Option<Timestamp> {
        let credential = self.living(now.boot)?;
        let at = self.promise(credential, now).until.minus(ATTEMPT_GAP).plus(Duration::from_micros(1));
        Some(at).filter(|at| now.boot < *at)
    }
}
