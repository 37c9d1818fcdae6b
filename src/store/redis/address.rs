//! Which server does `state.url` name, and as whom does the relay log in?

use redis::{Client, IntoConnectionInfo, RedisConnectionInfo, io::tcp::TcpSettings};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::CONNECT_LIMIT;
use crate::{
    issuer::reply::printable,
    settings::{Invalid, SecretUrl},
};

/// The longest that a server's own words may be in an error, in characters.
const LONGEST_REASON: usize = 256;

const UNUSABLE: Invalid =
    Invalid("a Redis URL whose host and database can be used, and whose encoded characters make UTF-8");

/// A server, and the way in.
pub(crate) struct Address {
    shown: String,
    /// Knows no password: the link logs in by itself, because the crate calls every failure "authentication failed".
    pub(super) client: Client,
    /// Logs in: a subscribing connection of the crate cannot be told to do so.
    pub(super) subscriber: Client,
    pub(super) login: Option<Login>,
    /// 0 is where every connection begins.
    pub(super) database: i64,
}

/// Whom the server lets in.
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
    /// What the URL must be, without a word of it.
    pub(crate) fn parse(url: &SecretUrl) -> Result<Self, Invalid> {
        let parsed: Url = url.expose().parse().map_err(|_| Invalid("a URL"))?;
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(Invalid("a Redis URL that ends with the number of the database, as in redis://HOST:6379/0"));
        }
        let database = parsed.path().strip_prefix('/').unwrap_or_default();
        if !database.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Invalid("a Redis URL whose database is a number, as in redis://HOST:6379/0"));
        }
        if parsed.password().is_none() && !parsed.username().is_empty() {
            return Err(Invalid(
                "a Redis URL with a password for its user: redis://USER:PASSWORD@HOST, or redis://:PASSWORD@HOST",
            ));
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

    /// A server's words for a log line, without the password.
    pub(super) fn printable(&self, words: &str) -> String {
        let secrets: Vec<&str> = match &self.login {
            Some(login) => vec![login.password.expose_secret(), login.encoded.expose_secret()],
            None => Vec::new(),
        };
        printable(words, &secrets, LONGEST_REASON)
    }
}
