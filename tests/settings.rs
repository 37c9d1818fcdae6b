//! Do the settings say what was meant, and refuse what cannot be meant, without a word of any secret?

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret;
use tempfile::TempDir;
use token_relay::settings::{Endpoint, KeyDigest, Layers, LogFormat, Settings, SettingsError, StateUrl};

const KEY: &str = "sentinel-8f3a-key-of-a-client-0000000000";
const SECRET: &str = "sentinel-8f3a-appsecret";
const SENTINEL: &str = "sentinel-8f3a";
const HASH: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
const SHIPPED: &str = include_str!("../config/token-relay.toml");

/// The smallest settings, as environment variables.
const SMALLEST: [(&str, &str); 3] = [
    ("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", "wx0123456789abcdef"),
    ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", SECRET),
    ("TOKEN_RELAY__CLIENTS__ORDERS__KEY", KEY),
];

fn env<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(OsString, OsString)> {
    variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn load<'a>(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Settings, SettingsError> {
    Settings::load(file, env(SMALLEST.into_iter().chain(variables)))
}

/// A file in a directory that lives as long as the test.
struct Written {
    dir: TempDir,
}

impl Written {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn quoted(path: &Path) -> String {
    toml::Value::from(path.to_str().unwrap()).to_string()
}

fn check(file: Option<&Path>, env: Vec<(OsString, OsString)>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_token-relay"));
    command.env_clear().envs(env).arg("check");
    if let Some(file) = file {
        command.arg("--config").arg(file);
    }
    command.output().unwrap()
}

/// The one line that a refused start has to say.
fn refused(what: &str, output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(78), "{what}: {stderr}");
    assert!(output.stdout.is_empty(), "{what}");
    assert!(stderr.starts_with("token-relay: bad configuration: "), "{what}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{what}: {stderr}");
    assert!(!stderr.contains(SENTINEL), "{what}: {stderr}");
    stderr
}

/// The smallest settings as a file, with other lines in place of those of a section.
fn toml(changes: &[(&str, &str)]) -> String {
    let mut sections = BTreeMap::from([
        ("accounts.main".to_owned(), format!("appid = \"wx1\"\nsecret = \"{SECRET}\"")),
        ("clients.orders".to_owned(), format!("key = \"{KEY}\"")),
    ]);
    sections.extend(changes.iter().map(|(section, lines)| ((*section).to_owned(), (*lines).to_owned())));
    sections.into_iter().fold(String::new(), |mut text, (section, lines)| {
        writeln!(text, "[{section}]\n{lines}").unwrap();
        text
    })
}

#[test]
fn three_variables_are_enough() {
    let output = check(None, env(SMALLEST));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(stdout.ends_with("# settings are valid: 1 account, 1 client\n"), "{stdout}");
    assert!(stdout.contains("secret = \"***\" # from TOKEN_RELAY__ACCOUNTS__MAIN__SECRET\n"), "{stdout}");
    assert!(stdout.contains("calls_per_day = 400 # default\n"), "{stdout}");
    assert!(!stdout.contains(SENTINEL));
    let layers = format!("{:?}", Layers::read(None, env(SMALLEST)).unwrap());
    assert!(!layers.contains(SENTINEL), "{layers}");
}

