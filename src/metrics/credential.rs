//! What is counted of each credential, and how is it written at a scrape?

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::{
    label::Label,
    labels::{CallOutcome, ProbeOutcome, ReportOutcome},
    whole,
};
use crate::{
    clock::Timestamp,
    credential::{CredentialId, CredentialKind},
    report::Grounds,
    status::{FACTS, Status, Value},
};

/// What is counted of one credential. Numbers alone, 0.4 KiB: the names and labels of its 40 series, which were 3 KiB and more, are
/// written at the scrape.
#[derive(Debug, Default)]
pub struct CredentialMetrics {
    calls: [AtomicU64; CallOutcome::ALL.len()],
    probes: [AtomicU64; ProbeOutcome::ALL.len()],
    reports: [AtomicU64; ReportOutcome::ALL.len()],
    early_fetches: [AtomicU64; ReportOutcome::ALL.len()],
    rotations: AtomicU64,
    ended_by_others: AtomicU64,
    revocations: AtomicU64,
    appsecret_requests: AtomicU64,
    store_failures: AtomicU64,
    keeper_restarts: AtomicU64,
    facts: Gauges,
}

/// The gauges of [`FACTS`], by their places there; set at the scrape and not before.
#[derive(Debug)]
struct Gauges(Box<[AtomicI64]>);

impl Default for Gauges {
    fn default() -> Self {
        Self(FACTS.iter().map(|_| AtomicI64::default()).collect())
    }
}

impl CredentialMetrics {
    /// A call to the token API ended.
    pub fn call(&self, outcome: CallOutcome) {
        add_one(&self.calls[outcome as usize]);
    }

    /// A probe ended.
    pub fn probe(&self, outcome: ProbeOutcome) {
        add_one(&self.probes[outcome as usize]);
    }

    /// A report on these grounds was answered.
    pub fn report(&self, grounds: Grounds, outcome: ReportOutcome) {
        let counters = match grounds {
            Grounds::Report => &self.reports,
            Grounds::EarlyFetch | Grounds::Burst => &self.early_fetches,
            Grounds::Revocation => return add_one(&self.revocations),
        };
        add_one(&counters[outcome as usize]);
    }

    /// A token was dead that no call of this relay had ended.
    pub fn ended_by_others(&self) {
        add_one(&self.ended_by_others);
    }

    /// A new credential replaced the last one.
    pub fn rotated(&self) {
        add_one(&self.rotations);
    }

    /// A drop-in route took the account's AppSecret in place of a relay key.
    pub fn appsecret_accepted(&self) {
        add_one(&self.appsecret_requests);
    }

    /// The record could not be loaded or stored.
    pub fn store_failed(&self) {
        add_one(&self.store_failures);
    }

    /// The keeper died and was started again (I12).
    pub fn keeper_restarted(&self) {
        add_one(&self.keeper_restarts);
    }

    /// Sets the gauges of the facts that `status` has at `now`.
    pub(crate) fn set_facts(&self, status: &Status, now: Timestamp) {
        for (fact, gauge) in FACTS.iter().zip(&self.facts.0) {
            let value = match (fact.read)(status, now) {
                Value::Seconds(number) | Value::Number(number) => whole(number),
                Value::Flag(is_so) => i64::from(is_so),
                Value::Absent(_) => 0,
            };
            gauge.store(value, Relaxed);
        }
    }
}

fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// The metrics of every credential. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Credentials(Arc<Mutex<Metered>>);

type Metered = BTreeMap<CredentialId, Arc<CredentialMetrics>>;
type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Credentials {
    /// Those of `id`, at 0 where it has none yet.
    pub(super) fn add(&self, id: &CredentialId) -> Arc<CredentialMetrics> {
        self.lock().entry(id.clone()).or_default().clone()
    }

    pub(super) fn remove(&self, id: &CredentialId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, Metered> {
        // A map of counters cannot be left half changed, so a panic elsewhere poisons nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Credentials {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let metered = self.lock();
        if metered.is_empty() {
            return Ok(());
        }
        let mut page = Page { encoder, metered: &metered };
        page.outcomes::<CallOutcome>("calls", "Calls to WeChat's token API, by outcome", |of| &of.calls)?;
        page.outcomes::<ProbeOutcome>("probes", "Probes of a token, by outcome", |of| &of.probes)?;
        page.outcomes::<ReportOutcome>("reports", "Reports of a bad token, by outcome", |of| &of.reports)?;
        page.outcomes::<ReportOutcome>(
            "early_fetches",
            "Drop-in fetches that made the token doubtful, by outcome",
            |of| &of.early_fetches,
        )?;
        page.counter("ended_by_others", "Tokens found dead that no call of the relay had ended", |of| {
            &of.ended_by_others
        })?;
        page.counter("revocations", "Demands of an operator to revoke the token", |of| &of.revocations)?;
        page.counter("rotations", "New tokens that replaced the last one", |of| &of.rotations)?;
        page.counter("appsecret_requests", "Requests with the AppSecret in place of a key", |of| {
            &of.appsecret_requests
        })?;
        page.counter("store_failures", "Records that could not be loaded or stored", |of| &of.store_failures)?;
        page.counter("keeper_restarts", "Keepers that died and were started again", |of| &of.keeper_restarts)?;
        page.facts()
    }
}

/// A page of metrics that is being written.
struct Page<'e, 'm> {
    encoder: DescriptorEncoder<'e>,
    metered: &'m Metered,
}

impl Page<'_, '_> {
    fn counter(&mut self, name: &str, help: &str, counter: fn(&CredentialMetrics) -> &AtomicU64) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (id, metrics) in self.metered {
            let count = ConstCounter::new(counter(metrics).load(Relaxed));
            count.encode(family.encode_family(&labels_of(id, None))?)?;
        }
        Ok(())
    }

    fn outcomes<L: Label>(
        &mut self,
        name: &str,
        help: &str,
        counters: fn(&CredentialMetrics) -> &[AtomicU64],
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (id, metrics) in self.metered {
            for (outcome, counter) in L::ALL.iter().zip(counters(metrics)) {
                let labels = labels_of(id, Some(("outcome", outcome.name())));
                ConstCounter::new(counter.load(Relaxed)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// The gauges of [`FACTS`] by their names: facts that differ in a label alone share one.
    fn facts(&mut self) -> fmt::Result {
        let gauges = || FACTS.iter().enumerate().filter_map(|(place, fact)| Some((place, fact.gauge?)));
        let names: BTreeSet<_> = gauges().map(|(_, gauge)| (gauge.name, gauge.help)).collect();
        for (name, help) in names {
            let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (id, metrics) in self.metered {
                for (place, gauge) in gauges().filter(|(_, gauge)| gauge.name == name) {
                    let value = ConstGauge::new(metrics.facts.0[place].load(Relaxed));
                    value.encode(family.encode_family(&labels_of(id, gauge.label))?)?;
                }
            }
        }
        Ok(())
    }
}

/// The labels that say whose a series is, and `label`. An access token has the account alone.
fn labels_of<'a>(id: &'a CredentialId, label: Option<(&'static str, &'static str)>) -> Labels<'a> {
    let kind = match id.kind() {
        CredentialKind::AccessToken => None,
        CredentialKind::Ticket(kind) => Some(("kind", kind.label())),
    };
    [Some(("account", id.account().as_str())), kind, label].into_iter().flatten().collect()
}
