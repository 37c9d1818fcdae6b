//! What reaches WeChat through the gateway, and what comes back? Real sockets, against the simulator.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use test_support::{
    ClosedPort,
    client::{self, Answer},
};
use token_relay::{
    account::AccountName,
    http::{App, Apps, Gateway, Limits, Timeouts},
    issuer::{
        upstream::{HostAddresses, UpstreamSettings},
        wechat::Endpoint,
    },
    relay_key::KeyDigest,
    status::{Lease, Status},
    store::StoreError,
};
use wechat_sim::{Fault, Kind, Login, LoginKind, MediaKind, Op, Sim, Times, TokenId};

use crate::fake_relay::{BOTH_KEY, FakeRelay, KEY, LIMITS, MAIN_KEY, Served, bearer, idle, offering};

pub(crate) const APPSECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const SEND: &str = "/cgi-bin/message/custom/send";
pub(crate) const MESSAGE: &str = r#"{"touser":"oUser","msgtype":"text"}"#;

/// A relay with a gateway to a simulated WeChat. The accounts `main` and `shop` have living tokens; a ticket of `main` is kept, but
/// there is none yet.
pub(crate) struct Gate {
    pub(crate) sim: Sim,
    pub(crate) fake: Arc<FakeRelay>,
    pub(crate) served: Served,
    pub(crate) token: String,
}

pub(crate) fn settings(base_url: &str, fallback: Option<&str>) -> UpstreamSettings {
    UpstreamSettings {
        base_url: base_url.parse().unwrap(),
        fallback_base_url: fallback.map(|url| url.parse().unwrap()),
        proxy: None,
        resolve: HostAddresses::default(),
        connect_timeout: Duration::from_secs(10),
        timeout: Duration::from_secs(20),
    }
}

fn apps() -> Apps {
    let app = |name: &str, accepts: bool| {
        let appsecret = accepts.then(|| KeyDigest::of(APPSECRET.as_bytes()));
        (format!("wx{name}"), App { account: name.parse().unwrap(), endpoint: Endpoint::Token, appsecret })
    };
    Apps::new([app("main", false), app("shop", true)])
}

fn gateway(settings: &UpstreamSettings, max_connections: usize) -> Gateway {
    let secrets = ["main", "shop"].map(|name| (name.parse::<AccountName>().unwrap(), APPSECRET.into()));
    Gateway::new(settings, secrets, max_connections).unwrap()
}

impl Gate {
    pub(crate) async fn new() -> Self {
        let long = Duration::from_secs(60);
        let timeouts = Timeouts { verdict: long, silence: long, ..Timeouts::new(long) };
        Self::with(timeouts, LIMITS, |sim| settings(&sim.base_url(), None)).await
    }

    pub(crate) async fn with(
        timeouts: Timeouts,
        limits: Limits,
        settings: impl FnOnce(&Sim) -> UpstreamSettings,
    ) -> Self {
        let sim = Sim::builder().app("wxmain", APPSECRET).app("wxshop", APPSECRET).start().await.unwrap();
        let gateway = gateway(&settings(&sim), limits.max_connections);
        let fake = FakeRelay::with_gateway(&["main", "main.jsapi", "shop"], timeouts, apps(), Some(gateway));
        let [token, shop] = ["wxmain", "wxshop"].map(|app| sim.rotate_outside(app, Kind::Rotating).access_token);
        fake.offer("main", 7, &token, 3541);
        fake.offer("shop", 7, &shop, 3541);
        let served = fake.serve(limits).await;
        Self { sim, fake: Arc::new(fake), served, token }
    }

    /// As changed settings do it: another gateway in the place of this one.
    pub(crate) fn reload(&self, max_connections: usize) {
        let next = gateway(&settings(&self.sim.base_url(), None), max_connections);
        self.fake.reload(Timeouts::new(Duration::from_secs(60)), apps(), Some(next));
    }

