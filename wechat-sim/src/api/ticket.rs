//! `GET /cgi-bin/ticket/getticket`: tickets that sign pages and card coupons.

use std::time::Duration;

use super::{Answer, CallContext, Operation, Route, access_token};
use crate::http::{Intake, Request};
use crate::model::{Model, Refusal, TicketKind};
use crate::operation::Op;

pub(super) const TICKET: Route = Route { op: Op::Ticket, intake: Intake::Whole, read, fake_answer };

struct TicketCall {
    token: String,
    kind: TicketKind,
}

impl Operation for TicketCall {
    fn appid<'a>(&'a self, model: &'a Model, now: Duration) -> Option<&'a str> {
        model.owner(now, &self.token)
    }

    fn execute(&self, model: &mut Model, at: CallContext) -> Result<Answer, Refusal> {
        model.ticket(at.now, &self.token, self.kind).map(Answer::Ticket)
    }
}

fn read(request: &Request) -> Result<Box<dyn Operation>, Refusal> {
    let token = access_token(request)?;
    let kind = match request.parameter("type") {
        Some("jsapi") => TicketKind::Jsapi,
        Some("wx_card") => TicketKind::WxCard,
        _ => return Err(Refusal::WrongTicketType),
    };
    Ok(Box::new(TicketCall { token, kind }))
}

fn fake_answer(model: &mut Model) -> Answer {
    Answer::Ticket(model.counterfeit_ticket())
}
