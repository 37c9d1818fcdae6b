//! Who hands out a credential, how can that fail, and what does each failure call for?

use std::{fmt, str::FromStr, time::Duration};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::credential::Token;

pub mod errcodes;
pub mod reply;
pub mod tls;
pub mod upstream;
pub mod wechat;

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

    /// How it behaves when it is asked again.
    pub const fn manner(self) -> Manner {
        match self {
            Self::Token => Manner::Rotating,
            Self::StableToken => Manner::Sticky,
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

/// How an issuer behaves when it is asked again while its last credential lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Each call mints a new credential and dooms the old one (`/cgi-bin/token`).
    Rotating,
    /// Until its last overlap a call returns the same credential and the time left (`/cgi-bin/stable_token`).
    Sticky,
}

/// What hands out one kind of credential for one account. It neither retries nor remembers: the keeper does.
pub trait Issuer: Send + Sync + 'static {
    /// Asks for a credential. `force` asks a sticky issuer to rotate; a rotating one ignores it. The future must be run
    /// to its end: dropping it makes the call an unknown one (I13).
    fn issue(&self, force: bool) -> BoxFuture<'_, Result<Issued, IssueError>>;

    /// Asks whether WeChat accepts `token`, with a harmless call.
    fn probe<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Verdict>;
}

/// A credential fresh from its issuer.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The value.
    pub token: Token,
    /// How long it lives, counted from the moment before the call's first byte; positive, at most two hours.
    pub life: Duration,
}

/// What a probe told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// WeChat answered the call: the token works.
    Accepted,
    /// WeChat named the token invalid (40001, 40014 or 42001).
    Refused {
        /// WeChat's code.
        errcode: i64,
    },
    /// Anything else: it says nothing about the token.
    Inconclusive {
        /// What happened, in words, without a secret.
        reason: String,
    },
}

/// Why a call brought no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueError {
    /// No name, no connection: provably nothing was sent, so the debit is given back.
    #[error("not sent: {reason}")]
    NotSent {
        /// What happened, in words, without a secret.
        reason: String,
    },
    /// The first byte may have left and the outcome is not known: with a rotating issuer the call may have minted (I8).
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// What happened, in words, without a secret.
        reason: String,
    },
    /// WeChat answered with an `errcode` other than 0: it minted nothing.
    #[error("WeChat answered errcode {errcode}: {errmsg}")]
    Refused {
        /// WeChat's code.
        errcode: i64,
        /// WeChat's text: printable, at most 256 characters, without a secret.
        errmsg: String,
    },
}

impl IssueError {
    /// What this failure calls for.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::NotSent { .. } | Self::Unknown { .. } => Remedy::Soon,
            Self::Refused { errcode, .. } => errcodes::remedy(*errcode),
        }
    }

    /// WeChat's code, where it gave one.
    pub fn errcode(&self) -> Option<i64> {
        match self {
            Self::Refused { errcode, .. } => Some(*errcode),
            Self::NotSent { .. } | Self::Unknown { .. } => None,
        }
    }

    /// What the operator should do, in words.
    pub fn hint(&self) -> String {
        match self {
            // rustls says nothing else that has this word; a hint may be a guess
            Self::NotSent { reason } if reason.contains("certificate") => {
                "the host's certificate is not trusted: check the CA certificates (SSL_CERT_FILE), this machine's clock, \
                 and whether something on the way intercepts TLS"
                    .to_owned()
            }
            Self::NotSent { .. } => {
                "the relay cannot connect: check DNS, the firewall, wechat.base_url and wechat.proxy".to_owned()
            }
            Self::Unknown { .. } => {
                "nothing to do: the relay goes on by itself; if it lasts, check the network path and \
                                     WeChat's status"
                    .to_owned()
            }
            Self::Refused { errcode, errmsg } => errcodes::hint(*errcode, errmsg),
        }
    }
}

/// What a failure calls for (WECHAT.md's table, in `errcodes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Try again with back-off, from `refresh.retry_min` to `refresh.retry_max`.
    Soon,
    /// A rate or quota: try again after this long, no operator needed.
    Wait(Duration),
    /// Only the operator can mend it: say so, and look again this often.
    Operator(Duration),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Soon => "soon",
            Self::Wait(_) => "wait",
            Self::Operator(_) => "operator",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_one_name_everywhere() {
        for endpoint in Endpoint::ALL {
            assert_eq!(endpoint.label().parse(), Ok(endpoint));
            assert_eq!(endpoint.to_string(), endpoint.label());
        }
        assert_eq!("Token".parse::<Endpoint>(), Err(NotAnEndpoint));
    }
}