    pub(crate) async fn send(&self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        let request = client::request(method, target, None, headers, body);
        client::send(self.served.address, request.as_bytes()).await.unwrap()
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, "", "").await
    }

    /// A message with this token.
    pub(crate) async fn message(&self, token: &str) -> Answer {
        self.send("POST", &format!("{SEND}?access_token={token}"), "", MESSAGE).await
    }

    pub(crate) async fn metric(&self, series: &str) -> String {
        let page = self.fake.admin("/metrics").await.body;
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} is not in\n{page}")).to_owned()
    }
}

pub(crate) fn errcode(answer: &Answer) -> i64 {
    answer.json()["errcode"].as_i64().unwrap_or_else(|| panic!("{answer:?}"))
}

fn authorized(key: &str, account: Option<&str>) -> String {
    let account = account.map(|name| format!("X-Relay-Account: {name}\r\n")).unwrap_or_default();
    format!("Authorization: {}\r\n{account}", bearer(key))
}

/// The id of a value as an echo shows it.
fn id(value: &str) -> Value {
    TokenId::of(value).to_string().into()
}

#[tokio::test]
async fn a_call_arrives_as_it_was_sent_but_for_the_host_and_what_is_the_relays() {
    let gate = Gate::new().await;
    let target = format!("/any/path~1.2/echo?b='%41\\&access_token={}&a=%20+&&%C3%a9=|{{}}", gate.token);
    let headers = "X-Forwarded-For: 10.0.0.1\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer x\r\nWechatmp-Signature: a+b/=\r\n\
        User-Agent: sdk/1\r\nVia: 1.1 p\r\n";
    let answer = gate.send("PATCH", &target, headers, "{\"x\":1}").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let echo = answer.json();
    assert_eq!((&echo["method"], &echo["path"]), (&"PATCH".into(), &"/any/path~1.2/echo".into()));
    let query =
        json!([["b", id("'%41\\")], ["access_token", id(&gate.token)], ["a", id("%20+")], ["%C3%a9", id("|{}")]]);
    assert_eq!(echo["query"], query);
    let mut headers: Vec<_> =
        echo["headers"].as_array().unwrap().iter().map(|pair| pair[0].as_str().unwrap()).collect();
    headers.sort_unstable();
    assert_eq!(headers, ["content-length", "host", "token-relay-hop", "user-agent", "wechatmp-signature"]);
    let host = gate.sim.addr().to_string();
    assert!(echo["headers"].as_array().unwrap().contains(&json!(["host", host])), "{echo}");
    assert_eq!(echo["body"]["size"], 7, "{echo}");
    assert_eq!(gate.metric("token_relay_gateway_requests_total{family=\"other\",class=\"2xx\"}").await, "1");
    assert_eq!(gate.metric("token_relay_requests_total{route=\"gateway\",status=\"200\"}").await, "1");
    assert_eq!(gate.metric("token_relay_gateway_upstream_seconds_count").await, "1");
}

#[tokio::test]
async fn a_relay_key_gets_the_token_of_the_account_that_it_means() {
    let gate = Gate::new().await;
    for (headers, errcode) in [
        (authorized(KEY, Some("main")), 0),
        (authorized(BOTH_KEY, Some("shop")), 0),
        (authorized(KEY, None), 41002),
        (authorized(MAIN_KEY, None), 48001),
        (authorized("nobody's", None), 48001),
        (String::new(), 41001),
    ] {
        let answer = gate.send("POST", SEND, &headers, MESSAGE).await;
        assert_eq!((answer.status, self::errcode(&answer)), (200, errcode), "{headers} {answer:?}");
    }
    assert_eq!(gate.sim.route(SEND).calls, 2);
    let answer = gate.message("75_nobody_knows").await;
    assert_eq!((answer.status, errcode(&answer)), (200, 40001));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(gate.sim.route(SEND).calls, 2);
    assert_eq!(gate.metric("token_relay_gateway_refusals_total{reason=\"unknown_token\"}").await, "1");
}

