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
    Relay,
    problem::Problem,
    query,
    token::{self, Held},
};
use crate::{
    accounts::{Account, Reported},
    clock,
    metrics::ReportOutcome,
};

/// The longest body: twice the longest token.
const LONGEST_BODY: usize = 4096;
/// How much of a body that nobody wants is read, so that the client reads the answer instead of a reset connection.
const DISCARDED: usize = 256 * 1024;
const DISCARDED_FOR: Duration = Duration::from_secs(1);

/// `POST /token/refresh`
pub(super) async fn report(State(relay): State<Arc<Relay>>, request: Request) -> Response {
    match hear(&relay, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn hear(relay: &Relay, request: Request) -> Result<Response, Problem> {
    let (head, mut body) = request.into_parts();
    // A client that waits for leave to send its body gets the answer in its place.
    let sends_anyway = !head.headers.contains_key(header::EXPECT);
    let admitted = admit(relay, &head, body.size_hint().lower());
    drop(head);
    let account = match admitted {
        Ok(account) => account,
        Err(problem) => {
            if sends_anyway {
                discard(body).await;
            }
            return Err(problem);
        }
    };
    let bad = match timeout(relay.patience.body, token_in(&mut body)).await {
        Ok(Ok(bad)) => bad,
        Ok(Err(problem)) => {
            discard(body).await;
            return Err(problem);
        }
        Err(_elapsed) => return Err(Problem::BodyTooSlow),
    };
    match timeout(relay.patience.report, judge(relay, account, &bad)).await {
        Ok(answer) => answer,
        // The keeper goes on: whoever asks next joins what is under way (I13).
        Err(_elapsed) => Err(Problem::unavailable(&account.standing(), clock::boot_now(), "no verdict in time")),
    }
}

/// All checks that come before the body is read.
fn admit<'r>(relay: &'r Relay, head: &Parts, announced: u64) -> Result<&'r Arc<Account>, Problem> {
    let client = relay.clients.identify(&head.headers)?;
    let name = query::account(head.uri.query())?;
    let account = client.choose(&relay.accounts, name.as_deref())?;
    if announced > LONGEST_BODY as u64 { Err(Problem::BodyTooLarge) } else { Ok(account) }
}

/// Compares, asks the keeper if the bad token is the current one (I5), and serves what stands then.
async fn judge(relay: &Relay, account: &Account, bad: &str) -> Result<Response, Problem> {
    let reported = account.standing().offer.as_ref().filter(|offer| offer.token.is(bad)).map(|offer| offer.generation);
    match reported {
        None => relay.metrics.account(&account.name).report(ReportOutcome::Stale),
        Some(generation) => match account.report(generation).await {
            Some(Reported::Settled) => {}
            Some(Reported::TooMany { retry_in, reason }) => return Err(Problem::TooMany { retry_in, reason }),
            Some(Reported::Failed { retry_in, reason }) => {
                return Err(Problem::Unavailable {
                    retry_in,
                    reason: reason.into(),
                    trouble: account.standing().trouble.clone(),
                });
            }
            None => {
                let reason = "the relay is starting the account's keeper again";
                return Err(Problem::unavailable(&account.standing(), clock::boot_now(), reason));
            }
        },
    }
    Ok(token::serve(relay, account, &Held::default(), relay.patience.report).await)
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
