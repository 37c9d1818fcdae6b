//! What becomes of an answer on its way to the client?

use std::net::IpAddr;

use serde_json::json;

use crate::ask::{Answer, error_body};
use crate::http::Reply;
use crate::journal::Outcome;
use crate::model::{Grant, Refusal};
use crate::{Fault, Odd};

/// What is done to the connection.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// A whole reply.
    Whole(Reply),
    /// The head of a reply and half of its body, then the end.
    Half(Reply),
    /// These bytes, then the end.
    Raw(Vec<u8>),
    /// Nothing, for ever.
    Hang,
    /// Nothing, and a reset.
    Reset,
}

/// What an answer is made from besides itself.
pub(crate) struct Envelope<'a> {
    pub(crate) rid: &'a str,
    pub(crate) ip: IpAddr,
}

impl Envelope<'_> {
    /// What the client gets, and how the journal calls it.
    pub(crate) fn deliver(&self, fault: &Fault, result: &Result<Answer, Refusal>) -> (Delivery, Outcome) {
        let honest = || Reply::json(self.body(result));
        let delivery = match fault {
            Fault::Pass | Fault::Slow(_) => return (Delivery::Whole(honest()), outcome(result)),
            Fault::Errcode { code, message } => return self.refuse(*code, message.as_deref()),
            Fault::FalseRefusal => return self.refuse(40001, None),
            Fault::Odd(odd) => match result {
                Ok(Answer::Token(grant)) => Delivery::Whole(Reply::json(odd.body(grant))),
                _ => return (Delivery::Whole(honest()), outcome(result)),
            },
            Fault::Status(status) => Delivery::Whole(Reply::html(*status)),
            Fault::Hang => Delivery::Hang,
            Fault::Reset => Delivery::Reset,
            Fault::Close => Delivery::Raw(Vec::new()),
            Fault::Truncated => Delivery::Half(honest()),
            Fault::Empty => Delivery::Whole(Reply::json("")),
            Fault::Body(bytes) => Delivery::Whole(Reply::json(bytes.clone())),
            Fault::Raw(bytes) => Delivery::Raw(bytes.clone()),
            Fault::Huge(least) => Delivery::Whole(Reply::json(blown_up(self.body(result), *least))),
        };
        (delivery, Outcome::Faulted)
    }

    fn refuse(&self, errcode: i64, message: Option<&str>) -> (Delivery, Outcome) {
        let text = message.map_or_else(|| documented(errcode, self.ip), str::to_owned);
        (Delivery::Whole(Reply::json(error_body(errcode, &text, self.rid))), Outcome::Refused(errcode))
    }

    fn body(&self, result: &Result<Answer, Refusal>) -> Vec<u8> {
        match result {
            Ok(answer) => answer.body(),
            Err(refusal) => error_body(refusal.errcode(), &refusal.to_string(), self.rid),
        }
    }
}

fn outcome(result: &Result<Answer, Refusal>) -> Outcome {
    match result {
        Ok(_) => Outcome::Granted,
        Err(refusal) => Outcome::Refused(refusal.errcode()),
    }
}

/// The text of an errcode that was told without one.
fn documented(errcode: i64, ip: IpAddr) -> String {
    use Refusal as R;
    let known = [
        R::MissingAppid,
        R::UnknownAppid,
        R::WrongGrantType,
        R::MissingSecret,
        R::WrongSecret,
        R::FrozenSecret,
        R::ForeignIp(ip),
        R::DailyQuota,
        R::MinuteLimit,
        R::NotGet,
        R::NotPost,
        R::EmptyBody,
        R::NotJson,
        R::MissingToken,
        R::MalformedToken,
        R::ExpiredToken,
        R::NotLatestToken,
    ];
    let by_rules = known.into_iter().find(|refusal| refusal.errcode() == errcode);
    by_rules.map_or_else(|| if errcode < 0 { "system error" } else { "request refused" }.to_owned(), |r| r.to_string())
}

/// The same JSON object with a member of padding.
fn blown_up(mut body: Vec<u8>, least: usize) -> Vec<u8> {
    body.pop();
    body.extend_from_slice(br#","padding":""#);
    body.resize(body.len().max(least.saturating_sub(2)), b'x');
    body.extend_from_slice(br#""}"#);
    body
}

impl Odd {
    fn body(&self, grant: &Grant) -> Vec<u8> {
        let (token, expires_in) = (&grant.access_token, grant.left.as_secs());
        let body = match self {
            Odd::EmptyToken => json!({"access_token": "", "expires_in": expires_in}),
            Odd::NullToken => json!({"access_token": null, "expires_in": expires_in}),
            Odd::NoToken => json!({"expires_in": expires_in}),
            Odd::SystemError => {
                json!({"errcode": -1000, "errmsg": "system error", "access_token": null, "expires_in": 0})
            }
            Odd::ExpiresIn(value) => json!({"access_token": token, "expires_in": value}),
            Odd::NoExpiresIn => json!({"access_token": token}),
            Odd::ControlCharacters => {
                let (front, back) = token.split_at(token.len() / 2);
                json!({"access_token": format!("{front}\n\0{back}"), "expires_in": expires_in})
            }
            Odd::ErrcodeZero => {
                json!({"errcode": 0, "errmsg": "ok", "access_token": token, "expires_in": expires_in})
            }
        };
        body.to_string().into_bytes()
    }
}
