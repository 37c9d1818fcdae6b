//! What does WeChat's own ticket route answer here? The ticket that the relay keeps, in WeChat's shape.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::Method,
    response::Response,
};

use super::{
    AppState,
    described::TicketQuery,
    drop_in::{self, AccessTokenQuery, GatewayRefusals, Parameter, TicketReply},
    gateway,
    token::{self, LongPoll, Outcome},
};
use crate::{credential::TicketKind, issuer::Platform, metrics::Refusal, registry::Handle};

pub(super) const PATH: &str = "/cgi-bin/ticket/getticket";

/// `GET /cgi-bin/ticket/getticket`. With the gateway on, a call for a ticket that is not kept goes to WeChat, as every other call
/// does, and what is wrong with a request is for the gateway to say.
#[utoipa::path(
    get, path = PATH, tag = drop_in::TAG, operation_id = "dropInTicket",
    summary = "WeChat's own ticket route",
    description = "With the gateway on, a call for a ticket that is not kept goes to WeChat, whose answer is passed on as it is.",
    params(AccessTokenQuery, TicketQuery),
    responses((
        status = 200, body = TicketReply, description = "The kept ticket, or a refusal in WeChat's words.",
        headers(("Cache-Control" = String, description = "`no-store`"))
    ), GatewayRefusals),
)]
pub(super) async fn ticket(
    State(state): State<Arc<AppState>>,
    peer: ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    match find(&state, &request) {
        Ok(handle) => {
            drop(request);
            match token::outcome(&state, &handle, &LongPoll::default(), state.timeouts.first_token).await {
                Outcome::Ok(prepared, seconds) | Outcome::NotModified(prepared, seconds) => {
                    drop_in::ticket(&prepared, seconds)
                }
                Outcome::Unavailable(_) => drop_in::refuse(&state, PATH, Platform::WeChat, peer.0, Refusal::NoToken),
            }
        }
        Err(_) if state.gateway.is_some() => gateway::pass(State(state), peer, request).await,
        Err(refusal) => drop_in::refuse(&state, PATH, Platform::WeChat, peer.0, refusal),
    }
}

/// The kept ticket that a request asks for. Order of checks, as WeChat's: method · token · type.
fn find(state: &AppState, request: &Request) -> Result<Arc<Handle>, Refusal> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Refusal::NotGet);
    }
    let parameter = |name| Parameter::of_query(request.uri().query(), name);
    let handles = state.registry.handles();
    let given = parameter("access_token");
    let access_token = match given.text(Refusal::NoAccessToken, Refusal::UnknownAccessToken) {
        Ok(token) => handles.handed_out(token, state.clock.boot_now()).cloned().ok_or(Refusal::UnknownAccessToken),
        Err(refusal) => gateway::account(state, request).ok_or(refusal),
    }?;
    let kind = parameter("type");
    let kind = kind.text(Refusal::BadTicketType, Refusal::BadTicketType)?;
    let kind: TicketKind = kind.parse().map_err(|_| Refusal::BadTicketType)?;
    handles.ticket(access_token.id.account().as_str(), kind).cloned().ok_or(Refusal::TicketNotKept)
}
