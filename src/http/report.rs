//! What happens when a client says that a token is bad?

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use tokio::time::timeout;

use super::{
    AppState,
    body::{BodyFault, Unread},
    described::{AccountQuery, BadToken, Refused, ReportHeard, ReportRefused, Unavailable},
    problem::Problem,
    query,
    token::{self, LongPoll},
};
use crate::{
    metrics::ReportOutcome,
    registry::{Handle, Reported},
    report::{Grounds, ReportFailure},
};

/// `POST /token/refresh`
#[utoipa::path(
    post, path = "/token/refresh", tag = "relay", operation_id = "reportToken", security(("relay_key" = [])),
    summary = "Report that WeChat refused a token",
    description = "The relay asks WeChat about the token, and replaces it only if WeChat refuses it. Takes at most 10 s.",
    params(AccountQuery),
    request_body(content = BadToken, description = "At most 4096 bytes. The Content-Type is ignored."),
    responses(ReportHeard, Refused, ReportRefused, Unavailable),
)]
pub(super) async fn report(State(state): State<Arc<AppState>>, request: Request) -> Response {
    match handle(&state, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn handle(state: &AppState, request: Request) -> Result<Response, Problem> {
    let (head, body) = Unread::split(request);
    let authorized = authorize(state, &head);
    drop(head);
    let credential = match authorized {
        Ok(credential) => credential,
        Err(problem) => {
            body.discard().await;
            return Err(problem);
        }
    };
    let bad = token_in(&body.read(state.timeouts().body).await?)?;
    match timeout(state.timeouts().report, resolve(state, &credential, &bad)).await {
        Ok(answer) => answer,
        // The keeper goes on: whoever asks next joins what is under way (I13).
        Err(_elapsed) => Err(unavailable(state, &credential, "no verdict in time")),
    }
}

/// All checks that come before the body is read.
fn authorize(state: &AppState, head: &Parts) -> Result<Arc<Handle>, Problem> {
    let rules = state.rules.load();
    let client = rules.clients.identify(&head.headers)?;
    let name = query::account(head.uri.query())?;
    client.authorize(&state.registry.handles(), name.as_deref()).cloned()
}

impl From<BodyFault> for Problem {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::TooLarge => Self::BodyTooLarge,
            BodyFault::Cut => Self::BadBody("the body ended before it was complete"),
            BodyFault::TooSlow => Self::BodyTooSlow,
        }
    }
}

/// Compares, asks the keeper if the bad token is the current one (I5), and serves what is published then.
async fn resolve(state: &AppState, credential: &Handle, bad: &str) -> Result<Response, Problem> {
    let published = credential.published();
    let reported = published.status.offer.as_ref().filter(|offer| offer.token.is(bad)).map(|offer| offer.generation);
    drop(published);
    match reported {
        None => credential.metrics.report(Grounds::Report, ReportOutcome::Stale),
        Some(generation) => settled(state, credential, credential.report(generation, Grounds::Report).await)?,
    }
    Ok(token::serve(state, credential, &LongPoll::default(), state.timeouts().report).await)
}

/// Whether the keeper has done what it was told, and if not, why.
pub(super) fn settled(state: &AppState, credential: &Handle, answer: Option<Reported>) -> Result<(), Problem> {
    match answer {
        Some(Reported::Settled) => Ok(()),
        Some(Reported::TooMany { retry_in, limit }) => Err(Problem::TooMany { retry_in, limit }),
        Some(Reported::Failed { failure: ReportFailure::CannotRevoke, .. }) => Err(Problem::CannotRevoke),
        Some(Reported::Failed { retry_in, failure }) => {
            let trouble = credential.published().status.trouble.clone();
            Err(Problem::ReportFailed { retry_in, failure, trouble })
        }
        None => Err(unavailable(state, credential, "the relay is starting the account's keeper again")),
    }
}

pub(super) fn unavailable(state: &AppState, credential: &Handle, reason: &'static str) -> Problem {
    Problem::unavailable(&credential.published().status, state.clock.boot_now(), reason)
}

/// The token in a report's body: a JSON object with the text `access_token`. Other members are ignored, and so is the
/// Content-Type.
fn token_in(body: &[u8]) -> Result<String, Problem> {
    // Into a map and not a struct: serde would take an array for a struct too.
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(body).map_err(|_| Problem::BadBody("the body is not a JSON object"))?;
    match members.get("access_token") {
        Some(serde_json::Value::String(token)) => Ok(token.clone()),
        _ => Err(Problem::BadBody("the body has no text called access_token")),
    }
}
