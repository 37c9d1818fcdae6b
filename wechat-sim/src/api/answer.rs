//! What does WeChat write when it does not refuse?

use serde::Serialize;

use crate::http::Reply;
use crate::model::Grant;

/// What WeChat gives when it does not refuse.
pub(crate) enum Answer {
    Token(Grant),
    /// WeCom's token reply, which has an errcode.
    AgentToken(Grant),
    Ticket(Grant),
    /// A JSON text of any other call.
    Json(Vec<u8>),
    /// What is no JSON, or has another status.
    Other(Reply),
}

impl Answer {
    /// The JSON text of these members, in their order.
    pub(super) fn json(members: &impl Serialize) -> Self {
        Self::Json(json(members))
    }

    /// `{"errcode":0,"errmsg":"ok"}`, the answer of most APIs.
    pub(super) fn done() -> Self {
        Self::json(&Done { errcode: 0, errmsg: "ok" })
    }

    /// The reply; the members of a JSON text are in WeChat's order. `expires_in` is in whole seconds, rounded down.
    pub(crate) fn reply(&self) -> Reply {
        match self {
            Answer::Token(grant) => {
                let (access_token, expires_in) = (&grant.access_token, grant.left.as_secs());
                Reply::json(json(&TokenBody { access_token, expires_in }))
            }
            Answer::AgentToken(grant) => {
                let (access_token, expires_in) = (&grant.access_token, grant.left.as_secs());
                Reply::json(json(&AgentTokenBody { errcode: 0, errmsg: "ok", access_token, expires_in }))
            }
            Answer::Ticket(grant) => {
                let (ticket, expires_in) = (&grant.access_token, grant.left.as_secs());
                Reply::json(json(&TicketBody { errcode: 0, errmsg: "ok", ticket, expires_in }))
            }
            Answer::Json(text) => Reply::json(text.as_slice()),
            Answer::Other(reply) => reply.clone(),
        }
    }
}

#[derive(Serialize)]
struct TokenBody<'a> {
    access_token: &'a str,
    expires_in: u64,
}

#[derive(Serialize)]
struct AgentTokenBody<'a> {
    errcode: i64,
    errmsg: &'a str,
    access_token: &'a str,
    expires_in: u64,
}

#[derive(Serialize)]
struct TicketBody<'a> {
    errcode: i64,
    errmsg: &'a str,
    ticket: &'a str,
    expires_in: u64,
}

#[derive(Serialize)]
struct Done {
    errcode: i64,
    errmsg: &'static str,
}

pub(super) fn json(members: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(members).expect("structs of texts and numbers are always JSON")
}
