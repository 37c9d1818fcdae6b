//! How does a report that reached a follower become one probe of the holder's? As a wish in the record, which the holder
//! hears like a report of its own.

use std::time::Duration;

use super::super::{Machine, Now, ReportAnswer, ReportId, ReportLimit};
use crate::keeper::record::{Wish, WishAnswer};

/// A wish may take two looks to be seen: an accepted probe sent so shortly before answers it too.
const WISH_JOINS: Duration = Duration::from_secs(2);

impl Machine {
    /// Asks the holder to probe: one wish serves all reports of a generation, here and at the others.
    pub(super) fn wish(&mut self) {
        let Some(generation) = self.current_generation() else { return };
        let Some(awaited) = self.sharing.as_ref().map(|sharing| sharing.awaited) else { return };
        let stored = self.record.shared.wish.clone().filter(|wish| wish.generation == generation);
        match stored {
            Some(Wish { id, answer: Some(answer), .. }) if awaited == Some(id) => {
                self.answer_all(&match answer {
                    WishAnswer::Accepted => ReportAnswer::Accepted,
                    WishAnswer::TooMany(again_at) => ReportAnswer::TooMany { again_at, limit: ReportLimit::Cooldown },
                    WishAnswer::Failed(again_at, failure) => ReportAnswer::Failed { again_at, failure },
                });
                self.await_wish(None);
            }
            Some(Wish { id, answer: None, .. }) => self.await_wish(Some(id)),
            _ => {
                let id = self.rng.u64(..);
                self.record.shared.wish = Some(Wish { id, generation, answer: None });
                self.storing.is_dirty = true;
                self.await_wish(Some(id));
            }
        }
    }

    pub(super) fn await_wish(&mut self, id: Option<u64>) {
        if let Some(sharing) = &mut self.sharing {
            sharing.awaited = id;
        }
    }

    /// The holder hears a follower's wish like a report of its own; one that was made while a probe was under way joins it.
    pub(in crate::keeper::machine) fn hear_wish(&mut self, now: Now) {
        let open = self.record.shared.wish.as_ref().filter(|wish| wish.answer.is_none());
        let Some(generation) = open.filter(|_| self.sharing.is_some()).map(|wish| wish.generation) else { return };
        let joins = self.record.vouched_at.is_some_and(|at| now.boot.since(at) < WISH_JOINS);
        if joins && Some(generation) == self.current_generation() {
            self.answer_wish(ReportAnswer::Accepted);
        } else if self.reports.iter().all(|(id, _)| *id != ReportId::WISH) {
            self.reports.push((ReportId::WISH, generation));
        }
    }

    pub(in crate::keeper::machine) fn answer_wish(&mut self, answer: ReportAnswer) {
        let answer = match answer {
            ReportAnswer::Superseded => {
                self.record.shared.wish = None;
                return;
            }
            ReportAnswer::Accepted => WishAnswer::Accepted,
            ReportAnswer::TooMany { again_at, .. } => WishAnswer::TooMany(again_at),
            ReportAnswer::Failed { again_at, failure } => WishAnswer::Failed(again_at, failure),
        };
        if let Some(wish) = &mut self.record.shared.wish {
            wish.answer = Some(answer);
            self.storing.is_dirty = true;
        }
    }
}
