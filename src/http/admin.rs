//! What do operators see: metrics, the status for programs, and the same as a page for people?

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    Relay,
    health::json_answer,
    page,
    view::{Readiness, View},
};
use crate::{clock, metrics};

/// The relay as operators see it.
#[derive(Debug, Serialize)]
pub(super) struct Overview<'r> {
    pub(super) version: &'static str,
    pub(super) uptime_s: u64,
    pub(super) status: Readiness,
    /// Keepers that have not been heard of, with their silence in seconds.
    pub(super) silent_keepers_s: BTreeMap<&'r str, u64>,
    pub(super) accounts: BTreeMap<&'r str, View>,
}

impl<'r> Overview<'r> {
    fn of(relay: &'r Relay) -> Self {
        let accounts = relay.views();
        let silent = relay.heartbeats.stale(clock::awake());
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: relay.uptime().as_secs(),
            status: Readiness::of(&accounts),
            silent_keepers_s: silent.map(|(name, age)| (name.as_str(), age.as_secs())).collect(),
            accounts,
        }
    }
}

/// `GET /metrics`
pub(super) async fn metrics(State(relay): State<Arc<Relay>>, headers: HeaderMap) -> Response {
    let page = relay.metrics.render(&relay.accounts, clock::boot_now(), relay.uptime());
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let is_open = accepted.any(|accept| accept.contains("openmetrics-text"));
    let (content_type, page) =
        if is_open { (metrics::CONTENT_TYPE, page) } else { (metrics::CLASSIC_CONTENT_TYPE, metrics::classic(&page)) };
    ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")], page).into_response()
}

/// `GET /status`
pub(super) async fn status(State(relay): State<Arc<Relay>>) -> Response {
    json_answer(&Overview::of(&relay))
}

/// `GET /`
pub(super) async fn page(State(relay): State<Arc<Relay>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, page::render(&Overview::of(&relay), clock::now().wall)).into_response()
}