/// A section, what is wrong in it, and what the message names. HASH, KEY and SECRET stand for good ones.
const BAD_LINES: &[(&str, &str, &str)] = &[
    ("server", "listn = \"127.0.0.1:1\"", "server.listn"),
    ("server", "Listen = \"127.0.0.1:1\"", "server.Listen"),
    ("server", "listen = \"localhost:8080\"", "server.listen"),
    ("server", "listen = \"\"", "server.listen"),
    ("server", "listen = 8080", "server.listen"),
    ("server", "listen = { port = 1 }", "server.listen"),
    ("server", "admin_listen = \"sentinel-8f3a\"", "server.admin_listen"),
    ("server", "admin_listen = \"127.0.0.1:8080\"", "server.admin_listen"),
    ("server", "first_token_wait = \"soon\"", "server.first_token_wait"),
    ("server", "first_token_wait = 3", "server.first_token_wait"),
    ("server", "first_token_wait = \"\"", "server.first_token_wait"),
    ("server", "first_token_wait = \"31days\"", "server.first_token_wait"),
    ("server", "shutdown_grace = \"9s\"", "server.shutdown_grace"),
    ("server", "max_connections = 0", "server.max_connections"),
    ("server", "max_connections = -1", "server.max_connections"),
    ("server", "max_connections = 1.5", "server.max_connections"),
    ("server", "max_connections = \"many\"", "server.max_connections"),
    ("server", "header_timeout = \"0s\"", "server.header_timeout"),
    ("wechat", "base_url = \"api.weixin.qq.com\"", "wechat.base_url"),
    ("wechat", "base_url = \"\"", "wechat.base_url"),
    ("wechat", "base_url = \"ftp://api.weixin.qq.com\"", "wechat.base_url"),
    ("wechat", "base_url = \"https:api.weixin.qq.com\"", "wechat.base_url"),
    ("wechat", "base_url = \"https://\"", "wechat.base_url"),
    ("wechat", "base_url = \"https://u:sentinel-8f3a@h\"", "wechat.base_url"),
    ("wechat", "base_url = \"https://h/?secret=sentinel-8f3a\"", "wechat.base_url"),
    ("wechat", "fallback_base_url = \"https://h/#sentinel-8f3a\"", "wechat.fallback_base_url"),
    ("wechat", "proxy = \"ftp://u:sentinel-8f3a@proxy\"", "wechat.proxy"),
    ("wechat", "proxy = \"http://u:12/sentinel-8f3a@proxy\"", "wechat.proxy"),
    ("wechat", "proxy = \"http://proxy\"\nproxy_file = \"/x\"", "wechat.proxy_file"),
    ("wechat", "connect_timeout = \"0s\"", "wechat.connect_timeout"),
    ("wechat", "timeout = \"0s\"", "wechat.timeout"),
    ("wechat", "timeout = \"3s\"", "wechat.timeout"),
    (
        "wechat",
        "timeout = \"12s\"\n[state]\nurl = \"redis://h\"",
        "wechat.timeout: must be less than 12s where state.url",
    ),
    ("wechat", "max_calls = 0", "wechat.max_calls"),
    ("refresh", "before_expiry = \"0s\"", "refresh.before_expiry"),
    ("refresh", "overlap = \"0s\"", "refresh.overlap"),
    ("refresh", "report_cooldown = \"-1s\"", "refresh.report_cooldown"),
    ("refresh", "retry_min = \"999ms\"", "refresh.retry_min"),
    ("refresh", "retry_min = \"2m\"", "refresh.retry_max"),
    ("state", "url = \"\"", "state.url"),
    ("state", "url = \"file:\"", "state.url"),
    ("state", "url = \"file://host/dir\"", "state.url"),
    ("state", "url = \"memory:x\"", "state.url"),
    ("state", "url = \"mysql://u:sentinel-8f3a@h\"", "state.url"),
    ("state", "url = \"redis://u:12/sentinel-8f3a@h\"", "state.url"),
    ("state", "url = \"redis://u:sentinel-8f3a@h/0?protocol=3\"", "state.url: must be a Redis URL that ends with"),
    ("state", "url = \"rediss://u:sentinel-8f3a@h/0#insecure\"", "state.url: must be a Redis URL that ends with"),
    ("state", "url = \"redis://u:sentinel-8f3a@h/one\"", "state.url: must be a Redis URL whose database is a number"),
    ("state", "url = \"redis://u:sentinel-8f3a@h/0/1\"", "state.url: must be a Redis URL whose database is a number"),
    ("state", "url = \"redis://u:sentinel-8f3a@h/99999999999999999999\"", "state.url: must be a Redis URL whose host"),
    ("state", "url = \"redis://u:sentinel-8f3a%ff@h\"", "state.url: must be a Redis URL whose host"),
    ("state", "url = \"redis://sentinel-8f3a@h\"", "state.url: must be a Redis URL with a password for its user"),
    ("state", "url = \"memory:\"\nurl_file = \"/x\"", "state.url_file"),
    ("state", "url_file = \"redis://u:sentinel-8f3a@h\"", "state.url_file"),
    ("log", "format = \"xml\"", "log.format"),
    ("log", "filter = \"\"", "log.filter"),
    ("log", "filter = \"a=b=sentinel-8f3a\"", "log.filter"),
    ("servre", "listen = \"127.0.0.1:1\"", "servre"),
    ("accounts.Main", "appid = \"wx1\"", "accounts.Main"),
    ("accounts.a__b", "appid = \"wx1\"", "accounts.a__b"),
    ("accounts.other", "", "accounts.other.appid"),
    ("accounts.other", "appid = \"wx1\"\nsecret = \"SECRET\"", "accounts.other.appid"),
    ("accounts.main", "secret = \"SECRET\"", "accounts.main.appid"),
    ("accounts.main", "appid = \"\"\nsecret = \"SECRET\"", "accounts.main.appid"),
    ("accounts.main", "appid = \"wx 1\"\nsecret = \"SECRET\"", "accounts.main.appid"),
    ("accounts.main", "appid = \"wx1\"\n", "accounts.main.secret_file"),
    ("accounts.main", "appid = \"wx1\"\nsecret = \"\"", "accounts.main.secret_file"),
    ("accounts.main", "appid = \"wx1\"\nsecret = 8731", "accounts.main.secret"),
    ("accounts.main", "appid = \"wx1\"\nsecret = [\"sentinel-8f3a\"]", "accounts.main.secret"),
    ("accounts.main", "appid = \"wx1\"\nsecret = \"sentinel-8f3a\"\nsecret_file = \"/x\"", "accounts.main.secret_file"),
    ("accounts.main", "appid = \"wx1\"\nsecret_file = \"/no/such/file\"", "accounts.main.secret_file: /no/such/file"),
    ("accounts.main", "appid = \"wx1\"\nsecret_file = \"sentinel-8f3a\"", "accounts.main.secret_file"),
    ("accounts.main", "appid = \"wx1\"\nsecret_file = \"c2V/sentinel-8f3a+/x=\"", "accounts.main.secret_file"),
    ("accounts.main", "appid = \"wx1\"\nsecret_file = \"/\"", "accounts.main.secret_file"),
    ("accounts.main", "appid = \"wx1\"\nsecret_file = \"/dev/zero\"", "accounts.main.secret_file"),
    ("accounts.main", "appid = \"wx1\"\nsecret_file = \"/dev/null\"", "accounts.main.secret_file"),
    ("accounts.main", "appid = \"wx1\"\nsecret = \"s\"\nendpoint = \"sentinel-8f3a\"", "accounts.main.endpoint"),
    ("accounts.main", "appid = \"wx1\"\nsecret = \"s\"\nendpoint = \"\"", "accounts.main.endpoint"),
    ("accounts.main", "appid = \"wx1\"\nsecret = \"s\"\ncalls_per_day = 0", "accounts.main.calls_per_day"),
    ("accounts.main", "appid = \"wx1\"\nsecret = \"s\"\ncalls_per_day = 10001", "accounts.main.calls_per_day"),
    ("accounts.main", "appid = \"wx1\"\nsecert = \"sentinel-8f3a\"", "accounts.main.secert"),
    ("clients.other", "", "clients.other.key_sha256"),
    ("clients.Other", "key = \"KEY\"", "clients.Other"),
    ("clients.other", "key = \"KEY\"", "clients.orders has the same key"),
    ("clients.orders", "key = \"sentinel-8f3a-short\"", "clients.orders.key"),
    ("clients.orders", "key = \"sentinel-8f3a with a space in it, and long\"", "clients.orders.key"),
    ("clients.orders", "key_file = \"/no/such/file\"", "clients.orders.key_file"),
    ("clients.orders", "key_sha256 = \"sentinel-8f3a\"", "clients.orders.key_sha256"),
    ("clients.orders", "key_sha256 = \"HASH\"\nkey = \"KEY\"", "clients.orders.key_sha256"),
    ("clients.orders", "key_sha256 = \"HASH\"\nkey_file = \"/x\"", "clients.orders.key_file"),
    ("clients.orders", "key_file = \"/x\"\nkey = \"KEY\"", "clients.orders.key_file"),
    ("clients.orders", "key = \"KEY\"\naccounts = [\"mian\"]", "clients.orders.accounts"),
    ("clients.orders", "key = \"KEY\"\naccounts = []", "clients.orders.accounts"),
    ("clients.orders", "key = \"KEY\"\naccounts = \"\"", "clients.orders.accounts"),
    ("clients.orders", "key = \"KEY\"\naccounts = [1]", "clients.orders.accounts"),
];

