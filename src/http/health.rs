//! Is the relay alive, and can it serve?
//!
//! Alive is about the process and its keepers alone: a restart heals neither WeChat nor a store. The public listener tells
//! the status, the admin listener also whose it is: names of accounts are for operators.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;

use super::{
    AppState,
    described::{Health, Ready, Unavailable},
    overview::{details, readiness},
    problem::{Problem, problem_json, retry_after},
    query,
};
use crate::{clock::Timestamp, status::Readiness};

/// How the relay stands, looked at ten times a second at most: it takes a look at every credential, and anybody may ask.
/// Rejected: a count kept where statuses are published, for a promise also runs out when nobody publishes anything.
#[derive(Debug, Default)]
pub struct RecentHealth(Mutex<Option<(Timestamp, Seen)>>);

/// What that look has seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    readiness: Readiness,
    /// No keeper is silent.
    is_alive: bool,
}

/// How old what the public listener answers with may be.
const READ_EVERY: Duration = Duration::from_millis(100);

impl RecentHealth {
    fn of(&self, state: &AppState) -> Seen {
        let now = state.clock.boot_now();
        // It cannot be left half changed, so a panic elsewhere poisons nothing.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, seen)) = *last
            && now.since(at) < READ_EVERY
        {
            return seen;
        }
        let handles = state.registry.handles();
        let shares = handles.iter().map(|handle| handle.glance().status.share(handle.id.kind(), now));
        let is_alive = handles.silent(state.clock.awake()).next().is_none();
        let seen = Seen { readiness: Readiness::of(shares), is_alive };
        *last = Some((now, seen));
        seen
    }
}

/// When to look again: about as often as probes do.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// `GET /healthz` on the public listener.
#[utoipa::path(
    get, path = "/healthz", tag = "health", operation_id = "isAlive",
    summary = "Whether the process and its keepers are alive",
    description = "Whatever WeChat and the store do. At most a tenth of a second old.",
    responses(
        (status = 200, description = "They are.", body = Health, headers(("Cache-Control" = String, description = "`no-store`"))),
        Unavailable,
    ),
)]
pub(super) async fn alive(State(state): State<Arc<AppState>>) -> Response {
    if state.health.of(&state).is_alive {
        json_answer(&json!({"status": "alive"}))
    } else {
        not_alive("a keeper has stopped".to_owned())
    }
}

/// `GET /healthz` on the admin listener: it names the accounts whose keeper has stopped.
pub(super) async fn alive_in_detail(State(state): State<Arc<AppState>>) -> Response {
    let handles = state.registry.handles();
    let silent = handles.silent(state.clock.awake());
    let silent: Vec<_> = silent
        .map(|(id, silence)| format!("the keeper of account {id} has not been heard of for {} s", silence.as_secs()))
        .collect();
    if silent.is_empty() { json_answer(&json!({"status": "alive"})) } else { not_alive(silent.join("; ")) }
}

fn not_alive(reason: String) -> Response {
    Problem::Unavailable { retry_in: LOOK_AGAIN, reason: reason.into(), trouble: None }.into_response()
}

/// `GET /readyz` on the public listener.
#[utoipa::path(
    get, path = "/readyz", tag = "health", operation_id = "isReady",
    summary = "Whether at least one account can be served",
    description = "`degraded` where not all of them can. At most a tenth of a second old.",
    responses(
        (status = 200, description = "It can.", body = Ready, headers(("Cache-Control" = String, description = "`no-store`"))),
        Unavailable,
    ),
)]
pub(super) async fn ready(State(state): State<Arc<AppState>>) -> Response {
    match state.health.of(&state).readiness {
        Readiness::Unready => {
            let reason = "no account can be served".into();
            Problem::Unavailable { retry_in: LOOK_AGAIN, reason, trouble: None }.into_response()
        }
        readiness => json_answer(&json!({"status": readiness})),
    }
}

/// `GET /readyz` on the admin listener, of all accounts or the one that `?account=NAME` asks for.
pub(super) async fn ready_in_detail(State(state): State<Arc<AppState>>, request: Request) -> Response {
    let (handles, now) = (state.registry.handles(), state.clock.boot_now());
    let details = match query::account(request.uri().query()) {
        Ok(None) => details(handles.iter(), now),
        Ok(Some(name)) if handles.access_token(&name).is_none() => return Problem::NoSuchAccount.into_response(),
        Ok(Some(name)) => details(handles.iter().filter(|handle| handle.id.account().as_str() == name), now),
        Err(problem) => return problem.into_response(),
    };
    let accounts: BTreeMap<&String, _> = details.iter().map(|(id, detail)| (id, detail.brief())).collect();
    match readiness(&details) {
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
    use axum::body::Body;
    use http_body_util::BodyExt;

    use super::*;
    use crate::{
        clock::{Clock as _, FixedClock},
        credential::{CredentialId, Generation, Promise, Token},
        heartbeat::{Heartbeat, STALE_AFTER},
        http::tests::{PEER, app},
        registry::Handle,
        status::{Offer, Status},
    };

    #[tokio::test]
    async fn anybody_may_ask_for_the_readiness_and_the_credentials_are_read_ten_times_a_second() {
        let clock = Arc::new(FixedClock::default());
        let state = app(&["main"], clock.clone());
        let ask = async |service: crate::http::HttpService| {
            service.answer(Request::get("/readyz").body(Body::empty()).unwrap(), PEER).await.status()
        };
        assert_eq!(ask(state.public()).await, StatusCode::SERVICE_UNAVAILABLE);
        let id = CredentialId::access_token("main".parse().unwrap());
        let (handle, end) = Handle::new(id.clone(), state.metrics.credential(&id), Heartbeat::starting(clock.awake()));
        state.registry.insert(&[handle]);
        let promise = Promise { until: Timestamp::NEVER, sliding: None, verified_until: None };
        let token = Token::try_from("token".to_owned()).unwrap();
        end.publisher
            .publish(Status { offer: Some(Offer { generation: Generation(1), token, promise }), ..Status::default() });
        clock.advance(READ_EVERY.saturating_sub(Duration::from_millis(1)));
        assert_eq!(ask(state.public()).await, StatusCode::SERVICE_UNAVAILABLE, "nothing was read");
        assert_eq!(ask(state.admin()).await, StatusCode::OK);
        clock.advance(Duration::from_millis(1));
        assert_eq!(ask(state.public()).await, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_silent_keeper_is_503_and_named_to_operators_only() {
        let clock = Arc::new(FixedClock::default());
        let state = app(&["main", "shop"], clock.clone());
        let ask = || Request::get("/healthz").body(Body::empty()).unwrap();
        assert_eq!(state.public().answer(ask(), PEER).await.status(), StatusCode::OK);
        clock.advance(STALE_AFTER + Duration::from_secs(1));
        for (service, is_named) in [(state.public(), false), (state.admin(), true)] {
            let answer = service.answer(ask(), PEER).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key(header::RETRY_AFTER));
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let text = String::from_utf8(body.to_vec()).unwrap();
            assert_eq!(text.contains("main") && text.contains("shop"), is_named, "{text}");
        }
    }
}
