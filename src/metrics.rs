//! What does the relay count, and what are the counts called?
//!
//! Every metric and label is in this file and in `labels`. The registry is a value: nothing is global. Counters are
//! resolved once, at the start; counting is then one atomic addition, which is all that a request may cost.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

mod labels;

pub use labels::{Budget, CallOutcome, ProbeOutcome, ReportOutcome, Route, Side, Status};

use crate::{account::AccountName, accounts::Accounts, clock::Timestamp};
use labels::Label;

type Labels<const N: usize> = [(&'static str, String); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;

/// The content type of [`Metrics::render`]: OpenMetrics, which Prometheus has read since 2018. No metric of ours is of a
/// type that the older text format lacks, so a scraper that takes it for that one reads it too.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The media type of [`classic`].
pub const CLASSIC_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page for those who do not ask for OpenMetrics: there a counter's type is told under its whole name, `…_total`.
pub fn classic(page: &str) -> String {
    let counters: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(page.len() + 512);
    for line in page.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), rest) if counters.contains(&name) => {
                text.extend(["# ", what, " ", name, "_total ", rest.unwrap_or_default()]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    accounts: BTreeMap<AccountName, Arc<AccountMetrics>>,
    /// What the listeners count.
    pub http: HttpMetrics,
    uptime: Gauge,
}

/// What is counted of one account.
#[derive(Debug)]
pub struct AccountMetrics {
    calls: Vec<Counter>,
    probes: Vec<Counter>,
    reports: Vec<Counter>,
    rotations: Counter,
    store_failures: Counter,
    keeper_restarts: Counter,
    standing: StandingGauges,
}

/// What is read from the published standing, at the scrape and not before.
#[derive(Debug)]
struct StandingGauges {
    seconds_left: Gauge,
    generation: Gauge,
    rotation_in: Gauge,
    failures: Gauge,
    store_ok: Gauge,
    lease_held: Gauge,
    budget: Vec<Gauge>,
}

/// What the listeners count.
#[derive(Debug)]
pub struct HttpMetrics {
    requests: Vec<Vec<Counter>>,
    connections: Vec<Gauge>,
    at_limit: Vec<Counter>,
    accept_failures: Vec<Counter>,
    panics: Counter,
}

impl Metrics {
    /// Metrics for `accounts`, every series at 0.
    pub fn new<'a>(accounts: impl IntoIterator<Item = &'a AccountName>) -> Self {
        let mut registry = Registry::with_prefix("token_relay");
        let about = Gauges::<1>::default();
        about.get_or_create(&[("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        registry.register("build_info", "Always 1; the label tells the version", about);
        let uptime = Gauge::default();
        registry.register("uptime_seconds", "Seconds since the start of the relay", uptime.clone());
        let http = HttpMetrics::new(&mut registry);
        let families = Families::new(&mut registry);
        let accounts = accounts.into_iter().map(|name| (name.clone(), Arc::new(families.account(name)))).collect();
        Self { registry, accounts, http, uptime }
    }

    /// The counters of the account `name`, one of those given to [`Metrics::new`].
    pub fn account(&self, name: &AccountName) -> Arc<AccountMetrics> {
        Arc::clone(self.accounts.get(name).expect("metrics are made for every account of the relay"))
    }

    /// All metrics as text, with the gauges as the accounts stand at `now`.
    pub fn render(&self, accounts: &Accounts, now: Timestamp, uptime: Duration) -> String {
        self.uptime.set(whole(uptime.as_secs()));
        for account in accounts.iter() {
            if let Some(metrics) = self.accounts.get(&account.name) {
                metrics.standing.read(&account.standing(), now);
            }
        }
        let mut page = String::with_capacity(16 * 1024);
        text::encode(&mut page, &self.registry).expect("writing to a string does not fail");
        page
    }
}

impl AccountMetrics {
    /// A call to the token API ended.
    pub fn call(&self, outcome: CallOutcome) {
        self.calls[outcome as usize].inc();
    }

    /// A probe ended.
    pub fn probe(&self, outcome: ProbeOutcome) {
        self.probes[outcome as usize].inc();
    }

    /// A report was answered.
    pub fn report(&self, outcome: ReportOutcome) {
        self.reports[outcome as usize].inc();
    }

    /// A new credential replaced the last one.
    pub fn rotated(&self) {
        self.rotations.inc();
    }

    /// The record could not be loaded or stored.
    pub fn store_failed(&self) {
        self.store_failures.inc();
    }

    /// The keeper died and was started again (I12).
    pub fn keeper_restarted(&self) {
        self.keeper_restarts.inc();
    }
}

impl StandingGauges {
    fn read(&self, standing: &crate::accounts::Standing, now: Timestamp) {
        self.seconds_left.set(standing.servable(now).map_or(0, |(_, seconds)| whole(seconds)));
        self.generation.set(standing.offer.as_ref().map_or(0, |offer| whole(offer.generation.0)));
        self.rotation_in.set(standing.rotation_at.map_or(0, |at| whole(at.since(now).as_secs())));
        self.failures.set(i64::from(standing.failures));
        self.store_ok.set(i64::from(standing.store_trouble.is_none()));
        self.lease_held.set(i64::from(standing.holds_lease));
        for budget in Budget::ALL {
            let left = match budget {
                Budget::Calls => standing.budget.calls,
                Budget::Forced => standing.budget.forced,
                Budget::Probes => standing.budget.probes,
            };
            self.budget[*budget as usize].set(i64::from(left));
        }
    }
}

impl HttpMetrics {
    fn new(registry: &mut Registry) -> Self {
        let requests = counters::<2>(registry, "requests", "Requests answered, by route and status");
        let connections = gauges::<1>(registry, "connections", "Connections that are open");
        let at_limit = counters::<1>(registry, "connection_limit_reached", "Times that no more connection was taken");
        let failures = counters::<1>(registry, "accept_failures", "Connections that the system refused to hand over");
        let panics = Counter::default();
        registry.register("handler_panics", "Requests whose handler panicked", panics.clone());
        let routes = Route::ALL.iter().map(|route| {
            let labels = |status: &Status| [("route", text_of(*route)), ("status", text_of(*status))];
            Status::ALL.iter().map(|status| requests.get_or_create_owned(&labels(status))).collect()
        });
        let side = |side: &Side| [("listener", text_of(*side))];
        Self {
            requests: routes.collect(),
            connections: Side::ALL.iter().map(|at| connections.get_or_create_owned(&side(at))).collect(),
            at_limit: Side::ALL.iter().map(|at| at_limit.get_or_create_owned(&side(at))).collect(),
            accept_failures: Side::ALL.iter().map(|at| failures.get_or_create_owned(&side(at))).collect(),
            panics,
        }
    }

    /// A request to `route` was answered with the status `code`.
    pub fn answered(&self, route: Route, code: u16) {
        self.requests[route as usize][Status::of(code) as usize].inc();
    }

    /// A handler panicked.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// The accept loop of `side` waits for a connection to end.
    pub fn at_limit(&self, side: Side) {
        self.at_limit[side as usize].inc();
    }

    /// The system refused to hand a connection over.
    pub fn accept_failed(&self, side: Side) {
        self.accept_failures[side as usize].inc();
    }

    /// A connection was opened; it counts as open until the guard is dropped.
    pub fn connected(&self, side: Side) -> Connected {
        let open = self.connections[side as usize].clone();
        open.inc();
        Connected(open)
    }
}

/// A connection that counts as open until this is dropped.
#[derive(Debug)]
pub struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The families of the metrics that are told per account.
struct Families {
    calls: Counters<2>,
    probes: Counters<2>,
    reports: Counters<2>,
    rotations: Counters<1>,
    store_failures: Counters<1>,
    keeper_restarts: Counters<1>,
    seconds_left: Gauges<1>,
    generation: Gauges<1>,
    rotation_in: Gauges<1>,
    failures: Gauges<1>,
    store_ok: Gauges<1>,
    lease_held: Gauges<1>,
    budget: Gauges<2>,
}

impl Families {
    fn new(to: &mut Registry) -> Self {
        Self {
            calls: counters(to, "calls", "Calls to WeChat's token API, by outcome"),
            probes: counters(to, "probes", "Probes of a token, by outcome"),
            reports: counters(to, "reports", "Reports of a bad token, by outcome"),
            rotations: counters(to, "rotations", "New tokens that replaced the last one"),
            store_failures: counters(to, "store_failures", "Records that could not be loaded or stored"),
            keeper_restarts: counters(to, "keeper_restarts", "Keepers that died and were started again"),
            seconds_left: gauges(
                to,
                "token_seconds_left",
                "Seconds promised of the served token, 0 when none is served",
            ),
            generation: gauges(
                to,
                "token_generation",
                "Generation of the token, about the Unix milliseconds of its birth",
            ),
            rotation_in: gauges(to, "rotation_in_seconds", "Seconds until the planned rotation, 0 when it is due"),
            failures: gauges(to, "consecutive_failures", "Calls that failed since the last success"),
            store_ok: gauges(to, "store_ok", "1 when the record is stored, 0 when the relay lives on memory alone"),
            lease_held: gauges(
                to,
                "lease_held",
                "1 when this relay calls WeChat for the account: one of those on a Redis",
            ),
            budget: gauges(to, "budget_left", "Calls that may still be made in the rolling 24 hours"),
        }
    }

    fn account(&self, name: &AccountName) -> AccountMetrics {
        let account = || ("account", name.to_string());
        let only = [account()];
        AccountMetrics {
            calls: by_outcome::<CallOutcome>(&self.calls, account),
            probes: by_outcome::<ProbeOutcome>(&self.probes, account),
            reports: by_outcome::<ReportOutcome>(&self.reports, account),
            rotations: self.rotations.get_or_create_owned(&only),
            store_failures: self.store_failures.get_or_create_owned(&only),
            keeper_restarts: self.keeper_restarts.get_or_create_owned(&only),
            standing: StandingGauges {
                seconds_left: self.seconds_left.get_or_create_owned(&only),
                generation: self.generation.get_or_create_owned(&only),
                rotation_in: self.rotation_in.get_or_create_owned(&only),
                failures: self.failures.get_or_create_owned(&only),
                store_ok: self.store_ok.get_or_create_owned(&only),
                lease_held: self.lease_held.get_or_create_owned(&only),
                budget: Budget::ALL
                    .iter()
                    .map(|budget| self.budget.get_or_create_owned(&[account(), ("budget", text_of(*budget))]))
                    .collect(),
            },
        }
    }
}

fn by_outcome<L: Label>(family: &Counters<2>, account: impl Fn() -> (&'static str, String)) -> Vec<Counter> {
    L::ALL.iter().map(|outcome| family.get_or_create_owned(&[account(), ("outcome", text_of(*outcome))])).collect()
}

fn counters<const N: usize>(registry: &mut Registry, name: &str, help: &str) -> Counters<N> {
    let family = Counters::default();
    registry.register(name, help, family.clone());
    family
}

fn gauges<const N: usize>(registry: &mut Registry, name: &str, help: &str) -> Gauges<N> {
    let family = Gauges::default();
    registry.register(name, help, family.clone());
    family
}

fn text_of(label: impl Label) -> String {
    label.text().to_owned()
}

/// A gauge holds an `i64`: what does not fit stands at its end.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(metrics: &Metrics) -> String {
        metrics.render(&Accounts::new([]), Timestamp::default(), Duration::from_secs(5))
    }

    #[test]
    fn every_series_is_there_from_the_start() {
        let names: Vec<AccountName> = vec!["main".parse().unwrap()];
        let page = page(&Metrics::new(&names));
        for series in [
            "token_relay_calls_total{account=\"main\",outcome=\"unknown\"} 0",
            "token_relay_probes_total{account=\"main\",outcome=\"inconclusive\"} 0",
            "token_relay_reports_total{account=\"main\",outcome=\"too_many\"} 0",
            "token_relay_rotations_total{account=\"main\"} 0",
            "token_relay_requests_total{route=\"token\",status=\"503\"} 0",
            "token_relay_connections{listener=\"public\"} 0",
            "token_relay_handler_panics_total 0",
            "token_relay_budget_left{account=\"main\",budget=\"forced\"} 0",
            "token_relay_uptime_seconds 5",
        ] {
            assert!(page.lines().any(|line| line == series), "{series} is missing in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn a_count_is_shown_at_its_own_series() {
        let names: Vec<AccountName> = vec!["main".parse().unwrap(), "shop".parse().unwrap()];
        let metrics = Metrics::new(&names);
        metrics.account(&names[1]).call(CallOutcome::Refused);
        metrics.http.answered(Route::Token, 200);
        metrics.http.answered(Route::Other, 418);
        let open = metrics.http.connected(Side::Admin);
        let busy = page(&metrics);
        assert!(busy.contains("calls_total{account=\"shop\",outcome=\"refused\"} 1\n"));
        assert!(busy.contains("calls_total{account=\"main\",outcome=\"refused\"} 0\n"));
        assert!(busy.contains("requests_total{route=\"token\",status=\"200\"} 1\n"));
        assert!(busy.contains("requests_total{route=\"other\",status=\"other\"} 1\n"));
        assert!(busy.contains("connections{listener=\"admin\"} 1\n"));
        drop(open);
        assert!(page(&metrics).contains("connections{listener=\"admin\"} 0\n"));
    }
}
