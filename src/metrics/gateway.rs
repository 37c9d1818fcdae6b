//! What does the gateway count?

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, histogram::Histogram},
    registry::Registry,
};

use super::{ApiFamily, GatewayRefusal, Healing, StatusClass, counters, counters_by, label::Label, text_of};

/// Up to the time after which a silent WeChat is given up. SDKs wait 5 s or 10 s.
const SECONDS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0];

/// What the gateway counts.
#[derive(Debug)]
pub struct GatewayMetrics {
    requests: Vec<Vec<Counter>>,
    refusals: Vec<Counter>,
    healings: Vec<Counter>,
    upstream: Histogram,
}

impl GatewayMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let requests =
            counters(registry, "gateway_requests", "Gateway requests answered, by API family and status class");
        let help = "Gateway requests that the relay answered itself, by reason";
        let refusals = counters_by::<GatewayRefusal>(registry, "gateway_refusals", help, "reason");
        let help = "Replies that named the relay's token bad, by what came of them";
        let healings = counters_by::<Healing>(registry, "gateway_healings", help, "outcome");
        let upstream = Histogram::new(SECONDS);
        let help = "Time from sending a gateway call to the head of WeChat's reply";
        registry.register("gateway_upstream_seconds", help, upstream.clone());
        let families = ApiFamily::ALL.iter().map(|family| {
            let labels = |class: &StatusClass| vec![("family", text_of(*family)), ("class", text_of(*class))];
            StatusClass::ALL.iter().map(|class| requests.get_or_create_owned(&labels(class))).collect()
        });
        Self { requests: families.collect(), refusals, healings, upstream }
    }

    /// A request for `family` was answered with the status `code`.
    pub fn answered(&self, family: ApiFamily, code: u16) {
        self.requests[family as usize][StatusClass::of(code) as usize].inc();
    }

    /// The relay answered a request itself.
    pub fn refused(&self, refusal: GatewayRefusal) {
        self.refusals[refusal as usize].inc();
    }

    /// A reply named the relay's token bad.
    pub fn healed(&self, healing: Healing) {
        self.healings[healing as usize].inc();
    }

    /// The head of a reply came so long after the call.
    pub fn replied(&self, after: Duration) {
        self.upstream.observe(after.as_secs_f64());
    }
}
