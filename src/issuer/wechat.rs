//! How is WeChat asked for an access token, how is a token probed, and what are its two endpoints?

use std::{fmt, str::FromStr, time::Duration};

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use super::{
    IssueError, Issued, Issuer, Profile, RotationMode, Verdict,
    probe::Probe,
    reply::parse_reply,
    upstream::{Call, Upstream},
};
use crate::credential::Token;

mod errors;

pub use errors::{ERRORS, TICKET_ERRORS};

/// The longest back-off while no token lives.
pub(super) const RETRY_MAX_WITHOUT_TOKEN: Duration = Duration::from_secs(15);

/// The errcodes by which WeChat calls an access token invalid, not the latest, or expired. 41001 (missing) is the
/// caller's own mistake and 42007 and its like belong to tokens of users.
pub const BAD_TOKEN: [i64; 3] = [40001, 40014, 42001];

/// The member of a reply that holds the token.
const TOKEN: &str = "access_token";

/// Which of WeChat's two endpoints hands out an account's tokens. The two kinds of token are isolated from each other
/// and look alike, so it is stored beside the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Endpoint {
    /// `GET /cgi-bin/token`.
    #[default]
    Token,
    /// `POST /cgi-bin/stable_token`.
    StableToken,
}

/// A text that names no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be \"token\" or \"stable_token\"")]
pub struct NotAnEndpoint;

impl Endpoint {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Token, Self::StableToken];

    /// Its name in settings, records, logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::StableToken => "stable_token",
        }
    }

    /// What an issuer at this endpoint says of itself; `overlap` is `refresh.overlap`.
    pub const fn profile(self, overlap: Duration) -> Profile {
        let (rotation, can_be_forced) = match self {
            Self::Token => (RotationMode::Rotating, false),
            Self::StableToken => (RotationMode::Sticky, true),
        };
        Profile {
            rotation,
            overlap,
            tells_remaining_life: true,
            is_asked_by_us_alone: true,
            sightings_per_life: 240,
            can_be_forced,
            wait_after_restart: overlap,
            retry_max_without_any: RETRY_MAX_WITHOUT_TOKEN,
            secret_names_owner: false,
            errors: &ERRORS,
        }
    }

    /// The default of `calls_per_day`. Rotating: a fifth of the 2000 that WeChat allows a new account. Sticky: asking every
    /// 15 s in the last overlap of each token takes 240 a day, and 45009 was reported after a few thousand.
    pub const fn default_calls_per_day(self) -> u32 {
        match self {
            Self::Token => 400,
            Self::StableToken => 1500,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        Self::ALL.into_iter().find(|endpoint| endpoint.label() == text).ok_or(NotAnEndpoint)
    }
}

/// One WeChat app, as its issuer needs it.
#[derive(Clone)]
pub struct WeChatAccount {
    /// `appid`, as WeChat wrote it.
    pub appid: String,
    /// The AppSecret.
    pub secret: SecretString,
    /// Which endpoint hands out its tokens.
    pub endpoint: Endpoint,
    /// `refresh.overlap`: how long WeChat keeps the previous token working after a rotation.
    pub overlap: Duration,
}

impl fmt::Debug for WeChatAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeChatAccount")
            .field("appid", &self.appid)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// The issuer of one account's access tokens.
#[derive(Debug, Clone)]
pub struct WeChat {
    http: Upstream,
    account: WeChatAccount,
}

impl WeChat {
    /// The issuer of `account`, which calls through `http`.
    pub fn new(http: Upstream, account: WeChatAccount) -> Self {
        Self { http, account }
    }

    async fn fetch(&self, force: bool) -> Result<Issued, IssueError> {
        let WeChatAccount { appid, secret, endpoint, .. } = &self.account;
        let secret = secret.expose_secret();
        let query = [("grant_type", "client_credential"), ("appid", appid), ("secret", secret)];
        let call = match endpoint {
            Endpoint::Token => Call { path: &["cgi-bin", "token"], query: &query, json: None },
            Endpoint::StableToken => {
                let json = serde_json::json!({
                    "grant_type": "client_credential", "appid": appid, "secret": secret, "force_refresh": force,
                });
                Call { path: &["cgi-bin", "stable_token"], query: &[], json: Some(json.to_string().into_bytes()) }
            }
        };
        let reply = self.http.call(&call, self.http.timeout()).await?;
        parse_reply(reply.status.as_u16(), &reply.body, TOKEN, &[secret, appid])
    }
}

impl Issuer for WeChat {
    fn profile(&self) -> Profile {
        self.account.endpoint.profile(self.account.overlap)
    }

    fn issue(&self, force: bool) -> BoxFuture<'_, Result<Issued, IssueError>> {
        Box::pin(self.fetch(force))
    }

    fn probe<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Verdict> {
        Box::pin(PROBE.ask(&self.http, token))
    }
}

const PROBE: Probe = Probe { bad_token: &BAD_TOKEN, takes_list: true };

/// Reads the reply of `/cgi-bin/get_api_domain_ip`.
pub fn parse_probe(status: u16, body: &[u8]) -> Verdict {
    PROBE.parse(status, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::NoVerdict;

    #[test]
    fn an_endpoint_has_one_name_everywhere() {
        for endpoint in Endpoint::ALL {
            assert_eq!(endpoint.label().parse(), Ok(endpoint));
            assert_eq!(endpoint.to_string(), endpoint.label());
        }
        assert_eq!("Token".parse::<Endpoint>(), Err(NotAnEndpoint));
    }

    #[test]
    fn only_the_three_bad_token_codes_refuse_a_probed_token() {
        let probe = |body: &str| parse_probe(200, body.as_bytes());
        for good in [r#"{"ip_list":["1.2.3.4"]}"#, r#"{"ip_list":[]}"#, r#"{"errcode":0,"errmsg":"ok"}"#] {
            assert_eq!(probe(good), Verdict::Accepted);
        }
        for errcode in BAD_TOKEN {
            assert_eq!(probe(&format!(r#"{{"errcode":{errcode}}}"#)), Verdict::Refused { errcode });
        }
        for body in ["", "{}", "<html>", r#"{"ip_list":"x"}"#, r#"{"errcode":null}"#, r#"{"errcode":[]}"#] {
            let verdict = probe(body);
            assert!(
                matches!(verdict, Verdict::Inconclusive { cause: NoVerdict::Unreadable(_) }),
                "{body}: {verdict:?}"
            );
        }
        for errcode in [-1, 41001, 42007, 45009, 48001, 40164] {
            let verdict = probe(&format!(r#"{{"errcode":{errcode},"ip_list":[]}}"#));
            assert_eq!(verdict, Verdict::Inconclusive { cause: NoVerdict::Errcode(errcode) });
        }
    }
}
