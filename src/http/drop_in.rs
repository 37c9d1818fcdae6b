//! What do WeChat's own token routes answer here, so that an SDK needs another host and another secret, and no other change?
//!
//! `GET /cgi-bin/token` and `POST /cgi-bin/stable_token`, and `GET /cgi-bin/gettoken` of WeCom (`wecom`), in WeChat's shapes, with
//! status 200 for every refusal. `secret` is a relay key, and with `accept_appsecret` also the account's AppSecret.
//!
//! Order of checks, as WeChat's: method · body · appid · secret · grant type · account · token.

use std::{borrow::Borrow, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::Method,
    response::Response,
};
use tokio::time::timeout;
use tracing::{debug, warn};

mod described;
mod early;
mod parameters;
mod reply;
mod throttle;
pub(super) mod wecom;
mod window;

pub(super) use described::{
    AccessTokenQuery, AgentTicketQuery, AgentTicketReply, CorpTicketReply, GatewayRefusal, GatewayRefusals,
    TicketReply, WeChatTicketQuery,
};
pub use early::EarlyFetches;
pub(super) use parameters::Parameter;
pub(super) use reply::{errcode, in_words_of, rid, ticket};
pub use throttle::Throttle;
pub(super) use wecom::gettoken;

use super::{
    AppState,
    asked::AskedBy,
    auth::Client,
    body::{BodyFault, Unread},
    limits,
    reloads::across_reloads,
    report,
    routes::{STABLE_TOKEN, WECHAT_TOKEN},
    token::{self, LongPoll, Outcome},
};
use crate::{
    account::AccountName,
    credential::Generation,
    issuer::{Platform, wechat::Endpoint},
    metrics::Refusal,
    registry::{Handle, Prepared},
    relay_key::KeyDigest,
    report::Grounds,
};
use described::{StableTokenReply, TokenQuery, TokenReply};
use early::Fetcher;
use parameters::{Members, Parameters};

/// The routes' group in the OpenAPI document.
pub(super) const TAG: &str = "drop-in";

/// The one grant that WeChat knows.
const GRANT_TYPE: &str = "client_credential";

/// `GET /cgi-bin/token`
#[utoipa::path(
    get, path = WECHAT_TOKEN, tag = TAG, operation_id = "dropInToken",
    summary = "WeChat's own token route",
    description = "For SDKs that are given the relay as their host. A client that asks again too early makes the relay check the token first.",
    params(TokenQuery),
    responses((
        status = 200, body = TokenReply, description = "The token, or a refusal in WeChat's words.",
        headers(("Cache-Control" = String, description = "`no-store`"))
    )),
)]
pub(super) async fn token(state: State<Arc<AppState>>, peer: ConnectInfo<SocketAddr>, request: Request) -> Response {
    answer(&state, Endpoint::Token, peer.0, request).await
}

/// `POST /cgi-bin/stable_token`
#[utoipa::path(
    post, path = STABLE_TOKEN, tag = TAG, operation_id = "dropInStableToken",
    summary = "WeChat's own route of the stable token",
    description = "As `/cgi-bin/token`.",
    request_body(content = Members, description = "At most 4096 bytes. The Content-Type is ignored."),
    responses((
        status = 200, body = StableTokenReply, description = "The token, or a refusal in WeChat's words.",
        headers(("Cache-Control" = String, description = "`no-store`"))
    )),
)]
pub(super) async fn stable_token(
    state: State<Arc<AppState>>,
    peer: ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    answer(&state, Endpoint::StableToken, peer.0, request).await
}

async fn answer(state: &AppState, route: Endpoint, peer: SocketAddr, request: Request) -> Response {
    let mut sender = None;
    let mut response = match serve(state, route, request, peer, &mut sender).await {
        Ok((prepared, seconds)) => reply::token(&prepared, seconds),
        Err(refusal) => refuse(state, path(route), Platform::WeChat, peer, refusal),
    };
    if let Some(client) = sender {
        response.extensions_mut().insert(AskedBy(client));
    }
    response
}

const fn path(route: Endpoint) -> &'static str {
    match route {
        Endpoint::Token => WECHAT_TOKEN,
        Endpoint::StableToken => STABLE_TOKEN,
    }
}

/// Counts and logs a refusal, and answers with it. An address that presents wrong keys again and again gets another one.
pub(super) fn refuse(
    state: &AppState,
    path: &'static str,
    platform: Platform,
    peer: SocketAddr,
    mut refusal: Refusal,
) -> Response {
    let (now, address) = (state.clock.now(), peer.ip());
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
    reply::refused(platform, refusal, &rid)
}

/// What a request asks for.
struct Fetch {
    credential: Arc<Handle>,
    by: Fetcher,
    /// `None`: it has presented the account's own secret.
    client: Option<Arc<Client>>,
    force_refresh: bool,
}

impl Borrow<Arc<Handle>> for Fetch {
    fn borrow(&self) -> &Arc<Handle> {
        &self.credential
    }
}

impl Fetch {
    /// A fetch of the token of `account`. The secret with this digest was presented: a client's key, or the account's own secret.
    fn new(
        state: &AppState,
        account: &AccountName,
        secret: &KeyDigest,
        client: Option<&Arc<Client>>,
        force_refresh: bool,
    ) -> Result<Self, Refusal> {
        let credential = state.registry.handles().access_token(account.as_str()).ok_or(Refusal::NoToken)?.clone();
        Ok(Self { credential, by: Fetcher::new(account.clone(), secret), client: client.cloned(), force_refresh })
    }

