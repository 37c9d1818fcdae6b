//! Do the layers make valid settings? Every key is parsed, then keys are compared with each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use secrecy::ExposeSecret;

use super::account::{accounts, flag_or_false, parsed};
use super::entry::{Entry, Table, conflict, value_or_file};
use super::values::Address;
use super::{
    AccountSettings, ClientSettings, GRACE_MARGIN, GatewaySettings, KeyDigest, Layers, LogSettings, RefreshSettings,
    ServerSettings, Settings, SettingsError, StateSettings, StateUrl, WechatSettings, WecomSettings, client_key,
};
use crate::account::{AccountName, ClientName};
use crate::relay_key::fits_urls;
use crate::store::redis::{RedisOptions, SentinelLogin};
use crate::timing::LEASE;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const NO_CLIENT: &str = "no client: give clients.NAME.key_sha256 or TOKEN_RELAY__CLIENTS__NAME__KEY_SHA256 \
    (`token-relay keygen` makes one)";

impl Settings {
    /// Validates what was read.
    ///
    /// # Errors
    /// The first problem, in the order unknown keys, sections, accounts, clients.
    pub fn from_layers(layers: &Layers) -> Result<Self, SettingsError> {
        layers.sound()?;
        let server = server(&layers.section("server"))?;
        let wechat = wechat(&layers.section("wechat"))?;
        let least_grace = wechat.timeout + GRACE_MARGIN;
        if server.shutdown_grace < least_grace {
            let grace = layers.section("server").entry("shutdown_grace");
            let least = humantime::format_duration(least_grace);
            return Err(grace.error(format!(
                "must be wechat.timeout and 2s more ({least}) or longer, so that a sent call can end"
            )));
        }
        let wecom = WecomSettings { base_url: layers.section("wecom").entry("base_url").parse()? };
        let refresh = refresh(&layers.section("refresh"))?;
        let gateway = GatewaySettings { enabled: layers.section("gateway").entry("enabled").flag()? };
        let state = state(&layers.section("state"))?;
        if matches!(state.url, StateUrl::Redis(_)) && wechat.timeout >= LEASE {
            let lease = humantime::format_duration(LEASE);
            return Err(layers.section("wechat").entry("timeout").error(format!(
                "must be less than {lease} where state.url is a Redis: a call has to end before its relay loses the lease"
            )));
        }
        let log = log(&layers.section("log"))?;
        let accounts = accounts(layers)?;
        let clients = clients(layers, &accounts)?;
        Ok(Self { server, wechat, wecom, refresh, gateway, state, log, accounts, clients })
    }
}

impl Layers {
    /// Where a relay with these settings is reached from its own machine: `server.listen`, with the loopback address for
    /// "all addresses". It asks for no other key.
    ///
    /// # Errors
    /// `server.listen` is not an address, or has port 0.
    pub(crate) fn own_address(&self) -> Result<SocketAddr, SettingsError> {
        let listen = self.section("server").entry("listen");
        let Address(address) = listen.parse()?;
        if address.port() == 0 {
            return Err(listen.error("has port 0, so it does not say where the relay listens"));
        }
        Ok(reachable(address))
    }

    /// The same for `server.admin_listen`; `None` where it is off, has port 0, or is no address.
    pub(crate) fn own_admin_address(&self) -> Option<SocketAddr> {
        let Address(address) = self.section("server").entry("admin_listen").parse().ok()?;
        (address.port() != 0).then(|| reachable(address))
    }
}

/// The loopback address for "all addresses".
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    address
}

fn server(table: &Table<'_>) -> Result<ServerSettings, SettingsError> {
    let admin = table.entry("admin_listen");
    let Address(listen) = table.entry("listen").parse()?;
    let settings = ServerSettings {
        listen,
        admin_listen: admin.optional()?.map(|Address(admin)| admin),
        first_token_wait: table.entry("first_token_wait").duration(Duration::ZERO)?,
        shutdown_grace: table.entry("shutdown_grace").duration(Duration::ZERO)?,
        max_connections: table.entry("max_connections").number(1..=1_000_000)? as usize,
        header_timeout: table.entry("header_timeout").duration(MILLISECOND)?,
    };
    if settings.admin_listen == Some(listen) && listen.port() != 0 {
        return Err(admin.error("must not be server.listen: what it shows is not for clients"));
    }
    Ok(settings)
}

