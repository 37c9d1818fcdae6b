//! What do the ticket routes of WeChat and WeCom answer here? The ticket that the relay keeps, in their shape.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{Method, request::Parts},
    response::Response,
};

use super::{
    AppState,
    body::Unread,
    drop_in::{
        self, AccessTokenQuery, AgentTicketQuery, AgentTicketReply, CorpTicketReply, GatewayRefusals, Parameter,
        TicketReply, WeChatTicketQuery,
    },
    gateway, handed_out, limits,
    reloads::across_reloads,
    routes::{AGENT_TICKET, CORP_TICKET, WECHAT_TICKET},
    token::{self, LongPoll},
};
use crate::{
    credential::TicketKind,
    issuer::Platform,
    metrics::Refusal,
    registry::{Handle, Prepared},
};

/// For the description of all three.
const PASSED_ON: &str = "With the gateway on, a call for a ticket that is not kept goes to the platform, whose answer is passed on as it is.";

/// One of the three.
#[derive(Clone, Copy)]
struct Route {
    path: &'static str,
    platform: Platform,
    asks_for: AsksFor,
}

/// By what a route knows which ticket is meant.
#[derive(Clone, Copy)]
enum AsksFor {
    /// It has this one alone.
    One(TicketKind),
    /// The parameter `type` is one of these.
    Type(&'static [TicketKind]),
}

impl Route {
    /// Whether this is the answer, though there is a gateway: for a token that nobody knows it has WeChat's words, in which 40001
    /// means to an SDK of WeCom that its secret is wrong.
    fn is_final(self, refusal: Refusal) -> bool {
        let is_of_token = matches!(refusal, Refusal::NoAccessToken | Refusal::UnknownAccessToken);
        self.platform == Platform::WeCom && is_of_token || refusal == Refusal::TooManyRequests
    }
}

/// `GET /cgi-bin/ticket/getticket`
#[utoipa::path(
    get, path = WECHAT_TICKET, tag = drop_in::TAG, operation_id = "dropInTicket",
    summary = "WeChat's own ticket route",
    description = PASSED_ON,
    params(AccessTokenQuery, WeChatTicketQuery),
    responses((
        status = 200, body = TicketReply, description = "The kept ticket, or a refusal in WeChat's words.",
        headers(("Cache-Control" = String, description = "`no-store`"))
    ), GatewayRefusals),
)]
pub(super) async fn of_wechat(
    state: State<Arc<AppState>>,
    peer: ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let asks_for = AsksFor::Type(Platform::WeChat.tickets());
    answer(Route { path: WECHAT_TICKET, platform: Platform::WeChat, asks_for }, state, peer, request).await
}

/// `GET /cgi-bin/get_jsapi_ticket`
#[utoipa::path(
    get, path = CORP_TICKET, tag = drop_in::TAG, operation_id = "dropInCorpTicket",
    summary = "WeCom's own route of the corp's ticket",
    description = PASSED_ON,
    params(AccessTokenQuery),
    responses((
        status = 200, body = CorpTicketReply, description = "The kept ticket, or a refusal in WeCom's words.",
        headers(("Cache-Control" = String, description = "`no-store`"))
    ), GatewayRefusals),
)]
pub(super) async fn of_corp(state: State<Arc<AppState>>, peer: ConnectInfo<SocketAddr>, request: Request) -> Response {
    let asks_for = AsksFor::One(TicketKind::Jsapi);
    answer(Route { path: CORP_TICKET, platform: Platform::WeCom, asks_for }, state, peer, request).await
}

/// `GET /cgi-bin/ticket/get`
#[utoipa::path(
    get, path = AGENT_TICKET, tag = drop_in::TAG, operation_id = "dropInAgentTicket",
    summary = "WeCom's own route of an agent's ticket",
    description = PASSED_ON,
    params(AccessTokenQuery, AgentTicketQuery),
    responses((
        status = 200, body = AgentTicketReply, description = "The kept ticket, or a refusal in WeCom's words.",
        headers(("Cache-Control" = String, description = "`no-store`"))
    ), GatewayRefusals),
)]
pub(super) async fn of_agent(state: State<Arc<AppState>>, peer: ConnectInfo<SocketAddr>, request: Request) -> Response {
    let asks_for = AsksFor::Type(&[TicketKind::AgentConfig]);
    answer(Route { path: AGENT_TICKET, platform: Platform::WeCom, asks_for }, state, peer, request).await
}

/// With the gateway on, a call for a ticket that is not kept goes to the platform, as every other call does, and what is wrong
/// with a request is for the gateway to say.
async fn answer(
    route: Route,
    state: State<Arc<AppState>>,
    peer: ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (mut head, body) = request.into_parts();
    let find = || find(route, &state, &head);
    let found = handed_out::heard_of(&state, &head, find, Refusal::UnknownAccessToken, Refusal::NoToken).await;
    let found = found.and_then(|ticket| {
        let within_limit = limits::request_of_sender(&state, &state.rules.load(), &head);
        within_limit.map(|()| ticket).map_err(|_| Refusal::TooManyRequests)
    });
    let refusal = match found {
        Ok(ticket) => {
            drop(body);
            match across_reloads(ticket, find, |ticket| current(&state, ticket)).await {
                Ok((prepared, seconds)) => return drop_in::ticket(&prepared, seconds),
                Err(refusal) => refusal,
            }
        }
        Err(refusal) if state.rules.load().gateway.is_some() && !route.is_final(refusal) => {
            if matches!(refusal, Refusal::UnknownAccessToken | Refusal::NoToken) {
                head.extensions.insert(handed_out::Heard);
            }
            return gateway::pass(state, peer, Request::from_parts(head, body)).await;
        }
        Err(refusal) => {
            Unread::split(Request::from_parts(head, body)).1.discard().await;
            refusal
        }
    };
    drop_in::refuse(&state, route.path, route.platform, peer.0, refusal)
}

/// The ticket, and for how long.
async fn current(state: &AppState, ticket: Arc<Handle>) -> Result<(Prepared, u64), Refusal> {
    let outcome = token::outcome(state, &ticket, &LongPoll::default(), state.timeouts().first_token).await;
    outcome.token().map_err(|_| Refusal::NoToken)
}

/// The kept ticket that a request asks for. Order of checks, as WeChat's: method · token · type.
fn find(route: Route, state: &AppState, head: &Parts) -> Result<Arc<Handle>, Refusal> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return Err(Refusal::NotGet);
    }
    let parameter = |name| Parameter::of_query(head.uri.query(), name);
    let (rules, handles) = (state.rules.load(), state.registry.handles());
    let given = parameter("access_token");
    let access_token = match given.text(Refusal::NoAccessToken, Refusal::UnknownAccessToken) {
        Ok(token) => handles.handed_out(token, state.clock.boot_now()).cloned().ok_or(Refusal::UnknownAccessToken),
        Err(refusal) => gateway::account(state, head).ok_or(refusal),
    }?;
    let kind = match route.asks_for {
        AsksFor::One(kind) => kind,
        AsksFor::Type(kinds) => {
            let kind = parameter("type");
            let kind: Option<TicketKind> = kind.text(Refusal::BadTicketType, Refusal::BadTicketType)?.parse().ok();
            kind.filter(|kind| kinds.contains(kind)).ok_or(Refusal::BadTicketType)?
        }
    };
    let account = access_token.id.account();
    // the other platform knows no such path
    let platform = rules.apps.platform_of(account);
    let kept = handles.ticket(account.as_str(), kind).filter(|_| platform == route.platform);
    kept.cloned().ok_or(Refusal::TicketNotKept)
}
