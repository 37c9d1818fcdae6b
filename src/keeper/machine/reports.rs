//! What becomes of a client's report that the token is bad (I5)?
//!
//! Reports wait here while anything is under way, and share its outcome. When nothing is, one rule decides for all that
//! wait: stale ones are settled, the cool-down and the budget answer some, and for the rest there is one probe.

use std::time::Duration;

use super::{Action, Generation, Machine, Now, ReportAnswer, ReportFailure, ReportId, ReportLimit};

/// How long a report waits for a refresh that is not yet allowed: the client is gone after 10 s.
const PATIENCE: Duration = Duration::from_secs(10);

impl Machine {
    /// Decides about the waiting reports when nothing is under way; whether a probe is to begin for them.
    pub(super) fn take_reports(&mut self, now: Now) -> bool {
        self.answer_stale();
        if self.reports.is_empty() {
            return false;
        }
        let answer = match self.known.situation().living(now.boot) {
            None => self.cannot_refresh_soon(now),
            Some(_) => self.cannot_probe_yet(now),
        };
        match answer {
            Some(answer) => {
                self.answer_all(&answer);
                false
            }
            None => self.known.situation().living(now.boot).is_some(),
        }
    }

    /// Answers the reports of another generation than the current one.
    pub(super) fn answer_stale(&mut self) {
        let current = self.current_generation();
        let (waiting, stale) = std::mem::take(&mut self.reports)
            .into_iter()
            .partition(|&(_, generation): &(_, Generation)| Some(generation) == current);
        self.reports = waiting;
        for (id, _) in stale as Vec<(ReportId, Generation)> {
            self.answer(id, ReportAnswer::Superseded);
        }
    }

    pub(super) fn answer_all(&mut self, answer: &ReportAnswer) {
        for (id, _) in std::mem::take(&mut self.reports) {
            self.answer(id, answer.clone());
        }
    }

    fn answer(&mut self, id: ReportId, answer: ReportAnswer) {
        if id == ReportId::FORWARDED {
            self.answer_forwarded(answer);
        } else {
            self.act(Action::Answer(id, answer));
        }
    }

    fn cannot_refresh_soon(&self, now: Now) -> Option<ReportAnswer> {
        let call_at = self.known.situation().call_at(now);
        if call_at < now.boot.plus(PATIENCE) {
            None
        } else if self.known.situation().budget_at(now) >= call_at {
            Some(ReportAnswer::TooMany { again_at: call_at, limit: ReportLimit::Calls })
        } else {
            Some(ReportAnswer::Failed { again_at: call_at, failure: ReportFailure::TooSoon })
        }
    }

    fn cannot_probe_yet(&self, now: Now) -> Option<ReportAnswer> {
        let last = self.known.probes.last_at.max(self.known.probes.rotated_at);
        let cool_at = last.map(|at| at.plus(self.known.charge.policy.report_cooldown)).filter(|at| now.boot < *at);
        if let Some(again_at) = cool_at {
            return Some(ReportAnswer::TooMany { again_at, limit: ReportLimit::Cooldown });
        }
        let debits = &self.known.record.debits;
        (debits.left(now.boot, self.known.charge.policy.calls_per_day).probes == 0).then(|| ReportAnswer::TooMany {
            again_at: debits.relief_at(now.boot, |spent| spent.probes),
            limit: ReportLimit::Probes,
        })
    }
}
