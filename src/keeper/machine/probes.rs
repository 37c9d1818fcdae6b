//! What does the verdict of a probe change?

use super::{
    Generation, Grounds, Knowledge, Machine, Note, Now, Phase, ProbeReason, Remedy, ReportAnswer, ReportFailure,
    Verdict,
};
use crate::keeper::record::Calm;

impl Machine {
    pub(super) fn probed(&mut self, now: Now, verdict: Verdict) {
        let Phase::Probing(sent) = self.phase else { return };
        self.phase = Phase::Idle;
        self.known.record.probed_at = Some(now.boot.into());
        if sent.reason == ProbeReason::Candidate {
            self.known.decided(now, sent, &verdict);
            return self.known.note(Note::Probed(verdict));
        }
        let pace = self.known.policy().probe_pace();
        let is_doubted = self.reports.iter().any(|waiting| waiting.grounds != Grounds::Report);
        let is_first_refusal = sent.reason == ProbeReason::Regular
            && self.reports.is_empty()
            && self.known.probes.refused_once_at.is_none();
        let may_be_ours = !self.known.record.calls.is_empty() || !self.known.record.orphans.is_empty();
        let is_ended_by_others = self.known.can_be_ended() && !may_be_ours && verdict != Verdict::Replaced;
        let credential =
            self.known.record.credential.as_mut().filter(|credential| credential.generation == sent.generation);
        match (&verdict, credential) {
            (Verdict::Accepted, Some(credential)) => {
                credential.seen(sent.at);
                self.known.record.verified_at = Some(sent.at.into());
                (self.known.probes.retry_at, self.known.probes.refused_once_at) = (None, None);
                self.known.probes.checked_offset_ms = now.offset_ms();
                if is_doubted {
                    self.known.record.calm.found_in_vain(sent.at.into());
                }
                self.known.writer.is_dirty |= self.known.replica.is_some(); // the others serve by it too
                self.answer_all(&ReportAnswer::Accepted);
            }
            (Verdict::Refused { .. }, Some(_)) if is_first_refusal => {
                self.known.probes.refused_once_at = Some(now.boot);
                return self.known.note(Note::RefusedOnce);
            }
            (Verdict::Refused { .. } | Verdict::Replaced, Some(credential)) => {
                credential.is_refused = true;
                self.known.probes.refused = Some(credential.generation);
                self.known.record.verified_at = None;
                self.known.record.calm = Calm::default();
                if is_ended_by_others {
                    self.known.record.ended_by_others_at = Some(now.wall);
                    self.known.note(Note::EndedByOthers);
                }
                self.known.writer.is_dirty = true;
                self.known.drop_backoff(now);
            }
            (Verdict::Inconclusive { cause }, _) => {
                self.known.probes.retry_at = Some(sent.at.plus(pace));
                let again_at = sent.at.plus(self.known.policy().report_cooldown);
                self.answer_all(&ReportAnswer::Failed { again_at, failure: ReportFailure::NoVerdict(cause.clone()) });
            }
            (_, None) => {}
        }
        self.known.note(Note::Probed(verdict));
    }

    /// The generation that readers see now: until the record is read, what this process published before its keeper was
    /// started again.
    pub(super) fn current_generation(&self) -> Option<Generation> {
        let before = (!self.is_loaded).then_some(self.known.charge.min_generation);
        self.known.record.credential.as_ref().map(|credential| credential.generation).or(before)
    }
}

impl Knowledge {
    /// The token is gone: a back-off that was meant to spare a living one ends. What WeChat or thrift demands stays.
    pub(super) fn drop_backoff(&mut self, now: Now) {
        let errors = self.issuer().errors;
        let was_back_off = self.last_failure.as_ref().is_none_or(|last| errors.remedy(&last.error) == Remedy::Soon);
        if was_back_off && !self.is_thrifty(now) {
            self.record.retry_at = None;
        }
    }
}
