//! Which wins for every key: the environment, the file or the default? And does its value arrive as it was meant?

use std::time::Duration;

use proptest::prelude::*;
use token_relay::credential::TicketKind;
use token_relay::settings::{
    AccountSettings, AppSettings, Endpoint, KeyDigest, Layers, LogFormat, Platform, Settings, StateUrl,
};

use crate::{
    given::{HASH, KEY, SENTINEL, SMALLEST, Written, check, env, line_of, load, origins, toml},
    shipped::SHIPPED,
};

#[test]
fn three_variables_are_enough() {
    let output = check(None, env(SMALLEST));
    assert!(output.stderr.is_empty());
    let stdout = output.succeeded();
    assert!(stdout.ends_with("# settings are valid: 1 account, 1 client\n"), "{stdout}");
    assert!(stdout.contains("secret = \"***\" # from TOKEN_RELAY__ACCOUNTS__MAIN__SECRET\n"), "{stdout}");
    assert!(stdout.contains("calls_per_day = 400 # default\n"), "{stdout}");
    assert!(stdout.contains("accept_appsecret = false # default\n"), "{stdout}");
    assert!(!stdout.contains(SENTINEL));
    let layers = format!("{:?}", Layers::read(None, env(SMALLEST)).unwrap());
    assert!(!layers.contains(SENTINEL), "{layers}");
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
    ("server.max_connections_per_source", "1", "2"),
    ("server.header_timeout", "\"1m\"", "2m"),
    ("server.fast_reads", "true", "false"),
    ("wechat.base_url", "\"http://h:1/a\"", "https://i/b/c/"),
    ("wechat.fallback_base_url", "\"http://h\"", ""),
    ("wechat.proxy", "\"http://u:sentinel-8f3a@h:1\"", "socks5://h"),
    ("wechat.proxy_file", "\"PROXY\"", "PROXY"),
    ("wechat.resolve", "[\"api.weixin.qq.com=1.2.3.4\"]", "api2.weixin.qq.com=::1"),
    ("wechat.connect_timeout", "\"1s\"", "7s"),
    ("wechat.timeout", "\"9s\"", "10s"),
    ("wechat.max_calls", "1", "1000"),
    ("wecom.base_url", "\"http://h:1/a\"", "https://i/b/c/"),
    ("refresh.before_expiry", "\"5s\"", "30m"),
    ("refresh.overlap", "\"5s\"", "10s"),
    ("refresh.report_cooldown", "\"1s\"", "0s"),
    ("refresh.probe_every", "\"1m\"", "0s"),
    ("refresh.retry_min", "\"2s\"", "3s"),
    ("refresh.retry_max", "\"2m\"", "3m"),
    ("gateway.enabled", "true", "false"),
    ("state.url", "\"memory:\"", "rediss://:sentinel-8f3a@h:1/0"),
    ("state.url_file", "\"STATE\"", "STATE"),
    ("state.prefix", "\"shop\"", "shop.2"),
    ("state.sentinel_username", "\"relay\"", ""),
    ("state.sentinel_password", "\"sentinel-8f3a\"", ""),
    ("state.sentinel_password_file", "\"STATE\"", "STATE"),
    ("log.format", "\"text\"", "json"),
    ("log.filter", "\"warn\"", "info,token_relay=debug"),
    ("log.access", "\"all\"", "errors"),
];

fn value_of(printed: &str, key: &str) -> toml::Value {
    let (section, name) = key.rsplit_once('.').unwrap();
    printed.parse::<toml::Table>().unwrap()[section][name].clone()
}

/// What is printed of a value that was given as this TOML.
fn effective(key: &str, given: &str) -> toml::Value {
    let hidden = match key {
        "wechat.proxy" | "state.url" => given.contains("://"),
        "state.sentinel_password" => given != "\"\"",
        _ => false,
    };
    let given = if hidden { "\"***\"" } else { given };
    // a list, in the environment written as one text
    let given =
        if key == "wechat.resolve" { format!("[{}]", given.trim_matches(['[', ']'])) } else { given.to_owned() };
    format!("v = {given}").parse::<toml::Table>().unwrap()["v"].clone()
}

fn quoted_unless_plain(text: &str) -> String {
    let is_plain = text.parse::<u32>().is_ok() || text.parse::<bool>().is_ok();
    if is_plain { text.to_owned() } else { toml::Value::from(text).to_string() }
}

