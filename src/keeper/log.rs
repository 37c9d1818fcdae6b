//! What is logged, counted and written into the history when something happens to a credential?
//!
//! Repeated lines are damped: the first three of a kind are warnings (an operator's remedy: the first), the rest is DEBUG
//! with a count, and recovery is INFO.

use std::{sync::Arc, time::Duration};

use super::machine::{NotRestored, Note};
use crate::{
    clock::WallTime,
    credential::{Generation, log_credential},
    issuer::{IssueError, Issued, Verdict},
    metrics::{CallOutcome, CallResult, CredentialMetrics, ProbeOutcome},
    recent::Happening,
    registry::Handle,
    status::{Failure, StoreTrouble},
};

/// How many lines of a kind are warnings.
const LOUD: u32 = 3;

/// Logs, counts and writes down what happens to one credential.
#[derive(Debug)]
pub struct KeeperLog {
    handle: Arc<Handle>,
    /// Inconclusive probes in a row.
    without_verdict: u32,
    /// Leases given back since the last good reply.
    yielded: u32,
}

impl KeeperLog {
    /// For the credential of `handle`.
    pub const fn new(handle: Arc<Handle>) -> Self {
        Self { handle, without_verdict: 0, yielded: 0 }
    }

    /// What is counted of this credential.
    pub fn metrics(&self) -> &CredentialMetrics {
        &self.handle.metrics
    }

    /// Logs and counts what happened at `at`, and writes it down.
    pub fn note(&mut self, at: WallTime, note: &Note) {
        let id = &self.handle.id;
        match note {
            Note::Restored { generation, seconds_left } => self.restored(*generation, *seconds_left),
            Note::NotRestored(why) => log_credential!(info, id, reason = not_restored(*why), "stored record not taken"),
            Note::AgedByWall => log_credential!(debug, id, "the age of the stored record is judged by the wall clock"),
            Note::Unreadable(reason) => {
                log_credential!(warn, id, %reason, "stored record cannot be read");
            }
            Note::Rotated { generation, life, after_failures } => self.rotated(at, *generation, *life, *after_failures),
            Note::SameToken { after_failures } => self.same_token(*after_failures),
            Note::Followed(generation) => {
                self.handle.history.add(at, Happening::Followed);
                log_credential!(info, id, %generation, "taken from the relay that holds the lease");
            }
            // where no relay's calls get out, all take turns
            Note::LeaseTaken if self.yielded > 0 => {
                log_credential!(debug, id, "this relay calls WeChat for this credential again");
            }
            Note::LeaseTaken => log_credential!(info, id, "this relay calls WeChat for this credential from now on"),
            Note::LeaseYielded => self.lease_yielded(),
            Note::HandedOver { is_candidate } => {
                log_credential!(warn, id, is_candidate, "came after the lease was lost: handed over");
            }
            Note::CallFailed { failure, retry_in } => self.call_failed(failure, *retry_in),
            Note::Probed(verdict) => self.probed(verdict),
            Note::RefusedOnce => {
                self.handle.metrics.probe(ProbeOutcome::Refused);
                log_credential!(info, id, "regular probe: refused; a second probe decides");
            }
            Note::Revoking(up_to) => {
                log_credential!(warn, id, generation = %up_to, "an operator revokes the token: two rotations follow");
            }
            Note::Revoked => {
                log_credential!(warn, id, "the revoked token is dead: all that was handed out before is refused");
            }
            Note::EndedByOthers => self.ended_by_others(at),
            Note::ClockSet(by_ms) => {
                log_credential!(warn, id, by_ms, "the wall clock was set: a probe follows, and less is promised");
            }
            Note::StoreFailed { trouble, repeated } => self.store_failed(trouble, *repeated),
            Note::StoreRecovered(failures) => log_credential!(info, id, failures, "the store answers again"),
        }
    }

    fn restored(&self, generation: Generation, seconds_left: u64) {
        let id = &self.handle.id;
        match seconds_left {
            0 => log_credential!(info, id, %generation, "stored record taken: nothing can be promised of it any more"),
            seconds_left => log_credential!(info, id, %generation, seconds_left, "stored record taken"),
        }
    }

    fn rotated(&mut self, at: WallTime, generation: Generation, life: Duration, after_failures: u32) {
        let id = &self.handle.id;
        self.handle.metrics.call(CallOutcome::Issued);
        self.yielded = 0;
        self.handle.metrics.rotated();
        self.handle.history.add(at, Happening::Rotated);
        match after_failures {
            0 => log_credential!(info, id, %generation, lives = ?life, "fetched"),
            failures => log_credential!(info, id, %generation, lives = ?life, failures, "fetched: recovered"),
        }
    }

    fn same_token(&mut self, after_failures: u32) {
        let id = &self.handle.id;
        self.handle.metrics.call(CallOutcome::Same);
        self.yielded = 0;
        match after_failures {
            0 => log_credential!(debug, id, "the same one was returned"),
            failures => log_credential!(info, id, failures, "the same one was returned: recovered"),
        }
    }

    fn lease_yielded(&mut self) {
        let id = &self.handle.id;
        self.yielded += 1;
        match self.yielded {
            1 => log_credential!(
                warn,
                id,
                "this relay's IP is refused, or its calls do not get out: the lease is given back, so that another relay may call"
            ),
            times => log_credential!(debug, id, times, "the lease is given back again"),
        }
    }

    fn ended_by_others(&self, at: WallTime) {
        self.handle.metrics.ended_by_others();
        self.handle.history.add(at, Happening::EndedByOthers);
        log_credential!(
            warn,
            &self.handle.id,
            "another caller fetches tokens for this appid: the token is dead, and no call of this relay ended it; \
             find who else has the AppSecret, or reset it"
        );
    }

