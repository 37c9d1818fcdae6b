//! Do calls with an agent's token reach WeCom, and do they heal by WeCom's codes? Real sockets, against two simulators.

use std::{sync::Arc, time::Duration};

use test_support::client::{self, Answer};
use token_relay::{
    account::AccountName,
    http::{App, Apps, Gateway, Timeouts},
    issuer::wechat::Endpoint,
    registry::Reported,
};
use wechat_sim::{Fault, Kind, Op, Sim, Times};

use crate::{
    fake_relay::{FakeRelay, KEY, LIMITS, Served, bearer},
    gateway::{errcode, settings},
    wecom::{CORP, SECRET, agent},
};

const USERS: &str = "/cgi-bin/user/get";

/// A relay in front of a simulated WeChat and another simulator for WeCom. `main` is an agent, `shop` is WeChat's.
struct Gate {
    wechat: Sim,
    wecom: Sim,
    fake: Arc<FakeRelay>,
    served: Served,
    token: String,
}

impl Gate {
    async fn new() -> Self {
        let wechat = Sim::builder().app("wxshop", "x").start().await.unwrap();
        let wecom = Sim::builder().agent(CORP, "1", SECRET).start().await.unwrap();
        let shop = App { account: "shop".parse().unwrap(), endpoint: Endpoint::Token, appsecret: None };
        let apps = Apps::new([("wxshop".to_owned(), shop)]).with_agents([agent("main", Some(SECRET))]);
        let secrets = ["main", "shop"].map(|name| (name.parse::<AccountName>().unwrap(), SECRET.into()));
        let gateway = Gateway::new(&settings(&wechat.base_url(), None), secrets, LIMITS.max_connections).unwrap();
        let gateway = gateway.with_wecom(&settings(&wecom.base_url(), None)).unwrap();
        let long = Duration::from_secs(60);
        let timeouts = Timeouts { verdict: long, silence: long, ..Timeouts::new(long) };
        let fake = FakeRelay::with_gateway(&["main", "main.jsapi", "shop"], timeouts, apps, Some(gateway));
        let token = Self::fetch(&wecom).await;
        fake.offer("main", 7, &token, 3541);
        fake.offer("shop", 7, &wechat.rotate_outside("wxshop", Kind::Rotating).access_token, 3541);
        let served = fake.serve(LIMITS).await;
        Self { wechat, wecom, fake: Arc::new(fake), served, token }
    }

    /// WeCom's own answer.
    async fn fetch(wecom: &Sim) -> String {
        let target = format!("/cgi-bin/gettoken?corpid={CORP}&corpsecret={SECRET}");
        client::get(wecom.addr(), &target, None).await.unwrap().token()
    }

    async fn get(&self, target: &str, headers: &str) -> Answer {
        let request = client::request("GET", target, None, headers, "");
        client::send(self.served.address, request.as_bytes()).await.unwrap()
    }

    async fn users(&self) -> Answer {
        self.get(&format!("{USERS}?access_token={}&userid=u", self.token), "").await
    }

    async fn metric(&self, series: &str) -> String {
        let page = self.fake.admin("/metrics").await.body;
        page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')).unwrap().to_owned()
    }
}

#[tokio::test]
async fn what_is_meant_for_wecom_goes_nowhere_where_no_account_is_wecoms() {
    let wechat = Sim::builder().app("wxshop", "x").start().await.unwrap();
    let secrets = [("shop".parse::<AccountName>().unwrap(), "x".into())];
    let gateway = Gateway::new(&settings(&wechat.base_url(), None), secrets, LIMITS.max_connections).unwrap();
    let timeouts = Timeouts::new(Duration::from_secs(60));
    let fake = FakeRelay::with_gateway(&["shop"], timeouts, Apps::default(), Some(gateway));
    let served = fake.serve(LIMITS).await;
    let headers = format!("Authorization: {}\r\n", bearer(KEY));
    for (method, body) in [("GET", ""), ("POST", "{}")] {
        let target = format!("{USERS}?suite_access_token=sentinel");
        let request = client::request(method, &target, None, &headers, body);
        assert_eq!(errcode(&client::send(served.address, request.as_bytes()).await.unwrap()), 48001, "{method}");
    }
    assert_eq!(wechat.route(USERS).calls, 0);
}

#[tokio::test]
async fn each_accounts_calls_go_to_its_own_platforms_host() {
    let gate = Gate::new().await;
    assert_eq!(errcode(&gate.users().await), 0);
    assert_eq!((gate.wecom.route(USERS).calls, gate.wechat.route(USERS).calls), (1, 0));
    for (account, of_wecom, of_wechat) in [("main", 2, 0), ("shop", 2, 1)] {
        let headers = format!("Authorization: {}\r\nX-Relay-Account: {account}\r\n", bearer(KEY));
        assert_eq!(errcode(&gate.get(USERS, &headers).await), 0, "{account}");
        assert_eq!((gate.wecom.route(USERS).calls, gate.wechat.route(USERS).calls), (of_wecom, of_wechat));
    }
    let headers = format!("Authorization: {}\r\n", bearer(KEY));
    for (name, of_wecom, of_wechat) in [("suite_access_token", 1, 0), ("component_access_token", 1, 1)] {
        gate.get(&format!("/cgi-bin/x/echo?{name}=x"), &headers).await;
        let calls = |sim: &Sim| sim.route("/cgi-bin/x/echo").calls;
        assert_eq!((calls(&gate.wecom), calls(&gate.wechat)), (of_wecom, of_wechat), "{name}");
    }
}