#[test]
fn the_environment_overrides_the_file_and_the_file_the_default_for_every_key() {
    let written = Written::new();
    let proxy = written.file("proxy", "http://u:sentinel-8f3a@h\n");
    let state = written.file("url", "redis://u:sentinel-8f3a@h\n");
    let paths = |text: &str| text.replace("PROXY", proxy.to_str().unwrap()).replace("STATE", state.to_str().unwrap());
    let defaults = origins(None, &[]);
    let shipped: toml::Table = SHIPPED.parse().unwrap();
    // those of [server.tls] need one another: tests/relay/tls.rs sets them in both ways
    let keys = |section: &toml::Value| section.as_table().unwrap().values().filter(|value| !value.is_table()).count();
    let count: usize = shipped.values().map(keys).sum();
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
        assert_eq!(value_of(&from_env, key), effective(key, &quoted_unless_plain(&paths(in_env))));
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
    let endpoint = |account: &AccountSettings| match account.app {
        AppSettings::WeChat { endpoint, .. } => endpoint,
        AppSettings::WeCom { .. } => panic!("not of WeChat: {account:?}"),
    };
    assert_eq!((main.app.id(), endpoint(main), main.calls_per_day), ("wx0123456789abcdef", Endpoint::Token, 7));
    assert_eq!((endpoint(shop), shop.calls_per_day), (Endpoint::StableToken, 1500));
    let (orders, billing) = (&settings.clients["orders"], &settings.clients["billing"]);
    assert!(orders.accounts.as_ref().unwrap().iter().map(AsRef::as_ref).eq(["main", "shop_2"]));
    assert_eq!(orders.keys[0].sha256, KeyDigest::of(KEY.as_bytes()));
    assert!(billing.accounts.is_none() && billing.keys[0].sha256 == KeyDigest::of(b"hello"));
    let debug = format!("{settings:?}");
    assert!(!debug.contains(SENTINEL) && !debug.contains("2cf2"), "{debug}");
}

#[test]
fn a_wecom_account_is_given_by_file_or_environment_and_two_agents_share_a_corpid() {
    let written = Written::new();
    let agent = |secret: &str| format!("platform = \"wecom\"\ncorpid = \"ww1\"\nsecret = \"{secret}\"");
    let sections = [("accounts.crm", agent("one")), ("accounts.hr", agent("two"))];
    let sections = sections.each_ref().map(|(section, lines)| (*section, lines.as_str()));
    let file = written.file("config.toml", toml(&sections));
    let variables = [
        ("TOKEN_RELAY__WECOM__BASE_URL", "http://127.0.0.1:1/qy/"),
        ("TOKEN_RELAY__ACCOUNTS__DESK__PLATFORM", "wecom"),
        ("TOKEN_RELAY__ACCOUNTS__DESK__CORPID", "wx2"),
        ("TOKEN_RELAY__ACCOUNTS__DESK__SECRET", "one"),
    ];
    let settings = load(Some(&file), variables).unwrap();
    assert_eq!(settings.wecom.base_url.as_str(), "http://127.0.0.1:1/qy");
    for (name, corpid) in [("crm", "ww1"), ("hr", "ww1"), ("desk", "wx2")] {
        let account = &settings.accounts[name];
        assert_eq!((account.app.platform(), account.app.id()), (Platform::WeCom, corpid));
        assert_eq!((account.calls_per_day, account.accept_appsecret), (1500, false));
    }
    assert_eq!(settings.accounts["main"].app.platform(), Platform::WeChat);
    let printed = origins(Some(&file), &variables);
    assert!(line_of(&printed, "accounts.crm.platform").starts_with("platform = \"wecom\" # from"), "{printed}");
    assert_eq!(line_of(&printed, "accounts.main.platform"), "platform = \"wechat\" # default");
    assert_eq!(line_of(&printed, "accounts.crm.endpoint"), "", "WeCom has none");
    assert_eq!(line_of(&printed, "accounts.crm.calls_per_day"), "calls_per_day = 1500 # default");
}