/// A settings file, and what the message names.
fn bad_files() -> Vec<(String, &'static str)> {
    let whole = [
        (format!("[clients.orders]\nkey = \"{KEY}\""), "accounts"),
        (toml(&[]).split_once("[clients").unwrap().0.to_owned(), "clients"),
        ("server = \"sentinel-8f3a\"".to_owned(), "server"),
        ("[[accounts]]\nappid = \"wx1\"".to_owned(), "accounts"),
        ("\"server[9999999999]\" = \"sentinel-8f3a\"".to_owned(), "server[9999999999]"),
        ("\"a\\nb\" = \"sentinel-8f3a\"".to_owned(), "a?b"),
        (format!("{}secret = \"sentinel-8f3a", toml(&[])), "line 6, column"),
        ("[log]\nfilter = \"sentinel-8f3a\"\nfilter = \"sentinel-8f3a\"".to_owned(), "line 3, column"),
        ("[server]\nmax_connections = 99999999999999999999".to_owned(), "out of range"),
    ];
    let change = |(section, lines, names): &(&str, &str, &'static str)| {
        let lines = lines.replace("HASH", HASH).replace("KEY", KEY).replace("SECRET", SECRET);
        (toml(&[(section, &lines)]), *names)
    };
    BAD_LINES.iter().map(change).chain(whole).collect()
}

