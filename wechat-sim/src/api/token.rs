//! The two token endpoints: `GET /cgi-bin/token` and `POST /cgi-bin/stable_token`.

use std::time::Duration;

use serde::Deserialize;

use super::{Answer, CallContext, Operation, Route};
use crate::http::{Intake, Request};
use crate::model::{Claim, Grant, Kind, Model, Refusal};
use crate::operation::Op;

pub(super) const ROTATING: Route = Route { op: Op::Token, intake: Intake::Whole, read: rotating, fake_answer };
pub(super) const STICKY: Route = Route { op: Op::StableToken, intake: Intake::Whole, read: sticky, fake_answer };

struct TokenCall {
    kind: Kind,
    parameters: Parameters,
}

/// The parameters of both endpoints, from the query or the JSON body.
#[derive(Deserialize)]
struct Parameters {
    appid: Option<String>,
    secret: Option<String>,
    grant_type: Option<String>,
    force_refresh: Option<bool>,
}

impl Operation for TokenCall {
    fn appid<'a>(&'a self, _: &'a Model, _: Duration) -> Option<&'a str> {
        self.parameters.appid.as_deref()
    }

    fn forced(&self) -> bool {
        self.parameters.force_refresh == Some(true)
    }

    fn execute(&self, model: &mut Model, at: CallContext) -> Result<Answer, Refusal> {
        let claim = self.parameters.claim();
        let grant = match self.kind {
            Kind::Rotating => model.token(at.now, at.ip, &claim),
            Kind::Sticky => model.stable_token(at.now, at.ip, &claim, self.forced()),
        };
        grant.map(Answer::Token)
    }
}

impl Parameters {
    fn claim(&self) -> Claim<'_> {
        Claim { appid: self.appid.as_deref(), secret: self.secret.as_deref(), grant_type: self.grant_type.as_deref() }
    }
}

fn rotating(request: &Request) -> Result<Box<dyn Operation>, Refusal> {
    if request.method != "GET" {
        return Err(Refusal::NotGet);
    }
    let parameter = |name| request.parameter(name).map(str::to_owned);
    let parameters = Parameters {
        appid: parameter("appid"),
        secret: parameter("secret"),
        grant_type: parameter("grant_type"),
        force_refresh: None,
    };
    Ok(Box::new(TokenCall { kind: Kind::Rotating, parameters }))
}

fn sticky(request: &Request) -> Result<Box<dyn Operation>, Refusal> {
    if request.method != "POST" {
        return Err(Refusal::NotPost);
    }
    if request.body().is_empty() {
        return Err(Refusal::EmptyBody);
    }
    let parameters = serde_json::from_slice(request.body()).map_err(|_| Refusal::NotJson)?;
    Ok(Box::new(TokenCall { kind: Kind::Sticky, parameters }))
}

fn fake_answer(model: &mut Model) -> Answer {
    Answer::Token(Grant { access_token: model.counterfeit(), left: model.rules().lifetime })
}