#[tokio::test]
async fn a_corpid_opens_no_login_of_wechats_and_the_token_route_has_one_spelling() {
    let gate = Gate::new().await;
    let login = format!("/sns/jscode2session?appid={CORP}&secret={SECRET}&js_code=x&grant_type=authorization_code");
    assert_eq!(errcode(&gate.get(&login, "").await), 40013);
    for path in ["/cgi-bin/Gettoken", "/cgi-bin/gettoken/", "/CGI-BIN/GETTOKEN"] {
        let answer = gate.get(&format!("{path}?access_token={}", gate.token), "").await;
        assert_eq!(errcode(&answer), 40097, "{path}");
    }
    assert_eq!(gate.wecom.calls(Op::Any).len(), 1, "only the test's own");
    assert_eq!(gate.wechat.calls(Op::Any).len(), 0);
}

#[tokio::test]
async fn a_revoked_token_is_reported_and_the_call_repeated() {
    let gate = Gate::new().await;
    assert!(gate.wecom.revoke(&gate.token));
    let (fake, new) = (gate.fake.clone(), Gate::fetch(&gate.wecom).await);
    gate.fake.keeper("main", move |generation| {
        assert_eq!(generation.0, 7);
        fake.offer("main", 8, &new, 3541);
        Reported::Settled
    });
    assert_eq!(errcode(&gate.users().await), 0, "its caller sees nothing");
    assert_eq!(gate.wecom.route(USERS).calls, 2);
    assert_eq!(gate.metric("token_relay_gateway_healings_total{outcome=\"repeated\"}").await, "1");
}

#[tokio::test]
async fn only_wecoms_codes_are_a_report_and_a_wrong_secret_is_none() {
    let gate = Gate::new().await;
    let mut reports = gate.fake.take_reports("main");
    for code in [40001, 40013, 41001, 60020, 45009] {
        gate.wecom.fault(USERS, Fault::errcode(code), Times::Next(1));
        assert_eq!(errcode(&gate.users().await), code);
    }
    assert!(reports.try_recv().is_err(), "nobody reported");
    let series = "token_relay_gateway_healings_total{outcome=\"passed_on\"}";
    assert_eq!(gate.metric(series).await, "0");
}

#[tokio::test]
async fn where_all_accounts_are_wecoms_a_token_that_is_not_known_is_40014() {
    let gate = Gate::new().await;
    let target = format!("{USERS}?access_token=unknown");
    assert_eq!(errcode(&gate.get(&target, "").await), 40001, "WeChat's, where there are both");
    let gateway = Gateway::new(&settings(&gate.wechat.base_url(), None), [], 10).unwrap();
    let apps = Apps::default().with_agents([agent("main", None)]);
    let fake = FakeRelay::with_gateway(&["main"], Timeouts::new(Duration::ZERO), apps, Some(gateway));
    let served = fake.serve(LIMITS).await;
    let request = client::request("GET", &target, None, "", "");
    assert_eq!(errcode(&client::send(served.address, request.as_bytes()).await.unwrap()), 40014);
}

#[tokio::test]
async fn a_ticket_that_is_not_kept_comes_from_wecom() {
    let gate = Gate::new().await;
    gate.fake.offer("main.jsapi", 7, "the-kept-one", 7100);
    let (jsapi, agent_config) = ("/cgi-bin/get_jsapi_ticket", "/cgi-bin/ticket/get");
    let kept = gate.get(&format!("{jsapi}?access_token={}", gate.token), "").await;
    assert_eq!(kept.json()["ticket"], "the-kept-one");
    let headers = format!("Authorization: {}\r\nX-Relay-Account: main\r\n", bearer(KEY));
    assert_eq!(gate.get(jsapi, &headers).await.json()["ticket"], "the-kept-one", "a relay key is enough");
    assert_eq!(gate.wecom.route(jsapi).calls, 0);
    let target = format!("{agent_config}?access_token={}&type=agent_config", gate.token);
    let ticket = gate.get(&target, "").await.json()["ticket"].as_str().unwrap().to_owned();
    assert!(gate.wecom.ticket_alive_for(&ticket).is_some());
    assert_eq!(
        errcode(&gate.get(&format!("{agent_config}?access_token=unknown&type=agent_config"), "").await),
        40014,
        "40001 would be a wrong secret"
    );
    assert_eq!((gate.wecom.route(agent_config).calls, gate.wechat.calls(Op::Any).len()), (1, 0));
}
