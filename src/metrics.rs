//! What does the relay count, and what are the counts called?
//!
//! Every metric and label is in this file or in a module below it, except for the facts of a credential that operators
//! see elsewhere too: [`FACTS`](crate::status::FACTS) has those. The registry is a value: nothing is global. Counting is one
//! atomic addition, which is all that a request may cost.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

mod calls;
mod credential;
mod gateway;
mod label;
mod labels;
mod logs;
mod settings;

pub use calls::CallTimer;
pub use credential::CredentialMetrics;
pub use gateway::GatewayMetrics;
pub use labels::{
    ApiFamily, CallKind, CallOutcome, CallResult, ClientLimit, GatewayRefusal, Healing, ProbeOutcome, Refusal,
    ReloadOutcome, ReportOutcome, Route, Side, StatusClass, StatusCode,
};
pub use logs::LogMetrics;
pub use settings::SettingsMetrics;

use crate::{
    credential::{CredentialId, CredentialKind},
    issuer::Platform,
};
use calls::CallDurations;
use credential::Credentials;
use label::Label;

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;

/// The content type of [`Metrics::render`]: OpenMetrics, which Prometheus has read since 2018. No metric of ours is of a
/// type that the older text format lacks, so a scraper that takes it for that one reads it too.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The media type of [`classic`].
pub const CLASSIC_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page for those who do not ask for OpenMetrics: there a counter's type is given under its whole name, `…_total`.
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
    credentials: Credentials,
    calls: CallDurations,
    /// What the listeners count.
    pub http: HttpMetrics,
    /// What the gateway counts.
    pub gateway: GatewayMetrics,
    /// What is counted of the settings.
    pub settings: SettingsMetrics,
    /// What is counted of the logs.
    pub logs: LogMetrics,
    uptime: Gauge,
}

/// What the listeners count.
#[derive(Debug)]
pub struct HttpMetrics {
    requests: Vec<Vec<Counter>>,
    refusals: Vec<Counter>,
    limited: Vec<Counter>,
    connections: Vec<Gauge>,
    at_limit: Vec<Counter>,
    accept_failures: Vec<Counter>,
    source_at_limit: Vec<Counter>,
    failed_handshakes: Counter,
    loops: Counter,
    panics: Counter,
}

