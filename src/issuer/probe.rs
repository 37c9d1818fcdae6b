//! How is a token probed? With `/cgi-bin/get_api_domain_ip`, which both platforms have and which changes nothing.

use std::time::Duration;

use serde_json::Value;

use super::{
    Cause, NoVerdict, ReplyDefect, Verdict,
    reply::{errcode, object},
    upstream::{Call, Upstream},
};
use crate::credential::Token;

/// How long a probe may take. A report waits for it, and for a fetch, within its 10 s.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// An API of both platforms that changes nothing.
pub(super) const PATH: &[&str] = &["cgi-bin", "get_api_domain_ip"];

/// How the platforms' replies differ.
pub(super) struct Probe {
    /// The errcodes that name the token bad.
    pub(super) bad_token: &'static [i64],
    /// Whether an `ip_list` without an errcode means accepted. Not where refusals have an `ip_list` too.
    pub(super) takes_list: bool,
}

impl Probe {
    /// Asks whether `token` is accepted.
    pub(super) async fn ask(&self, http: &Upstream, token: &Token) -> Verdict {
        let query = [("access_token", token.expose())];
        let call = Call { path: PATH, query: &query, json: None };
        match http.call(&call, TIMEOUT).await {
            Ok(reply) => self.parse(reply.status.as_u16(), &reply.body),
            Err(error) => Verdict::Inconclusive { cause: NoVerdict::Failed(error) },
        }
    }

    /// Reads the reply.
    pub(super) fn parse(&self, status: u16, body: &[u8]) -> Verdict {
        self.verdict(body).unwrap_or_else(|defect| Verdict::Inconclusive {
            cause: NoVerdict::Unreadable(Cause::Unreadable { status, defect }),
        })
    }

    fn verdict(&self, body: &[u8]) -> Result<Verdict, ReplyDefect> {
        let reply = object(body)?;
        let has_errcode = reply.get("errcode").is_some_and(|errcode| !errcode.is_null());
        let has_list = || self.takes_list && reply.get("ip_list").is_some_and(Value::is_array);
        match errcode(&reply)? {
            0 if has_errcode || has_list() => Ok(Verdict::Accepted),
            0 => Err(ReplyDefect::NoAnswer),
            errcode if self.bad_token.contains(&errcode) => Ok(Verdict::Refused { errcode }),
            errcode => Ok(Verdict::Inconclusive { cause: NoVerdict::Errcode(errcode) }),
        }
    }
}
