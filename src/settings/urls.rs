//! Which URLs are accepted, and what of them may be shown?

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::values::Invalid;
use crate::store::redis::Address;

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

/// A URL that may hold a password. `Debug` and `Display` show scheme, host and port only.
#[derive(Clone)]
pub struct SecretUrl {
    text: SecretString,
    shown: Arc<str>,
}

impl SecretUrl {
    /// Parses a URL of one of the schemes.
    ///
    /// An `@` behind the host is refused: a `/`, `?` or `#` in a password that is not percent-encoded ends the host early,
    /// and what would be shown is then the beginning of that password.
    fn parse(text: &str, schemes: &[&str]) -> Option<Self> {
        let url = strict_url(text, schemes)?;
        let behind_host = [Some(url.path()), url.query(), url.fragment()];
        if behind_host.into_iter().flatten().any(|part| part.contains('@')) {
            return None;
        }
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let shown = format!("{}://{}{port}", url.scheme(), url.host_str()?).into();
        Some(Self { text: text.into(), shown })
    }

    /// The whole URL, password included, as it was given.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.shown)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({})", self.shown)
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
#[derive(Debug, Clone)]
pub enum StateUrl {
    /// `file:DIR`: a directory of this relay alone; a relative one counts from the working directory.
    File(PathBuf),
    /// `memory:`: nowhere, for tests and throwaway runs.
    Memory,
    /// `redis://…` or `rediss://…`: shared by several relays.
    Redis(SecretUrl),
}

impl FromStr for StateUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = Invalid(
            "file:DIR, memory: or a redis:// or rediss:// URL, with the special characters of a password percent-encoded",
        );
        match text.split_once(':') {
            // In file://host/path the host would be taken for a directory.
            Some(("file", dir)) if dir.starts_with("//") && !dir.starts_with("///") => Err(invalid),
            Some(("file", dir)) if !dir.is_empty() => Ok(Self::File(dir.into())),
            Some(("memory", "")) => Ok(Self::Memory),
            _ => {
                let url = SecretUrl::parse(text, &["redis", "rediss"]).ok_or(invalid)?;
                Address::parse(&url)?;
                Ok(Self::Redis(url))
            }
        }
    }
}

/// Scheme, `://` and a host, and nothing that a URL parser would silently drop.
fn strict_url(text: &str, schemes: &[&str]) -> Option<Url> {
    let (scheme, _) = text.split_once("://")?;
    let clean = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let url: Url = text.parse().ok().filter(|_| clean && schemes.contains(&scheme))?;
    url.host_str().is_some_and(|host| !host.is_empty()).then_some(url)
}
