//! What happens when a client says that a token is bad?

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use tokio::time::timeout;
use tracing::field::display;

use super::{
    AppState,
    auth::{Client, Presented},
    body::{BodyFault, Unread},
    described::{AccountQuery, BadToken, Refused, ReportHeard, ReportRefused, Unavailable},
    limits,
    problem::{Problem, failed, limited},
    reloads::across_reloads,
    token::{self, Asking, LongPoll},
};
use crate::{
    credential::{Generation, log_credential},
    metrics::{ClientLimit, ReportOutcome},
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
    let asking = authorize(state, &head);
    drop(head);
    let asking = match asking {
        Ok(asking) => asking,
        Err(problem) => {
            body.discard().await;
            return Err(problem);
        }
    };
    let bad = token_in(&body.read(state.timeouts().body).await?)?;
    let client = asking.client(&state.rules.load().clients)?.clone();
    limits::request(state, &client).map_err(Problem::too_many_requests)?;
    limits::report(state, &client).map_err(|retry_in| Problem::Limited { retry_in, limit: ClientLimit::Reports })?;
    let find = || asking.access_token(state);
    across_reloads(find()?, find, |credential| resolve_in_time(state, &client, credential, &bad)).await
}

/// The keeper goes on when the time is over: the next report joins what is under way (I13).
async fn resolve_in_time(
    state: &AppState,
    client: &Client,
    credential: Arc<Handle>,
    bad: &str,
) -> Result<Response, Problem> {
    match timeout(state.timeouts().report, resolve(state, client, &credential, bad)).await {
        Ok(answer) => answer,
        Err(_elapsed) => {
            log_credential!(info, &credential.id, client = client.name(), "report: no verdict in time");
            Err(unavailable(state, &credential, "no verdict in time"))
        }
    }
}

/// All checks that come before the body is read.
fn authorize(state: &AppState, head: &Parts) -> Result<Asking, Problem> {
    let asking = Asking::of(Presented::in_head(head), head.uri.query())?;
    asking.access_token(state)?;
    Ok(asking)
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
async fn resolve(state: &AppState, client: &Client, credential: &Handle, bad: &str) -> Result<Response, Problem> {
    let published = credential.published();
    let offer = published.status.offer.as_ref();
    let (offered, is_current) = (offer.map(|offer| offer.generation), offer.is_some_and(|offer| offer.token.is(bad)));
    drop(published);
    match offered.filter(|_| is_current) {
        None => {
            credential.metrics.report(Grounds::Report, ReportOutcome::Stale);
            let (client, generation) = (client.name(), offered.map(display));
            log_credential!(info, &credential.id, client, generation, "report: not about the current token");
        }
        Some(generation) => {
            let answer = credential.report(generation, Grounds::Report).await;
            log(Some(client), credential, generation, answer.as_ref());
            settled(state, credential, answer)?;
        }
    }
    Ok(token::serve(state, credential, &LongPoll::default(), state.timeouts().report).await)
}

/// Logs the keeper's answer to a report of the token of this generation, in one line: the reports of clients are limited. A refused
/// report may be repeated often, so it is logged at DEBUG.
pub(super) fn log(client: Option<&Client>, credential: &Handle, generation: Generation, answer: Option<&Reported>) {
    let (id, client) = (&credential.id, client.map(Client::name));
    let published = credential.published();
    let offered = published.status.offer.as_ref().map(|offer| offer.generation);
    match answer {
        Some(Reported::Settled) if offered == Some(generation) => {
            log_credential!(info, id, client, %generation, "report: the token stays");
        }
        Some(Reported::Settled) => {
            log_credential!(info, id, client, %generation, offered = offered.map(display), "report: the token was replaced");
        }
        Some(Reported::TooMany { limit, .. }) => {
            log_credential!(debug, id, client, %generation, reason = limited(*limit), "report: not now");
        }
        Some(Reported::Failed { failure, .. }) => {
            let reason = failed(failure, published.status.trouble.as_deref());
            log_credential!(info, id, client, %generation, %reason, "report: failed");
        }
        None => log_credential!(info, id, client, %generation, "report: the keeper is being started again"),
    }
}

/// The keeper's answer to a report; an error where it did not do what was asked.
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
