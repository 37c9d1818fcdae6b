//! Which server does `state.url` name, and with which user does the relay log in?

use redis::{Client, IntoConnectionInfo, RedisConnectionInfo, io::tcp::TcpSettings};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::CONNECT_LIMIT;
use crate::{printable::printable, secret_url::SecretUrl};

/// The longest that a server's own text may be in an error, in characters.
const LONGEST_REASON: usize = 256;

const UNUSABLE: UnusableUrl = UnusableUrl {
    expected: "a Redis URL whose host and database can be used, and whose encoded characters make UTF-8",
};

/// The store cannot use a URL. Nothing of it is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {expected}")]
pub(crate) struct UnusableUrl {
    /// What the URL must be.
    pub(crate) expected: &'static str,
}

/// A server, and the way in.
pub(crate) struct Address {
    shown: String,
    /// Knows no password: the connection logs in by itself, because the crate calls every failure "authentication failed".
    pub(super) client: Client,
    /// Logs in: the crate has no command for it on a subscribing connection.
    pub(super) subscriber: Client,
    pub(super) login: Option<Login>,
    /// 0 is where every connection begins.
    pub(super) database: i64,
}

/// Which user logs in.
pub(super) struct Login {
    /// Without one it is the user `default`.
    pub(super) user: Option<String>,
    pub(super) password: SecretString,
    /// The password as the URL has it.
    encoded: SecretString,
}

impl Address {
    /// The one place that decides which URLs can be used: the settings ask here, so that `check` refuses what `serve` does.
    ///
    /// # Errors
    ///
    /// What the URL must be, without quoting it.
    pub(crate) fn parse(url: &SecretUrl) -> Result<Self, UnusableUrl> {
        let parsed: Url = url.expose().parse().map_err(|_| UnusableUrl { expected: "a URL" })?;
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(UnusableUrl {
                expected: "a Redis URL that ends with the number of the database, as in redis://HOST:6379/0",
            });
        }
        let database = parsed.path().strip_prefix('/').unwrap_or_default();
        if !database.bytes().all(|b| b.is_ascii_digit()) {
            return Err(UnusableUrl { expected: "a Redis URL whose database is a number, as in redis://HOST:6379/0" });
        }
        if parsed.password().is_none() && !parsed.username().is_empty() {
            return Err(UnusableUrl {
                expected: "a Redis URL with a password for its user: redis://USER:PASSWORD@HOST, or redis://:PASSWORD@HOST",
            });
        }
        let encoded = SecretString::from(parsed.password().unwrap_or_default());
        let whole = parsed.into_connection_info().map_err(|_| UNUSABLE)?;
        let settings = whole.redis_settings();
        let login = settings.password().map(|password| Login {
            user: settings.username().map(str::to_owned),
            password: password.into(),
            encoded,
        });
        let database = settings.db();
        let subscriber = settings.clone().set_db(0).set_skip_set_lib_name();
        let bare = RedisConnectionInfo::default().set_skip_set_lib_name();
        // A reset, not a close: what still waits in the socket of a connection that is given up is not sent any more.
        let tcp = TcpSettings::default().set_nodelay(true).set_linger_time(std::time::Duration::ZERO);
        let whole = whole.set_tcp_settings(tcp.set_user_timeout(CONNECT_LIMIT * 2));
        let open = |settings| Client::open(whole.clone().set_redis_settings(settings)).map_err(|_| UNUSABLE);
        Ok(Self { shown: url.to_string(), client: open(bare)?, subscriber: open(subscriber)?, login, database })
    }

    /// Scheme, host and port.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// A server's text for a log line, without the password.
    pub(super) fn printable(&self, text: &str) -> String {
        let secrets: Vec<&str> = match &self.login {
            Some(login) => vec![login.password.expose_secret(), login.encoded.expose_secret()],
            None => Vec::new(),
        };
        printable(text, &secrets, LONGEST_REASON)
    }
}
