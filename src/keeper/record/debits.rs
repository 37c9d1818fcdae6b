//! What was spent of a day's budgets (I6)?

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    clock::{ClockOffset, Timestamp},
    status::Budget,
};

/// The rolling window of every budget.
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// Forced calls in a rolling day; WeChat allows 20.
pub const FORCED_PER_DAY: u32 = 6;
/// Probes in a rolling day.
pub const PROBES_PER_DAY: u32 = 300;
/// Of them, probes for which no report asks: reports have the rest to themselves.
pub const UNASKED_PROBES_PER_DAY: u32 = 200;
/// Debits are counted by the half hour: 49 small numbers instead of 1,800 moments, at the price of up to half an hour
/// more than a day.
const DEBIT_SPAN: Duration = Duration::from_secs(1800);
/// Spans of two records that began so close to each other are one, read by two clocks.
const SAME_SPAN: Duration = Duration::from_secs(10);

/// What one debit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Debit {
    /// A call to the token API.
    Call {
        /// And a forced one.
        is_forced: bool,
    },
    /// A probe.
    Probe,
}

/// What was spent in the last 24 hours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Debits {
    spans: Vec<DebitSpan>,
}

/// Written as four numbers: since when, calls, forced calls, probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Timestamp, u32, u32, u32)", into = "(Timestamp, u32, u32, u32)")]
struct DebitSpan {
    /// By another clock: the latest that it can have been.
    since: Timestamp,
    spent: Budget,
}

impl From<(Timestamp, u32, u32, u32)> for DebitSpan {
    fn from((since, calls, forced, probes): (Timestamp, u32, u32, u32)) -> Self {
        Self { since, spent: Budget { calls, forced, probes } }
    }
}

impl From<DebitSpan> for (Timestamp, u32, u32, u32) {
    fn from(DebitSpan { since, spent }: DebitSpan) -> Self {
        (since, spent.calls, spent.forced, spent.probes)
    }
}

impl Budget {
    fn count(&mut self, debit: Debit, change: impl Fn(u32) -> u32) {
        match debit {
            Debit::Call { is_forced } => {
                self.calls = change(self.calls);
                if is_forced {
                    self.forced = change(self.forced);
                }
            }
            Debit::Probe => self.probes = change(self.probes),
        }
    }
}

impl Debits {
    /// The same on our clock.
    pub(super) fn shifted(mut self, by: ClockOffset) -> Self {
        self.spans.iter_mut().for_each(|span| span.since = by.latest(span.since));
        self
    }

    /// What stands in either. A span that both have, the greater of each count; one that only one has was spent by a relay that could
    /// not read the other's record.
    pub(super) fn join(self, other: Self) -> Self {
        let mut spans = [self.spans, other.spans].concat();
        spans.sort_by_key(|span| span.since);
        let mut joined: Vec<DebitSpan> = Vec::with_capacity(spans.len());
        for span in spans {
            match joined.last_mut().filter(|last| span.since.since(last.since) < SAME_SPAN) {
                Some(last) => last.spent = last.spent.zip(span.spent, u32::max),
                None => joined.push(span),
            }
        }
        Self { spans: joined }
    }

    /// Writes a debit down, and forgets what is older than a day.
    pub fn debit(&mut self, now: Timestamp, debit: Debit) {
        self.spans.retain(|span| now < span.forgotten_at());
        let is_open = self.spans.last().is_some_and(|span| now.since(span.since) < DEBIT_SPAN);
        if !is_open {
            self.spans.push(DebitSpan { since: now, spent: Budget::default() });
        }
        if let Some(span) = self.spans.last_mut() {
            span.spent.count(debit, |spent| spent.saturating_add(1));
        }
    }

    /// Gives the latest debit of this kind back: what provably was not sent.
    pub fn refund(&mut self, debit: Debit) {
        if let Some(span) = self.spans.last_mut() {
            span.spent.count(debit, |spent| spent.saturating_sub(1));
        }
    }

    /// What was spent in the day before `now`.
    pub fn spent(&self, now: Timestamp) -> Budget {
        let live = self.spans.iter().filter(|span| now < span.forgotten_at());
        live.fold(Budget::default(), |sum, span| sum.zip(span.spent, u32::saturating_add))
    }

    /// What is left where nothing was spent.
    pub const fn whole(calls_per_day: u32) -> Budget {
        Budget { calls: calls_per_day, forced: FORCED_PER_DAY, probes: PROBES_PER_DAY }
    }

    /// What is left at `now`.
    pub fn left(&self, now: Timestamp, calls_per_day: u32) -> Budget {
        Self::whole(calls_per_day).zip(self.spent(now), u32::saturating_sub)
    }

    /// When the next span is forgotten that holds something for which `counts`.
    pub fn relief_at(&self, now: Timestamp, counts: impl Fn(&Budget) -> u32) -> Timestamp {
        let holding = self.spans.iter().filter(|span| now < span.forgotten_at() && counts(&span.spent) > 0);
        holding.map(DebitSpan::forgotten_at).min().unwrap_or(now)
    }
}

impl DebitSpan {
    fn forgotten_at(&self) -> Timestamp {
        self.since.plus(DEBIT_SPAN).plus(DAY)
    }
}
