use super::*;

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use crate::{
    credential::{CredentialId, Generation, Promise, Token},
    heartbeat::Heartbeat,
    http::{App, auth::Access, routes::PUBLIC},
    issuer::wechat::Endpoint,
    metrics::Metrics,
    registry::Registry,
    relay_key::KeyDigest,
    status::{Offer, Status},
};

const TOKEN: &str = "75_token-of_main";
const APPSECRET: &str = "0123456789abcdef0123456789abcdef";
const GATE_KEY: &str = "a-key-of-thirty-two-characters-1";
const SHOP_KEY: &str = "a-key-of-thirty-two-characters-2";
const PLAIN_KEY: &str = "a-key-of-thirty-two-characters-3";

/// Two accounts: `main` with a token and its AppSecret accepted, `shop` with neither.
struct World {
    registry: Registry,
    clients: Clients,
    apps: Apps,
}

impl World {
    fn new() -> Self {
        let (registry, metrics) = (Registry::default(), Metrics::new());
        for name in ["main", "shop"] {
            let id = CredentialId::access_token(name.parse().unwrap());
            let (handle, end) = Handle::new(id.clone(), metrics.credential(&id), Heartbeat::starting(Duration::ZERO));
            registry.insert(&[handle]);
            if name == "main" {
                let token = Token::try_from(TOKEN.to_owned()).unwrap();
                let promise = Promise { until: Timestamp::NEVER, sliding: None, verified_until: None };
                let offer = Some(Offer { generation: Generation(7), token, promise });
                end.publisher.publish(Status { offer, ..Status::default() });
            }
        }
        let client = |name: &str, key: &str, accounts: Option<&str>, gateway| {
            let accounts = accounts.map(|name| [name.parse().unwrap()].into());
            (name.to_owned(), KeyDigest::of(key.as_bytes()), Access { accounts, gateway, ..Access::default() })
        };
        let app = |name: &str, appsecret: Option<&str>| {
            let appsecret = appsecret.map(|secret| KeyDigest::of(secret.as_bytes()));
            (format!("wx{name}"), App { account: name.parse().unwrap(), endpoint: Endpoint::Token, appsecret })
        };
        let clients = Clients::new([
            client("gate", GATE_KEY, None, true),
            client("shop", SHOP_KEY, Some("shop"), true),
            client("plain", PLAIN_KEY, None, false),
        ]);
        Self { registry, clients, apps: Apps::new([app("main", Some(APPSECRET)), app("shop", None)]) }
    }

