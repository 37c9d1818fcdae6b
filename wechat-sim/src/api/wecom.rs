//! WeCom's own routes: `GET /cgi-bin/gettoken`, `/cgi-bin/get_jsapi_ticket` and `/cgi-bin/ticket/get`.

use std::time::Duration;

use super::{Answer, CallContext, Operation, Route, access_token};
use crate::http::{Intake, Request};
use crate::model::{Model, Refusal, WecomTicket};
use crate::operation::Op;

pub(super) const TOKEN: Route = Route {
    op: Op::WecomToken,
    intake: Intake::Whole,
    read: token,
    fake_answer: |model| Answer::AgentToken(model.counterfeit_agent_token()),
};
pub(super) const CORP_TICKET: Route = Route {
    op: Op::WecomTicket,
    intake: Intake::Whole,
    read: |request| ticket(request, WecomTicket::Corp),
    fake_answer: |model| Answer::Ticket(model.counterfeit_ticket()),
};
pub(super) const AGENT_TICKET: Route = Route {
    read: |request| match request.parameter("type") {
        Some("agent_config") => ticket(request, WecomTicket::Agent),
        _ => access_token(request).and(Err(Refusal::InvalidParameter)),
    },
    ..CORP_TICKET
};

struct TokenCall {
    corpid: Option<String>,
    secret: Option<String>,
}

impl Operation for TokenCall {
    /// The agent where the secret is right, else the corp as claimed.
    fn appid<'a>(&'a self, model: &'a Model, _: Duration) -> Option<&'a str> {
        let corpid = self.corpid.as_deref()?;
        let agent = self.secret.as_deref().and_then(|secret| model.agent_of_secret(corpid, secret));
        Some(agent.unwrap_or(corpid))
    }

    fn execute(&self, model: &mut Model, at: CallContext) -> Result<Answer, Refusal> {
        let (corpid, secret) = (self.corpid.as_deref(), self.secret.as_deref());
        model.agent_token(at.now, at.ip, corpid, secret).map(Answer::AgentToken)
    }
}

struct TicketCall {
    token: String,
    kind: WecomTicket,
}

impl Operation for TicketCall {
    fn appid<'a>(&'a self, model: &'a Model, now: Duration) -> Option<&'a str> {
        model.owner(now, &self.token)
    }

    fn execute(&self, model: &mut Model, at: CallContext) -> Result<Answer, Refusal> {
        model.wecom_ticket(at.now, &self.token, self.kind).map(Answer::Ticket)
    }
}

fn token(request: &Request) -> Result<Box<dyn Operation>, Refusal> {
    if request.method != "GET" {
        return Err(Refusal::NotGet);
    }
    let parameter = |name| request.parameter(name).map(str::to_owned);
    Ok(Box::new(TokenCall { corpid: parameter("corpid"), secret: parameter("corpsecret") }))
}

fn ticket(request: &Request, kind: WecomTicket) -> Result<Box<dyn Operation>, Refusal> {
    Ok(Box::new(TicketCall { token: access_token(request)?, kind }))
}