impl Metrics {
    /// Metrics of the relay, every series at 0, and of no credential yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("token_relay");
        let about = Gauges::default();
        about.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        registry.register("build_info", "Always 1; the label tells the version", about);
        let uptime = Gauge::default();
        registry.register("uptime_seconds", "Seconds since the start of the relay", uptime.clone());
        let http = HttpMetrics::new(&mut registry);
        let gateway = GatewayMetrics::new(&mut registry);
        let settings = SettingsMetrics::new(&mut registry);
        let logs = LogMetrics::new(&mut registry);
        let calls = CallDurations::new(&mut registry);
        let credentials = Credentials::default();
        registry.register_collector(Box::new(credentials.clone()));
        Self { registry, credentials, calls, http, gateway, settings, logs, uptime }
    }

    /// The counters of `id`, every series at 0 where it has none yet.
    pub fn credential(&self, id: &CredentialId) -> Arc<CredentialMetrics> {
        self.credentials.add(id)
    }

    /// What times the calls that ask `platform` for credentials of `kind`.
    pub fn call_timer(&self, platform: Platform, kind: CredentialKind) -> CallTimer {
        self.calls.timer(platform, kind)
    }

    /// Removes every series of `id`.
    pub fn remove(&self, id: &CredentialId) {
        self.credentials.remove(id);
    }

    /// All metrics as text. The facts of the credentials are those that `CredentialMetrics::set_facts` was given last.
    pub fn render(&self, uptime: Duration) -> String {
        self.uptime.set(whole(uptime.as_secs()));
        let mut page = String::with_capacity(16 * 1024);
        text::encode(&mut page, &self.registry).expect("writing to a string does not fail");
        page
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpMetrics {
    fn new(registry: &mut Registry) -> Self {
        let requests = counters(registry, "requests", "Requests answered, by route and status");
        let refusals = counters_by::<Refusal>(
            registry,
            "drop_in_refusals",
            "Requests that a drop-in route refused, by reason",
            "reason",
        );
        let limited = counters_by::<ClientLimit>(
            registry,
            "client_limit_refusals",
            "Refusals because a client is over its limit",
            "limit",
        );
        let connections = gauges(registry, "connections", "Connections that are open");
        let by_side = |registry: &mut Registry, name, help| counters_by::<Side>(registry, name, help, "listener");
        let at_limit = by_side(registry, "connection_limit_reached", "Times that no more connection was taken");
        let accept_failures = by_side(registry, "accept_failures", "Connections that the system refused to hand over");
        let source_at_limit =
            by_side(registry, "connections_refused", "Connections closed, for their address had too many");
        let handshakes = Counter::default();
        registry.register("tls_handshake_failures", "Connections without a TLS handshake", handshakes.clone());
        let loops = Counter::default();
        registry.register("loops", "Requests that a relay has sent, refused", loops.clone());
        let panics = Counter::default();
        registry.register("handler_panics", "Requests whose handler panicked", panics.clone());
        let routes = Route::ALL.iter().map(|route| {
            let labels = |code: &StatusCode| vec![("route", text_of(*route)), ("status", text_of(*code))];
            StatusCode::ALL.iter().map(|code| requests.get_or_create_owned(&labels(code))).collect()
        });
        let side = |side: &Side| vec![("listener", text_of(*side))];
        Self {
            requests: routes.collect(),
            refusals,
            limited,
            connections: Side::ALL.iter().map(|at| connections.get_or_create_owned(&side(at))).collect(),
            at_limit,
            accept_failures,
            source_at_limit,
            failed_handshakes: handshakes,
            loops,
            panics,
        }
    }

    /// A request to `route` was answered with the status `code`.
    pub fn answered(&self, route: Route, code: u16) {
        self.requests[route as usize][StatusCode::of(code) as usize].inc();
    }

    /// A drop-in route refused a request.
    pub fn refused(&self, refusal: Refusal) {
        self.refusals[refusal as usize].inc();
    }

    /// A client was refused because it is over this limit.
    pub fn limited(&self, limit: ClientLimit) {
        self.limited[limit as usize].inc();
    }

    /// A request was refused, for a relay has sent it.
    pub fn looped(&self) {
        self.loops.inc();
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

    /// A connection was closed, for its address had as many as one may have.
    pub fn source_at_limit(&self, side: Side) {
        self.source_at_limit[side as usize].inc();
    }

    /// A TLS handshake on the public listener failed.
    pub fn handshake_failed(&self) {
        self.failed_handshakes.inc();
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

/// A counter for each value of `label`, all at 0.
fn counters_by<L: Label>(registry: &mut Registry, name: &str, help: &str, label: &'static str) -> Vec<Counter> {
    let family = counters(registry, name, help);
    L::ALL.iter().map(|value| family.get_or_create_owned(&vec![(label, text_of(*value))])).collect()
}

fn counters(registry: &mut Registry, name: &str, help: &str) -> Counters {
    let family = Counters::default();
    registry.register(name, help, family.clone());
    family
}

fn gauges(registry: &mut Registry, name: &str, help: &str) -> Gauges {
    let family = Gauges::default();
    registry.register(name, help, family.clone());
    family
}

fn text_of(label: impl Label) -> String {
    label.name().to_owned()
}

/// A gauge holds an `i64`: what does not fit stands at its end.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::{CredentialKind, TicketKind};

    fn page(metrics: &Metrics) -> String {
        metrics.render(Duration::from_secs(5))
    }

    fn id(account: &str, kind: CredentialKind) -> CredentialId {
        CredentialId::new(account.parse().unwrap(), kind)
    }

    #[test]
    fn every_series_is_there_from_the_start() {
        let metrics = Metrics::new();
        metrics.credential(&id("main", CredentialKind::AccessToken));
        let page = page(&metrics);
        for series in [
            "token_relay_calls_total{account=\"main\",outcome=\"unknown\"} 0",
            "token_relay_probes_total{account=\"main\",outcome=\"inconclusive\"} 0",
            "token_relay_reports_total{account=\"main\",outcome=\"too_many\"} 0",
            "token_relay_rotations_total{account=\"main\"} 0",
            "token_relay_requests_total{route=\"token\",status=\"503\"} 0",
            "token_relay_connections{listener=\"public\"} 0",
            "token_relay_connections_refused_total{listener=\"admin\"} 0",
            "token_relay_tls_handshake_failures_total 0",
            "token_relay_handler_panics_total 0",
            "token_relay_loops_total 0",
            "token_relay_drop_in_refusals_total{reason=\"wrong_key\"} 0",
            "token_relay_appsecret_requests_total{account=\"main\"} 0",
            "token_relay_budget_left{account=\"main\",budget=\"forced\"} 0",
            "token_relay_gateway_requests_total{family=\"sns\",class=\"5xx\"} 0",
            "token_relay_gateway_refusals_total{reason=\"no_reply\"} 0",
            "token_relay_gateway_healings_total{outcome=\"repeated\"} 0",
            "token_relay_gateway_upstream_seconds_count 0",
            "token_relay_budget_limit{account=\"main\",budget=\"probes\"} 0",
            "token_relay_call_duration_seconds_count{platform=\"wecom\",call=\"ticket\",result=\"not_sent\"} 0",
            "token_relay_uptime_seconds 5",
        ] {
            assert!(page.lines().any(|line| line == series), "{series} is missing in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn a_count_is_shown_at_its_own_series() {
        let metrics = Metrics::new();
        metrics.credential(&id("main", CredentialKind::AccessToken));
        metrics.credential(&id("shop", CredentialKind::AccessToken)).call(CallOutcome::Refused);
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

    #[test]
    fn a_removed_credential_leaves_no_series_and_takes_none_of_another() {
        let metrics = Metrics::new();
        let empty = page(&metrics);
        let (main, ticket) =
            (id("main", CredentialKind::AccessToken), id("main", CredentialKind::Ticket(TicketKind::Jsapi)));
        metrics.credential(&main);
        let with_main = page(&metrics);
        metrics.credential(&ticket).rotated();
        assert!(page(&metrics).contains("rotations_total{account=\"main\",kind=\"jsapi\"} 1\n"));
        metrics.remove(&ticket);
        let series = |page: &str| page.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(series(&page(&metrics)), series(&with_main));
        metrics.remove(&main);
        assert_eq!(series(&page(&metrics)), series(&empty));
    }
}