#[tokio::test]
async fn a_login_swaps_the_key_for_the_appsecret_and_a_users_own_token_passes_as_it_is() {
    let gate = Gate::new().await;
    let login = |kind| Login { kind, openid: "oUser".to_owned(), unionid: None, scope: "snsapi_userinfo".to_owned() };
    let mini = |appid: &str| gate.sim.login_code(appid, login(LoginKind::MiniProgram));
    let session = async |appid: &str, secret: &str| {
        let code = mini(appid);
        let query = format!("appid={appid}&secret={secret}&js_code={code}&grant_type=authorization_code");
        gate.get(&format!("/sns/jscode2session?{query}")).await.json()
    };
    assert_eq!(session("wxmain", KEY).await["openid"], "oUser");
    assert_eq!(session("wxshop", APPSECRET).await["openid"], "oUser");
    assert_eq!(gate.metric("token_relay_appsecret_requests_total{account=\"shop\"}").await, "1");
    for (appid, secret, errcode) in
        [("wxmain", APPSECRET, 40125), ("wxmain", MAIN_KEY, 48001), ("wxmain", "wrong", 40125)]
    {
        assert_eq!(session(appid, secret).await["errcode"], errcode);
    }
    assert_eq!(gate.sim.route("/sns/jscode2session").calls, 2);

    let code = gate.sim.login_code("wxmain", login(LoginKind::Web));
    let query = format!("appid=wxmain&secret={KEY}&code={code}&grant_type=authorization_code");
    let user = gate.get(&format!("/sns/oauth2/access_token?{query}")).await.json();
    let (token, refresh) = (user["access_token"].as_str().unwrap(), user["refresh_token"].as_str().unwrap());
    let info = gate.get(&format!("/sns/userinfo?access_token={token}&openid=oUser&lang=zh_CN")).await;
    assert_eq!(info.json()["openid"], "oUser");
    let query = format!("appid=wxmain&grant_type=refresh_token&refresh_token={refresh}");
    assert_eq!(gate.get(&format!("/sns/oauth2/refresh_token?{query}")).await.json()["openid"], "oUser");
    // The app's own token is no user's: WeChat says so, and it is no report.
    let wrong = gate.get(&format!("/sns/userinfo?access_token={}&openid=oUser", gate.token)).await;
    assert_eq!(errcode(&wrong), 40001);
    let series = "token_relay_gateway_healings_total{outcome=\"passed_on\"}";
    assert_eq!(gate.metric(series).await, "0");
}

#[tokio::test]
async fn head_and_range_and_their_headers_are_kept() {
    let gate = Gate::new().await;
    let media = gate.sim.make_media("wxmain", MediaKind::Image, "image/png", 100_000);
    let target = format!("/cgi-bin/media/get?access_token={}&media_id={media}", gate.token);
    let part = gate.send("GET", &target, "Range: bytes=10-19\r\n", "").await;
    assert_eq!((part.status, part.header("content-length")), (206, Some("10")), "{part:?}");
    assert_eq!(part.header("content-range"), Some("bytes 10-19/100000"));
    assert_eq!(part.header("content-type"), Some("image/png"));
    let head = client::request("HEAD", &target, None, "", "");
    let head = gate.served.exchange(head.as_bytes()).await.to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("content-length: 100000\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn a_redirect_is_passed_on_without_the_token_and_not_followed() {
    let gate = Gate::new().await;
    gate.sim.fault("/cgi-bin/x", Fault::Redirect, Times::Next(1));
    let answer = gate.get(&format!("/cgi-bin/x?access_token={}&y=1", gate.token)).await;
    assert_eq!(answer.status, 302, "{answer:?}");
    let location = answer.header("location").unwrap();
    assert!(location.contains("/cgi-bin/x?access_token=&y=1"), "{location}");
    assert!(!answer.head.contains(&gate.token));
    assert_eq!(gate.metric("token_relay_gateway_requests_total{family=\"cgi_bin\",class=\"3xx\"}").await, "1");
}

#[tokio::test]
async fn without_a_living_token_nothing_is_called() {
    let gate = Gate::new().await;
    gate.fake.offer("main", 8, &gate.token, 0);
    gate.fake.publish("shop", idle());
    for (target, headers) in [
        (format!("{SEND}?access_token={}", gate.token), String::new()),
        (SEND.to_owned(), authorized(KEY, Some("shop"))),
    ] {
        let answer = gate.send("POST", &target, &headers, MESSAGE).await;
        assert_eq!((answer.status, errcode(&answer)), (503, -1), "{answer:?}");
        assert_eq!(answer.retry_after(), Some(1));
    }
    assert_eq!(gate.sim.calls(Op::Any).len(), 0);
}

/// A relay whose first account is `status` when a call with its token comes, and offers that token a moment later.
async fn called_before_it_is_known(status: Status) -> Answer {
    let gate = Gate::new().await;
    gate.fake.publish("main", status);
    let (answer, ()) = tokio::join!(gate.message(&gate.token), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.fake.offer("main", 7, &gate.token, 3541);
    });
    answer
}