    /// Counts it as one of its client's.
    fn count(&self, state: &AppState) -> Result<(), Refusal> {
        let Some(client) = &self.client else {
            self.credential.metrics.appsecret_accepted();
            return Ok(());
        };
        limits::request(state, client).map_err(|_| Refusal::TooManyRequests)
    }
}

/// The token that a request gets, and for how long, as `find` finds by what the request says.
async fn count_and_hand_out(
    state: &AppState,
    find: impl Fn() -> Result<Fetch, Refusal>,
    peer: SocketAddr,
) -> Result<(Prepared, u64), Refusal> {
    let fetch = find()?;
    fetch.count(state)?;
    across_reloads(fetch, find, |fetch| hand_out(state, fetch, peer)).await
}

/// The token, once it is as good as it should be.
async fn hand_out(state: &AppState, fetch: Fetch, peer: SocketAddr) -> Result<(Prepared, u64), Refusal> {
    let outcome = match doubt(state, &fetch, peer) {
        Some((generation, grounds)) => after_verdict(state, &fetch, generation, grounds).await,
        None => current(state, &fetch.credential, state.timeouts().first_token).await,
    };
    let (prepared, seconds) = outcome.token().map_err(|_| Refusal::NoToken)?;
    let until = state.clock.boot_now().plus(Duration::from_secs(seconds));
    state.early_fetches.given(fetch.by, prepared.generation, until);
    Ok((prepared, seconds))
}

/// Whether the token is to be probed before it is handed out: because the client demands a new one, which is a report and no
/// more (I5), or because it asks so early that WeChat may have refused it.
fn doubt(state: &AppState, fetch: &Fetch, peer: SocketAddr) -> Option<(Generation, Grounds)> {
    let published = fetch.credential.published();
    let generation = published.status.offer.as_ref()?.generation;
    let grounds = if fetch.force_refresh && may_report(state, fetch) {
        Grounds::Report
    } else {
        state.early_fetches.grounds(&fetch.by, peer.ip(), &published.status, state.clock.boot_now())?
    };
    Some((generation, grounds))
}

/// Whether a report of its client is heard. If not, the client gets the current token.
fn may_report(state: &AppState, fetch: &Fetch) -> bool {
    fetch.client.as_ref().is_none_or(|client| limits::report(state, client).is_ok())
}

/// What can be served once WeChat has judged the token. Without a verdict in time the current one: SDKs hang up after 5 s. The
/// keeper goes on, and the next request joins what is under way (I13).
async fn after_verdict(state: &AppState, fetch: &Fetch, generation: Generation, grounds: Grounds) -> Outcome {
    let credential = &fetch.credential;
    let judged = async {
        let answer = credential.report(generation, grounds).await;
        if grounds == Grounds::Report {
            report::log(fetch.client.as_deref(), credential, generation, answer.as_ref());
        }
        current(state, credential, state.timeouts().first_token).await
    };
    match timeout(state.timeouts().verdict, judged).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => current(state, credential, Duration::ZERO).await,
    }
}

async fn current(state: &AppState, credential: &Handle, longest: Duration) -> Outcome {
    token::outcome(state, credential, &LongPoll::default(), longest).await
}

/// The answer, and on the way the client whose key is in a body, for the log.
async fn serve(
    state: &AppState,
    route: Endpoint,
    request: Request,
    peer: SocketAddr,
    sender: &mut Option<Arc<Client>>,
) -> Result<(Prepared, u64), Refusal> {
    let (head, body) = Unread::split(request);
    let read;
    let parameters = match (route, &head.method) {
        (Endpoint::Token, &Method::GET | &Method::HEAD) => Parameters::of_query(head.uri.query()),
        (Endpoint::StableToken, &Method::POST) => {
            read = body.read(state.timeouts().body).await?;
            let parameters = Parameters::of_body(&read)?;
            *sender = parameters.client(&state.rules.load().clients).cloned();
            parameters
        }
        (wrong, _) => {
            body.discard().await;
            return Err(if wrong == Endpoint::Token { Refusal::NotGet } else { Refusal::NotPost });
        }
    };
    count_and_hand_out(state, || authorize(state, route, &parameters), peer).await
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
fn authorize(state: &AppState, route: Endpoint, parameters: &Parameters<'_>) -> Result<Fetch, Refusal> {
    let appid = parameters.appid.text(Refusal::NoAppid, Refusal::UnknownAppid)?;
    let rules = state.rules.load();
    let app = rules.apps.find(appid, route).ok_or(Refusal::UnknownAppid)?;
    let secret = parameters.secret.text(Refusal::NoSecret, Refusal::WrongKey)?;
    let (digest, client) = rules.clients.by_secret(secret);
    if client.is_none() && app.appsecret != Some(digest) {
        return Err(Refusal::WrongKey);
    }
    if parameters.grant_type.text(Refusal::BadGrantType, Refusal::BadGrantType)? != GRANT_TYPE {
        return Err(Refusal::BadGrantType);
    }
    // who has the AppSecret may use its account, and no other
    if client.is_some_and(|client| !client.may_use(app.account.as_str())) {
        return Err(Refusal::ForeignAccount);
    }
    Fetch::new(state, &app.account, &digest, client, parameters.force_refresh)
}
