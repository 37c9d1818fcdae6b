//! What does the verdict of a probe change?

use super::{Generation, Machine, Note, Now, Phase, Remedy, ReportAnswer, ReportFailure, Verdict};

impl Machine {
    pub(super) fn probed(&mut self, now: Now, verdict: Verdict) {
        let Phase::Probing(sent) = self.phase else { return };
        self.phase = Phase::Idle;
        if sent.is_candidate {
            self.decided(now, sent, &verdict);
            return self.note(Note::Probed(verdict));
        }
        let pace = self.policy.probe_pace();
        let credential = self.record.credential.as_mut().filter(|credential| credential.generation == sent.generation);
        match (&verdict, credential) {
            (Verdict::Accepted, Some(_)) => {
                self.record.verified_at = Some(sent.at);
                self.probes.retry_at = None;
                self.probes.checked_offset_ms = now.offset_ms();
                self.storing.is_dirty |= self.replica.is_some(); // the others serve by it too
                self.answer_all(&ReportAnswer::Accepted);
            }
            (Verdict::Refused { .. }, Some(credential)) => {
                credential.is_refused = true;
                self.record.verified_at = None;
                self.storing.is_dirty = true;
                self.drop_backoff(now);
            }
            (Verdict::Inconclusive { cause }, _) => {
                self.probes.retry_at = Some(sent.at.plus(pace));
                let again_at = sent.at.plus(self.policy.report_cooldown);
                self.answer_all(&ReportAnswer::Failed { again_at, failure: ReportFailure::NoVerdict(cause.clone()) });
            }
            (_, None) => {}
        }
        self.note(Note::Probed(verdict));
    }

    /// The token is gone: a back-off that was meant to spare a living one ends. What WeChat or thrift demands stays.
    fn drop_backoff(&mut self, now: Now) {
        let errors = self.policy.issuer.errors;
        let was_back_off = self.last_failure.as_ref().is_none_or(|last| errors.remedy(&last.error) == Remedy::Soon);
        if was_back_off && !self.is_thrifty(now) {
            self.record.retry_at = None;
        }
    }

    /// The generation that readers see now: until the record is read, what this process published before its keeper was
    /// started again.
    pub(super) fn current_generation(&self) -> Option<Generation> {
        let before = (!self.is_loaded).then_some(self.min_generation);
        self.record.credential.as_ref().map(|credential| credential.generation).or(before)
    }
}
