//! What is answered to a request that a relay has sent? The name of the platform's host leads back to a relay then: if it were
//! served, that relay would take a token of its own for a new one. It is refused, and nothing is called for it.

use std::net::SocketAddr;

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode},
    response::Response,
};
use tracing::{debug, warn};

use super::{AppState, body::Unread, drop_in, quota::Hourly};
use crate::{issuer::upstream::HOP, metrics::Route};

/// Refuses them, and logs one an hour.
#[derive(Debug, Default)]
pub(super) struct Loops(Hourly);

/// Whether a relay has sent this request.
pub(super) fn is_of_relay(request: &Request) -> bool {
    request.headers().contains_key(HOP)
}

impl Loops {
    /// The answer to a request of a relay, in the shape of WeChat. The mark tells that relay that nothing was called.
    pub(super) async fn refuse(&self, state: &AppState, request: Request, peer: SocketAddr, route: Route) -> Response {
        let (_, body) = Unread::split(request);
        body.discard().await;
        let now = state.clock.now();
        let (rid, address, route) = (drop_in::rid(now.wall), peer.ip(), route.name());
        state.metrics.http.looped();
        if self.0.is_due(now.boot) {
            warn!(
                %address, route, rid,
                "a relay has sent this request: the host of its wechat.base_url leads to a relay; set wechat.resolve there, or another \
                 host; further ones are logged at DEBUG"
            );
        } else {
            debug!(%address, route, rid, "a relay has sent this request");
        }
        let mut response = drop_in::errcode(-1, "the relay's upstream is a relay", &rid);
        *response.status_mut() = StatusCode::LOOP_DETECTED;
        response.headers_mut().insert(HOP, HeaderValue::from_static("1"));
        response
    }
}
