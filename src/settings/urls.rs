//! Which URLs are accepted, and what of them may be shown?

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use reqwest::Url;

use super::values::Invalid;
use crate::secret_url::{SecretUrl, strict_url};
use crate::store::redis::{SCHEMES, Servers};

/// Where WeChat's API is: `http(s)://HOST[:PORT][/PREFIX]`, kept without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseUrl(Arc<str>);

impl BaseUrl {
    /// The URL as text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL of an API call, for example `/cgi-bin/token`; `path` begins with a slash.
    pub fn at(&self, path: &str) -> Url {
        format!("{self}{path}").parse().expect("a base URL with a path is a URL")
    }
}

impl FromStr for BaseUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = Invalid("an http:// or https:// URL without user, query and fragment");
        let url = strict_url(text, &["http", "https"]).ok_or(invalid)?;
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !bare || url.fragment().is_some() {
            return Err(invalid);
        }
        Ok(Self(url.as_str().trim_end_matches('/').into()))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An outbound proxy: `http://`, `socks5://` or `socks5h://` (names are resolved by the proxy).
#[derive(Debug, Clone)]
pub struct ProxyUrl(SecretUrl);

impl ProxyUrl {
    /// The whole URL, password included, as it was given.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl FromStr for ProxyUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        SecretUrl::parse(text, &["http", "socks5", "socks5h"]).map(Self).ok_or(Invalid(
            "an http://, socks5:// or socks5h:// URL, with the special characters of a password percent-encoded",
        ))
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where credentials outlive the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateUrl {
    /// `file:DIR`: a directory of this relay alone; a relative one counts from the working directory.
    File(PathBuf),
    /// `memory:`: nowhere, for tests and throwaway runs.
    Memory,
    /// `redis://…`, `redis+sentinel://…` or `redis+cluster://…`, and `rediss` for TLS: shared by several relays.
    Redis(SecretUrl),
}

impl FromStr for StateUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = Invalid(
            "file:DIR, memory: or a redis://, redis+sentinel:// or redis+cluster:// URL (rediss for TLS), with the special \
             characters of a password percent-encoded",
        );
        match text.split_once(':') {
            // In file://host/path the host would be taken for a directory.
            Some(("file", dir)) if dir.starts_with("//") && !dir.starts_with("///") => Err(invalid),
            Some(("file", dir)) if !dir.is_empty() => Ok(Self::File(dir.into())),
            Some(("memory", "")) => Ok(Self::Memory),
            _ => {
                let url = SecretUrl::parse_list(text, &SCHEMES).ok_or(invalid)?;
                Servers::parse(&url, None).map_err(|unusable| Invalid(unusable.expected))?;
                Ok(Self::Redis(url))
            }
        }
    }
}
