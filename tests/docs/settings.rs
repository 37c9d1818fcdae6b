//! Are the settings that the pages name those of the relay?

use std::{ffi::OsString, fs};

use tempfile::TempDir;
use test_support::Certificate;
use token_relay::settings::{Layers, Settings};

use crate::{
    page::{Page, code_spans, pages, text_of},
    running_relay::{APPID, KEY, SECRET},
};

const SETTINGS_PAGES: [&str; 2] = ["docs/SETTINGS.md", "docs/SETTINGS.zh-CN.md"];

/// `server.listen`, or `accounts.main.appid` for `accounts.NAME.appid`.
fn as_key(span: &str) -> Option<String> {
    let sections = ["server", "wechat", "wecom", "refresh", "gateway", "state", "log", "accounts", "clients"];
    let plain = span.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    let (section, rest) = span.split_once('.').filter(|_| plain)?;
    sections.contains(&section).then(|| format!("{section}.{}", rest.replace("NAME", "main")))
}

/// The shipped file with its examples of accounts and clients, which are comments there.
fn shipped() -> toml::Table {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with('[') || rest.contains(" = ") && !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    let text = text_of("config/token-relay.toml");
    text.lines().map(uncomment).collect::<Vec<_>>().join("\n").parse().unwrap()
}

#[test]
fn every_key_that_a_page_names_exists() {
    let mut checked = 0;
    for (path, page) in pages() {
        for key in page.code_spans().filter_map(as_key) {
            let variable = format!("TOKEN_RELAY__{}", key.replace('.', "__").to_uppercase());
            let layers = Layers::read(None, [(OsString::from(variable), OsString::from("x"))]).unwrap();
            layers.sound().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            checked += 1;
        }
    }
    assert!(checked > 80, "only {checked} keys were found");
}

#[test]
fn the_page_of_settings_has_every_key_of_the_shipped_file_with_its_default() {
    let shipped = shipped();
    for path in SETTINGS_PAGES {
        let page = Page::at(path);
        let rows = page.rows();
        let row_of = |key: &str| {
            let has = |row: &&Vec<&str>| code_spans(row[0]).any(|span| span == key);
            rows.iter().find(has).unwrap_or_else(|| panic!("{path} has no row for {key}"))
        };
        let mut checked = 0;
        for section in ["server", "wechat", "wecom", "refresh", "gateway", "state", "log"] {
            for (key, value) in keys_of(shipped[section].as_table().unwrap()) {
                let default = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let row = row_of(&format!("{section}.{key}"));
                assert_eq!(row[1].trim_matches('`').trim_matches('"'), default, "{path}: {section}.{key}");
                checked += 1;
            }
        }
        for section in ["accounts", "clients"] {
            for key in shipped[section].as_table().unwrap().values().flat_map(|table| table.as_table().unwrap().keys())
            {
                row_of(&format!("{section}.NAME.{key}"));
                checked += 1;
            }
        }
        assert!(checked >= 28, "only {checked} keys were found");
    }
}

/// Those of a section with those of the tables in it: `tls.cert_file`.
fn keys_of(section: &toml::Table) -> Vec<(String, toml::Value)> {
    let keys = |(key, value): (&String, &toml::Value)| match value {
        toml::Value::Table(inner) => {
            inner.iter().map(|(name, value)| (format!("{key}.{name}"), value.clone())).collect()
        }
        value => vec![(key.clone(), value.clone())],
    };
    section.iter().flat_map(keys).collect()
}

/// The least that a block needs beside its own subject, unless it has accounts of its own.
const LEAST: [(&str, &str); 3] = [
    ("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", APPID),
    ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", SECRET),
    ("TOKEN_RELAY__CLIENTS__ORDERS__KEY", KEY),
];

#[test]
fn every_block_of_toml_is_a_valid_settings_file() {
    let secrets = TempDir::new().unwrap();
    let certificate = Certificate::of("localhost");
    let mut count = 0;
    for (path, page) in pages() {
        for text in page.of_language("toml") {
            // where Docker and Kubernetes put secrets, and where systemd does
            let text = text.replace("/run/credentials/token-relay.service/", "/run/secrets/");
            for name in text.split("\"/run/secrets/").skip(1).map(|rest| rest.split_once('"').unwrap().0) {
                let secret = match name {
                    "redis_url" => "redis://relay:password@redis.internal:6379/0",
                    "tls_cert.pem" | "clients_ca.pem" => certificate.chain(),
                    "tls_key.pem" => certificate.key(),
                    _ => KEY,
                };
                fs::write(secrets.path().join(name), secret).unwrap();
            }
            let file = secrets.path().join("settings.toml");
            fs::write(&file, text.replace("/run/secrets", secrets.path().to_str().unwrap())).unwrap();
            let least = LEAST.iter().filter(|_| !text.contains("[accounts."));
            let env = least.map(|(name, value)| (OsString::from(name), OsString::from(value)));
            Settings::load(Some(&file), env).unwrap_or_else(|error| panic!("{}: {error} in\n{text}", path.display()));
            count += 1;
        }
    }
    assert!(count >= 4, "only {count} blocks were found");
}
