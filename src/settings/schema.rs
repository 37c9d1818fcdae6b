//! Which keys are there, of what kind, and with which defaults?

use crate::account::{AccountName, ClientName, NameError};

/// How a key's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string: an address, a duration, a path, a choice.
    Text,
    /// A whole number, also as a string (the environment knows nothing else).
    Number,
    /// `true` or `false`, also as a string.
    Flag,
    /// A list of strings, in the environment separated by commas.
    List,
    /// A string that is never shown.
    Secret,
    /// A list of secrets, or of tables that hold one each.
    SecretList,
    /// A URL that may hold a password.
    SecretUrl,
}

/// One key of the settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// `None`: the key is not there unless given, or its default depends on another key.
    pub(super) default: Option<&'static str>,
}

const fn key(name: &'static str, kind: Kind, default: &'static str) -> Key {
    Key { name, kind, default: Some(default) }
}

const fn unset(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, default: None }
}

/// The sections whose keys are fixed, in the order in which they are read, printed and reported.
pub(super) const SECTIONS: &[(&str, &[Key])] = &[
    (
        "server",
        &[
            key("listen", Kind::Text, "127.0.0.1:8080"),
            key("admin_listen", Kind::Text, "127.0.0.1:9090"),
            key("first_token_wait", Kind::Text, "3s"),
            key("shutdown_grace", Kind::Text, "20s"),
            key("max_connections", Kind::Number, "10000"),
            key("max_connections_per_source", Kind::Number, "0"),
            key("header_timeout", Kind::Text, "75s"),
            key("fast_reads", Kind::Flag, "true"),
        ],
    ),
    (
        "server.tls",
        &[key("cert_file", Kind::Text, ""), key("key_file", Kind::Text, ""), key("client_ca_file", Kind::Text, "")],
    ),
    (
        "wechat",
        &[
            key("base_url", Kind::Text, "https://api.weixin.qq.com"),
            key("fallback_base_url", Kind::Text, "https://api2.weixin.qq.com"),
            key("proxy", Kind::SecretUrl, ""),
            key("proxy_file", Kind::Text, ""),
            key("resolve", Kind::List, ""),
            key("connect_timeout", Kind::Text, "3s"),
            key("timeout", Kind::Text, "8s"),
            key("max_calls", Kind::Number, "32"),
        ],
    ),
    ("wecom", &[key("base_url", Kind::Text, "https://qyapi.weixin.qq.com")]),
    (
        "refresh",
        &[
            key("before_expiry", Kind::Text, "1h"),
            key("overlap", Kind::Text, "5m"),
            key("report_cooldown", Kind::Text, "30s"),
            key("probe_every", Kind::Text, "10m"),
            key("retry_min", Kind::Text, "1s"),
            key("retry_max", Kind::Text, "60s"),
        ],
    ),
    ("gateway", &[key("enabled", Kind::Flag, "false")]),
    (
        "state",
        &[
            key("url", Kind::SecretUrl, "file:state"),
            key("url_file", Kind::Text, ""),
            key("prefix", Kind::Text, "token-relay"),
            key("sentinel_username", Kind::Text, ""),
            key("sentinel_password", Kind::Secret, ""),
            key("sentinel_password_file", Kind::Text, ""),
        ],
    ),
    ("log", &[key("format", Kind::Text, "auto"), key("filter", Kind::Text, "info"), key("access", Kind::Text, "off")]),
];

/// The keys of `[accounts.NAME]`.
pub(super) const ACCOUNT: &[Key] = &[
    unset("platform", Kind::Text),
    unset("appid", Kind::Text),
    unset("corpid", Kind::Text),
    unset("secret", Kind::Secret),
    unset("secret_file", Kind::Text),
    unset("endpoint", Kind::Text),
    unset("calls_per_day", Kind::Number),
    unset("accept_appsecret", Kind::Flag),
    unset("tickets", Kind::List),
    unset("jssdk_domains", Kind::List),
];

/// The keys of `[clients.NAME]`.
pub(super) const CLIENT: &[Key] = &[
    unset("key", Kind::Secret),
    unset("key_file", Kind::Text),
    unset("key_sha256", Kind::Secret),
    unset("keys", Kind::SecretList),
    unset("certificate", Kind::List),
    unset("accounts", Kind::List),
    unset("gateway", Kind::Flag),
    unset("admin", Kind::Flag),
    unset("max_requests_per_second", Kind::Number),
    unset("max_reports_per_minute", Kind::Number),
];

/// What a path in the settings is.
#[derive(Debug)]
pub(super) enum PathKind {
    /// A table of keys or of tables.
    Table,
    /// A value.
    Key,
    /// No key has this name; these are known.
    Unknown(Vec<&'static str>),
    /// An account or a client with a name that is refused.
    BadName(NameError),
}

/// Looks a path up: `["accounts", "main", "appid"]`.
pub(super) fn lookup(path: &[&str]) -> PathKind {
    match path {
        ["accounts", name] => name.parse::<AccountName>().map_or_else(PathKind::BadName, |_| PathKind::Table),
        ["clients", name] => name.parse::<ClientName>().map_or_else(PathKind::BadName, |_| PathKind::Table),
        ["accounts" | "clients"] | ["server", "tls"] => PathKind::Table,
        ["accounts", name, key] => name.parse::<AccountName>().map_or_else(PathKind::BadName, |_| key_of(ACCOUNT, key)),
        ["clients", name, key] => name.parse::<ClientName>().map_or_else(PathKind::BadName, |_| key_of(CLIENT, key)),
        [section] if keys_of(section).is_some() => PathKind::Table,
        ["server", "tls", key] => key_of(keys_of("server.tls").unwrap_or_default(), key),
        [section, key] => keys_of(section).map_or_else(unknown_section, |keys| key_of(keys, key)),
        [section, ..] if is_section(section) => PathKind::Unknown(Vec::new()),
        _ => unknown_section(),
    }
}

/// Whether a section has this name.
pub(super) fn is_section(name: &str) -> bool {
    sections().any(|section| section == name)
}

fn unknown_section() -> PathKind {
    PathKind::Unknown(sections().collect())
}

fn sections() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().map(|(name, _)| *name).chain(["accounts", "clients"])
}

pub(super) fn keys_of(section: &str) -> Option<&'static [Key]> {
    SECTIONS.iter().find(|(name, _)| *name == section).map(|(_, keys)| *keys)
}

fn key_of(keys: &'static [Key], name: &str) -> PathKind {
    if keys.iter().any(|key| key.name == name) {
        PathKind::Key
    } else {
        PathKind::Unknown(keys.iter().map(|key| key.name).collect())
    }
}