#[test]
fn every_bad_file_is_refused_with_one_line_that_names_the_key_and_no_secret() {
    let written = Written::new();
    for (text, names) in bad_files() {
        let file = written.file("config.toml", &text);
        let message = refused(&text, &check(Some(&file), Vec::new()));
        assert!(message.contains(names), "{text} -> {message}");
    }
}

#[test]
fn a_redis_url_that_cannot_be_used_is_refused_by_check_and_serve_with_the_same_words() {
    let written = Written::new();
    for bad in ["h/one", "h/0?protocol=3", "h/0#insecure", "h/99999999999999999999", "h:0x1"] {
        let url = format!("redis://reader:{SENTINEL}@{bad}");
        let file = written.file("url", format!("{url}\n"));
        let file = file.to_str().unwrap();
        for (variable, value, key) in [
            ("TOKEN_RELAY__STATE__URL", url.as_str(), "state.url: must be "),
            ("TOKEN_RELAY__STATE__URL_FILE", file, "state.url_file: must be "),
        ] {
            let said = ["check", "serve"].map(|command| {
                let mut relay = Command::new(env!("CARGO_BIN_EXE_token-relay"));
                relay.env_clear().envs(env(SMALLEST)).env(variable, value).arg(command);
                refused(&url, &relay.output().unwrap())
            });
            assert!(said[0].contains(key) && !said[0].contains("reader"), "{}", said[0]);
            assert_eq!(said[0], said[1]);
        }
    }
}

#[test]
fn a_bad_variable_is_named_in_full() {
    let bad = [
        ("TOKEN_RELAY__SERVRE__LISTEN", SENTINEL, "servre"),
        ("TOKEN_RELAY__SERVER__LISTN", SENTINEL, "server.listn"),
        ("TOKEN_RELAY__SERVER", SENTINEL, "server"),
        ("TOKEN_RELAY__", SENTINEL, "unknown key"),
        ("TOKEN_RELAY__ACCOUNTS", SENTINEL, "accounts"),
        ("TOKEN_RELAY__ACCOUNTS__A-B__APPID", SENTINEL, "accounts.a-b"),
        ("TOKEN_RELAY__ACCOUNTS___A__APPID", SENTINEL, "accounts._a"),
        ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET__FILE", SENTINEL, "accounts.main.secret.file"),
        ("TOKEN_RELAY__SERVER__LISTEN", "", "server.listen"),
        ("TOKEN_RELAY__WECHAT__TIMEOUT", "8", "wechat.timeout"),
        ("TOKEN_RELAY__WECHAT__MAX_CALLS", "", "wechat.max_calls"),
        ("TOKEN_RELAY__CLIENTS__ORDERS__ACCOUNTS", "main,,main", "clients.orders.accounts"),
        ("TOKEN_RELAY__CLIENTS__ORDERS__ACCOUNTS", "main,sentinel", "clients.orders.accounts"),
        ("TOKEN_RELAY__SERVER__MAX_CONNECTIONS", "1e5", "server.max_connections"),
    ];
    for (variable, value, key) in bad {
        let message = refused(variable, &check(None, env(SMALLEST.into_iter().chain([(variable, value)]))));
        assert!(message.contains(key) && message.contains(&format!("(from {variable})")), "{message}");
    }
    let twice = [("token_relay__server__listen", "127.0.0.1:1"), ("TOKEN_RELAY__SERVER__LISTEN", "127.0.0.1:1")];
    assert!(refused("twice", &check(None, env(twice))).contains("given twice"));
}

