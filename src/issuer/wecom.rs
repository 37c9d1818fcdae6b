//! How is WeCom asked for an agent's access token, and how is a token probed?

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use super::{
    IssueError, Issued, Issuer, Profile, RotationMode, Verdict,
    probe::Probe,
    reply::parse_reply,
    upstream::{Call, Upstream},
    wechat::RETRY_MAX_WITHOUT_TOKEN,
};
use crate::credential::Token;

mod errors;

pub use errors::{ERRORS, TICKET_ERRORS};

/// The errcodes by which WeCom calls an access token invalid or expired. 40001 is a wrong secret here, and says nothing about a
/// token.
pub const BAD_TOKEN: [i64; 2] = [40014, 42001];

/// The default of `calls_per_day`: 12 a day keep a token, and asking each minute how long one of unknown age still lives takes
/// 120. WeCom itself takes thousands a minute.
pub const DEFAULT_CALLS_PER_DAY: u32 = 1500;

/// What the records of its tokens are known by: WeCom has one endpoint.
pub const ENDPOINT: &str = "gettoken";

/// The member of a reply that holds the token.
const TOKEN: &str = "access_token";

/// What WeCom says of itself: while a token lives, each call returns it; after its end, and after one that WeCom has revoked, the
/// next call returns another.
///
/// Whether a repeat tells the rest of its life is not known: WeCom documents `expires_in` as "the time of validity", users saw 7200
/// each time. So no repeat is believed.
pub const PROFILE: Profile = Profile {
    rotation: RotationMode::Sticky,
    overlap: Duration::ZERO,
    tells_remaining_life: false,
    is_asked_by_us_alone: true,
    sightings_per_life: 240,
    can_be_forced: false,
    // each attempt with a wrong secret counts towards the ban
    wait_after_restart: super::errors::HOUR,
    retry_max_without_any: RETRY_MAX_WITHOUT_TOKEN,
    secret_names_owner: true,
    errors: &ERRORS,
};

/// One agent of a corp, as its issuer needs it.
#[derive(Clone)]
pub struct WeComAgent {
    /// `corpid`, as WeCom wrote it.
    pub corpid: String,
    /// The agent's secret, which alone says which agent it is.
    pub secret: SecretString,
}

impl fmt::Debug for WeComAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeComAgent").field("corpid", &self.corpid).finish_non_exhaustive()
    }
}

/// The issuer of one agent's access tokens.
#[derive(Debug, Clone)]
pub struct WeCom {
    http: Upstream,
    agent: WeComAgent,
}

impl WeCom {
    /// The issuer of `agent`, which calls through `http`.
    pub fn new(http: Upstream, agent: WeComAgent) -> Self {
        Self { http, agent }
    }

    async fn fetch(&self) -> Result<Issued, IssueError> {
        let (corpid, secret) = (self.agent.corpid.as_str(), self.agent.secret.expose_secret());
        let query = [("corpid", corpid), ("corpsecret", secret)];
        let call = Call { path: &["cgi-bin", "gettoken"], query: &query, json: None };
        let reply = self.http.call(&call, self.http.timeout()).await?;
        parse_reply(reply.status.as_u16(), &reply.body, TOKEN, &[secret, corpid])
    }
}

impl Issuer for WeCom {
    fn profile(&self) -> Profile {
        PROFILE
    }

    /// `force` has no meaning: WeCom cannot be forced.
    fn issue(&self, _force: bool) -> BoxFuture<'_, Result<Issued, IssueError>> {
        Box::pin(self.fetch())
    }

    fn probe<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Verdict> {
        Box::pin(PROBE.ask(&self.http, token))
    }
}

/// Any agent's right. Only its errcode counts: a refusal has an empty `ip_list` as well.
const PROBE: Probe = Probe { bad_token: &BAD_TOKEN, takes_list: false };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::NoVerdict;

    #[test]
    fn only_the_errcode_of_a_probe_counts_and_40001_says_nothing_about_the_token() {
        let probe = |body: &str| PROBE.parse(200, body.as_bytes());
        assert_eq!(probe(r#"{"ip_list":["1.2.3.4"],"errcode":0,"errmsg":"ok"}"#), Verdict::Accepted);
        for errcode in BAD_TOKEN {
            let body = format!(r#"{{"ip_list":[],"errcode":{errcode},"errmsg":"access_token expired"}}"#);
            assert_eq!(probe(&body), Verdict::Refused { errcode });
        }
        for errcode in [-1, 40001, 41001, 45009, 60020] {
            let verdict = probe(&format!(r#"{{"ip_list":[],"errcode":{errcode}}}"#));
            assert_eq!(verdict, Verdict::Inconclusive { cause: NoVerdict::Errcode(errcode) });
        }
        for body in ["", "{}", "<html>", r#"{"ip_list":["1.2.3.4"]}"#, r#"{"ip_list":[],"errcode":null}"#] {
            let verdict = probe(body);
            assert!(
                matches!(verdict, Verdict::Inconclusive { cause: NoVerdict::Unreadable(_) }),
                "{body}: {verdict:?}"
            );
        }
    }
}
