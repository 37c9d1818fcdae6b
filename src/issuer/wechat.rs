//! How is WeChat asked for an access token, and how is a token probed?

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Endpoint, IssueError, Issued, Issuer, Verdict,
    reply::{parse_probe, parse_reply},
    upstream::{Call, Upstream},
};
use crate::credential::Token;

/// How long a probe may take. A report waits for it, and for a fetch, within its 10 s.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// One WeChat app, as its issuer needs it.
#[derive(Clone)]
pub struct WeChatAccount {
    /// `appid`, as WeChat wrote it.
    pub appid: String,
    /// The AppSecret.
    pub secret: SecretString,
    /// Which endpoint hands out its tokens.
    pub endpoint: Endpoint,
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
        let WeChatAccount { appid, secret, endpoint } = &self.account;
        let secret = secret.expose_secret();
        let query = [("grant_type", "client_credential"), ("appid", appid), ("secret", secret)];
        let call = match endpoint {
            Endpoint::Token => Call { path: ["cgi-bin", "token"], query: &query, json: None },
            Endpoint::StableToken => {
                let json = serde_json::json!({
                    "grant_type": "client_credential", "appid": appid, "secret": secret, "force_refresh": force,
                });
                Call { path: ["cgi-bin", "stable_token"], query: &[], json: Some(json.to_string().into_bytes()) }
            }
        };
        let reply = self.http.call(&call, self.http.timeout()).await?;
        parse_reply(&reply.body, &[secret, appid]).map_err(|error| match error {
            IssueError::Unknown { reason } => {
                IssueError::Unknown { reason: format!("HTTP {}: {reason}", reply.status.as_u16()) }
            }
            other => other,
        })
    }

    async fn ask(&self, token: &Token) -> Verdict {
        let query = [("access_token", token.expose())];
        let call = Call { path: ["cgi-bin", "get_api_domain_ip"], query: &query, json: None };
        match self.http.call(&call, PROBE_TIMEOUT).await {
            Ok(reply) => match parse_probe(&reply.body) {
                Verdict::Inconclusive { reason } => {
                    Verdict::Inconclusive { reason: format!("HTTP {}: {reason}", reply.status.as_u16()) }
                }
                verdict => verdict,
            },
            Err(error) => Verdict::Inconclusive { reason: error.to_string() },
        }
    }
}

impl Issuer for WeChat {
    fn issue(&self, force: bool) -> BoxFuture<'_, Result<Issued, IssueError>> {
        Box::pin(self.fetch(force))
    }

    fn probe<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Verdict> {
        Box::pin(self.ask(token))
    }
}