    fn store_failed(&self, trouble: &StoreTrouble, repeated: u32) {
        let id = &self.handle.id;
        self.handle.metrics.store_failed();
        if repeated <= LOUD {
            log_credential!(warn, id, reason = %trouble, repeated, "record not stored: serving from memory");
        } else {
            log_credential!(debug, id, reason = %trouble, repeated, "record not stored: serving from memory");
        }
    }

    fn call_failed(&self, failure: &Failure, next_in: Duration) {
        let (outcome, happening) = match failure.error {
            IssueError::NotSent { .. } => (CallOutcome::NotSent, Happening::NotSent),
            IssueError::Unknown { .. } => (CallOutcome::Unknown, Happening::Unknown),
            IssueError::Refused { errcode, .. } => (CallOutcome::Refused, Happening::refused(errcode)),
        };
        self.handle.metrics.call(outcome);
        match failure.repeated {
            0 | 1 => self.handle.history.add(failure.at, happening),
            _ => self.handle.history.repeat(failure.at, happening),
        }
        let id = &self.handle.id;
        let (errcode, repeated) = (failure.error.errcode(), failure.repeated);
        let (error, hint) = (failure.errors.describe(&failure.error), failure.errors.hint(&failure.error));
        let loud = if failure.needs_operator() { 1 } else { LOUD };
        if repeated <= loud {
            log_credential!(warn, id, errcode, %error, repeated, ?next_in, %hint, "fetch failed");
        } else {
            log_credential!(debug, id, errcode, %error, repeated, ?next_in, "fetch failed");
        }
    }

    fn probed(&mut self, verdict: &Verdict) {
        let id = &self.handle.id;
        if !matches!(verdict, Verdict::Inconclusive { .. }) {
            self.without_verdict = 0;
        }
        match verdict {
            Verdict::Accepted => {
                self.handle.metrics.probe(ProbeOutcome::Accepted);
                log_credential!(info, id, "probe: accepted");
            }
            Verdict::Refused { errcode } => {
                self.handle.metrics.probe(ProbeOutcome::Refused);
                log_credential!(warn, id, errcode, "probe: refused; served no more, and a new one is fetched");
            }
            Verdict::Replaced => {
                self.handle.metrics.probe(ProbeOutcome::Refused);
                log_credential!(info, id, "probe: another one has taken its place, and is fetched");
            }
            Verdict::Inconclusive { cause } => {
                self.handle.metrics.probe(ProbeOutcome::Inconclusive);
                self.without_verdict += 1;
                let repeated = self.without_verdict;
                if repeated <= LOUD {
                    log_credential!(warn, id, reason = %cause, repeated, "probe: no verdict, the current one stays");
                } else {
                    log_credential!(debug, id, reason = %cause, repeated, "probe: no verdict, the current one stays");
                }
            }
        }
    }
}

/// How the call ended that brought `reply`.
pub(super) fn result_of(reply: &Result<Issued, IssueError>) -> CallResult {
    match reply {
        Ok(_) => CallResult::Answered,
        Err(IssueError::Refused { .. }) => CallResult::Refused,
        Err(IssueError::Unknown { .. }) => CallResult::Unknown,
        Err(IssueError::NotSent { .. }) => CallResult::NotSent,
    }
}

fn not_restored(why: NotRestored) -> &'static str {
    match why {
        NotRestored::AnothersRecord => "the stored record is of another base URL, appid or endpoint",
        NotRestored::AnothersSharedRecord => {
            "the stored record is of another base URL, appid or endpoint: taken over when nobody writes it"
        }
        NotRestored::NoToken => "the stored record holds no value, or one of unknown age",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credential::{CredentialId, Generation},
        heartbeat::Heartbeat,
        issuer::wechat::ERRORS,
        metrics::Metrics,
    };

    #[test]
    fn rotations_and_failures_come_into_the_history_and_those_of_a_kind_in_a_row_as_one() {
        let id = CredentialId::access_token("main".parse().unwrap());
        let metrics = Metrics::new().credential(&id);
        let (handle, _end) = Handle::new(id, metrics, Heartbeat::starting(Duration::ZERO));
        let mut log = KeeperLog::new(handle.clone());
        let failed = |second: i64, repeated| {
            let error = IssueError::Refused { errcode: 40164, errmsg: String::new() };
            let at = WallTime::from_millis(second * 1000);
            let failure = Failure { error, errors: &ERRORS, at, repeated }.into();
            (at, Note::CallFailed { failure, retry_in: Duration::ZERO })
        };
        let rotated = Note::Rotated { generation: Generation(1), life: Duration::from_secs(7200), after_failures: 0 };
        log.note(WallTime::from_millis(1000), &rotated);
        for (second, repeated) in [(2, 1), (3, 2), (4, 1)] {
            let (at, note) = failed(second, repeated);
            log.note(at, &note);
        }
        log.note(WallTime::from_millis(5000), &Note::SameToken { after_failures: 3 });
        log.note(WallTime::from_millis(6000), &Note::EndedByOthers);
        let entries = handle.history.entries().into_iter().map(|entry| (entry.at.as_millis(), entry.what, entry.times));
        let refused = Happening::Refused(40164);
        let expected = [
            (1000, Happening::Rotated, 1),
            (2000, refused, 2),
            (4000, refused, 1),
            (6000, Happening::EndedByOthers, 1),
        ];
        assert_eq!(entries.collect::<Vec<_>>(), expected);
    }
}
