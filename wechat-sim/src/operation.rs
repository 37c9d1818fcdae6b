//! Which of WeChat's operations is a call?

use std::fmt;

use serde::{Deserialize, Serialize};

/// The operations that faults and counts distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// `/cgi-bin/token`.
    Token,
    /// `/cgi-bin/stable_token`.
    StableToken,
    /// Any API that takes a token: `/cgi-bin/get_api_domain_ip`, `/cgi-bin/message/custom/send` and every other path.
    #[serde(alias = "probe")]
    Api,
    /// `/cgi-bin/ticket/getticket`.
    Ticket,
    /// `/sns/…`: logins of users, and their tokens.
    Sns,
    /// `/cgi-bin/media/upload` and `/cgi-bin/media/get`.
    Media,
    /// Every path that ends in `/echo`: the answer is the request.
    Echo,
    /// WeCom's `/cgi-bin/gettoken`.
    WecomToken,
    /// WeCom's `/cgi-bin/get_jsapi_ticket` and `/cgi-bin/ticket/get`.
    WecomTicket,
    /// All of them; no single call is of this kind.
    Any,
}

impl Op {
    /// Does a fault or a question about `self` concern a call of this operation?
    pub fn covers(self, call: Op) -> bool {
        self == Op::Any || self == call
    }

    /// The name in logs and in the control endpoint.
    pub fn name(self) -> &'static str {
        match self {
            Op::Token => "token",
            Op::StableToken => "stable_token",
            Op::Api => "api",
            Op::Ticket => "ticket",
            Op::Sns => "sns",
            Op::Media => "media",
            Op::Echo => "echo",
            Op::WecomToken => "wecom_token",
            Op::WecomTicket => "wecom_ticket",
            Op::Any => "any",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
