//! Which call of WeChat's API is a request, and what is its answer?

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::http::Request;
use crate::model::{Claim, Grant, Model, Refusal, TicketKind};
use crate::operation::Op;

/// A request to WeChat with its operation and parameters. No `Debug`: it holds secrets and tokens.
pub(crate) struct ApiRequest {
    pub(crate) op: Op,
    call: Result<ApiCall, Refusal>,
}

/// What WeChat gives when it does not refuse.
pub(crate) enum Answer {
    Token(Grant),
    Ticket(Grant),
    /// `{"ip_list":[…]}`
    IpList,
    /// `{"errcode":0,"errmsg":"ok"}`, the answer of most APIs.
    Done,
}

enum ApiCall {
    Token(TokenParameters),
    StableToken(TokenParameters),
    Ticket { token: String, kind: TicketKind },
    IpList { token: String },
    Other { token: String },
}

/// The parameters of both token endpoints, from the query or the JSON body.
#[derive(Deserialize)]
struct TokenParameters {
    appid: Option<String>,
    secret: Option<String>,
    grant_type: Option<String>,
    force_refresh: Option<bool>,
}

impl ApiRequest {
    pub(crate) fn read(request: &Request) -> Self {
        let (op, call) = match request.path.as_str() {
            "/cgi-bin/token" => (Op::Token, token_call(request)),
            "/cgi-bin/stable_token" => (Op::StableToken, stable_token_call(request)),
            "/cgi-bin/ticket/getticket" => (Op::Ticket, ticket_call(request)),
            "/cgi-bin/get_api_domain_ip" | "/cgi-bin/getcallbackip" => {
                (Op::Api, access_token(request).map(|token| ApiCall::IpList { token }))
            }
            _ => (Op::Api, access_token(request).map(|token| ApiCall::Other { token })),
        };
        Self { op, call }
    }

    /// The app of the call: as claimed, or the owner of the token.
    pub(crate) fn appid(&self, model: &Model, now: Duration) -> String {
        let appid = match &self.call {
            Ok(ApiCall::Token(parameters) | ApiCall::StableToken(parameters)) => parameters.appid.as_deref(),
            Ok(ApiCall::Ticket { token, .. } | ApiCall::IpList { token } | ApiCall::Other { token }) => {
                model.owner(now, token)
            }
            Err(_) => None,
        };
        appid.unwrap_or_default().to_owned()
    }

    pub(crate) fn forced(&self) -> bool {
        matches!(&self.call, Ok(ApiCall::StableToken(parameters)) if parameters.force_refresh == Some(true))
    }

    /// Executes it.
    pub(crate) fn execute(&self, model: &mut Model, now: Duration, ip: IpAddr) -> Result<Answer, Refusal> {
        match self.call.as_ref().map_err(|refusal| *refusal)? {
            ApiCall::Token(parameters) => model.token(now, ip, &parameters.claim()).map(Answer::Token),
            ApiCall::StableToken(parameters) => {
                model.stable_token(now, ip, &parameters.claim(), self.forced()).map(Answer::Token)
            }
            ApiCall::Ticket { token, kind } => model.ticket(now, token, *kind).map(Answer::Ticket),
            ApiCall::IpList { token } => model.check(now, token).map(|_| Answer::IpList),
            ApiCall::Other { token } => model.check(now, token).map(|_| Answer::Done),
        }
    }

    /// What a good answer would look like, without executing anything: its token never worked.
    pub(crate) fn fake_answer(&self, model: &mut Model) -> Answer {
        let grant = Grant { access_token: model.counterfeit(), left: model.rules().lifetime };
        match (self.op, &self.call) {
            (Op::Token | Op::StableToken, _) => Answer::Token(grant),
            (Op::Ticket, _) => Answer::Ticket(grant),
            (Op::Api | Op::Any, Ok(ApiCall::IpList { .. })) => Answer::IpList,
            (Op::Api | Op::Any, _) => Answer::Done,
        }
    }
}

impl TokenParameters {
    fn claim(&self) -> Claim<'_> {
        Claim { appid: self.appid.as_deref(), secret: self.secret.as_deref(), grant_type: self.grant_type.as_deref() }
    }
}

fn token_call(request: &Request) -> Result<ApiCall, Refusal> {
    if request.method != "GET" {
        return Err(Refusal::NotGet);
    }
    let parameter = |name| request.parameter(name).map(str::to_owned);
    Ok(ApiCall::Token(TokenParameters {
        appid: parameter("appid"),
        secret: parameter("secret"),
        grant_type: parameter("grant_type"),
        force_refresh: None,
    }))
}

fn stable_token_call(request: &Request) -> Result<ApiCall, Refusal> {
    if request.method != "POST" {
        return Err(Refusal::NotPost);
    }
    if request.body.is_empty() {
        return Err(Refusal::EmptyBody);
    }
    serde_json::from_slice(&request.body).map(ApiCall::StableToken).map_err(|_| Refusal::NotJson)
}

fn ticket_call(request: &Request) -> Result<ApiCall, Refusal> {
    let token = access_token(request)?;
    let kind = match request.parameter("type") {
        Some("jsapi") => TicketKind::Jsapi,
        Some("wx_card") => TicketKind::WxCard,
        _ => return Err(Refusal::WrongTicketType),
    };
    Ok(ApiCall::Ticket { token, kind })
}

fn access_token(request: &Request) -> Result<String, Refusal> {
    let token = request.parameter("access_token").filter(|token| !token.is_empty());
    token.map(str::to_owned).ok_or(Refusal::MissingToken)
}

impl Answer {
    /// The JSON text, its members in WeChat's order. `expires_in` is in whole seconds, rounded down.
    pub(crate) fn body(&self) -> Vec<u8> {
        match self {
            Answer::Token(grant) => {
                json(&TokenBody { access_token: &grant.access_token, expires_in: grant.left.as_secs() })
            }
            Answer::Ticket(grant) => json(&TicketBody {
                errcode: 0,
                errmsg: "ok",
                ticket: &grant.access_token,
                expires_in: grant.left.as_secs(),
            }),
            Answer::IpList => br#"{"ip_list":["101.226.62.77","101.226.62.78","101.226.62.79"]}"#.to_vec(),
            Answer::Done => json(&ErrorBody { errcode: 0, errmsg: "ok" }),
        }
    }
}

/// The JSON text of a business error.
pub(crate) fn error_body(errcode: i64, text: &str, rid: &str) -> Vec<u8> {
    json(&ErrorBody { errcode, errmsg: &format!("{text} rid: {rid}") })
}

#[derive(Serialize)]
struct TokenBody<'a> {
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
struct ErrorBody<'a> {
    errcode: i64,
    errmsg: &'a str,
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("structs of texts and numbers are always JSON")
}