/// 40001 makes an SDK fetch at once, and wechatpy without an end.
#[tokio::test]
async fn a_token_is_not_unknown_before_the_record_was_read_or_while_another_relay_may_have_fetched_it() {
    let loading = Status { is_loaded: false, ..idle() };
    let behind = Status { lease: Lease::Another, ..offering(6, "the-one-before", 3541) };
    let store_trouble = Some(StoreError("no answer".to_owned()).into());
    let cut_off = Status { store_trouble, ..behind.clone() };
    for status in [loading, behind, cut_off] {
        let answer = called_before_it_is_known(status.clone()).await;
        assert_eq!(errcode(&answer), 0, "{status:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_token_that_nobody_knows_is_refused_and_one_that_may_yet_be_known_is_not() {
    let gate =
        Gate::with(Timeouts::new(Duration::from_millis(200)), LIMITS, |sim| settings(&sim.base_url(), None)).await;
    let errcodes = async |status| {
        gate.fake.publish("main", status);
        let ticket = "/cgi-bin/ticket/getticket?type=jsapi&access_token=unknown";
        [errcode(&gate.message("unknown").await), errcode(&gate.get(ticket).await)]
    };
    assert_eq!(errcodes(offering(7, "t", 60)).await, [40001, 40001]);
    assert_eq!(errcodes(Status { lease: Lease::Another, ..offering(7, "t", 60) }).await, [40001, 40001]);
    assert_eq!(errcodes(Status { is_loaded: false, ..idle() }).await, [-1, -1]);
    assert_eq!(gate.sim.calls(Op::Any).len(), 0);
}

#[tokio::test]
async fn the_upstream_is_that_of_the_settings_and_its_fallback() {
    let (closed, other) = (ClosedPort::bind(), ClosedPort::bind());
    let (long, none) = (Duration::from_secs(60), Duration::ZERO);
    let timeouts = Timeouts { silence: long, ..Timeouts::new(none) };
    let gate = Gate::with(timeouts, LIMITS, |sim| settings(&closed.url(), Some(&sim.base_url()))).await;
    let target = format!("{}{SEND}?access_token={}", other.url(), gate.token);
    let host = other.address();
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{MESSAGE}",
        MESSAGE.len()
    );
    let answer = client::send(gate.served.address, request.as_bytes()).await.unwrap();
    assert_eq!((answer.status, errcode(&answer)), (200, 0), "the first host took nothing of the body: {answer:?}");
    let gate = Gate::with(timeouts, LIMITS, |_| settings(&closed.url(), Some(&other.url()))).await;
    let answer = gate.message(&gate.token).await;
    assert_eq!((answer.status, errcode(&answer)), (502, -1), "{answer:?}");
    assert!(!answer.body.contains(&gate.token));
    assert_eq!(gate.metric("token_relay_gateway_refusals_total{reason=\"no_connection\"}").await, "1");
}

#[tokio::test]
async fn without_a_gateway_an_unknown_path_is_404_as_before() {
    let fake = FakeRelay::serving("75_token");
    let served = fake.serve(LIMITS).await;
    let answer = client::get(served.address, &format!("{SEND}?access_token=75_token"), Some(KEY)).await.unwrap();
    assert_eq!(answer.status, 404);
    let gate = Gate::new().await;
    assert_eq!(client::get(gate.served.address, "/token?account=main", Some(KEY)).await.unwrap().token(), gate.token);
    assert_eq!(gate.get("/healthz").await.status, 200);
    assert_eq!(gate.send("DELETE", "/token", "", "").await.status, 405);
    assert_eq!(errcode(&gate.get("/cgi-bin/token?appid=wxnone").await), 40013);
}

#[tokio::test]
async fn a_kept_ticket_is_the_relays_own_and_any_other_is_wechats() {
    let gate = Gate::new().await;
    gate.fake.offer("main.jsapi", 9, "kept", 7100);
    let path = "/cgi-bin/ticket/getticket";
    let with_token = |kind: &str| format!("{path}?access_token={}&type={kind}", gate.token);
    let key = format!("Authorization: {}\r\nX-Relay-Account: main\r\n", bearer(KEY));
    assert_eq!(gate.get(&with_token("jsapi")).await.json()["ticket"], "kept");
    assert_eq!(gate.send("GET", &format!("{path}?type=jsapi"), &key, "").await.json()["ticket"], "kept");
    assert_eq!(gate.sim.calls(Op::Ticket).len(), 0);

    let card = gate.get(&with_token("wx_card")).await;
    assert!(gate.sim.ticket_alive_for(card.json()["ticket"].as_str().unwrap()).is_some(), "{card:?}");
    assert!(gate.send("GET", &format!("{path}?type=wx_card"), &key, "").await.json()["ticket"].is_string());
    assert_eq!(gate.get(&with_token("agent_config")).await.json()["errcode"], 40097);
    assert_eq!(gate.sim.calls(Op::Ticket).len(), 3);

    assert_eq!(gate.get(&format!("{path}?access_token=never&type=jsapi")).await.json()["errcode"], 40001);
    assert_eq!(gate.get(&format!("{path}?type=jsapi")).await.json()["errcode"], 41001);
    assert_eq!(gate.sim.calls(Op::Ticket).len(), 3, "no open proxy");
}

#[tokio::test]
async fn the_gateway_connects_a_host_at_the_addresses_that_are_given_for_it() {
    let timeouts = Timeouts::new(std::time::Duration::from_secs(60));
    let gate = Gate::with(timeouts, LIMITS, |sim| {
        let port = sim.base_url().rsplit(':').next().unwrap().to_owned();
        let addresses = [("api.wechat.invalid".to_owned(), std::net::Ipv4Addr::LOCALHOST.into())];
        let given = settings(&format!("http://api.wechat.invalid:{port}"), None);
        UpstreamSettings { resolve: HostAddresses::new(addresses), ..given }
    });
    let gate = gate.await;
    assert_eq!(errcode(&gate.message(&gate.token).await), 0);
}

#[tokio::test]
async fn what_a_relay_has_sent_is_refused_on_every_route_and_nothing_is_called() {
    let gate = Gate::new().await;
    let token = format!("/cgi-bin/token?grant_type=client_credential&appid=wxmain&secret={KEY}");
    let calls = [
        ("GET", token.as_str(), ""),
        ("POST", "/cgi-bin/stable_token", "{}"),
        ("GET", "/cgi-bin/gettoken?corpid=x&corpsecret=y", ""),
        ("GET", &format!("/cgi-bin/get_api_domain_ip?access_token={}", gate.token), ""),
        ("POST", &format!("{SEND}?access_token={}", gate.token), MESSAGE),
        ("GET", "/cgi-bin/ticket/getticket?type=jsapi", ""),
    ];
    for (method, target, body) in calls {
        let answer = gate.send(method, target, "Token-Relay-Hop: 1\r\n", body).await;
        assert_eq!((answer.status, errcode(&answer)), (508, -1), "{target}");
        assert!(answer.body.contains("the relay's upstream is a relay") && answer.header("token-relay-hop").is_some());
    }
    assert_eq!(gate.metric("token_relay_loops_total").await, calls.len().to_string());
    assert_eq!((gate.sim.calls(Op::Api).len(), gate.sim.calls(Op::Token).len()), (0, 0));
    assert_eq!(gate.get(&token).await.status, 200, "without the mark it is served");
}
