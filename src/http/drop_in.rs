//! What do WeChat's own token routes answer here, so that an SDK needs another host and another secret, and no other change?
//!
//! `GET /cgi-bin/token` and `POST /cgi-bin/stable_token`, in WeChat's shapes, with status 200 for every refusal. `secret` is a
//! relay key, and with `accept_appsecret` also the account's AppSecret.
//!
//! Order of checks, as WeChat's: method · body · appid · secret · grant type · account · token.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::Method,
    response::Response,
};
use tokio::time::timeout;
use tracing::{debug, warn};

mod parameters;
mod reply;
mod throttle;

pub(super) use reply::{errcode, rid};
pub use throttle::Throttle;

use super::{
    AppState,
    apps::App,
    auth::Client,
    body::{BodyFault, Unread},
    token::{self, LongPoll, Outcome},
};
use crate::{
    issuer::wechat::Endpoint,
    metrics::Refusal,
    registry::{Handle, Prepared},
    relay_key::{KeyDigest, fits_urls},
};
use parameters::Parameters;

pub(super) const TOKEN: &str = "/cgi-bin/token";
pub(super) const STABLE_TOKEN: &str = "/cgi-bin/stable_token";

/// The one grant that WeChat knows.
const GRANT_TYPE: &str = "client_credential";

/// `GET /cgi-bin/token`
pub(super) async fn token(state: State<Arc<AppState>>, peer: ConnectInfo<SocketAddr>, request: Request) -> Response {
    answer(&state, Endpoint::Token, peer.0, request).await
}

/// `POST /cgi-bin/stable_token`
pub(super) async fn stable_token(
    state: State<Arc<AppState>>,
    peer: ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    answer(&state, Endpoint::StableToken, peer.0, request).await
}

async fn answer(state: &AppState, route: Endpoint, peer: SocketAddr, request: Request) -> Response {
    match serve(state, route, request).await {
        Ok((prepared, seconds)) => reply::token(&prepared, seconds),
        Err(refusal) => refuse(state, route, peer, refusal),
    }
}

/// Counts and logs a refusal, and answers with it. An address that presents wrong keys again and again gets 45011.
fn refuse(state: &AppState, route: Endpoint, peer: SocketAddr, mut refusal: Refusal) -> Response {
    let path = match route {
        Endpoint::Token => TOKEN,
        Endpoint::StableToken => STABLE_TOKEN,
    };
    let (now, address) = (state.clock.now(), peer.ip().to_canonical());
    let rid = reply::rid(now.wall);
    if refusal == Refusal::WrongKey {
        let wrong_key = state.throttle.wrong_key(address, now.boot);
        refusal = wrong_key.refusal;
        if wrong_key.is_news {
            warn!(%address, path, rid, "drop-in route: wrong key; further ones are logged at DEBUG");
        }
    }
    state.metrics.http.refused(refusal);
    debug!(%address, path, refusal = refusal.name(), rid, "drop-in route: refused");
    reply::refused(refusal, &rid)
}

async fn serve(state: &AppState, route: Endpoint, request: Request) -> Result<(Prepared, u64), Refusal> {
    let (credential, force_refresh) = resolve(state, route, request).await?;
    if force_refresh {
        report_current(state, &credential).await;
    }
    match token::outcome(state, &credential, &LongPoll::default(), state.timeouts.first_token).await {
        Outcome::Ok(prepared, seconds) | Outcome::NotModified(prepared, seconds) => Ok((prepared, seconds)),
        Outcome::Unavailable(_) => Err(Refusal::NoToken),
    }
}

/// The credential that a request asks for, and whether it asks for a new one.
async fn resolve(state: &AppState, route: Endpoint, request: Request) -> Result<(Arc<Handle>, bool), Refusal> {
    let (head, body) = Unread::split(request);
    let wrong_method = match (route, &head.method) {
        (Endpoint::Token, &Method::GET | &Method::HEAD) => {
            return Ok((authorize(state, route, &Parameters::of_query(head.uri.query()))?, false));
        }
        (Endpoint::StableToken, &Method::POST) => {
            let body = body.read(state.timeouts.body).await?;
            let parameters = Parameters::of_body(&body)?;
            return Ok((authorize(state, route, &parameters)?, parameters.force_refresh));
        }
        (Endpoint::Token, _) => Refusal::NotGet,
        (Endpoint::StableToken, _) => Refusal::NotPost,
    };
    body.discard().await;
    Err(wrong_method)
}

impl From<BodyFault> for Refusal {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::TooLarge | BodyFault::Cut => Self::BadBody,
            BodyFault::TooSlow => Self::BodyStalled,
        }
    }
}

/// All checks of what a request says.
fn authorize(state: &AppState, route: Endpoint, parameters: &Parameters<'_>) -> Result<Arc<Handle>, Refusal> {
    let appid = parameters.appid.text(Refusal::NoAppid, Refusal::UnknownAppid)?;
    let app = state.apps.find(appid, route).ok_or(Refusal::UnknownAppid)?;
    let secret = parameters.secret.text(Refusal::NoSecret, Refusal::WrongKey)?;
    let caller = authenticate(state, app, secret).ok_or(Refusal::WrongKey)?;
    if parameters.grant_type.text(Refusal::BadGrantType, Refusal::BadGrantType)? != GRANT_TYPE {
        return Err(Refusal::BadGrantType);
    }
    if matches!(caller, Caller::Client(client) if !client.may_use(app.account.as_str())) {
        return Err(Refusal::ForeignAccount);
    }
    let handles = state.registry.handles();
    let credential = handles.access_token(app.account.as_str()).ok_or(Refusal::NoToken)?;
    if matches!(caller, Caller::AppSecret) {
        credential.metrics.appsecret_accepted();
    }
    Ok(credential.clone())
}

/// Who presents a secret.
enum Caller<'s> {
    /// A client, by its relay key.
    Client(&'s Client),
    /// Whoever has the account's AppSecret. That is enough for this account, and for no other.
    AppSecret,
}

fn authenticate<'s>(state: &'s AppState, app: &App, secret: &str) -> Option<Caller<'s>> {
    let digest = KeyDigest::of(secret.as_bytes());
    let client = state.clients.by_key(&digest).filter(|_| fits_urls(secret));
    client.map(Caller::Client).or_else(|| (app.appsecret == Some(digest)).then_some(Caller::AppSecret))
}

/// `force_refresh: true` reports the current token, and does no more (I5). What comes of it does not matter: within the
/// cool-down, without a budget or without a verdict the current token is the answer, as WeChat silently does not refresh.
async fn report_current(state: &AppState, credential: &Handle) {
    let current = credential.published().status.offer.as_ref().map(|offer| offer.generation);
    if let Some(generation) = current {
        // The keeper goes on: whoever asks next joins what is under way (I13).
        let _ = timeout(state.timeouts.verdict, credential.report(generation)).await;
    }
}
