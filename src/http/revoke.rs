//! How does an operator kill a leaked token? The only request to the admin listener that changes anything.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::time::timeout;

use super::{
    AppState,
    auth::Presented,
    body::Unread,
    health::json_answer,
    problem::{Problem, REVOCATION_NOT_STORED},
    report::{settled, unavailable},
};
use crate::{credential::Generation, registry::Handle, report::Grounds};

/// The answer: it is recorded, and outlives this process.
#[derive(Debug, Serialize)]
struct Recorded<'a> {
    account: &'a str,
    /// As in `GET /status`.
    rotations_to_revoke: u8,
}

/// `POST /accounts/NAME/revoke`
pub(super) async fn revoke(
    State(state): State<Arc<AppState>>,
    account: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (head, body) = Unread::split(request);
    body.discard().await;
    let credential = authorize(&state, account, Presented::in_head(&head));
    drop(head);
    match credential {
        Ok(credential) => record(&state, &credential).await.unwrap_or_else(IntoResponse::into_response),
        Err(problem) => problem.into_response(),
    }
}

fn authorize(
    state: &AppState,
    account: Result<Path<String>, PathRejection>,
    presented: Presented<'_>,
) -> Result<Arc<Handle>, Problem> {
    let rules = state.rules.load();
    let client = rules.clients.identify(presented)?;
    if !client.is_admin() {
        return Err(Problem::NotAdmin);
    }
    let Path(account) = account.map_err(|_| Problem::NoSuchAccount)?;
    client.authorize(&state.registry.handles(), Some(&account)).cloned()
}

async fn record(state: &AppState, credential: &Handle) -> Result<Response, Problem> {
    // which generation is current the keeper knows best
    let recorded = credential.report(Generation::default(), Grounds::Revocation);
    match timeout(state.timeouts().report, recorded).await {
        Ok(answer) => settled(state, credential, answer)?,
        Err(_elapsed) => {
            return Err(unavailable(state, credential, REVOCATION_NOT_STORED));
        }
    }
    let rotations_to_revoke = credential.published().status.rotations_to_revoke;
    let mut answer = json_answer(&Recorded { account: credential.id.account().as_str(), rotations_to_revoke });
    *answer.status_mut() = StatusCode::ACCEPTED;
    Ok(answer)
}