#[test]
fn what_is_not_utf_8_is_refused_by_name() {
    let odd = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    for variable in ["TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", "TOKEN_RELAY__CLIENTS__ORDERS__KEY"] {
        let mut env = env(SMALLEST);
        env.retain(|(name, _)| name != variable);
        env.push((variable.into(), odd(b"sentinel-8f3a\xff")));
        assert!(refused(variable, &check(None, env)).contains(variable));
    }
    let mut strange = env(SMALLEST);
    strange.push((odd(b"TOKEN_RELAY__SERVER__\xff"), SENTINEL.into()));
    assert!(refused("name", &check(None, strange)).contains("TOKEN_RELAY__SERVER__"));
    let mut foreign = env(SMALLEST);
    foreign.push((odd(b"OTHER\xff"), odd(b"\xff")));
    assert!(Settings::load(None, foreign).is_ok());

    let written = Written::new();
    let file = written.file("secret", b"sentinel-8f3a\xff");
    let text = toml(&[("accounts.main", &format!("appid = \"wx1\"\nsecret_file = {}", quoted(&file)))]);
    let message = refused("secret file", &check(Some(&written.file("config.toml", text)), Vec::new()));
    assert!(message.contains("accounts.main.secret_file") && message.contains(file.to_str().unwrap()), "{message}");
    assert!(refused("config", &check(Some(&file), Vec::new())).contains(file.to_str().unwrap()));
}

#[test]
fn a_missing_file_is_named() {
    let message = refused("--config", &check(Some(Path::new("/no/such.toml")), env(SMALLEST)));
    assert!(message.contains("/no/such.toml") && message.contains("--config"), "{message}");
    let by_variable = env(SMALLEST.into_iter().chain([("TOKEN_RELAY_CONFIG", "/no/such.toml")]));
    assert!(refused("variable", &check(None, by_variable)).contains("TOKEN_RELAY_CONFIG"));
    assert!(load(None, [("TOKEN_RELAY_CONFIG", "")]).is_ok());
}

#[test]
fn the_command_line_names_the_file_before_the_environment_does() {
    let written = Written::new();
    let (one, two) = (written.file("1", "[log]\nfilter = \"warn\""), written.file("2", "[log]\nfilter = \"error\""));
    let variable = [("TOKEN_RELAY_CONFIG", two.to_str().unwrap())];
    assert_eq!(load(Some(&one), variable).unwrap().log.filter.as_str(), "warn");
    assert_eq!(load(None, variable).unwrap().log.filter.as_str(), "error");
}

/// Every key with a default: a value for the file and one for the environment.
const EVERY_KEY: &[(&str, &str, &str)] = &[
    ("server.listen", "\"127.0.0.2:1\"", "[::]:2"),
    ("server.admin_listen", "\"127.0.0.2:3\"", ""),
    ("server.first_token_wait", "\"1s\"", "0s"),
    ("server.shutdown_grace", "\"1m\"", "2m"),
    ("server.max_connections", "1", "2"),
    ("server.header_timeout", "\"1m\"", "2m"),
    ("wechat.base_url", "\"http://h:1/a\"", "https://i/b/c/"),
    ("wechat.fallback_base_url", "\"http://h\"", ""),
    ("wechat.proxy", "\"http://u:sentinel-8f3a@h:1\"", "socks5://h"),
    ("wechat.proxy_file", "\"PROXY\"", "PROXY"),
    ("wechat.connect_timeout", "\"1s\"", "7s"),
    ("wechat.timeout", "\"9s\"", "10s"),
    ("wechat.max_calls", "1", "1000"),
    ("refresh.before_expiry", "\"5s\"", "30m"),
    ("refresh.overlap", "\"5s\"", "10s"),
    ("refresh.report_cooldown", "\"1s\"", "0s"),
    ("refresh.retry_min", "\"2s\"", "3s"),
    ("refresh.retry_max", "\"2m\"", "3m"),
    ("state.url", "\"memory:\"", "rediss://:sentinel-8f3a@h:1/0"),
    ("state.url_file", "\"STATE\"", "STATE"),
    ("log.format", "\"text\"", "json"),
    ("log.filter", "\"warn\"", "info,token_relay=debug"),
];

fn origins(file: Option<&Path>, variables: &[(&str, &str)]) -> String {
    let layers = Layers::read(file, env(SMALLEST.into_iter().chain(variables.iter().copied()))).unwrap();
    layers.redacted(&Settings::from_layers(&layers).unwrap())
}

