//! What can happen to a call that was not clearly answered?
//!
//! Causes are facts: a relay decides by their kind, stores them, and words them only where somebody reads them. What a
//! library or the system says is kept as text, without a secret.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::IssueError;

/// The largest reply that is read, in bytes. A token reply is about 200; an error page of a gateway is a few thousand.
pub(super) const LARGEST_REPLY: usize = 64 * 1024;

/// What happened to a call that was not sent, or whose outcome is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The call needs the account's access token, and none could be used.
    #[error("the account has no access token that can be used")]
    NoAccessToken,
    /// A relay answered in the platform's place, and called nothing: the host's name leads back to a relay.
    #[error("a relay answered in the platform's place")]
    Relay,
    /// No host was connected within this time.
    #[error("no connection within {}", humantime::format_duration(*.0))]
    NoConnection(Duration),
    /// There was no whole reply within this time.
    #[error("no whole reply within {}", humantime::format_duration(*.0))]
    NoReply(Duration),
    /// Name, TCP, proxy, TLS or HTTP failed.
    #[error("{host}: {detail}")]
    Network {
        /// The host that was called.
        host: String,
        /// What the system or a library says of it.
        detail: String,
    },
    /// The host's certificate is not trusted.
    #[error("{host}: {detail}")]
    Certificate {
        /// The host that was called.
        host: String,
        /// What the TLS library says of it.
        detail: String,
    },
    /// The reply is longer than is read.
    #[error("{host}: HTTP {status}, a reply over {LARGEST_REPLY} bytes")]
    TooLarge {
        /// The host that was called.
        host: String,
        /// Its HTTP status.
        status: u16,
    },
    /// The reply came and cannot be used.
    #[error("HTTP {status}: {defect}")]
    Unreadable {
        /// Its HTTP status.
        status: u16,
        /// What is wrong with it.
        defect: ReplyDefect,
    },
    /// The new credential lives for this long only, and would expire under promises made of the one before.
    #[error("the new token lives {} only, less than the one before was promised for", humantime::format_duration(*.0))]
    TooShort(Duration),
    /// Neither the host nor its fallback.
    #[error("{first}; {fallback}")]
    BothHosts {
        /// What happened at the first.
        first: Box<Cause>,
        /// What happened at the second.
        fallback: Box<Cause>,
    },
    /// A cause that an earlier version of the relay stored as a sentence.
    #[error("{0}")]
    #[serde(untagged)]
    Worded(String),
}

impl Cause {
    /// Whether a certificate stood in the way, at any host.
    pub fn is_certificate(&self) -> bool {
        match self {
            Self::Certificate { .. } => true,
            Self::BothHosts { first, fallback } => first.is_certificate() || fallback.is_certificate(),
            Self::NoAccessToken
            | Self::Relay
            | Self::NoConnection(_)
            | Self::NoReply(_)
            | Self::Network { .. }
            | Self::TooLarge { .. }
            | Self::Unreadable { .. }
            | Self::TooShort(_)
            | Self::Worded(_) => false,
        }
    }

    /// Whether a relay answered, at any host.
    pub fn is_relay(&self) -> bool {
        match self {
            Self::Relay => true,
            Self::BothHosts { first, fallback } => first.is_relay() || fallback.is_relay(),
            Self::NoAccessToken
            | Self::NoConnection(_)
            | Self::NoReply(_)
            | Self::Network { .. }
            | Self::Certificate { .. }
            | Self::TooLarge { .. }
            | Self::Unreadable { .. }
            | Self::TooShort(_)
            | Self::Worded(_) => false,
        }
    }
}

/// What is wrong with a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyDefect {
    /// It is no JSON object.
    #[error("the reply is not a JSON object ({0} bytes)")]
    NotJson(usize),
    /// Its `errcode` is no number.
    #[error("the reply's errcode is not a number")]
    Errcode,
    /// It has neither a credential nor an `errcode`.
    #[error("the reply has neither a credential that can be used nor an errcode")]
    NoCredential,
    /// Its `expires_in` is not a positive number of seconds.
    #[error("the reply's expires_in is not a positive number of seconds")]
    Life,
    /// It is the answer of a probe, and has nothing that a probe asks for.
    #[error("the reply has neither what the probe asked for nor an errcode")]
    NoAnswer,
}

/// Why a probe says nothing about the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoVerdict {
    /// It was not sent, or not answered.
    #[error("{0}")]
    Failed(IssueError),
    /// Its answer cannot be used.
    #[error("{0}")]
    Unreadable(Cause),
    /// It was refused by a code that speaks of something else than the token.
    #[error("errcode {0}")]
    Errcode(i64),
    /// Its debit could not be stored, so it was not made.
    #[error("its debit could not be stored")]
    NotStored,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_survives_the_record_and_a_sentence_of_an_earlier_version_stays_readable() {
        let network = |host: &str| Cause::Network { host: host.to_owned(), detail: "refused".to_owned() };
        let both = Cause::BothHosts {
            first: Box::new(network("a")),
            fallback: Box::new(Cause::Certificate { host: "b".to_owned(), detail: "expired".to_owned() }),
        };
        for cause in [
            Cause::NoAccessToken,
            Cause::Relay,
            Cause::NoConnection(Duration::from_secs(3)),
            Cause::NoReply(Duration::from_millis(1500)),
            Cause::TooLarge { host: "a".to_owned(), status: 200 },
            Cause::Unreadable { status: 502, defect: ReplyDefect::NotJson(12) },
            Cause::Unreadable { status: 200, defect: ReplyDefect::Life },
            Cause::Worded("as it was told".to_owned()),
            network("a"),
            both,
        ] {
            for error in [IssueError::NotSent { cause: cause.clone() }, IssueError::Unknown { cause }] {
                let bytes = serde_json::to_vec(&error).unwrap();
                assert_eq!(serde_json::from_slice::<IssueError>(&bytes).unwrap(), error);
            }
        }
        let earlier = r#"{"unknown":{"reason":"HTTP 502: the reply is not a JSON object (12 bytes)"}}"#;
        let read: IssueError = serde_json::from_str(earlier).unwrap();
        assert_eq!(read.to_string(), "outcome unknown: HTTP 502: the reply is not a JSON object (12 bytes)");
    }

    #[test]
    fn a_relay_is_found_at_either_host() {
        let other = || Box::new(Cause::NoConnection(Duration::from_secs(3)));
        assert!(Cause::BothHosts { first: Box::new(Cause::Relay), fallback: other() }.is_relay());
        assert!(Cause::BothHosts { first: other(), fallback: Box::new(Cause::Relay) }.is_relay());
        assert!(!Cause::BothHosts { first: other(), fallback: other() }.is_relay());
    }

    #[test]
    fn a_certificate_is_found_at_either_host() {
        let certificate = || Box::new(Cause::Certificate { host: "b".to_owned(), detail: String::new() });
        let other = || Box::new(Cause::Network { host: "a".to_owned(), detail: "certificate".to_owned() });
        assert!(Cause::BothHosts { first: certificate(), fallback: other() }.is_certificate());
        assert!(Cause::BothHosts { first: other(), fallback: certificate() }.is_certificate());
        assert!(!Cause::BothHosts { first: other(), fallback: other() }.is_certificate());
    }
}
