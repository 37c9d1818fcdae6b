//! How does a report that reached a follower become one probe of the holder's? As a forwarded report in the record, which the
//! holder handles like a report of its own.

use std::time::Duration;

use super::{Grounds, Machine, Now, ReportAnswer, ReportLimit, Waiting};
use crate::keeper::record::{ForwardedAnswer, ForwardedReport};

/// A forwarded report may take two looks to be seen: an accepted probe sent so shortly before answers it too.
const FORWARDED_JOINS: Duration = Duration::from_secs(2);

impl Machine {
    /// Asks the holder to probe: one forwarded report serves all reports of a generation, here and at the others.
    pub(super) fn forward(&mut self) {
        let Some(generation) = self.current_generation() else { return };
        let Some(grounds) = self.reports.iter().map(|report| report.grounds).max() else { return };
        let Some(replica) = &mut self.known.replica else { return };
        let stored = self.known.record.forwarded.as_ref().filter(|forwarded| forwarded.generation == generation);
        match stored {
            Some(ForwardedReport { id, answer: Some(answer), grounds, .. }) if replica.awaited == Some(*id) => {
                replica.awaited = None;
                let asked = *grounds;
                let answer = match answer.clone() {
                    ForwardedAnswer::Accepted => ReportAnswer::Accepted,
                    ForwardedAnswer::TooMany(again_at) => {
                        ReportAnswer::TooMany { again_at: again_at.latest, limit: ReportLimit::Cooldown }
                    }
                    ForwardedAnswer::Failed(again_at, failure) => {
                        ReportAnswer::Failed { again_at: again_at.latest, failure }
                    }
                };
                // that nobody is suspected answers no report
                let is_for = |report: &Waiting| asked == Grounds::Report || report.grounds != Grounds::Report;
                match answer {
                    ReportAnswer::TooMany { .. } => self.answer_those(&answer, is_for),
                    _ => self.answer_all(&answer),
                }
            }
            Some(ForwardedReport { id, answer: None, .. }) => replica.awaited = Some(*id),
            _ => {
                let id = self.known.rng.u64(..);
                replica.awaited = Some(id);
                self.known.record.forwarded = Some(ForwardedReport { id, generation, grounds, answer: None });
                self.known.writer.is_dirty = true;
            }
        }
    }

    /// The holder handles a follower's report like one of its own; one that was made while a probe was under way joins it.
    pub(super) fn take_forwarded(&mut self, now: Now) {
        let open = self.known.record.forwarded.as_ref().filter(|forwarded| forwarded.answer.is_none());
        let open = open.filter(|_| self.known.replica.is_some());
        let Some(&ForwardedReport { generation, grounds, .. }) = open else { return };
        let joins = self.known.record.verified_at.is_some_and(|at| now.boot.since(at.earliest) < FORWARDED_JOINS);
        if joins && Some(generation) == self.current_generation() {
            self.answer_forwarded(ReportAnswer::Accepted);
        } else if self.reports.iter().all(|report| report.id.is_some()) {
            self.hear(now, Waiting { id: None, generation, grounds });
        }
    }

    pub(super) fn answer_forwarded(&mut self, answer: ReportAnswer) {
        let answer = match answer {
            ReportAnswer::Superseded => {
                self.known.writer.is_dirty |= self.known.record.forwarded.take().is_some();
                return;
            }
            ReportAnswer::Accepted => ForwardedAnswer::Accepted,
            ReportAnswer::TooMany { again_at, .. } => ForwardedAnswer::TooMany(again_at.into()),
            ReportAnswer::Failed { again_at, failure } => ForwardedAnswer::Failed(again_at.into(), failure),
        };
        if let Some(forwarded) = &mut self.known.record.forwarded {
            forwarded.answer = Some(answer);
            self.known.writer.is_dirty = true;
        }
    }
}
