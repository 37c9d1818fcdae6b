//! Which servers does `state.url` name, and how does one of them lead to the primary?

use std::sync::Arc;

use redis::{ConnectionInfo, IntoConnectionInfo};
use reqwest::Url;
use secrecy::SecretString;

use super::address::{Address, Kind, Login, Way};
use crate::secret_url::{SecretUrl, UrlParts};

/// What `state.url` may begin with when it is a Redis.
pub(crate) const SCHEMES: [&str; 6] =
    ["redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"];

const SENTINEL_PORT: u16 = 26379;
const PORT: u16 = 6379;

const UNUSABLE: UnusableUrl = UnusableUrl {
    expected: "a Redis URL whose host and database can be used, and whose encoded characters make UTF-8",
};
const QUERY: UnusableUrl =
    UnusableUrl { expected: "a Redis URL that ends with the number of the database, as in redis://HOST:6379/0" };
const DATABASE: UnusableUrl =
    UnusableUrl { expected: "a Redis URL whose database is a number, as in redis://HOST:6379/0" };
const USER_ONLY: UnusableUrl = UnusableUrl {
    expected: "a Redis URL with a password for its user: redis://USER:PASSWORD@HOST, or redis://:PASSWORD@HOST",
};
const ONE_HOST: UnusableUrl =
    UnusableUrl { expected: "a Redis URL with one host; several are for redis+sentinel:// and redis+cluster://" };
const MASTER: UnusableUrl = UnusableUrl {
    expected: "a Redis URL that names the primary as the sentinels do, as in redis+sentinel://HOST:26379/mymaster/0",
};
const CLUSTER_DATABASE: UnusableUrl =
    UnusableUrl { expected: "a Redis URL without a database: a Redis Cluster has only one, 0" };

/// The store cannot use a URL. Nothing of it is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {expected}")]
pub(crate) struct UnusableUrl {
    /// What the URL must be.
    pub(crate) expected: &'static str,
}

/// With which user the relay logs in at the sentinels. They know nothing of the users of Redis.
#[derive(Debug, Clone)]
pub struct SentinelLogin {
    /// Without one it is the user `default`.
    pub user: Option<String>,
    /// Its password.
    pub password: SecretString,
}

/// Where a search for the primary may begin, and the way into what is found.
pub(crate) struct Servers {
    shown: String,
    /// At least one, all of a kind.
    pub(super) starts: Vec<Address>,
    found: Arc<Way>,
    /// What the sentinels call the primary; else empty.
    pub(super) master: String,
}

impl Servers {
    /// The one place that decides which URLs can be used: the settings ask here, so that `check` refuses what `serve` does.
    ///
    /// # Errors
    ///
    /// What the URL must be, without quoting it.
    pub(crate) fn parse(url: &SecretUrl, sentinel: Option<&SentinelLogin>) -> Result<Self, UnusableUrl> {
        let parts = UrlParts::of(url.expose()).ok_or(UNUSABLE)?;
        if parts.rest.contains(['?', '#']) {
            return Err(QUERY);
        }
        let path = parts.rest.strip_prefix('/').unwrap_or_default();
        let (kind, master, database) = match parts.scheme.split_once('+') {
            None => (Kind::Server, "", path),
            Some((_, "sentinel")) => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                (Kind::Sentinel, master, database)
            }
            Some(_) => (Kind::Node, "", path),
        };
        check_path(kind, master, database)?;
        let is_tls = parts.scheme.starts_with("rediss");
        let (first, rest) = (host_and_port(parts.hosts[0], kind)?, &parts.hosts[1..]);
        if kind == Kind::Server && !rest.is_empty() {
            return Err(ONE_HOST);
        }
        let (login, database) = way_in(parts.login, &first, database)?;
        let (own, start) = match kind {
            Kind::Server | Kind::Node | Kind::Primary => (kind, None),
            Kind::Sentinel => (Kind::Primary, Some(sentinels(is_tls, sentinel))),
        };
        let found = Arc::new(Way { kind: own, is_tls, login, database });
        let start = start.map_or_else(|| found.clone(), Arc::new);
        let hosts = parts.hosts.iter().map(|host| host_and_port(host, kind));
        let starts = hosts.map(|at| at.and_then(|(host, port)| start.to(&host, port).ok_or(UNUSABLE)));
        Ok(Self { shown: url.to_string(), starts: starts.collect::<Result<_, _>>()?, found, master: master.to_owned() })
    }

    /// Whether only the logins differ: then what is known of these servers is true of the others.
    pub(super) fn are_those_of(&self, other: &Self) -> bool {
        self.shown == other.shown && self.master == other.master && self.found.database == other.found.database
    }

    /// Scheme, hosts and ports of the URL.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The server that one of them has named.
    pub(super) fn found(&self, host: &str, port: u16) -> Option<Address> {
        self.found.to(host, port)
    }
}

