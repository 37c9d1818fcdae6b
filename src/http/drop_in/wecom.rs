//! What does WeCom's own token route answer here? `GET /cgi-bin/gettoken`, with a relay key as `corpsecret`.
//!
//! At WeCom the secret says which agent of the corp is meant. Here the key does: it must be restricted to one agent of the corp.
//! Rejected: to choose among several by a name or by order, for then a further account could change whose token a client gets.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::Method,
    response::Response,
};

use super::{
    Fetch, Parameters, TAG, count_and_hand_out,
    described::{CorpQuery, CorpTokenReply},
    refuse, reply,
};
use crate::{
    http::{AppState, apps::Agent, body::Unread, routes::GETTOKEN},
    issuer::Platform,
    metrics::Refusal,
    registry::Prepared,
};

/// `GET /cgi-bin/gettoken`
#[utoipa::path(
    get, path = GETTOKEN, tag = TAG, operation_id = "dropInGettoken",
    summary = "WeCom's own token route",
    description = "As `/cgi-bin/token`, for the agents of a WeCom corp: the key says which agent is meant.",
    params(CorpQuery),
    responses((
        status = 200, body = CorpTokenReply, description = "The token, or a refusal in WeCom's words.",
        headers(("Cache-Control" = String, description = "`no-store`"))
    )),
)]
pub(in crate::http) async fn gettoken(
    State(state): State<Arc<AppState>>,
    peer: ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    match serve(&state, peer.0, request).await {
        Ok((prepared, seconds)) => reply::ticket(&prepared, seconds),
        Err(refusal) => refuse(&state, GETTOKEN, Platform::WeCom, peer.0, refusal),
    }
}

async fn serve(state: &AppState, peer: SocketAddr, request: Request) -> Result<(Prepared, u64), Refusal> {
    let (head, body) = Unread::split(request);
    if !matches!(head.method, Method::GET | Method::HEAD) {
        body.discard().await;
        return Err(Refusal::NotGet);
    }
    let parameters = Parameters::of_corp_query(head.uri.query());
    count_and_hand_out(state, || authorize(state, &parameters), peer).await
}

/// All checks of what a request says.
fn authorize(state: &AppState, parameters: &Parameters<'_>) -> Result<Fetch, Refusal> {
    let corpid = parameters.appid.text(Refusal::NoAppid, Refusal::UnknownAppid)?;
    let rules = state.rules.load();
    let agents = rules.apps.of_corpid(corpid);
    if agents.is_empty() {
        return Err(Refusal::UnknownAppid);
    }
    let secret = parameters.secret.text(Refusal::NoSecret, Refusal::WrongKey)?;
    let (digest, client) = rules.clients.by_secret(secret);
    let agent = match client {
        Some(client) => only(agents.iter().filter(|agent| client.may_use(agent.account.as_str())))?,
        None => agents.iter().find(|agent| agent.secret == Some(digest)).ok_or(Refusal::WrongKey)?,
    };
    Fetch::new(state, &agent.account, &digest, client, false)
}

fn only<'a>(mut agents: impl Iterator<Item = &'a Agent>) -> Result<&'a Agent, Refusal> {
    match (agents.next(), agents.next()) {
        (Some(agent), None) => Ok(agent),
        (None, _) => Err(Refusal::ForeignAccount),
        (Some(_), Some(_)) => Err(Refusal::SeveralAccounts),
    }
}
