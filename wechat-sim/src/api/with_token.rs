//! Calls that need an access token and nothing else: the list of addresses, and every path that has no file of its own.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::{Answer, Operation, Route, access_token};
use crate::http::Request;
use crate::model::{Model, Refusal};
use crate::operation::Op;

pub(super) const IP_LIST: Route = Route { op: Op::Api, read: |request| read(request, ip_list), imagine: |_| ip_list() };
pub(super) const OTHER: Route =
    Route { op: Op::Api, read: |request| read(request, Answer::done), imagine: |_| Answer::done() };

struct TokenCheck {
    token: String,
    answer: fn() -> Answer,
}

impl Operation for TokenCheck {
    fn appid<'a>(&'a self, model: &'a Model, now: Duration) -> Option<&'a str> {
        model.owner(now, &self.token)
    }

    fn execute(&self, model: &mut Model, now: Duration, _: IpAddr) -> Result<Answer, Refusal> {
        model.check(now, &self.token).map(|_| (self.answer)())
    }
}

fn read(request: &Request, answer: fn() -> Answer) -> Result<Box<dyn Operation>, Refusal> {
    Ok(Box::new(TokenCheck { token: access_token(request)?, answer }))
}

#[derive(Serialize)]
struct IpList {
    ip_list: [&'static str; 3],
}

fn ip_list() -> Answer {
    Answer::json(&IpList { ip_list: ["101.226.62.77", "101.226.62.78", "101.226.62.79"] })
}
