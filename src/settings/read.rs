//! Do the layers make valid settings? Every key is parsed, then keys are compared with each other.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::account::accounts;
use super::client::clients;
use super::entry::{Entry, Table, value_or_file};
use super::resolve::resolve;
use super::tls::{TLS, tls};
use super::values::Address;
use super::{
    CallsTooLong, GatewaySettings, HostAddresses, Layers, LogSettings, RefreshSettings, ServerSettings, ServerTls,
    Settings, SettingsError, StateSettings, WechatSettings, WecomSettings,
};
use crate::store::redis::{RedisOptions, SentinelLogin};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

impl Settings {
    /// Validates what was read.
    ///
    /// # Errors
    /// The first problem, in the order unknown keys, sections, accounts, clients.
    pub fn from_layers(layers: &Layers) -> Result<Self, SettingsError> {
        layers.sound()?;
        let server = server(&layers.section("server"), tls(&layers.section(TLS))?)?;
        let wecom = WecomSettings { base_url: layers.section("wecom").entry("base_url").parse()? };
        let wechat = wechat(&layers.section("wechat"), &wecom)?;
        let refresh = refresh(&layers.section("refresh"))?;
        let gateway = GatewaySettings { enabled: layers.section("gateway").entry("enabled").flag()? };
        let state = state(&layers.section("state"))?;
        CallsTooLong::judge(wechat.timeout, server.shutdown_grace, &state.url).map_err(|error| {
            let (section, key) = error.key();
            layers.section(section).entry(key).error(error.to_string())
        })?;
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
        reachable(address, &listen)
    }

    /// Whether it is reached by TLS there.
    pub(crate) fn own_address_has_tls(&self) -> bool {
        matches!(self.section(TLS).entry("cert_file").optional_text(), Ok(Some(_)))
    }

    /// As `own_address` for `server.admin_listen`; `None` where it is off.
    ///
    /// # Errors
    /// It is not an address, or has port 0.
    pub(crate) fn own_admin_address(&self) -> Result<Option<SocketAddr>, SettingsError> {
        let listen = self.section("server").entry("admin_listen");
        listen.optional()?.map(|Address(address)| reachable(address, &listen)).transpose()
    }
}

/// The address that `listen` has, with the loopback address for "all addresses".
fn reachable(mut address: SocketAddr, listen: &Entry<'_>) -> Result<SocketAddr, SettingsError> {
    if address.port() == 0 {
        return Err(listen.error("has port 0, so it does not say where the relay listens"));
    }
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    Ok(address)
}

fn server(table: &Table<'_>, tls: Option<ServerTls>) -> Result<ServerSettings, SettingsError> {
    let admin = table.entry("admin_listen");
    let Address(listen) = table.entry("listen").parse()?;
    let settings = ServerSettings {
        listen,
        admin_listen: admin.optional()?.map(|Address(admin)| admin),
        first_token_wait: table.entry("first_token_wait").duration(Duration::ZERO)?,
        shutdown_grace: table.entry("shutdown_grace").duration(Duration::ZERO)?,
        max_connections: table.entry("max_connections").number(1..=1_000_000)? as usize,
        max_connections_per_source: table.entry("max_connections_per_source").number(0..=1_000_000)? as usize,
        header_timeout: table.entry("header_timeout").duration(MILLISECOND)?,
        fast_reads: table.entry("fast_reads").flag()?,
        tls,
    };
    if settings.admin_listen == Some(listen) && listen.port() != 0 {
        return Err(admin.error("must not be server.listen: what it shows is not for clients"));
    }
    Ok(settings)
}

fn wechat(table: &Table<'_>, wecom: &WecomSettings) -> Result<WechatSettings, SettingsError> {
    let proxy = value_or_file(table.entry("proxy"), table.entry("proxy_file"))?;
    let (timeout, addresses) = (table.entry("timeout"), table.entry("resolve"));
    let (base_url, fallback_base_url) =
        (table.entry("base_url").parse()?, table.entry("fallback_base_url").optional()?);
    let urls: Vec<_> = [&base_url, &wecom.base_url].into_iter().chain(&fallback_base_url).collect();
    let resolve = resolve(&addresses, &urls)?;
    if proxy.is_some() && resolve != HostAddresses::default() {
        return Err(addresses.error("must not be given with wechat.proxy: a proxy looks names up itself"));
    }
    let settings = WechatSettings {
        base_url,
        fallback_base_url,
        proxy: proxy.map(|proxy| proxy.parse()).transpose()?,
        resolve,
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
    Ok(LogSettings {
        format: table.entry("format").parse()?,
        filter: table.entry("filter").parse()?,
        access: table.entry("access").parse()?,
    })
}
