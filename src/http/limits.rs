//! How much may one client ask for?

use std::time::Duration;

use axum::http::request::Parts;
use tracing::{debug, warn};

use super::{
    AppState, Rules,
    auth::{Client, Presented},
    quota::Quota,
};
use crate::{clock::Timestamp, metrics::ClientLimit};

/// Counts a request that needs no refusal; `false`: the client is over its limit, and nothing was counted.
pub(super) fn passes(client: &Client, now: Timestamp) -> bool {
    client.limits().requests.as_ref().is_none_or(|quota| quota.passes(now))
}

/// Counts a request of `client`.
///
/// # Errors
/// It is over its limit for this long.
pub(super) fn request(state: &AppState, client: &Client) -> Result<(), Duration> {
    count(state, client, ClientLimit::Requests, client.limits().requests.as_ref())
}

/// The same for the sender of a request, if its head names one.
pub(super) fn request_of_sender(state: &AppState, rules: &Rules, head: &Parts) -> Result<(), Duration> {
    let sender = rules.clients.sender(Presented::in_head(head), &head.uri);
    sender.map_or(Ok(()), |client| request(state, client))
}

/// Counts a report of `client`.
///
/// # Errors
/// It is over its limit for this long.
pub(super) fn report(state: &AppState, client: &Client) -> Result<(), Duration> {
    count(state, client, ClientLimit::Reports, client.limits().reports.as_ref())
}

/// A client over its limit is logged at WARN once an hour, else at DEBUG.
fn count(state: &AppState, client: &Client, limit: ClientLimit, quota: Option<&Quota>) -> Result<(), Duration> {
    let Some(quota) = quota else { return Ok(()) };
    quota.take(state.clock.boot_now()).map_err(|exceeded| {
        state.metrics.http.limited(limit);
        let (client, limit) = (client.name(), limit.name());
        if exceeded.is_news {
            warn!(client, limit, "a client is over its limit; further refusals are logged at DEBUG");
        } else {
            debug!(client, limit, "a client is over its limit");
        }
        exceeded.retry_in
    })
}
