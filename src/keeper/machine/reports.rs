//! What becomes of a client's report that the token is bad (I5)?
//!
//! Reports wait here while anything is under way, and share its outcome. When nothing is, one rule decides for all that
//! wait: stale ones are settled, the cool-down and the budget answer some, and for the rest there is one probe.

use std::time::Duration;

use super::{
    Action, Grounds, Machine, Now, Phase, ReportAnswer, ReportFailure, ReportId, ReportLimit, Then, Timestamp, Waiting,
};

/// How long a report waits for a refresh that is not yet allowed: the client is gone after 10 s.
const PATIENCE: Duration = Duration::from_secs(10);

impl Machine {
    /// Takes a report in. An early fetch that is no reason to doubt the token is answered at once; one that comes while a
    /// probe is under way joins it.
    pub(super) fn hear(&mut self, now: Now, report: Waiting) {
        match self.calm_until(now, report.grounds) {
            Some(again_at) if Some(report.generation) == self.current_generation() => {
                self.answer(report.id, ReportAnswer::TooMany { again_at, limit: ReportLimit::Cooldown });
            }
            _ => self.reports.push(report),
        }
    }

    /// Until when an early fetch is no reason to doubt the token, if so.
    pub(super) fn calm_until(&self, now: Now, grounds: Grounds) -> Option<Timestamp> {
        let is_probing = matches!(self.phase, Phase::Probing(_) | Phase::Recording(Then::Probe(_)));
        let until = self.known.doubt_from(now, grounds);
        (grounds != Grounds::Report && !is_probing && now.boot < until).then_some(until)
    }

    /// Decides about the waiting reports when nothing is under way; whether a probe is to begin for them.
    pub(super) fn take_reports(&mut self, now: Now) -> bool {
        self.answer_stale();
        if self.reports.is_empty() {
            return false;
        }
        if self.known.living(now.boot).is_none() {
            if let Some(answer) = self.cannot_refresh_soon(now) {
                self.answer_all(&answer);
            }
            return false;
        }
        // whether an early fetch is worth a probe was decided when it came
        if let Some(answer) = self.cannot_probe_yet(now) {
            self.answer_those(&answer, |report| report.grounds == Grounds::Report);
        }
        !self.reports.is_empty()
    }

    /// Answers the reports of another generation than the current one.
    pub(super) fn answer_stale(&mut self) {
        let current = self.current_generation();
        self.answer_those(&ReportAnswer::Superseded, |report| Some(report.generation) != current);
    }

    pub(super) fn answer_all(&mut self, answer: &ReportAnswer) {
        self.answer_those(answer, |_| true);
    }

    pub(super) fn answer_those(&mut self, answer: &ReportAnswer, which: impl Fn(&Waiting) -> bool) {
        let (those, waiting) = std::mem::take(&mut self.reports).into_iter().partition::<Vec<_>, _>(which);
        self.reports = waiting;
        for report in those {
            self.answer(report.id, answer.clone());
        }
    }

    pub(super) fn answer(&mut self, id: Option<ReportId>, answer: ReportAnswer) {
        match id {
            Some(id) => self.act(Action::Answer(id, answer)),
            None => self.answer_forwarded(answer),
        }
    }

    fn cannot_refresh_soon(&self, now: Now) -> Option<ReportAnswer> {
        let call_at = self.known.call_at(now);
        if call_at < now.boot.plus(PATIENCE) {
            None
        } else if self.known.budget_at(now) >= call_at {
            Some(ReportAnswer::TooMany { again_at: call_at, limit: ReportLimit::Calls })
        } else {
            Some(ReportAnswer::Failed { again_at: call_at, failure: ReportFailure::TooSoon })
        }
    }

    fn cannot_probe_yet(&self, now: Now) -> Option<ReportAnswer> {
        let last = self.known.probes.last_at.max(self.known.probes.rotated_at);
        let cool_at = last.map(|at| at.plus(self.known.policy().report_cooldown)).filter(|at| now.boot < *at);
        if let Some(again_at) = cool_at {
            return Some(ReportAnswer::TooMany { again_at, limit: ReportLimit::Cooldown });
        }
        let debits = &self.known.record.debits;
        (debits.left(now.boot, self.known.policy().calls_per_day).probes == 0).then(|| ReportAnswer::TooMany {
            again_at: debits.relief_at(now.boot, |spent| spent.probes),
            limit: ReportLimit::Probes,
        })
    }
}
