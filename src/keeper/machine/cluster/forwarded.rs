//! How does a report that reached a follower become one probe of the holder's? As a forwarded report in the record, which the holder
//! hears like a report of its own.

use std::time::Duration;

use super::super::{Machine, Now, ReportAnswer, ReportId, ReportLimit};
use crate::keeper::record::{ForwardedAnswer, ForwardedReport};

/// A forwarded report may take two looks to be seen: an accepted probe sent so shortly before answers it too.
const FORWARDED_JOINS: Duration = Duration::from_secs(2);

impl Machine {
    /// Asks the holder to probe: one forwarded report serves all reports of a generation, here and at the others.
    pub(super) fn forwarded(&mut self) {
        let Some(generation) = self.current_generation() else { return };
        let Some(awaited) = self.replica.as_ref().map(|replica| replica.awaited) else { return };
        let stored = self.record.shared.forwarded.clone().filter(|forwarded| forwarded.generation == generation);
        match stored {
            Some(ForwardedReport { id, answer: Some(answer), .. }) if awaited == Some(id) => {
                self.answer_all(&match answer {
                    ForwardedAnswer::Accepted => ReportAnswer::Accepted,
                    ForwardedAnswer::TooMany(again_at) => {
                        ReportAnswer::TooMany { again_at, limit: ReportLimit::Cooldown }
                    }
                    ForwardedAnswer::Failed(again_at, failure) => ReportAnswer::Failed { again_at, failure },
                });
                self.await_forwarded(None);
            }
            Some(ForwardedReport { id, answer: None, .. }) => self.await_forwarded(Some(id)),
            _ => {
                let id = self.rng.u64(..);
                self.record.shared.forwarded = Some(ForwardedReport { id, generation, answer: None });
                self.storing.is_dirty = true;
                self.await_forwarded(Some(id));
            }
        }
    }

    pub(super) fn await_forwarded(&mut self, id: Option<u64>) {
        if let Some(replica) = &mut self.replica {
            replica.awaited = id;
        }
    }

    /// The holder hears a follower's forwarded report like a report of its own; one that was made while a probe was under way joins it.
    pub(in crate::keeper::machine) fn take_forwarded(&mut self, now: Now) {
        let open = self.record.shared.forwarded.as_ref().filter(|forwarded| forwarded.answer.is_none());
        let Some(generation) = open.filter(|_| self.replica.is_some()).map(|forwarded| forwarded.generation) else {
            return;
        };
        let joins = self.record.verified_at.is_some_and(|at| now.boot.since(at) < FORWARDED_JOINS);
        if joins && Some(generation) == self.current_generation() {
            self.answer_forwarded(ReportAnswer::Accepted);
        } else if self.reports.iter().all(|(id, _)| *id != ReportId::FORWARDED) {
            self.reports.push((ReportId::FORWARDED, generation));
        }
    }

    pub(in crate::keeper::machine) fn answer_forwarded(&mut self, answer: ReportAnswer) {
        let answer = match answer {
            ReportAnswer::Superseded => {
                self.record.shared.forwarded = None;
                return;
            }
            ReportAnswer::Accepted => ForwardedAnswer::Accepted,
            ReportAnswer::TooMany { again_at, .. } => ForwardedAnswer::TooMany(again_at),
            ReportAnswer::Failed { again_at, failure } => ForwardedAnswer::Failed(again_at, failure),
        };
        if let Some(forwarded) = &mut self.record.shared.forwarded {
            forwarded.answer = Some(answer);
            self.storing.is_dirty = true;
        }
    }
}