fn wechat(table: &Table<'_>) -> Result<WechatSettings, SettingsError> {
    let proxy = value_or_file(table.entry("proxy"), table.entry("proxy_file"))?;
    let timeout = table.entry("timeout");
    let settings = WechatSettings {
        base_url: table.entry("base_url").parse()?,
        fallback_base_url: table.entry("fallback_base_url").optional()?,
        proxy: proxy.map(|proxy| proxy.parse()).transpose()?,
        connect_timeout: table.entry("connect_timeout").duration(MILLISECOND)?,
        timeout: timeout.duration(MILLISECOND)?,
        max_calls: table.entry("max_calls").number(1..=1000)? as usize,
    };
    if settings.timeout <= settings.connect_timeout {
        return Err(timeout.error("must be longer than wechat.connect_timeout, which is a part of it"));
    }
    Ok(settings)
}

fn refresh(table: &Table<'_>) -> Result<RefreshSettings, SettingsError> {
    let settings = RefreshSettings {
        before_expiry: table.entry("before_expiry").duration(SECOND)?,
        overlap: table.entry("overlap").duration(SECOND)?,
        report_cooldown: table.entry("report_cooldown").duration(Duration::ZERO)?,
        probe_every: table.entry("probe_every").duration(Duration::ZERO)?,
        retry_min: table.entry("retry_min").duration(SECOND)?,
        retry_max: table.entry("retry_max").duration(SECOND)?,
    };
    if settings.retry_max < settings.retry_min {
        return Err(table.entry("retry_max").error("must not be less than refresh.retry_min"));
    }
    Ok(settings)
}

fn state(table: &Table<'_>) -> Result<StateSettings, SettingsError> {
    let (url, file) = (table.entry("url"), table.entry("url_file"));
    let empty = url.error("must not be empty: \"memory:\" keeps nothing");
    let url = if file.optional_text()?.is_some() { url.without_default() } else { url };
    let url = value_or_file(url, file)?.ok_or(empty)?.parse()?;
    let redis = RedisOptions { prefix: table.entry("prefix").parse()?, sentinel_login: sentinel_login(table)? };
    Ok(StateSettings { url, redis })
}

fn sentinel_login(table: &Table<'_>) -> Result<Option<SentinelLogin>, SettingsError> {
    let user = table.entry("sentinel_username").optional_text()?.map(str::to_owned);
    let password = value_or_file(table.entry("sentinel_password"), table.entry("sentinel_password_file"))?;
    let login = user.is_some() || password.is_some();
    // a user without a password (nopass) takes any
    let password = password.map(|password| password.secret).unwrap_or_default();
    Ok(login.then_some(SentinelLogin { user, password }))
}

fn log(table: &Table<'_>) -> Result<LogSettings, SettingsError> {
    Ok(LogSettings { format: table.entry("format").parse()?, filter: table.entry("filter").parse()? })
}

fn clients(
    layers: &Layers,
    accounts: &BTreeMap<AccountName, AccountSettings>,
) -> Result<BTreeMap<ClientName, ClientSettings>, SettingsError> {
    let mut clients: BTreeMap<ClientName, ClientSettings> = BTreeMap::new();
    for (name, table) in layers.tables("clients") {
        let GivenKey { source, digest: key_sha256, fits_urls: key_fits_urls } = given_key(&table)?;
        if let Some((other, _)) = clients.iter().find(|(_, other)| other.key_sha256 == key_sha256) {
            return Err(source.error(format!("clients.{other} has the same key")));
        }
        let accounts = client_accounts(&table.entry("accounts"), accounts)?;
        let gateway = flag_or_false(&table.entry("gateway"))?;
        let admin = flag_or_false(&table.entry("admin"))?;
        clients.insert(parsed(&name), ClientSettings { key_sha256, key_fits_urls, accounts, gateway, admin });
    }
    if clients.is_empty() {
        return Err(SettingsError::new("clients", NO_CLIENT, None));
    }
    Ok(clients)
}

