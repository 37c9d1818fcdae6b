//! Where is one server, and with which user does the relay log in there?

use std::sync::Arc;

use redis::{Client, ConnectionAddr, RedisConnectionInfo, io::tcp::TcpSettings};
use secrecy::{ExposeSecret, SecretString};

use super::CONNECT_LIMIT;
use crate::printable::printable;

/// The longest that a server's own text may be in an error, in characters.
const LONGEST_REASON: usize = 256;

/// What a server is to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The one that `state.url` names.
    Server,
    /// One that knows where the primary is.
    Sentinel,
    /// What a sentinel named.
    Primary,
    /// One of a Redis Cluster, which knows who has a key.
    Node,
}

impl Kind {
    /// What `state.url` has behind `redis` or `rediss`.
    pub(super) const fn scheme(self) -> &'static str {
        match self {
            Self::Server => "",
            Self::Sentinel | Self::Primary => "+sentinel",
            Self::Node => "+cluster",
        }
    }

    /// Whether it was found, and another server may be found in its place.
    pub(super) const fn is_found(self) -> bool {
        match self {
            Self::Server | Self::Sentinel => false,
            Self::Primary | Self::Node => true,
        }
    }
}

/// Which user logs in.
pub(super) struct Login {
    /// Without one it is the user `default`.
    pub(super) user: Option<String>,
    pub(super) password: SecretString,
    /// The password as the URL has it.
    pub(super) encoded: SecretString,
}

/// The way into every server of one kind.
pub(super) struct Way {
    pub(super) kind: Kind,
    pub(super) is_tls: bool,
    pub(super) login: Option<Login>,
    /// 0 is where every connection begins.
    pub(super) database: i64,
}

impl Way {
    /// The server at this host and port. `None` where the host is none, or stands for all addresses.
    pub(super) fn to(self: &Arc<Self>, host: &str, port: u16) -> Option<Address> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if bare.is_empty() || !bare.chars().all(is_host) || matches!(bare, "0.0.0.0" | "::") || port == 0 {
            return None;
        }
        let shown_host = if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() };
        let shown = format!("redis{}://{shown_host}:{port}", if self.is_tls { "s" } else { "" });
        // A reset, not a close: what still waits in the socket of a connection that is given up is not sent any more.
        let tcp = TcpSettings::default().set_nodelay(true).set_linger_time(std::time::Duration::ZERO);
        let addr = self.addr(bare.to_owned(), port);
        let info = redis::IntoConnectionInfo::into_connection_info(addr).ok()?;
        let info = info.set_tcp_settings(tcp.set_user_timeout(CONNECT_LIMIT * 2));
        let open = |settings| Client::open(info.clone().set_redis_settings(settings)).ok();
        let (client, subscriber) = (open(quiet())?, open(self.subscriber())?);
        Some(Address { shown: shown.into(), host: bare.into(), port, client, subscriber, way: self.clone() })
    }

    fn addr(&self, host: String, port: u16) -> ConnectionAddr {
        if self.is_tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    fn subscriber(&self) -> RedisConnectionInfo {
        let Some(login) = &self.login else { return quiet() };
        let settings = quiet().set_password(login.password.expose_secret());
        match &login.user {
            Some(user) => settings.set_username(user),
            None => settings,
        }
    }
}

/// Without a login, and without a command that names this library.
fn quiet() -> RedisConnectionInfo {
    RedisConnectionInfo::default().set_skip_set_lib_name()
}

/// A server, and the way in. Cloning bumps reference counts.
#[derive(Clone)]
pub(super) struct Address {
    shown: Arc<str>,
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    /// Knows no password: the connection logs in by itself, because the crate calls every failure "authentication failed".
    pub(super) client: Client,
    /// Logs in: the crate has no command for it on a subscribing connection.
    pub(super) subscriber: Client,
    pub(super) way: Arc<Way>,
}

impl Address {
    /// Scheme, host and port.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn kind(&self) -> Kind {
        self.way.kind
    }

    /// A server's text for a log line, without the password.
    pub(super) fn printable(&self, text: &str) -> String {
        let secrets: Vec<&str> = match &self.way.login {
            Some(login) => vec![login.password.expose_secret(), login.encoded.expose_secret()],
            None => Vec::new(),
        };
        printable(text, &secrets, LONGEST_REASON)
    }
}
