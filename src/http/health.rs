//! Is the relay alive, and can it serve?
//!
//! Alive is about the process and its keepers alone: a restart heals neither WeChat nor a store. The public listener tells
//! the status, the admin listener also whose it is: names of accounts are for operators.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;

use super::{
    Relay,
    problem::{Problem, problem_json, retry_after},
    query,
    view::{self, Readiness, View},
};
use crate::{accounts::Account, clock};

/// When to look again: a keeper beats every 5 s.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// `GET /healthz` on the public listener.
pub(super) async fn alive(State(relay): State<Arc<Relay>>) -> Response {
    alive_at(&relay, clock::awake())
}

fn alive_at(relay: &Relay, awake: Duration) -> Response {
    match relay.heartbeats.stale(awake).next() {
        None => json_answer(&json!({"status": "alive"})),
        Some(_) => not_alive("a keeper has stopped".to_owned()),
    }
}

/// `GET /healthz` on the admin listener: it names the accounts whose keeper has stopped.
pub(super) async fn alive_in_detail(State(relay): State<Arc<Relay>>) -> Response {
    alive_in_detail_at(&relay, clock::awake())
}

fn alive_in_detail_at(relay: &Relay, awake: Duration) -> Response {
    let silent = relay.heartbeats.stale(awake);
    let silent: Vec<_> = silent
        .map(|(name, age)| format!("the keeper of account {name} has not been heard of for {} s", age.as_secs()))
        .collect();
    if silent.is_empty() { json_answer(&json!({"status": "alive"})) } else { not_alive(silent.join("; ")) }
}

fn not_alive(reason: String) -> Response {
    Problem::Unavailable { retry_in: LOOK_AGAIN, reason: reason.into(), trouble: None }.into_response()
}

/// `GET /readyz` on the public listener.
pub(super) async fn ready(State(relay): State<Arc<Relay>>) -> Response {
    let views = relay.views();
    match Readiness::of(&views) {
        Readiness::Unready => {
            let reason = "no account can be served".into();
            Problem::Unavailable { retry_in: LOOK_AGAIN, reason, trouble: None }.into_response()
        }
        readiness => json_answer(&json!({"status": readiness})),
    }
}

/// One account in the detail of `/readyz`.
#[derive(Serialize)]
struct Detail {
    state: view::State,
    seconds_left: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_trouble: Option<String>,
}

/// `GET /readyz` on the admin listener, of all accounts or the one that `?account=NAME` asks for.
pub(super) async fn ready_in_detail(State(relay): State<Arc<Relay>>, request: Request) -> Response {
    let views = match query::account(request.uri().query()) {
        Ok(None) => relay.views(),
        Ok(Some(name)) => match relay.accounts.by_name(&name) {
            Some(account) => BTreeMap::from([(account.name.as_str(), view_of(account))]),
            None => return Problem::NoSuchAccount.into_response(),
        },
        Err(problem) => return problem.into_response(),
    };
    let readiness = Readiness::of(&views);
    let accounts: BTreeMap<&str, Detail> = views.into_iter().map(|(name, view)| (name, detail(view))).collect();
    match readiness {
        Readiness::Unready => {
            let title = StatusCode::SERVICE_UNAVAILABLE.canonical_reason();
            let detail = "none of these accounts can be served";
            let wire = json!({"title": title, "status": 503, "detail": detail, "accounts": accounts});
            let mut response = problem_json(StatusCode::SERVICE_UNAVAILABLE, &wire);
            response.headers_mut().extend([retry_after(LOOK_AGAIN)]);
            response
        }
        readiness => json_answer(&json!({"status": readiness, "accounts": accounts})),
    }
}

fn detail(view: View) -> Detail {
    Detail { state: view.state, seconds_left: view.seconds_left, store_trouble: view.store_trouble }
}

fn view_of(account: &Account) -> View {
    View::of(&account.standing(), clock::boot_now())
}

/// 200 with `body`, never cached.
pub(super) fn json_answer(body: &impl Serialize) -> Response {
    let headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]);
    (headers, serde_json::to_vec(body).expect("texts and numbers are JSON")).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::http::tests::relay;

    #[tokio::test]
    async fn a_silent_keeper_is_503_and_named_to_operators_only() {
        let relay = relay(&["main", "shop"]);
        let later = clock::awake() + Duration::from_secs(31);
        for (answer, named) in [(alive_at(&relay, later), false), (alive_in_detail_at(&relay, later), true)] {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key(header::RETRY_AFTER));
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let text = String::from_utf8(body.to_vec()).unwrap();
            assert_eq!(text.contains("main") && text.contains("shop"), named, "{text}");
        }
    }
}