/// What one of the three keys of a client gave, and which one it was.
struct GivenKey<'a> {
    source: Entry<'a>,
    digest: KeyDigest,
    /// `None`: a hash cannot tell.
    fits_urls: Option<bool>,
}

/// Exactly one of the three.
fn given_key<'a>(table: &Table<'a>) -> Result<GivenKey<'a>, SettingsError> {
    let (plain, file, hash) = (table.entry("key"), table.entry("key_file"), table.entry("key_sha256"));
    let none = plain.error(format!("no key: give this, {} or {}", file.key(), hash.key()));
    if hash.optional_text()?.is_none() {
        let key = value_or_file(plain, file)?.ok_or(none)?;
        let text = key.secret.expose_secret();
        let digest = client_key::digest_of(text).map_err(|e| key.source.error(e.to_string()))?;
        return Ok(GivenKey { fits_urls: Some(fits_urls(text)), digest, source: key.source });
    }
    for other in [plain, file] {
        if other.optional_text()?.is_some() {
            return Err(conflict(&other, &hash));
        }
    }
    let digest = hash.parse()?;
    Ok(GivenKey { source: hash, digest, fits_urls: None })
}

fn client_accounts(
    entry: &Entry<'_>,
    configured: &BTreeMap<AccountName, AccountSettings>,
) -> Result<Option<BTreeSet<AccountName>>, SettingsError> {
    let Some(names) = entry.list()? else { return Ok(None) };
    let known = |(index, name): (usize, &str)| match configured.get_key_value(name) {
        Some((name, _)) => Ok(name.clone()),
        None => Err(unknown_account(entry, index + 1, configured.keys())),
    };
    names.into_iter().enumerate().map(known).collect::<Result<_, _>>().map(Some)
}

/// Says which entry it is by its position. The entry itself is not shown, even where it has the shape of a name: so has an
/// AppSecret.
fn unknown_account<'a>(
    entry: &Entry<'_>,
    position: usize,
    configured: impl Iterator<Item = &'a AccountName>,
) -> SettingsError {
    let configured: Vec<_> = configured.map(AccountName::as_str).collect();
    entry.error(format!("entry {position} names an unknown account; configured: {}", configured.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    /// The message for `accounts` in the environment, of a client `orders` beside the accounts `main` and `shop`.
    fn refused(accounts: &str) -> String {
        let variables = [
            ("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", "wx1"),
            ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", SECRET),
            ("TOKEN_RELAY__ACCOUNTS__SHOP__APPID", "wx2"),
            ("TOKEN_RELAY__ACCOUNTS__SHOP__SECRET", SECRET),
            ("TOKEN_RELAY__CLIENTS__ORDERS__KEY", "a-key-of-32-characters-or-a-few-more"),
            ("TOKEN_RELAY__CLIENTS__ORDERS__ACCOUNTS", accounts),
        ];
        Settings::load(None, variables.map(|(name, value)| (name.into(), value.into()))).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_account_of_a_client_is_told_by_its_position_and_never_shown() {
        assert_eq!(
            refused("main,mian,shop"),
            "clients.orders.accounts: entry 2 names an unknown account; configured: main, shop \
             (from TOKEN_RELAY__CLIENTS__ORDERS__ACCOUNTS)"
        );
        // an AppSecret has the shape of an account's name
        assert!(SECRET.parse::<AccountName>().is_ok());
        let message = refused(&format!("main, shop, {SECRET}"));
        assert!(message.contains("entry 3 names an unknown account") && !message.contains(SECRET), "{message}");
    }
}
