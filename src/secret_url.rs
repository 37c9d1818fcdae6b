//! What may be shown of a URL that holds a password?

use std::fmt;
use std::sync::Arc;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

/// A URL that may hold a password. `Debug` and `Display` show scheme, hosts and ports only.
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
    pub(crate) fn parse(text: &str, schemes: &[&str]) -> Option<Self> {
        let url = strict_url(text, schemes)?;
        let behind_host = [Some(url.path()), url.query(), url.fragment()];
        if behind_host.into_iter().flatten().any(|part| part.contains('@')) {
            return None;
        }
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let shown = format!("{}://{}{port}", url.scheme(), url.host_str()?).into();
        Some(Self { text: text.into(), shown })
    }

    /// The same for a URL with several hosts, separated by commas, each with its port.
    pub(crate) fn parse_list(text: &str, schemes: &[&str]) -> Option<Self> {
        let parts = UrlParts::of(text)?;
        let each = parts.hosts.iter().map(|host| {
            let url = format!("{}://{}{host}{}", parts.scheme, parts.login, parts.rest);
            let shown = Self::parse(&url, schemes)?.to_string();
            shown.split_once("://").map(|(_, host)| host.to_owned())
        });
        let hosts = each.collect::<Option<Vec<_>>>()?.join(",");
        Some(Self { text: text.into(), shown: format!("{}://{hosts}", parts.scheme).into() })
    }

    /// The whole URL, password included, as it was given.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl PartialEq for SecretUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SecretUrl {}

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

/// A URL taken apart: [`Url`] takes one host only.
pub(crate) struct UrlParts<'a> {
    pub(crate) scheme: &'a str,
    /// Empty, or the user and the password with the `@` behind them.
    pub(crate) login: &'a str,
    /// At least one, each with its port if it has one.
    pub(crate) hosts: Vec<&'a str>,
    /// Path, query and fragment.
    pub(crate) rest: &'a str,
}

impl<'a> UrlParts<'a> {
    /// `None` without `://`.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        let (scheme, behind) = text.split_once("://")?;
        let (authority, rest) = behind.split_at(behind.find(['/', '?', '#']).unwrap_or(behind.len()));
        let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        Some(Self { scheme, login, hosts: hosts.split(',').collect(), rest })
    }
}

/// Scheme, `://` and a host, and nothing that a URL parser would silently drop.
pub(crate) fn strict_url(text: &str, schemes: &[&str]) -> Option<Url> {
    let (scheme, _) = text.split_once("://")?;
    let clean = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let url: Url = text.parse().ok().filter(|_| clean && schemes.contains(&scheme))?;
    url.host_str().is_some_and(|host| !host.is_empty()).then_some(url)
}
