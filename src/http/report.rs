//! What happens when a client says that a token is bad?

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{header, request::Parts},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::{
    AppState,
    problem::Problem,
    query,
    token::{self, LongPoll},
};
use crate::{
    metrics::ReportOutcome,
    registry::{Handle, Reported},
};

/// The longest body: twice the longest token.
const LONGEST_BODY: usize = 4096;
/// How much of a body that nobody wants is read, so that the client reads the answer instead of a reset connection.
const DISCARDED: usize = 256 * 1024;
const DISCARDED_FOR: Duration = Duration::from_secs(1);

/// `POST /token/refresh`
pub(super) async fn report(State(state): State<Arc<AppState>>, request: Request) -> Response {
    match handle(&state, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn handle(state: &AppState, request: Request) -> Result<Response, Problem> {
    let (head, mut body) = request.into_parts();
    // A client that waits for leave to send its body gets the answer in its place.
    let sends_anyway = !head.headers.contains_key(header::EXPECT);
    let authorized = authorize(state, &head, body.size_hint().lower());
    drop(head);
    let credential = match authorized {
        Ok(credential) => credential,
        Err(problem) => {
            if sends_anyway {
                discard(body).await;
            }
            return Err(problem);
        }
    };
    let bad = match timeout(state.timeouts.body, token_in(&mut body)).await {
        Ok(Ok(bad)) => bad,
        Ok(Err(problem)) => {
            discard(body).await;
            return Err(problem);
        }
        Err(_elapsed) => return Err(Problem::BodyTooSlow),
    };
    match timeout(state.timeouts.report, resolve(state, &credential, &bad)).await {
        Ok(answer) => answer,
        // The keeper goes on: whoever asks next joins what is under way (I13).
        Err(_elapsed) => Err(unavailable(state, &credential, "no verdict in time")),
    }
}

/// All checks that come before the body is read.
fn authorize(state: &AppState, head: &Parts, announced: u64) -> Result<Arc<Handle>, Problem> {
    let client = state.clients.identify(&head.headers)?;
    let name = query::account(head.uri.query())?;
    let credential = client.authorize(&state.registry.handles(), name.as_deref())?.clone();
    if announced > LONGEST_BODY as u64 { Err(Problem::BodyTooLarge) } else { Ok(credential) }
}

/// Compares, asks the keeper if the bad token is the current one (I5), and serves what is published then.
async fn resolve(state: &AppState, credential: &Handle, bad: &str) -> Result<Response, Problem> {
    let published = credential.published();
    let reported = published.status.offer.as_ref().filter(|offer| offer.token.is(bad)).map(|offer| offer.generation);
    drop(published);
    match reported {
        None => credential.metrics.report(ReportOutcome::Stale),
        Some(generation) => match credential.report(generation).await {
            Some(Reported::Settled) => {}
            Some(Reported::TooMany { retry_in, limit }) => return Err(Problem::TooMany { retry_in, limit }),
            Some(Reported::Failed { retry_in, failure }) => {
                let trouble = credential.published().status.trouble.clone();
                return Err(Problem::ReportFailed { retry_in, failure, trouble });
            }
            None => return Err(unavailable(state, credential, "the relay is starting the account's keeper again")),
        },
    }
    Ok(token::serve(state, credential, &LongPoll::default(), state.timeouts.report).await)
}

fn unavailable(state: &AppState, credential: &Handle, reason: &'static str) -> Problem {
    Problem::unavailable(&credential.published().status, state.clock.boot_now(), reason)
}

/// The token in a report's body: a JSON object with the text `access_token`. Other members are ignored, and so is the
/// Content-Type.
async fn token_in(body: &mut Body) -> Result<String, Problem> {
    let body = Limited::new(body, LONGEST_BODY).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Problem::BodyTooLarge
        } else {
            Problem::BadBody("the body ended before it was complete")
        }
    })?;
    // Into a map and not a struct: serde would take an array for a struct too.
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&body.to_bytes()).map_err(|_| Problem::BadBody("the body is not a JSON object"))?;
    match members.get("access_token") {
        Some(serde_json::Value::String(token)) => Ok(token.clone()),
        _ => Err(Problem::BadBody("the body has no text called access_token")),
    }
}

async fn discard(mut body: Body) {
    let all = async {
        let mut size = 0;
        while let Some(Ok(frame)) = body.frame().await
            && size <= DISCARDED
        {
            size += frame.data_ref().map_or(0, bytes::Bytes::len);
        }
    };
    // Whether it came to its end does not matter: the answer is the same.
    let _ = timeout(DISCARDED_FOR, all).await;
}
