//! What is asked of WeChat, and what does it answer?

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Op;
use crate::http::Request;
use crate::model::{Claim, Grant, Model, Refusal, TicketKind};

/// A request to WeChat, understood. No `Debug`: it holds secrets and tokens.
pub(crate) struct Ask {
    pub(crate) op: Op,
    form: Result<Form, Refusal>,
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

enum Form {
    Token(Parameters),
    StableToken(Parameters),
    Ticket { token: String, kind: TicketKind },
    IpList { token: String },
    Other { token: String },
}

/// The parameters of both token endpoints: of the query, or of the JSON body.
#[derive(Deserialize)]
struct Parameters {
    appid: Option<String>,
    secret: Option<String>,
    grant_type: Option<String>,
    force_refresh: Option<bool>,
}

impl Ask {
    pub(crate) fn read(request: &Request) -> Self {
        let (op, form) = match request.path.as_str() {
            "/cgi-bin/token" => (Op::Token, token_form(request)),
            "/cgi-bin/stable_token" => (Op::StableToken, stable_token_form(request)),
            "/cgi-bin/ticket/getticket" => (Op::Ticket, ticket_form(request)),
            "/cgi-bin/get_api_domain_ip" | "/cgi-bin/getcallbackip" => {
                (Op::Api, access_token(request).map(|token| Form::IpList { token }))
            }
            _ => (Op::Api, access_token(request).map(|token| Form::Other { token })),
        };
        Self { op, form }
    }

    /// The app of the call: as claimed, or as the token tells.
    pub(crate) fn appid(&self, model: &Model, now: Duration) -> String {
        let appid = match &self.form {
            Ok(Form::Token(parameters) | Form::StableToken(parameters)) => parameters.appid.as_deref(),
            Ok(Form::Ticket { token, .. } | Form::IpList { token } | Form::Other { token }) => model.owner(now, token),
            Err(_) => None,
        };
        appid.unwrap_or_default().to_owned()
    }

    pub(crate) fn forced(&self) -> bool {
        matches!(&self.form, Ok(Form::StableToken(parameters)) if parameters.force_refresh == Some(true))
    }

    /// Lets it happen.
    pub(crate) fn put(&self, model: &mut Model, now: Duration, ip: IpAddr) -> Result<Answer, Refusal> {
        match self.form.as_ref().map_err(|refusal| *refusal)? {
            Form::Token(parameters) => model.token(now, ip, &parameters.claim()).map(Answer::Token),
            Form::StableToken(parameters) => {
                model.stable_token(now, ip, &parameters.claim(), self.forced()).map(Answer::Token)
            }
            Form::Ticket { token, kind } => model.ticket(now, token, *kind).map(Answer::Ticket),
            Form::IpList { token } => model.check(now, token).map(|_| Answer::IpList),
            Form::Other { token } => model.check(now, token).map(|_| Answer::Done),
        }
    }

    /// What a good answer would look like, though nothing happens: its token never worked.
    pub(crate) fn pretend(&self, model: &mut Model) -> Answer {
        let grant = Grant { access_token: model.counterfeit(), left: model.rules().lifetime };
        match (self.op, &self.form) {
            (Op::Token | Op::StableToken, _) => Answer::Token(grant),
            (Op::Ticket, _) => Answer::Ticket(grant),
            (Op::Api | Op::Any, Ok(Form::IpList { .. })) => Answer::IpList,
            (Op::Api | Op::Any, _) => Answer::Done,
        }
    }
}

impl Parameters {
    fn claim(&self) -> Claim<'_> {
        Claim { appid: self.appid.as_deref(), secret: self.secret.as_deref(), grant_type: self.grant_type.as_deref() }
    }
}

fn token_form(request: &Request) -> Result<Form, Refusal> {
    if request.method != "GET" {
        return Err(Refusal::NotGet);
    }
    let parameter = |name| request.parameter(name).map(str::to_owned);
    Ok(Form::Token(Parameters {
        appid: parameter("appid"),
        secret: parameter("secret"),
        grant_type: parameter("grant_type"),
        force_refresh: None,
    }))
}

fn stable_token_form(request: &Request) -> Result<Form, Refusal> {
    if request.method != "POST" {
        return Err(Refusal::NotPost);
    }
    if request.body.is_empty() {
        return Err(Refusal::EmptyBody);
    }
    serde_json::from_slice(&request.body).map(Form::StableToken).map_err(|_| Refusal::NotJson)
}

fn ticket_form(request: &Request) -> Result<Form, Refusal> {
    let token = access_token(request)?;
    let kind = match request.parameter("type") {
        Some("jsapi") => TicketKind::Jsapi,
        Some("wx_card") => TicketKind::WxCard,
        _ => return Err(Refusal::WrongTicketType),
    };
    Ok(Form::Ticket { token, kind })
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
