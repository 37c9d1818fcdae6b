//! What do programs of operators see: metrics and the status? People see the page (`page`).

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use super::{AppState, health::json_answer, overview::Overview};
use crate::metrics;

/// `GET /metrics`
pub(super) async fn metrics(State(state): State<Arc<AppState>>, headers: HeaderMap) -> Response {
    state.registry.handles().set_gauges(state.clock.boot_now());
    state.metrics.logs.set(state.logs.dropped());
    let page = state.metrics.render(state.uptime());
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let is_open = accepted.any(|accept| accept.contains("openmetrics-text"));
    let (content_type, page) =
        if is_open { (metrics::CONTENT_TYPE, page) } else { (metrics::CLASSIC_CONTENT_TYPE, metrics::classic(&page)) };
    ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")], page).into_response()
}

/// `GET /status`
pub(super) async fn status(State(state): State<Arc<AppState>>) -> Response {
    json_answer(&Overview::of(&state))
}