/// The line of a dotted key in what `check` prints.
fn line_of<'a>(printed: &'a str, key: &str) -> &'a str {
    let (section, name) = key.rsplit_once('.').unwrap();
    let body = printed.split(&format!("[{section}]\n")).nth(1).unwrap().split("\n[").next().unwrap();
    body.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap_or_default()
}

fn value_of(printed: &str, key: &str) -> toml::Value {
    let (section, name) = key.rsplit_once('.').unwrap();
    printed.parse::<toml::Table>().unwrap()[section][name].clone()
}

/// What is printed of a value that was given as this TOML.
fn effective(key: &str, given: &str) -> toml::Value {
    let hidden = matches!(key, "wechat.proxy" | "state.url") && given.contains("://");
    let given = if hidden { "\"***\"" } else { given };
    format!("v = {given}").parse::<toml::Table>().unwrap()["v"].clone()
}

fn quoted_unless_number(text: &str) -> String {
    text.parse::<u32>().map_or_else(|_| toml::Value::from(text).to_string(), |number| number.to_string())
}

#[test]
fn the_environment_overrides_the_file_and_the_file_the_default_for_every_key() {
    let written = Written::new();
    let proxy = written.file("proxy", "http://u:sentinel-8f3a@h\n");
    let state = written.file("url", "redis://u:sentinel-8f3a@h\n");
    let paths = |text: &str| text.replace("PROXY", proxy.to_str().unwrap()).replace("STATE", state.to_str().unwrap());
    let defaults = origins(None, &[]);
    let shipped: toml::Table = SHIPPED.parse().unwrap();
    let count: usize = shipped.values().map(|section| section.as_table().unwrap().len()).sum();
    assert_eq!(EVERY_KEY.len(), count, "a key is missing in this table");
    for (key, in_file, in_env) in EVERY_KEY {
        let (section, name) = key.rsplit_once('.').unwrap();
        let file = written.file("config.toml", paths(&format!("[{section}]\n{name} = {in_file}")));
        let variable = format!("TOKEN_RELAY__{}__{}", section.to_uppercase(), name.to_uppercase());
        let from_file = origins(Some(&file), &[]);
        let from_env = origins(Some(&file), &[(&variable, &paths(in_env))]);
        assert!(line_of(&defaults, key).ends_with("# default"), "{key}: {defaults}");
        assert!(line_of(&from_file, key).ends_with(&format!("from {}", file.display())), "{key}: {from_file}");
        assert!(line_of(&from_env, key).ends_with(&format!("from {variable}")), "{key}: {from_env}");
        assert_eq!(value_of(&from_file, key), effective(key, &paths(in_file)));
        assert_eq!(value_of(&from_env, key), effective(key, &quoted_unless_number(&paths(in_env))));
        for printed in [&from_file, &from_env] {
            assert!(!printed.contains(SENTINEL), "{printed}");
            printed.parse::<toml::Table>().unwrap();
        }
    }
}

#[test]
fn values_arrive_typed() {
    let written = Written::new();
    let file = written.file(
        "config.toml",
        toml(&[("accounts.shop_2", "appid = \"wx2\"\nsecret = \"s\"\nendpoint = \"stable_token\"")]),
    );
    let settings = load(
        Some(&file),
        [
            ("TOKEN_RELAY__SERVER__ADMIN_LISTEN", ""),
            ("TOKEN_RELAY__WECHAT__BASE_URL", "http://127.0.0.1:1/prefix/"),
            ("TOKEN_RELAY__WECHAT__FALLBACK_BASE_URL", ""),
            ("TOKEN_RELAY__REFRESH__BEFORE_EXPIRY", "1h 30m"),
            ("TOKEN_RELAY__STATE__URL", "redis://:sentinel-8f3a@h:6379/1"),
            ("TOKEN_RELAY__LOG__FORMAT", "json"),
            ("TOKEN_RELAY__ACCOUNTS__MAIN__CALLS_PER_DAY", "7"),
            ("TOKEN_RELAY__CLIENTS__ORDERS__ACCOUNTS", "main, shop_2"),
            ("TOKEN_RELAY__CLIENTS__BILLING__KEY_SHA256", &HASH.to_uppercase()),
        ],
    )
    .unwrap();
    assert_eq!(settings.server.admin_listen, None);
    assert_eq!(settings.wechat.base_url.at("/cgi-bin/token").as_str(), "http://127.0.0.1:1/prefix/cgi-bin/token");
    assert!(settings.wechat.fallback_base_url.is_none() && settings.wechat.proxy.is_none());
    assert_eq!(settings.refresh.before_expiry, Duration::from_secs(5400));
    assert!(matches!(&settings.state.url, StateUrl::Redis(url) if url.expose() == "redis://:sentinel-8f3a@h:6379/1"));
    assert_eq!(settings.log.format, LogFormat::Json);
    let (main, shop) = (&settings.accounts["main"], &settings.accounts["shop_2"]);
    assert_eq!((main.appid.as_str(), main.endpoint, main.calls_per_day), ("wx0123456789abcdef", Endpoint::Token, 7));
    assert_eq!((shop.endpoint, shop.calls_per_day), (Endpoint::StableToken, 1500));
    let (orders, billing) = (&settings.clients["orders"], &settings.clients["billing"]);
    assert!(orders.accounts.as_ref().unwrap().iter().map(AsRef::as_ref).eq(["main", "shop_2"]));
    assert_eq!(orders.key_sha256, KeyDigest::of(KEY.as_bytes()));
    assert!(billing.accounts.is_none() && billing.key_sha256 == KeyDigest::of(b"hello"));
    let debug = format!("{settings:?}");
    assert!(!debug.contains(SENTINEL) && !debug.contains("2cf2"), "{debug}");
}