#[test]
fn a_flag_is_written_as_true_or_false_in_the_file_and_in_the_environment() {
    let written = Written::new();
    let lines = |flag: &str| format!("appid = \"wx1\"\nsecret = \"s\"\naccept_appsecret = {flag}");
    let file = written.file(
        "config.toml",
        toml(&[("accounts.main", &lines("true")), ("accounts.shop", &lines("false").replace("wx1", "wx2"))]),
    );
    let accepting = |variables: &[(&str, &str)]| {
        let settings = load(Some(&file), variables.iter().copied()).unwrap();
        (settings.accounts["main"].accept_appsecret, settings.accounts["shop"].accept_appsecret)
    };
    assert_eq!(accepting(&[]), (true, false));
    let turned = [
        ("TOKEN_RELAY__ACCOUNTS__MAIN__ACCEPT_APPSECRET", "false"),
        ("TOKEN_RELAY__ACCOUNTS__SHOP__ACCEPT_APPSECRET", "true"),
    ];
    assert_eq!(accepting(&turned), (false, true));
    let printed = origins(Some(&file), &turned);
    assert!(line_of(&printed, "accounts.shop.accept_appsecret").starts_with("accept_appsecret = true # from TOKEN"));
    assert!(!load(None, []).unwrap().accounts["main"].accept_appsecret);

    let gateway = |variables: &[(&str, &str)]| {
        let settings = load(None, variables.iter().copied()).unwrap();
        (settings.gateway.enabled, settings.clients["orders"].gateway)
    };
    assert_eq!(gateway(&[]), (false, false));
    assert_eq!(gateway(&[("TOKEN_RELAY__GATEWAY__ENABLED", "true")]), (true, false));
    assert_eq!(gateway(&[("TOKEN_RELAY__CLIENTS__ORDERS__GATEWAY", "true")]), (false, true));
}

#[test]
fn tickets_are_a_list_of_kinds_in_the_file_and_in_the_environment_and_none_unless_set() {
    let written = Written::new();
    let lines = "appid = \"wx1\"\nsecret = \"s\"\ntickets = [\"wx_card\", \"jsapi\", \"wx_card\"]";
    let file = written.file("config.toml", toml(&[("accounts.main", lines)]));
    let tickets = |file, variables: &[(&str, &str)]| {
        let settings = load(file, variables.iter().copied()).unwrap();
        settings.accounts["main"].tickets.iter().copied().collect::<Vec<_>>()
    };
    assert_eq!(tickets(Some(&file), &[]), Platform::WeChat.tickets());
    assert_eq!(tickets(None, &[]), []);
    let one = [("TOKEN_RELAY__ACCOUNTS__MAIN__TICKETS", "jsapi")];
    assert_eq!(tickets(Some(&file), &one), [TicketKind::Jsapi]);
    let both = [("TOKEN_RELAY__ACCOUNTS__MAIN__TICKETS", "jsapi, wx_card")];
    assert_eq!(tickets(None, &both), Platform::WeChat.tickets());
    let printed = origins(None, &both);
    assert!(line_of(&printed, "accounts.main.tickets").starts_with(r#"tickets = ["jsapi", "wx_card"] # from TOKEN"#));
}

#[test]
fn the_tickets_of_an_agent_are_wecoms_and_either_makes_signatures() {
    let written = Written::new();
    for kinds in [vec!["jsapi"], vec!["agent_config"], vec!["agent_config", "jsapi"]] {
        let lines = format!(
            "platform = \"wecom\"\ncorpid = \"ww1\"\nsecret = \"s\"\ntickets = {kinds:?}\njssdk_domains = [\"a.com\"]"
        );
        let file = written.file("config.toml", toml(&[("accounts.crm", &lines)]));
        let settings = load(Some(&file), []).unwrap();
        let account = &settings.accounts["crm"];
        assert_eq!((account.tickets.len(), account.jssdk_domains.len()), (kinds.len(), 1));
        assert!(account.tickets.iter().all(|kind| kinds.contains(&kind.label())));
    }
}

#[test]
fn the_domains_of_pages_are_names_of_hosts_in_lower_case() {
    let variables = [
        ("TOKEN_RELAY__ACCOUNTS__MAIN__TICKETS", "jsapi"),
        ("TOKEN_RELAY__ACCOUNTS__MAIN__JSSDK_DOMAINS", "Shop.example.com, example.org"),
    ];
    let settings = load(None, variables).unwrap();
    let domains: Vec<_> = settings.accounts["main"].jssdk_domains.iter().map(ToString::to_string).collect();
    assert_eq!(domains, ["shop.example.com", "example.org"]);
    assert!(load(None, []).unwrap().accounts["main"].jssdk_domains.is_empty());
}

#[test]
fn a_key_is_known_to_fit_urls_or_not_unless_only_its_hash_is_given() {
    let written = Written::new();
    let odd = written.file("key", "a-key-of-32-characters/and+a~few=more\n");
    let settings = load(
        None,
        [
            ("TOKEN_RELAY__CLIENTS__BILLING__KEY_SHA256", HASH),
            ("TOKEN_RELAY__CLIENTS__ODD__KEY_FILE", odd.to_str().unwrap()),
        ],
    )
    .unwrap();
    let fits = |client: &str| settings.clients[client].keys[0].fits_urls;
    assert_eq!((fits("orders"), fits("odd"), fits("billing")), (Some(true), Some(false), None));
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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

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
