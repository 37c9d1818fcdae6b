//! What may a setting be? One type per kind of value, with one way in.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tracing_subscriber::EnvFilter;

/// What a value must be and is not. It never quotes the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {0}")]
pub struct Invalid(pub(super) &'static str);

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

/// A WeChat appid: 1 to 64 printable ASCII characters without a space. Not a secret. A clone is a counter.
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

/// Which of WeChat's two token endpoints an account uses. The two kinds of token do not disturb each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// `GET /cgi-bin/token`: every call rotates.
    Token,
    /// `POST /cgi-bin/stable_token`: a call returns the same token until its last five minutes.
    StableToken,
}

impl Endpoint {
    /// The word in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::StableToken => "stable_token",
        }
    }

    /// Calls a day unless the settings say otherwise (promise I6). 400 of the 2000 that WeChat gives a new account; a sticky
    /// endpoint gives 500 000, but is asked often in a token's last minutes.
    pub fn default_calls_per_day(self) -> u32 {
        match self {
            Self::Token => 400,
            Self::StableToken => 1500,
        }
    }
}

impl FromStr for Endpoint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "token" => Ok(Self::Token),
            "stable_token" => Ok(Self::StableToken),
            _ => Err(Invalid(r#""token" or "stable_token""#)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

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
            _ => SecretUrl::parse(text, &["redis", "rediss"]).map(Self::Redis).ok_or(invalid),
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

/// Which logs are written: directives such as `info,token_relay=debug` that [`EnvFilter`] has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The directives as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directives as a filter.
    pub fn to_env_filter(&self) -> EnvFilter {
        EnvFilter::try_new(&self.0).expect("the directives were accepted before")
    }
}

impl FromStr for LogFilter {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |_| Invalid(r#"log directives such as "info" or "info,token_relay=debug""#);
        EnvFilter::try_new(text).map(|_| Self(text.to_owned())).map_err(invalid)
    }
}

/// The SHA-256 of a client's key, all that the relay keeps of it. Compared in constant time; `Debug` shows nothing.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key as it arrives in a header.
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// The digest of a key from the settings, if it is one: 32 to 512 printable ASCII characters without a space, since it
    /// travels in a header, and shorter ones can be guessed.
    pub fn of_key(key: &str) -> Result<Self, Invalid> {
        let fits = (32..=512).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        let invalid = Invalid("32 to 512 printable ASCII characters without a space (`token-relay keygen` makes one)");
        if fits { Ok(Self::of(key.as_bytes())) } else { Err(invalid) }
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for KeyDigest {
    type Err = Invalid;

    /// Reads 64 hexadecimal digits, of either case.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut digest = [0; 32];
        let invalid = |_| Invalid("64 hexadecimal digits: the SHA-256 of the key (`token-relay keygen` prints it)");
        hex::decode_to_slice(text, &mut digest).map(|()| Self(digest)).map_err(invalid)
    }
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyDigest {}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(***)")
    }
}
