//! Does every report get its answer, at the price that I5 allows, and does a relay that is asked to stop stop (I13)?

use std::{collections::BTreeMap, time::Duration};

use token_relay::{
    issuer::RotationMode,
    keeper::{
        machine::{ReportAnswer, ReportId},
        record::FORCED_PER_DAY,
    },
};

use super::{
    breach::Breach,
    call_checks::CallChecks,
    replica::Offer,
    rng::SECOND,
    setup::Setup,
    store_link::DISK_LIMIT,
    wechat_link::{CALL_LIMIT, PROBE_LIMIT},
};

struct Waiting {
    who: usize,
    generation: u64,
    /// What had been made when the report came.
    calls: u64,
    probes: u64,
    /// To be answered by then.
    answer_by: i64,
}

pub(crate) struct ReportChecks {
    breach: Breach,
    is_shared: bool,
    waiting: BTreeMap<ReportId, Waiting>,
    made: u64,
    stop_by: Vec<Option<i64>>,
    calls_per_report: u64,
}

/// A permit, a probe, a normal and a forced call and the writes between them.
const REPORT_LIMIT: i64 = 30 * SECOND + 2 * CALL_LIMIT + PROBE_LIMIT + 6 * DISK_LIMIT + 30 * SECOND;
/// How long a report waits for a call that is not due yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is under way when the relay is to stop, the write that it waits for, and the one of its outcome.
const STOP_LIMIT: i64 = CALL_LIMIT + 2 * DISK_LIMIT + SECOND;
/// The same of several, on a store that takes writes and does not say so: each is found again and joined with the next one,
/// until the lease is given back.
const STOP_LIMIT_OF_SEVERAL: i64 = STOP_LIMIT + 3 * DISK_LIMIT;

impl ReportChecks {
    pub(crate) fn new(breach: Breach, setup: &Setup) -> Self {
        let calls_per_report = match setup.policy.issuer.rotation {
            RotationMode::Rotating => 1,
            // where an outsider's forced call stands in the way of ours, a report outlasts all of the day at this pace
            RotationMode::Sticky if setup.policy.forced_pace() < PATIENCE => 1 + u64::from(FORCED_PER_DAY),
            RotationMode::Sticky => 2,
        };
        let (is_shared, stop_by) = (setup.is_shared, vec![None; setup.replicas]);
        Self { breach, is_shared, waiting: BTreeMap::new(), made: 0, stop_by, calls_per_report }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    pub(crate) fn comes(&mut self, at: i64, who: usize, id: ReportId, generation: u64, calls: &CallChecks) {
        // with several relays it waits for a holder, and holders may be lost one after the other
        let answer_by = if self.is_shared { i64::MAX } else { at + REPORT_LIMIT };
        let (calls, probes) = (calls.calls_made, calls.probes_made);
        self.waiting.insert(id, Waiting { who, generation, calls, probes, answer_by });
    }

    pub(crate) fn answered(
        &mut self,
        at: i64,
        id: ReportId,
        answer: &ReportAnswer,
        offer: Option<Offer>,
        made: &CallChecks,
    ) {
        let breach = self.breach;
        let Some(report) = self.waiting.remove(&id) else {
            return breach.unless(false, at, "I5", || format!("report {id:?} is answered twice: {answer:?}"));
        };
        if !self.is_shared {
            // calls before the refusal had a reason of their own (`CallChecks::is_due`), and the report only joined them
            let calls = made.calls_made - report.calls.max(made.calls_at_refusal);
            let probes = made.probes_made - report.probes;
            breach.unless(probes <= 1, at, "I5", || format!("a report cost {probes} probes: {answer:?}"));
            let most = self.calls_per_report;
            breach.unless(calls <= most, at, "I5", || format!("a report cost {calls} calls: {answer:?}"));
        }
        if *answer == ReportAnswer::Superseded {
            let stands = offer.is_some_and(|offer| offer.generation.0 == report.generation);
            breach.unless(!stands, at, "I5", || {
                "a report is settled while readers still see the reported token".to_owned()
            });
        }
    }

    pub(crate) fn is_anybody_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn stop_asked(&mut self, at: i64, who: usize) {
        let limit = if self.is_shared { STOP_LIMIT_OF_SEVERAL } else { STOP_LIMIT };
        self.stop_by[who].get_or_insert(at + limit);
    }

    /// Nobody waits for ever.
    pub(crate) fn look(&self, at: i64, who: usize) {
        if let Some((id, report)) = self.waiting.iter().next() {
            self.breach.unless(at <= report.answer_by, at, "I5", || format!("report {id:?} is not answered"));
        }
        if let Some(stop_by) = self.stop_by[who] {
            self.breach.unless(at <= stop_by, at, "I13", || format!("relay {who} does not stop"));
        }
    }

    /// The process does not run until `thaw`, and nobody holds that against it.
    pub(crate) fn frozen(&mut self, at: i64, thaw: i64, who: usize) {
        let those = self.waiting.values_mut().filter(|report| report.who == who);
        those.for_each(|report| report.answer_by = report.answer_by.saturating_add(thaw - at));
        self.stop_by[who] = self.stop_by[who].map(|stop_by| stop_by + (thaw - at));
    }

    pub(crate) fn life_ends(&mut self, who: usize) {
        self.waiting.retain(|_, report| report.who != who);
        self.stop_by[who] = None;
    }

    pub(crate) fn stops(&self, at: i64, who: usize) {
        let left = self.waiting.values().filter(|report| report.who == who).count();
        self.breach.unless(left == 0, at, "I5", || format!("relay {who} stops and leaves {left} reports unanswered"));
    }

    pub(crate) fn all_answered(&self, at: i64) {
        let left = self.waiting.len();
        self.breach.unless(left == 0, at, "I5", || format!("{left} reports are not answered"));
    }
}
