//! Are settings that cannot be meant refused, with one line that names the key and no secret?

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _, path::Path};

use test_support::run;
use token_relay::settings::Settings;

use crate::{
    RELAY,
    given::{HASH, KEY, SECRET, SENTINEL, SMALLEST, Written, check, env, load, quoted, refused, toml},
};

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
    ("server", "max_connections_per_source = -1", "server.max_connections_per_source"),
    ("server", "tls = true", "server.tls"),
    ("server.tls", "cert_file = \"sentinel-8f3a\"", "server.tls.cert_file"),
    ("server.tls", "cert_file = \"/dev/null\"", "server.tls.cert_file"),
    ("server.tls", "key_file = \"/dev/null\"", "server.tls.key_file"),
    ("server.tls", "cert = \"x\"", "server.tls.cert"),
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
    ("server", "fast_reads = 1", "server.fast_reads"),
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
    ("wechat", "resolve = [\"api.weixin.qq.com\"]", "wechat.resolve: entry 1 must be HOST=ADDRESS"),
    ("wechat", "resolve = \"api.weixin.qq.com=nowhere\"", "wechat.resolve: entry 1 must be HOST=ADDRESS"),
    (
        "wechat",
        "resolve = [\"api.weixin.qq.com=1.2.3.4\", \"sentinel-8f3a=1.2.3.4\"]",
        "wechat.resolve: entry 2 names no host",
    ),
    ("wechat", "resolve = true", "wechat.resolve"),
    (
        "wechat",
        "resolve = \"api.weixin.qq.com=1.2.3.4\"\nproxy = \"http://proxy\"",
        "wechat.resolve: must not be given with wechat.proxy",
    ),
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
    ("state", "url = \"redis://u:sentinel-8f3a@h,i\"", "state.url: must be a Redis URL with one host"),
    (
        "state",
        "url = \"redis+sentinel://u:sentinel-8f3a@h,i\"",
        "state.url: must be a Redis URL that names the primary",
    ),
    ("state", "url = \"redis+sentinel://u:12/sentinel-8f3a@h/m\"", "state.url: must be file:DIR"),
    ("state", "url = \"redis+sentinel://u:sentinel-8f3a@h,/m\"", "state.url: must be file:DIR"),
    ("state", "url = \"redis+sentinel://u:sentinel-8f3a@h/m/x\"", "state.url: must be a Redis URL whose database"),
    ("state", "url = \"redis+cluster://u:sentinel-8f3a@h,i/1\"", "state.url: must be a Redis URL without a database"),
    ("state", "url = \"redis+cluster://h:1:2\"", "state.url: must be file:DIR"),
    ("state", "prefix = \"\"", "state.prefix"),
    ("state", "prefix = \"a}b\"", "state.prefix: must be 1 to 64 letters"),
    ("state", "sentinel_password = \"sentinel-8f3a\"\nsentinel_password_file = \"/x\"", "state.sentinel_password_file"),
    ("state", "url = \"memory:\"\nurl_file = \"/x\"", "state.url_file"),
    ("state", "url_file = \"redis://u:sentinel-8f3a@h\"", "state.url_file"),
    ("log", "format = \"xml\"", "log.format"),
    ("log", "filter = \"\"", "log.filter"),
    ("log", "access = \"on\"", "log.access: must be \"off\", \"errors\" or \"all\""),
    ("log", "filter = \"a=b=sentinel-8f3a\"", "log.filter"),
    ("log", "filter = \"warning\"", "log.filter: must be log directives"),
    ("log", "filter = \"info,sentinel-8f3a\"", "log.filter: must be log directives"),
    ("log", "filter = \"info debug\"", "log.filter: must be log directives"),
    ("log", "filter = \"info;debug\"", "log.filter: must be log directives"),
    ("accounts.main", "appid = \"wx1\"\nsecret = \"sentinel-8f3a \"", "accounts.main.secret: must be printable ASCII"),
    (
        "accounts.main",
        "appid = \"wx1\"\nsecret = \"\u{feff}sentinel-8f3a\"",
        "accounts.main.secret: must be printable ASCII",
    ),
    (
        "accounts.main",
        "appid = \"wx1\"\nsecret = \"sentinel-8f3a\\n\"",
        "accounts.main.secret: must be printable ASCII",
    ),
    ("servre", "listen = \"127.0.0.1:1\"", "servre"),
    ("accounts.Main", "appid = \"wx1\"", "accounts.Main"),
    ("accounts.a__b", "appid = \"wx1\"", "accounts.a__b"),
    ("accounts.other", "", "accounts.other.appid"),
    ("accounts.other", "appid = \"wx1\"\nsecret = \"SECRET\"", "accounts.other.appid"),
    ("accounts.main", "secret = \"SECRET\"", "accounts.main.appid"),
    ("accounts.main", "appid = \"\"\nsecret = \"SECRET\"", "accounts.main.appid"),
    ("accounts.main", "appid = \"wx 1\"\nsecret = \"SECRET\"", "accounts.main.appid"),
    ("accounts.main", "platform = \"WeCom\"", "accounts.main.platform: must be \"wechat\" or \"wecom\""),
    ("accounts.main", "platform = \"\"\nappid = \"wx1\"\nsecret = \"SECRET\"", "accounts.main.platform"),
    ("accounts.main", "corpid = \"ww1\"\nsecret = \"SECRET\"", "accounts.main.corpid: is for an account with platform"),
    ("accounts.main", "appid = \"wx1\"\ncorpid = \"\"\nsecret = \"SECRET\"", "accounts.main.corpid: is for an account"),
    ("accounts.main", "platform = \"wecom\"\nsecret = \"SECRET\"", "accounts.main.corpid"),
    ("accounts.main", "platform = \"wecom\"\ncorpid = \"ww 1\"\nsecret = \"SECRET\"", "accounts.main.corpid"),
    ("accounts.main", "platform = \"wecom\"\ncorpid = \"ww1\"", "accounts.main.secret_file"),
    (
        "accounts.main",
        "platform = \"wecom\"\nappid = \"wx1\"\ncorpid = \"ww1\"\nsecret = \"SECRET\"",
        "accounts.main.appid: is for an account of WeChat",
    ),
    (
        "accounts.main",
        "platform = \"wecom\"\ncorpid = \"ww1\"\ntickets = [\"jsapi\", \"wx_card\"]\nsecret = \"SECRET\"",
        "accounts.main.tickets: entry 2 is a ticket of WeChat",
    ),
    (
        "accounts.main",
        "appid = \"wx1\"\nsecret = \"s\"\ntickets = [\"agent_config\"]",
        "accounts.main.tickets: entry 1 is a ticket of WeCom",
    ),
    (
        "accounts.main",
        "platform = \"wecom\"\ncorpid = \"ww1\"\nsecret = \"SECRET\"\njssdk_domains = [\"shop.example.com\"]",
        "accounts.main.jssdk_domains: signatures are made with a ticket",
    ),
    (
        "accounts.main",
        "platform = \"wecom\"\ncorpid = \"ww1\"\nendpoint = \"token\"\nsecret = \"SECRET\"",
        "accounts.main.endpoint: is for an account of WeChat",
    ),
    (
        "accounts.main",
        "platform = \"wecom\"\ncorpid = \"ww1\"\nsecret = \"SECRET\"\n\
         [accounts.other]\nplatform = \"wecom\"\ncorpid = \"ww1\"\nsecret = \"SECRET\"",
        "accounts.other.corpid: accounts.main has the same corpid and secret",
    ),
    ("wecom", "base_url = \"qyapi.weixin.qq.com\"", "wecom.base_url"),
    ("wecom", "proxy = \"http://proxy\"", "wecom.proxy"),
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
    ("accounts.main", "appid = \"wx1\"\nsecret = \"s\"\naccept_appsecret = 1", "accounts.main.accept_appsecret"),
    (
        "accounts.main",
        "appid = \"wx1\"\nsecret = \"s\"\ntickets = [\"jsapi\", \"agent\"]",
        "accounts.main.tickets: entry 2",
    ),
    (
        "accounts.main",
        "appid = \"wx1\"\nsecret = \"s\"\ntickets = [\"sentinel-8f3a\"]",
        "accounts.main.tickets: entry 1",
    ),
    ("accounts.main", "appid = \"wx1\"\nsecret = \"s\"\ntickets = []", "accounts.main.tickets"),
    ("accounts.main", "appid = \"wx1\"\nsecret = \"s\"\ntickets = true", "accounts.main.tickets"),
    (
        "accounts.main",
        "appid = \"wx1\"\nsecret = \"s\"\njssdk_domains = [\"shop.example.com\"]",
        "accounts.main.jssdk_domains: signatures are made with a ticket",
    ),
    (
        "accounts.main",
        "appid = \"wx1\"\nsecret = \"s\"\ntickets = [\"jsapi\"]\njssdk_domains = [\"a.com\", \"https://sentinel-8f3a.com\"]",
        "accounts.main.jssdk_domains: entry 2 must be the name of a host",
    ),
    ("gateway", "enabled = 1", "gateway.enabled"),
    ("gateway", "enabled = \"\"", "gateway.enabled"),
    ("accounts.main", "appid = \"wx1\"\nsecret = \"s\"\naccept_appsecret = \"\"", "accounts.main.accept_appsecret"),
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
    ("clients.orders", "keys = [\"KEY\"]\nkey = \"KEY\"", "clients.orders.key: give this or clients.orders.keys"),
    ("clients.orders", "keys = []", "clients.orders.keys"),
    ("clients.orders", "keys = true", "clients.orders.keys"),
    ("clients.orders", "keys = [1]", "clients.orders.keys: must be a list of tables"),
    ("clients.orders", "keys = [\"KEY\", \"sentinel-8f3a\"]", "clients.orders.keys: entry 2"),
    ("clients.orders", "keys = [{ key_file = \"/no/such/file\" }]", "clients.orders.keys[1].key_file: /no/such/file"),
    (
        "clients.orders",
        "keys = [{ kye = \"sentinel-8f3a\" }]",
        "clients.orders.keys[1].kye: unknown key; known here: key, ",
    ),
    ("clients.orders", "keys = [{ key = \"KEY\", key_sha256 = \"HASH\" }]", "clients.orders.keys[1].key"),
    ("clients.orders", "keys = [{}]", "clients.orders.keys[1].key: no key"),
    ("clients.orders", "keys = [\"KEY\", { key = \"KEY\" }]", "clients.orders has the same key"),
    ("clients.orders", "key = \"KEY\"\naccounts = [\"mian\"]", "clients.orders.accounts"),
    ("clients.orders", "key = \"KEY\"\naccounts = []", "clients.orders.accounts"),
    ("clients.orders", "key = \"KEY\"\naccounts = \"\"", "clients.orders.accounts"),
    ("clients.orders", "key = \"KEY\"\naccounts = [1]", "clients.orders.accounts"),
    (
        "clients.orders",
        "certificate = \"orders.internal\"",
        "clients.orders.certificate: needs server.tls.client_ca_file",
    ),
    ("clients.orders", "certificate = 1", "clients.orders.certificate: must be a list of strings"),
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
        let message = refused(&text, check(Some(&file), Vec::new()));
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
                let variables = SMALLEST.into_iter().chain([(variable, value)]);
                refused(&url, run(RELAY, &[command], env(variables)))
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
        ("TOKEN_RELAY_STATE__URL", SENTINEL, "two underscores"),
        ("Token_Relay_Accounts__MAIN__APPID", SENTINEL, "two underscores"),
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
        ("TOKEN_RELAY__ACCOUNTS__MAIN__ACCEPT_APPSECRET", "yes", "accounts.main.accept_appsecret: must be true or"),
    ];
    for (variable, value, key) in bad {
        let message = refused(variable, check(None, env(SMALLEST.into_iter().chain([(variable, value)]))));
        assert!(message.contains(key) && message.contains(&format!("(from {variable})")), "{message}");
    }
    let twice = [("token_relay__server__listen", "127.0.0.1:1"), ("TOKEN_RELAY__SERVER__LISTEN", "127.0.0.1:1")];
    assert!(refused("twice", check(None, env(twice))).contains("given twice"));
}

