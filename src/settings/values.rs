//! What may a setting be? One type per kind of value, with one way in; `urls` has more.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::logs::AccessLevel;
use crate::store::redis::Prefix;

/// What a value must be and is not. It never quotes the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {0}")]
pub struct Invalid(pub(crate) &'static str);

/// Where to listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address(pub(super) SocketAddr);

impl FromStr for Address {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |_| Invalid(r#"an address and a port, such as "127.0.0.1:8080" or "[::]:8080""#);
        text.parse().map(Self).map_err(invalid)
    }
}

/// A WeChat appid: 1 to 64 printable ASCII characters without a space. Not a secret. Cloning bumps a reference count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(Arc<str>);

impl AppId {
    /// The appid as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(text.into())) } else { Err(Invalid("1 to 64 printable ASCII characters without a space")) }
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A WeCom corpid: as an [`AppId`]. Those seen begin with `ww` or `wx` and have 18 characters; WeCom documents no shape, so none
/// is demanded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CorpId(AppId);

impl CorpId {
    /// The corpid as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for CorpId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self)
    }
}

impl FromStr for Prefix {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text).ok_or(Invalid("1 to 64 letters, digits, _, - and dots"))
    }
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Invalid(r#""auto", "text" or "json""#)),
        }
    }
}

impl FromStr for AccessLevel {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "off" => Ok(Self::Off),
            "errors" => Ok(Self::Errors),
            "all" => Ok(Self::All),
            _ => Err(Invalid(r#""off", "errors" or "all""#)),
        }
    }
}

/// Which logs are written: directives such as `info,token_relay=debug` that [`EnvFilter`] has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The directives as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directives as a filter.
    pub(crate) fn to_env_filter(&self) -> EnvFilter {
        EnvFilter::try_new(&self.0).expect("the directives were accepted before")
    }
}

impl FromStr for LogFilter {
    type Err = Invalid;

    /// A word alone that is no level is refused: it would be taken for a module, and nothing else would be logged.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = Invalid(
            r#"log directives such as "info" or "info,token_relay=debug", without a space; the levels are error, warn, info, debug and trace"#,
        );
        let is_good = |part: &str| part.contains(['=', '[']) || part.parse::<LevelFilter>().is_ok();
        if text.contains([' ', '\t', ';']) || !text.split(',').all(is_good) {
            return Err(invalid);
        }
        EnvFilter::try_new(text).map(|_| Self(text.to_owned())).map_err(|_| invalid)
    }
}
