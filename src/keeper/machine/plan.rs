//! When is the next thing due?
//!
//! The latest of the demands counts: what the credential allows, what the last attempts call for, and what the budgets leave.

use std::time::Duration;

use super::{ATTEMPT_GAP, Machine, Now, Phase, Timestamp, promise::disagree};
use crate::keeper::{
    record::{Credential, Spent},
    schedule::RiskWindow,
};

impl Machine {
    /// When the next call is due, from what the credential allows and what the last attempts demand.
    pub(super) fn call_at(&self, now: Now) -> Timestamp {
        let record = &self.record;
        let due = self.perhaps_living(now.boot).map_or(Timestamp::LONG_AGO, |credential| self.due_at(credential));
        let after_attempt = record.last_attempt_at.map(|at| at.plus(ATTEMPT_GAP));
        let after_forced = record.forced_at.filter(|_| self.must_force).map(|at| at.plus(self.policy.forced_pace()));
        // a call whose process was killed may still be under way (I1)
        let after_orphan = record.unknown_calls.iter().map(|call| call.ended_at).max();
        let demands = [after_attempt, after_forced, after_orphan, record.retry_at, Some(self.budget_at(now))];
        demands.into_iter().flatten().fold(due, Timestamp::max)
    }

    fn due_at(&self, credential: &Credential) -> Timestamp {
        match self.invalidations() {
            // two tokens, and one probe will tell which is the newer: a call before would kill one at once
            _ if self.record.shared.candidate.is_some() => credential.expired_by,
            Some((_, last)) => credential.expired_by.min(last.plus(self.policy.window())),
            // by another relay's clock it may be promised for so much longer
            None => credential.rotation_at.plus(self.uncertainty(credential)),
        }
    }

    /// When the day's budget allows a call.
    pub(super) fn budget_at(&self, now: Now) -> Timestamp {
        let debits = &self.record.debits;
        let left = debits.left(now.boot, self.policy.calls_per_day);
        let relief = |is_spent: bool, counts: fn(&Spent) -> u32| {
            if is_spent { debits.relief_at(now.boot, counts) } else { Timestamp::LONG_AGO }
        };
        let calls = relief(left.calls == 0, |spent| spent.calls);
        calls.max(relief(self.must_force && left.forced == 0, |spent| spent.forced))
    }

    /// When a probe is worth its debit without anybody asking: the promise has run out and no call can renew it yet, or a
    /// clock was set.
    pub(super) fn probe_at(&self, now: Now) -> Timestamp {
        let Some(credential) = self.living(now.boot.plus(ATTEMPT_GAP)) else { return Timestamp::NEVER };
        let risk_windows = self.risk_windows();
        let pace = self.policy.probe_pace();
        let wanted = if disagree(self.probes.checked_offset_ms, now.offset_ms()) {
            now.boot
        } else if self.promise(credential, now).seconds_left(now.boot) > 0 {
            return Timestamp::NEVER;
        } else {
            match self.record.verified_at {
                Some(at) => RiskWindow::next_probe(at, pace, &risk_windows),
                None => RiskWindow::next_safe(now.boot, &risk_windows),
            }
        };
        let budget = match self.record.debits.left(now.boot, self.policy.calls_per_day).probes {
            0 => self.record.debits.relief_at(now.boot, |spent| spent.probes),
            _ => wanted,
        };
        let after_last = self.probes.last_at.map_or(wanted, |at| at.plus(ATTEMPT_GAP));
        wanted.max(budget).max(after_last).max(self.probes.retry_at.unwrap_or(wanted))
    }

    /// When to step again if nothing happens.
    pub(super) fn wake_at(&self, now: Now) -> Timestamp {
        match self.phase {
            Phase::Loading { ask_at: Some(at) } => at,
            Phase::Idle => {
                let store_at = self.storing.retry_at.filter(|_| self.storing.is_dirty).unwrap_or(Timestamp::NEVER);
                let lapse = self.run_out_at(now).unwrap_or(Timestamp::NEVER);
                let due = if self.may_call(now) {
                    self.call_at(now).min(self.probe_at(now)).min(self.decide_at())
                } else {
                    Timestamp::NEVER
                };
                due.min(store_at).min(lapse).min(self.poll_at())
            }
            Phase::Reserving => self.renew_at(),
            _ => Timestamp::NEVER,
        }
    }

    /// The first moment at which less than a second can be promised, if it lies ahead.
    fn run_out_at(&self, now: Now) -> Option<Timestamp> {
        let credential = self.living(now.boot)?;
        let at = self.promise(credential, now).until.minus(ATTEMPT_GAP).plus(Duration::from_micros(1));
        Some(at).filter(|at| now.boot < *at)
    }
}