fn check_path(kind: Kind, master: &str, database: &str) -> Result<(), UnusableUrl> {
    // what Redis's sentinels take for a name
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if kind == Kind::Sentinel && (master.is_empty() || !master.chars().all(is_name)) {
        return Err(MASTER);
    }
    if !database.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DATABASE);
    }
    if kind == Kind::Node && !matches!(database, "" | "0") {
        return Err(CLUSTER_DATABASE);
    }
    Ok(())
}

fn host_and_port(host: &str, kind: Kind) -> Result<(String, u16), UnusableUrl> {
    let url: Url = format!("redis://{host}").parse().map_err(|_| UNUSABLE)?;
    let default = if kind == Kind::Sentinel { SENTINEL_PORT } else { PORT };
    Ok((url.host_str().ok_or(UNUSABLE)?.to_owned(), url.port().unwrap_or(default)))
}

/// Login and database, decoded by the crate.
fn way_in(login: &str, at: &(String, u16), database: &str) -> Result<(Option<Login>, i64), UnusableUrl> {
    let url: Url = format!("redis://{login}{}:{}/{database}", at.0, at.1).parse().map_err(|_| UNUSABLE)?;
    if url.password().is_none() && !url.username().is_empty() {
        return Err(USER_ONLY);
    }
    let encoded = SecretString::from(url.password().unwrap_or_default());
    let info: ConnectionInfo = url.into_connection_info().map_err(|_| UNUSABLE)?;
    let settings = info.redis_settings();
    let user = settings.username().map(str::to_owned);
    let login = settings.password().map(|password| Login { user, password: password.into(), encoded });
    Ok((login, settings.db()))
}

fn sentinels(is_tls: bool, login: Option<&SentinelLogin>) -> Way {
    let login = login.map(|login| Login {
        user: login.user.clone(),
        password: login.password.clone(),
        encoded: login.password.clone(),
    });
    Way { kind: Kind::Sentinel, is_tls, login, database: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(url: &str) -> Result<Servers, UnusableUrl> {
        Servers::parse(&SecretUrl::parse_list(url, &SCHEMES).expect("a URL"), None)
    }

    fn starts(url: &str) -> Vec<String> {
        servers(url).unwrap().starts.iter().map(|start| start.shown().to_owned()).collect()
    }

    #[test]
    fn every_host_of_a_list_is_a_start_with_the_port_of_its_kind() {
        assert_eq!(starts("redis://cache"), ["redis://cache:6379"]);
        assert_eq!(
            starts("rediss+cluster://a,b:7000,[::1]"),
            ["rediss://a:6379", "rediss://b:7000", "rediss://[::1]:6379"]
        );
        let url = "redis+sentinel://user:a%40b@s1,s2:26380/mymaster/3";
        assert_eq!(starts(url), ["redis://s1:26379", "redis://s2:26380"]);
        let servers = servers(url).unwrap();
        assert_eq!((servers.master.as_str(), servers.found.database), ("mymaster", 3));
        assert!(servers.starts[0].way.login.is_none(), "the sentinels have users of their own");
        let found = servers.found("10.0.0.7", 6379).unwrap();
        assert_eq!((found.shown(), found.kind()), ("redis://10.0.0.7:6379", Kind::Primary));
        assert_eq!(found.way.login.as_ref().unwrap().user.as_deref(), Some("user"));
    }

    #[test]
    fn what_no_server_can_be_is_refused() {
        let refused = |url: &str| servers(url).err().unwrap();
        assert_eq!(refused("redis://a,b"), ONE_HOST);
        assert_eq!(refused("redis+cluster://a/1"), CLUSTER_DATABASE);
        for url in ["redis+sentinel://a", "redis+sentinel://a/", "redis+sentinel://a/%41", "redis+sentinel://a//0"] {
            assert_eq!(refused(url), MASTER, "{url}");
        }
        assert_eq!(refused("redis+sentinel://a/m/0/1"), DATABASE);
        assert_eq!(refused("redis+sentinel://a,0.0.0.0/m"), UNUSABLE);
        let sound = servers("redis+cluster://a").unwrap();
        for (host, port) in [("", 1), ("a b", 1), ("::", 1), ("a/b", 1), ("a\r\nb", 1), ("a", 0)] {
            assert!(sound.found(host, port).is_none(), "{host:?}");
        }
    }
}
