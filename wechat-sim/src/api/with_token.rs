//! Calls that need an access token: how all of them check it, the list of addresses, and every path without a file of its own.

use std::time::Duration;

use serde::Serialize;

use super::{Answer, CallContext, Operation, Route, access_token};
use crate::http::{Head, Intake, Request};
use crate::model::{Model, Platform, Refusal};
use crate::operation::Op;

pub(super) const IP_LIST: Route = Route {
    op: Op::Api,
    intake: Intake::Whole,
    read: |request| with_token(request, |accepted| Ok(ip_list(accepted.platform))),
    fake_answer: |_| ip_list(Platform::WeChat),
};
pub(super) const OTHER: Route = Route {
    op: Op::Api,
    intake: Intake::Whole,
    read: |request| with_token(request, |_| Ok(Answer::done())),
    fake_answer: |_| Answer::done(),
};

/// A call whose token was accepted.
pub(super) struct AcceptedCall<'a> {
    pub(super) model: &'a mut Model,
    pub(super) at: CallContext,
    pub(super) platform: Platform,
    /// Whose token it is: an appid, or the label of an agent.
    pub(super) appid: &'a str,
}

struct TokenCall<F> {
    token: String,
    answer: F,
}

impl<F> Operation for TokenCall<F>
where
    F: Fn(&mut AcceptedCall<'_>) -> Result<Answer, Refusal> + Send + Sync,
{
    fn appid<'a>(&'a self, model: &'a Model, now: Duration) -> Option<&'a str> {
        model.owner(now, &self.token)
    }

    fn execute(&self, model: &mut Model, at: CallContext) -> Result<Answer, Refusal> {
        let appid = model.caller(at.now, &self.token)?.to_owned();
        (self.answer)(&mut AcceptedCall { model, at, platform: Platform::of_token(&self.token), appid: &appid })
    }
}

/// A call that is answered so once its token is accepted.
pub(super) fn with_token<F>(head: &Head, answer: F) -> Result<Box<dyn Operation>, Refusal>
where
    F: Fn(&mut AcceptedCall<'_>) -> Result<Answer, Refusal> + Send + Sync + 'static,
{
    Ok(Box::new(TokenCall { token: access_token(head)?, answer }))
}

/// The body of a POST must be a JSON object. The token is checked before the body.
pub(super) fn with_token_and_object<F>(request: &Request, answer: F) -> Result<Box<dyn Operation>, Refusal>
where
    F: Fn(&mut AcceptedCall<'_>, &Object) -> Result<Answer, Refusal> + Send + Sync + 'static,
{
    if request.method != "POST" {
        return Err(Refusal::NotPost);
    }
    let object = object(request.body());
    with_token(request, move |accepted| answer(accepted, object.as_ref().map_err(|refusal| *refusal)?))
}

pub(super) type Object = serde_json::Map<String, serde_json::Value>;

fn object(body: &[u8]) -> Result<Object, Refusal> {
    if body.is_empty() { Err(Refusal::EmptyBody) } else { serde_json::from_slice(body).map_err(|_| Refusal::NotJson) }
}

/// A member that is a text and not empty.
pub(super) fn text<'o>(object: &'o Object, name: &str) -> Option<&'o str> {
    object.get(name).and_then(|value| value.as_str()).filter(|text| !text.is_empty())
}

/// WeCom's has an errcode.
#[derive(Serialize)]
struct Addresses {
    ip_list: [&'static str; 3],
    #[serde(skip_serializing_if = "Option::is_none")]
    errcode: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errmsg: Option<&'static str>,
}

fn ip_list(platform: Platform) -> Answer {
    let ip_list = ["101.226.62.77", "101.226.62.78", "101.226.62.79"];
    let (errcode, errmsg) = match platform {
        Platform::WeChat => (None, None),
        Platform::WeCom => (Some(0), Some("ok")),
    };
    Answer::json(&Addresses { ip_list, errcode, errmsg })
}