#[test]
fn a_list_in_the_environment_replaces_the_one_in_the_file() {
    let written = Written::new();
    let lines = format!("key = \"{KEY}\"\naccounts = [\"main\", \"other\"]");
    let other = "appid = \"wx2\"\nsecret = \"s\"";
    let file = written.file("config.toml", toml(&[("clients.orders", &lines), ("accounts.other", other)]));
    let accounts = |settings: Settings| settings.clients["orders"].accounts.as_ref().unwrap().len();
    assert_eq!(accounts(load(Some(&file), []).unwrap()), 2);
    assert_eq!(accounts(load(Some(&file), [("TOKEN_RELAY__CLIENTS__ORDERS__ACCOUNTS", "other")]).unwrap()), 1);
}

#[test]
fn an_empty_variable_unsets_a_twin() {
    let written = Written::new();
    let (secret, key) = (written.file("secret", "from the file\n"), written.file("key", format!("{KEY}\r\n")));
    let secret_file = [("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET_FILE", secret.to_str().unwrap())];
    assert!(load(None, secret_file).is_err());
    let settings = load(None, secret_file.into_iter().chain([("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", "")])).unwrap();
    assert_eq!(settings.accounts["main"].secret.expose_secret(), "from the file");
    let key_file =
        [("TOKEN_RELAY__CLIENTS__ORDERS__KEY", ""), ("TOKEN_RELAY__CLIENTS__ORDERS__KEY_FILE", key.to_str().unwrap())];
    assert_eq!(load(None, key_file).unwrap().clients["orders"].key_sha256, KeyDigest::of(KEY.as_bytes()));
    assert!(load(None, [("TOKEN_RELAY__CLIENTS__ORDERS__KEY_SHA256", "")]).is_ok());
}

#[test]
fn exactly_one_line_end_is_trimmed_from_a_secret_file() {
    let written = Written::new();
    let kept = [
        ("s", "s"),
        ("s\n", "s"),
        ("s\r\n", "s"),
        ("s\n\n", "s\n"),
        (" s ", " s "),
        ("s\r", "s\r"),
        ("a\nb\n", "a\nb"),
    ];
    for (text, secret) in kept {
        let file = written.file("secret", text);
        let twins = [
            ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", ""),
            ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET_FILE", file.to_str().unwrap()),
        ];
        assert_eq!(load(None, twins).unwrap().accounts["main"].secret.expose_secret(), secret, "{text:?}");
    }
    for text in ["", "\n", "\r\n"] {
        let file = written.file("secret", text);
        let twins = [
            ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", ""),
            ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET_FILE", file.to_str().unwrap()),
        ];
        assert_eq!(load(None, twins).unwrap_err().key(), "accounts.main.secret_file", "{text:?}");
    }
}

/// The secret of `main` from the environment, from TOML and from a file.
fn three_ways(secret: &str) -> [String; 3] {
    let written = Written::new();
    let account = |line: String| {
        let text = toml(&[("accounts.main", &format!("appid = \"wx1\"\n{line}"))]);
        let settings = Settings::load(Some(&written.file("config.toml", text)), []).unwrap();
        settings.accounts["main"].secret.expose_secret().to_owned()
    };
    let env = load(None, [("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", secret)]).unwrap();
    [
        env.accounts["main"].secret.expose_secret().to_owned(),
        account(format!("secret = {}", toml::Value::from(secret))),
        account(format!("secret_file = {}", quoted(&written.file("secret", format!("{secret}\n"))))),
    ]
}