#[test]
fn what_is_not_utf_8_is_refused_by_name() {
    let odd = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    for variable in ["TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", "TOKEN_RELAY__CLIENTS__ORDERS__KEY"] {
        let mut env = env(SMALLEST);
        env.retain(|(name, _)| name != variable);
        env.push((variable.into(), odd(b"sentinel-8f3a\xff")));
        assert!(refused(variable, check(None, env)).contains(variable));
    }
    let mut strange = env(SMALLEST);
    strange.push((odd(b"TOKEN_RELAY__SERVER__\xff"), SENTINEL.into()));
    assert!(refused("name", check(None, strange)).contains("TOKEN_RELAY__SERVER__"));
    let mut foreign = env(SMALLEST);
    foreign.push((odd(b"OTHER\xff"), odd(b"\xff")));
    // Kubernetes makes these for services whose names begin like ours
    foreign.extend(env([("TOKEN_RELAY_PORT", "tcp://10.0.0.1:8080"), ("TOKEN_RELAY_B__C_SERVICE_HOST", "10.0.0.1")]));
    assert!(Settings::load(None, foreign).is_ok());

    let written = Written::new();
    let file = written.file("secret", b"sentinel-8f3a\xff");
    let text = toml(&[("accounts.main", &format!("appid = \"wx1\"\nsecret_file = {}", quoted(&file)))]);
    let message = refused("secret file", check(Some(&written.file("config.toml", text)), Vec::new()));
    assert!(message.contains("accounts.main.secret_file") && message.contains(file.to_str().unwrap()), "{message}");
    assert!(refused("config", check(Some(&file), Vec::new())).contains(file.to_str().unwrap()));
}

#[test]
fn a_missing_file_is_named() {
    let message = refused("--config", check(Some(Path::new("/no/such.toml")), env(SMALLEST)));
    assert!(message.contains("/no/such.toml") && message.contains("--config"), "{message}");
    let by_variable = env(SMALLEST.into_iter().chain([("TOKEN_RELAY_CONFIG", "/no/such.toml")]));
    assert!(refused("variable", check(None, by_variable)).contains("TOKEN_RELAY_CONFIG"));
    assert!(load(None, [("TOKEN_RELAY_CONFIG", "")]).is_ok());
}
