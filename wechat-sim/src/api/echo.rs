//! What arrived at WeChat? Any path that ends in `/echo` answers with the request itself, for tests of what is between.

use serde::Serialize;

use super::with_token::with_token;
use super::{Answer, CallContext, Operation, Route, present};
use crate::content::Fingerprint;
use crate::http::{Intake, Received, Request};
use crate::model::{Model, Refusal};
use crate::operation::Op;
use crate::token_id::TokenId;

pub(super) const ECHO: Route =
    Route { op: Op::Echo, intake: Intake::Fingerprint, read, fake_answer: |_| Answer::done() };

/// A request without a token, which other paths refuse: a gateway may have to pass it on as it is.
struct WithoutToken(Vec<u8>);

impl Operation for WithoutToken {
    fn appid<'a>(&'a self, _: &'a Model, _: std::time::Duration) -> Option<&'a str> {
        None
    }

    fn execute(&self, _: &mut Model, _: CallContext) -> Result<Answer, Refusal> {
        Ok(Answer::Json(self.0.clone()))
    }
}

fn read(request: &Request) -> Result<Box<dyn Operation>, Refusal> {
    let echo = serde_json::to_vec(&Echo::of(request)).expect("structs of texts and numbers are always JSON");
    if present(request, "access_token").is_none() {
        return Ok(Box::new(WithoutToken(echo)));
    }
    with_token(request, move |_| Ok(Answer::Json(echo.clone())))
}

/// Keys and headers in their order. Of the values of the query only the ids are shown: one is the token.
#[derive(Serialize)]
struct Echo<'a> {
    method: &'a str,
    path: &'a str,
    query: Vec<(&'a str, TokenId)>,
    headers: Vec<(&'a str, String)>,
    body: Option<&'a Fingerprint>,
}

impl<'a> Echo<'a> {
    fn of(request: &'a Request) -> Self {
        let parameters = request.query.split('&').filter(|parameter| !parameter.is_empty());
        let headers = request.headers.iter();
        Self {
            method: &request.method,
            path: &request.path,
            query: parameters
                .map(|of| of.split_once('=').unwrap_or((of, "")))
                .map(|(k, v)| (k, TokenId::of(v)))
                .collect(),
            headers: headers
                .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value).into_owned()))
                .collect(),
            body: match &request.received {
                Received::Fingerprint(fingerprint) => Some(fingerprint),
                Received::Whole(_) | Received::File(_) => None,
            },
        }
    }
}