#[test]
fn a_secret_that_looks_like_something_else_stays_as_it_is() {
    for secret in
        ["0001", "1e5", "true", "null", " a ", "a,b", "a=b", "[x]", "${X}", "\"q\"", "0x1f", "密", "1979-05-27", "***"]
    {
        assert_eq!(three_ways(secret), [secret; 3]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_printable_secret_survives(secret in "\\PC{1,80}") {
        prop_assert_eq!(three_ways(&secret), [secret.clone(), secret.clone(), secret]);
    }

    #[test]
    fn no_value_of_any_key_panics_or_is_repeated(
        (key, ..) in proptest::sample::select(EVERY_KEY),
        value in "\\PC{0,12}|[0-9]{0,20}(ns|ms|s|h|y)?|(http|redis|file)://[a-z/@:?#]{0,9}",
    ) {
        let variable = format!("TOKEN_RELAY__{}", key.replace('.', "__").to_uppercase());
        for value in [value.clone(), format!("{value}{SENTINEL}")] {
            if let Err(error) = load(None, [(variable.as_str(), value.as_str())]) {
                // The one value that is told: an absolute path of a file that cannot be read.
                let path = key.ends_with("_file") && value.starts_with('/');
                prop_assert!(path || !error.to_string().contains(SENTINEL), "{}", error);
            }
        }
    }
}

#[test]
fn the_shipped_file_holds_every_key_with_its_default() {
    let shipped: toml::Table = SHIPPED.parse().unwrap();
    let printed: toml::Table = origins(None, &[]).parse().unwrap();
    let without_names = |mut table: toml::Table| {
        table.retain(|name, _| name != "accounts" && name != "clients");
        table
    };
    assert_eq!(shipped, without_names(printed));
    let written = Written::new();
    assert!(load(Some(&written.file("config.toml", SHIPPED)), []).is_ok());
}

/// Prose has a space after its `#`, an example has none.
fn uncommented(line: &str) -> &str {
    let example = |rest: &&str| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase());
    line.strip_prefix('#').filter(example).unwrap_or(line)
}

#[test]
fn the_shipped_examples_hold_every_key_of_an_account_and_a_client() {
    let text: String = SHIPPED.lines().map(|line| uncommented(line).to_owned() + "\n").collect();
    let written = Written::new();
    Layers::read(Some(&written.file("config.toml", &text)), []).unwrap().sound().unwrap();
    let table: toml::Table = text.parse().unwrap();
    let keys = |section: &str| {
        let keys = table[section].as_table().unwrap().values().flat_map(|one| one.as_table().unwrap().keys());
        keys.cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    for (section, name) in [("accounts", "main"), ("clients", "orders")] {
        let file = written.file("unknown.toml", format!("[{section}.{name}]\nno_such_key = 1"));
        let message = Layers::read(Some(&file), []).unwrap().sound().unwrap_err().to_string();
        let known = message.split("known here: ").nth(1).unwrap().split(" (from").next().unwrap();
        let mut known: Vec<_> = known.split(", ").map(str::to_owned).collect();
        known.sort();
        assert_eq!(keys(section), known);
    }
}

#[test]
fn what_check_prints_tells_redis_and_proxy_by_host_only() {
    let printed = origins(
        None,
        &[
            ("TOKEN_RELAY__STATE__URL", "rediss://u:sentinel-8f3a@cache:6380/1"),
            ("TOKEN_RELAY__WECHAT__PROXY", "http://u:sentinel-8f3a@proxy:3128"),
        ],
    );
    let file = origins(None, &[("TOKEN_RELAY__STATE__URL", "file:///var/lib/token-relay")]);
    assert!(line_of(&file, "state.url").starts_with("url = \"file:///var/lib/token-relay\" # from"), "{file}");
    assert!(line_of(&printed, "state.url").starts_with("url = \"***\" # rediss://cache:6380, from"), "{printed}");
    assert!(line_of(&printed, "wechat.proxy").starts_with("proxy = \"***\" # http://proxy:3128, from"), "{printed}");
    assert!(!printed.contains(SENTINEL), "{printed}");
}