    fn decide(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Credential, GatewayRefusal> {
        let header = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut map = HeaderMap::new();
        headers.iter().map(header).for_each(|(name, value)| {
            map.append(name, value);
        });
        let (method, uri) = (method.parse().unwrap(), target.parse().unwrap());
        let handles = self.registry.handles();
        let known = Known { handles: &handles, clients: &self.clients, apps: &self.apps, now: Timestamp::default() };
        let presented = Presented { headers: &map, certificate: None };
        decide(Asked { method: &method, uri: &uri, presented }, known)
    }

    /// What comes of a GET with this relay key, as a short text.
    fn get(&self, target: &str, key: Option<&str>) -> String {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        told(self.decide("GET", target, &headers))
    }
}

fn told(decided: Result<Credential, GatewayRefusal>) -> String {
    match decided {
        Ok(Credential::Token { handle, place: Place::End }) => format!("{} added", handle.id),
        Ok(Credential::Token { handle, place: Place::Value(_) }) => format!("{} replaced", handle.id),
        Ok(Credential::AppSecret { account, was_appsecret, .. }) => format!("{account} AppSecret {was_appsecret}"),
        Ok(Credential::Own(platform)) => format!("own of {platform}"),
        Ok(Credential::User) => "user".to_owned(),
        Err(refusal) => refusal.name().to_owned(),
    }
}

#[test]
fn a_token_or_a_key_lets_a_call_pass_and_nothing_else_does() {
    let world = World::new();
    let path = "/cgi-bin/message/custom/send";
    for (target, key, expected) in [
        (format!("{path}?access_token={TOKEN}"), None, "main replaced"),
        (format!("{path}?access_token={TOKEN}"), Some("wrong"), "main replaced"),
        (format!("{path}?access_token=75%5Ftoken-of_main"), None, "main replaced"),
        (format!("{path}?access_token={TOKEN}x"), None, "unknown_token"),
        (format!("{path}?access_token={TOKEN}x"), Some(GATE_KEY), "unknown_token"),
        (format!("{path}?access_token=%zz"), Some(GATE_KEY), "misspelt"),
        (format!("{path}?access_token={TOKEN}&access_token={TOKEN}"), Some(GATE_KEY), "misspelt"),
        (format!("{path}?access%5Ftoken={TOKEN}"), Some(GATE_KEY), "misspelt"),
        (path.to_owned(), None, "missing_token"),
        (format!("{path}?access_token="), None, "missing_token"),
        (format!("{path}?access_token="), Some(SHOP_KEY), "shop replaced"),
        (path.to_owned(), Some(SHOP_KEY), "shop added"),
        (path.to_owned(), Some(GATE_KEY), "no_appid"),
        (path.to_owned(), Some(PLAIN_KEY), "not_allowed"),
        (path.to_owned(), Some("wrong"), "unknown_key"),
        (format!("{path}?component_access_token=x"), Some(GATE_KEY), "own of wechat"),
        (format!("{path}?suite_access_token=x"), Some(GATE_KEY), "own of wecom"),
        (format!("{path}?provider_access_token=x"), None, "missing_token"),
        (format!("{path}?component_access_token=x"), None, "missing_token"),
        (format!("{path}?component_access_token=x&access_token={TOKEN}"), None, "main replaced"),
        ("/".to_owned(), None, "missing_token"),
        ("/sns/component/jscode2session?component_access_token=x".to_owned(), Some(GATE_KEY), "own of wechat"),
        (format!("/sns/anything?access_token={TOKEN}"), None, "missing_token"),
    ] {
        assert_eq!(world.get(&target, key), expected, "{target} {key:?}");
    }
}

#[test]
fn an_account_is_named_by_a_header_given_once() {
    let world = World::new();
    let bearer = format!("Bearer {GATE_KEY}");
    for (names, expected) in [
        (&["main"][..], "main added"),
        (&["shop"], "shop added"),
        (&["none"], "unknown_appid"),
        (&[""], "unknown_appid"),
        (&["main", "main"], "misspelt"),
    ] {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(names.iter().map(|name| (ACCOUNT, *name)));
        assert_eq!(told(world.decide("POST", "/wxa/getwxacode", &headers)), expected, "{names:?}");
    }
    let shop = format!("Bearer {SHOP_KEY}");
    let headers = [("authorization", shop.as_str()), (ACCOUNT, "main")];
    assert_eq!(told(world.decide("POST", "/wxa/getwxacode", &headers)), "not_allowed");
}

#[test]
fn a_login_takes_a_relay_key_that_may_and_an_appsecret_that_is_accepted() {
    let world = World::new();
    for path in WITH_APPSECRET {
        for (query, expected) in [
            (format!("appid=wxmain&secret={GATE_KEY}"), "main AppSecret false"),
            (format!("secret={SHOP_KEY}&x&appid=wxshop"), "shop AppSecret false"),
            (format!("appid=wxmain&secret={APPSECRET}"), "main AppSecret true"),
            (format!("appid=wxshop&secret={APPSECRET}"), "wrong_key"),
            (format!("appid=wxmain&secret={SHOP_KEY}"), "not_allowed"),
            (format!("appid=wxmain&secret={PLAIN_KEY}"), "not_allowed"),
            ("appid=wxmain&secret=wrong".to_owned(), "wrong_key"),
            ("appid=wxmain&secret=".to_owned(), "no_secret"),
            (format!("appid=wxnone&secret={GATE_KEY}"), "unknown_appid"),
            (format!("secret={GATE_KEY}"), "no_appid"),
            (format!("appid=wxmain&appid=wxmain&secret={GATE_KEY}"), "misspelt"),
            (format!("appid=wxmain&secret={GATE_KEY}&secret={GATE_KEY}"), "misspelt"),
            (format!("appid=wxmain&secret={GATE_KEY}&secre%74=x"), "misspelt"),
        ] {
            assert_eq!(world.get(&format!("{path}?{query}"), None), expected, "{query}");
        }
        let target = format!("{path}?appid=wxmain&secret={GATE_KEY}");
        assert_eq!(told(world.decide("POST", &target, &[])), "not_get");
        assert_eq!(told(world.decide("GET", &target, &[("content-length", "5")])), "not_get");
        let other = target.replacen("/sns/", "/SNS/", 1);
        assert_eq!(world.get(&other, None), "misspelt");
        assert_eq!(world.get(&target.replacen('?', "/?", 1), None), "misspelt");
    }
}

#[test]
fn a_users_own_token_passes_on_three_paths_by_get_only() {
    let world = World::new();
    for (target, expected) in [
        ("/sns/userinfo?access_token=user&openid=o", "user"),
        ("/sns/auth?openid=o&access_token=user", "user"),
        ("/sns/userinfo?openid=o", "missing_token"),
        ("/sns/oauth2/refresh_token?appid=wxmain&refresh_token=r", "user"),
        ("/sns/oauth2/refresh_token?appid=wxnone&refresh_token=r", "unknown_appid"),
        ("/sns/oauth2/refresh_token?refresh_token=r", "no_appid"),
        ("/sns/Userinfo?access_token=user", "misspelt"),
        ("/sns/userinfo2?access_token=user", "missing_token"),
    ] {
        assert_eq!(world.get(target, None), expected, "{target}");
    }
    assert_eq!(told(world.decide("POST", "/sns/userinfo?access_token=user", &[])), "not_get");
}

#[test]
fn the_relays_own_paths_and_the_forbidden_one_do_not_pass_in_any_spelling() {
    let world = World::new();
    for (path, _) in PUBLIC {
        for other in [path.to_uppercase(), format!("{path}/")] {
            assert_eq!(world.get(&format!("{other}?access_token={TOKEN}"), None), "misspelt", "{other}");
        }
        let as_it_is = if path.contains("ticket") && path != "/ticket" { "main replaced" } else { "misspelt" };
        assert_eq!(world.get(&format!("{path}?access_token={TOKEN}"), None), as_it_is, "{path}");
    }
    for path in [FORBIDDEN, "/cgi-bin/clear_quota/v2/", "/CGI-BIN/Clear_Quota/V2"] {
        assert_eq!(world.get(&format!("{path}?access_token={TOKEN}"), None), "forbidden", "{path}");
    }
    for path in ["//cgi-bin/a", "/cgi-bin/%61", "/cgi-bin/./token", "/cgi-bin/../cgi-bin/token", "/cgi-bin//token"] {
        assert_eq!(world.get(&format!("{path}?access_token={TOKEN}"), None), "misspelt", "{path}");
    }
}

#[test]
fn what_no_client_sends_and_what_came_through_a_gateway_is_refused() {
    let world = World::new();
    let target = format!("/cgi-bin/x?access_token={TOKEN}");
    for (method, header, expected) in [
        ("CONNECT", ("x", "y"), "malformed"),
        ("GET", ("upgrade", "h2c"), "main replaced"),
        ("GET", ("connection", "keep-alive , Upgrade"), "main replaced"),
        ("POST", ("expect", "anything"), "malformed"),
        ("POST", ("expect", "100-Continue"), "main replaced"),
        ("DELETE", ("x", "y"), "main replaced"),
    ] {
        assert_eq!(told(world.decide(method, &target, &[header])), expected, "{method} {header:?}");
    }
}

proptest! {
    /// Whoever has neither a token, nor a key, nor an AppSecret gets nothing of the relay's.
    #[test]
    fn nothing_is_put_in_for_a_stranger(
        path in "(/|/sns/|/cgi-bin/|/sns/oauth2/)?[a-z0-9_%./;-]{0,24}",
        query in "(access_token|appid|secret|%61ppid|x)?=?[a-z0-9_&=%+-]{0,40}",
        bearer in "[ -~]{0,40}",
    ) {
        let target = format!("/{}?{query}", path.trim_start_matches('/'));
        prop_assume!(target.parse::<Uri>().is_ok());
        let decided = World::new().decide("GET", &target, &[("authorization", &bearer)]);
        let is_harmless = matches!(decided, Err(_) | Ok(Credential::User));
        prop_assert!(is_harmless, "{} {:?}", target, decided);
    }
}
