//! Does every report get its answer, at the price that I5 allows, and does a relay that is asked to stop stop (I13)?

use std::{collections::BTreeMap, time::Duration};

use token_relay::{
    issuer::RotationMode,
    keeper::machine::{ReportAnswer, ReportId},
};

use super::{
    court::Court,
    dice::SECOND,
    host::STORE_LIMIT,
    ledger::Ledger,
    relay::Offer,
    setup::Setup,
    wire::{CALL_LIMIT, PROBE_LIMIT},
};

struct Waiting {
    generation: u64,
    /// What had been made when the report came.
    calls: u64,
    probes: u64,
    /// To be answered by then.
    patience: i64,
}

pub(crate) struct Desk {
    court: Court,
    waiting: BTreeMap<ReportId, Waiting>,
    made: u64,
    stop_by: Option<i64>,
    calls_per_report: u64,
}

/// A slot, a probe, a normal and a forced call and the writes between them.
const REPORT_LIMIT: i64 = 30 * SECOND + 2 * CALL_LIMIT + PROBE_LIMIT + 6 * STORE_LIMIT + 30 * SECOND;
/// How long a report waits for a call that is not due yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is under way when the relay is to stop, the write that it waits for, and the one of its outcome.
const STOP_LIMIT: i64 = CALL_LIMIT + 2 * STORE_LIMIT + SECOND;

impl Desk {
    pub(crate) fn new(court: Court, setup: &Setup) -> Self {
        let calls_per_report = match setup.policy.issuer.rotation {
            RotationMode::Rotating => 1,
            // where an outsider's forced call stands in the way of ours, a report outlasts several at this pace
            RotationMode::Sticky if setup.policy.forced_pace() < PATIENCE => 6,
            RotationMode::Sticky => 2,
        };
        Self { court, waiting: BTreeMap::new(), made: 0, stop_by: None, calls_per_report }
    }

    pub(crate) fn next_report(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    pub(crate) fn comes(&mut self, at: i64, id: ReportId, generation: u64, ledger: &Ledger) {
        let waiting =
            Waiting { generation, calls: ledger.calls_made, probes: ledger.probes_made, patience: at + REPORT_LIMIT };
        self.waiting.insert(id, waiting);
    }

    pub(crate) fn answered(
        &mut self,
        at: i64,
        id: ReportId,
        answer: &ReportAnswer,
        offer: Option<Offer>,
        ledger: &Ledger,
    ) {
        let court = self.court;
        let Some(report) = self.waiting.remove(&id) else {
            return court.kept(at, "I5", false, || format!("report {id:?} is answered twice: {answer:?}"));
        };
        // calls before the refusal had a reason of their own (`Ledger::is_due`), and the report only joined them
        let calls = ledger.calls_made - report.calls.max(ledger.calls_at_refusal);
        let probes = ledger.probes_made - report.probes;
        court.kept(at, "I5", probes <= 1, || format!("a report cost {probes} probes: {answer:?}"));
        let most = self.calls_per_report;
        court.kept(at, "I5", calls <= most, || format!("a report cost {calls} calls: {answer:?}"));
        if *answer == ReportAnswer::Superseded {
            let stands = offer.is_some_and(|offer| offer.generation.0 == report.generation);
            court.kept(at, "I5", !stands, || {
                "a report is settled while readers still see the reported token".to_owned()
            });
        }
    }

    pub(crate) fn is_anybody_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn stop_asked(&mut self, at: i64) {
        self.stop_by.get_or_insert(at + STOP_LIMIT);
    }

    /// Nobody waits for ever.
    pub(crate) fn look(&self, at: i64) {
        if let Some((id, report)) = self.waiting.iter().next() {
            self.court.kept(at, "I5", at <= report.patience, || format!("report {id:?} is not answered"));
        }
        if let Some(stop_by) = self.stop_by {
            self.court.kept(at, "I13", at <= stop_by, || "the relay does not stop".to_owned());
        }
    }

    /// The process does not run until `thaw`, and nobody holds that against it.
    pub(crate) fn frozen(&mut self, at: i64, thaw: i64) {
        let pause = thaw - at;
        self.waiting.values_mut().for_each(|report| report.patience += pause);
        self.stop_by = self.stop_by.map(|stop_by| stop_by + pause);
    }

    pub(crate) fn life_ends(&mut self) {
        self.waiting.clear();
        self.stop_by = None;
    }

    pub(crate) fn stops(&self, at: i64) {
        let left = self.waiting.len();
        self.court.kept(at, "I5", left == 0, || format!("the relay stops and leaves {left} reports unanswered"));
    }
}
