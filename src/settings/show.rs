//! How are the settings shown without their secrets?

use config::ValueKind;

use super::entry::{Entry, Table};
use super::error::one_line;
use super::schema::{ACCOUNT, CLIENT, Key, Kind, SECTIONS};
use super::{AccountSettings, AppSettings, Layers, ProxyUrl, Settings, StateUrl};

const REDACTED: &str = "\"***\"";

impl Layers {
    /// Every key in effect as TOML, with its origin as a comment and every secret as `"***"`.
    pub fn redacted(&self, settings: &Settings) -> String {
        let mut out = String::new();
        for (name, keys) in SECTIONS {
            section(&mut out, name, keys, &self.section(name), None);
        }
        for (name, table) in self.tables("accounts") {
            section(&mut out, &format!("accounts.{name}"), ACCOUNT, &table, settings.accounts.get(name.as_str()));
        }
        for (name, table) in self.tables("clients") {
            section(&mut out, &format!("clients.{name}"), CLIENT, &table, None);
        }
        out
    }
}

fn section(out: &mut String, name: &str, keys: &[Key], table: &Table<'_>, account: Option<&AccountSettings>) {
    let separator = if out.is_empty() { "" } else { "\n" };
    let mut lines = format!("{separator}[{name}]\n");
    for key in keys {
        let entry = table.entry(key.name);
        let line = match (entry.kind(), account) {
            _ if has_no_effect(key, &entry, table) => None,
            (Some(kind), _) => Some(format!("{} = {} # {}", key.name, value(key.kind, kind), origin(key.kind, &entry))),
            (None, Some(account)) => {
                default(key.name, account).map(|value| format!("{} = {value} # default", key.name))
            }
            (None, None) => None,
        };
        if let Some(line) = line {
            lines += &line;
            lines.push('\n');
        }
    }
    out.push_str(&lines);
}

/// A URL whose `_file` key is set has no effect, nor has a secret or a `_file` key that is set to `""`.
fn has_no_effect(key: &Key, entry: &Entry<'_>, table: &Table<'_>) -> bool {
    let set = |name: &str| matches!(table.entry(name).optional_text(), Ok(Some(_)));
    let empty = entry.is_set() && !set(key.name);
    match key.kind {
        Kind::SecretUrl => set(&format!("{}_file", key.name)),
        // the secrets and `_file` keys of accounts and clients
        Kind::Secret | Kind::Text => key.default.is_none() && empty,
        Kind::Number | Kind::Flag | Kind::List | Kind::SecretList => false,
    }
}

fn default(name: &str, account: &AccountSettings) -> Option<String> {
    match name {
        "platform" => Some(quoted(account.app.platform().label())),
        "endpoint" => match &account.app {
            AppSettings::WeChat { endpoint, .. } => Some(quoted(endpoint.label())),
            AppSettings::WeCom { .. } => None,
        },
        "calls_per_day" => Some(account.calls_per_day.to_string()),
        "accept_appsecret" => Some(account.accept_appsecret.to_string()),
        _ => None,
    }
}

fn value(kind: Kind, value: &ValueKind) -> String {
    match (kind, value) {
        (Kind::Number | Kind::Flag, plain) => plain.to_string(),
        (Kind::List, ValueKind::String(text)) if text.is_empty() => "[]".to_owned(),
        (Kind::List, ValueKind::String(text)) => list(text.split(',').map(str::trim)),
        (Kind::List, ValueKind::Array(items)) => list(items.iter().filter_map(|item| match &item.kind {
            ValueKind::String(text) => Some(text.as_str()),
            _ => None,
        })),
        (Kind::Text, ValueKind::String(text)) => quoted(text),
        (Kind::Secret, ValueKind::String(text)) if text.is_empty() => quoted(text),
        (Kind::SecretUrl, ValueKind::String(text)) if text.is_empty() || !is_remote(text) => quoted(text),
        (Kind::Text | Kind::Secret | Kind::SecretList | Kind::SecretUrl | Kind::List, _) => REDACTED.to_owned(),
    }
}

fn origin(kind: Kind, entry: &Entry<'_>) -> String {
    let origin = entry.origin().map_or("default".to_owned(), |origin| format!("from {}", one_line(origin)));
    let shown = match (kind, entry.kind()) {
        (Kind::SecretUrl, Some(ValueKind::String(text))) => shown(text),
        _ => None,
    };
    shown.map_or_else(|| origin.clone(), |shown| format!("{shown}, {origin}"))
}

fn is_remote(state: &str) -> bool {
    !matches!(state.parse(), Ok(StateUrl::File(_) | StateUrl::Memory))
}

/// Scheme, host and port of a URL that may hold a password.
fn shown(text: &str) -> Option<String> {
    match text.parse() {
        Ok(StateUrl::Redis(url)) => Some(url.to_string()),
        Ok(StateUrl::File(_) | StateUrl::Memory) => None,
        Err(_) => text.parse().ok().map(|url: ProxyUrl| url.to_string()),
    }
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", items.map(quoted).collect::<Vec<_>>().join(", "))
}

/// A JSON string is a TOML string, but for DEL.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}
