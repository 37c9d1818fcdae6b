//! What do WeChat's own token routes answer? Every row of the documentation, on real sockets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};
use test_support::client::{self, Answer};
use token_relay::{
    http::{App, Apps, Timeouts},
    issuer::wechat::Endpoint,
    registry::Reported,
    relay_key::KeyDigest,
    report::{ReportFailure, ReportLimit},
    status::Status,
};

use crate::fake_relay::{BOTH_KEY, FakeRelay, KEY, LIMITS, MAIN_KEY, ODD_KEY, Served, app, idle, offering};

const GRANT: &str = "client_credential";
const APPSECRET: &str = "0123456789abcdef0123456789abcdef";

/// A relay that is asked as WeChat is.
pub(crate) struct DropIn {
    pub(crate) fake: FakeRelay,
    pub(crate) served: Served,
}

impl DropIn {
    /// One account, `main` with the appid `wxmain`, which has a token.
    pub(crate) async fn serving(token: &str) -> Self {
        Self::around(FakeRelay::serving(token)).await
    }

    pub(crate) async fn around(fake: FakeRelay) -> Self {
        let served = fake.serve(LIMITS).await;
        Self { fake, served }
    }

    pub(crate) async fn send(&self, method: &str, target: &str, body: &str) -> Answer {
        let request = client::request(method, target, None, "", body);
        client::send(self.served.address, request.as_bytes()).await.unwrap()
    }

    /// `GET /cgi-bin/token` with this query.
    pub(crate) async fn get(&self, query: &str) -> Answer {
        self.send("GET", &format!("/cgi-bin/token?{query}"), "").await
    }

    /// `POST /cgi-bin/stable_token` with this body.
    pub(crate) async fn post(&self, body: impl ToString) -> Answer {
        self.send("POST", "/cgi-bin/stable_token", &body.to_string()).await
    }

    pub(crate) async fn metric(&self, series: &str) -> String {
        let page = self.fake.admin("/metrics").await.body;
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} is not in\n{page}")).to_owned()
    }
}

/// The query that every SDK sends.
pub(crate) fn query(appid: &str, secret: &str) -> String {
    format!("grant_type={GRANT}&appid={appid}&secret={secret}")
}

/// The body that every SDK sends.
pub(crate) fn body(appid: &str, secret: &str) -> Value {
    json!({ "grant_type": GRANT, "appid": appid, "secret": secret })
}

fn forced() -> Value {
    json!({ "grant_type": GRANT, "appid": "wxmain", "secret": KEY, "force_refresh": true })
}

pub(crate) fn assert_token(answer: &Answer, token: &str) {
    assert_eq!((answer.status, &answer.json()["access_token"]), (200, &token.into()), "{answer:?}");
    assert!(answer.json()["expires_in"].is_u64() && answer.json().get("errcode").is_none(), "{answer:?}");
    assert_headers(answer);
}

/// The answer is this refusal, as WeChat writes one.
pub(crate) fn assert_refused(answer: &Answer, errcode: i64, errmsg: &str) {
    let json = answer.json();
    assert_eq!((answer.status, &json["errcode"]), (200, &errcode.into()), "{answer:?}");
    assert_headers(answer);
    let (words, rid) = json["errmsg"].as_str().unwrap().split_once(" rid: ").unwrap();
    assert_eq!(words, errmsg);
    let groups: Vec<&str> = rid.split('-').collect();
    let hex = |group: &&str| group.len() == 8 && group.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    assert!(groups.len() == 3 && groups.iter().all(hex), "{rid}");
    assert!(i64::from_str_radix(groups[0], 16).unwrap() > 1_700_000_000, "the first group is the time: {rid}");
    assert!(json.get("access_token").is_none() && json.as_object().unwrap().len() == 2, "{answer:?}");
}

fn assert_headers(answer: &Answer) {
    assert_eq!(answer.header("content-type"), Some("application/json; encoding=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("etag"), None);
}

#[tokio::test]
async fn both_routes_serve_the_token_in_the_bytes_of_get_token() {
    let relay = DropIn::serving("75_token").await;
    let plain = relay.fake.get("/token").await;
    assert_eq!(plain.body, r#"{"access_token":"75_token","expires_in":3541}"#);
    for answer in [relay.get(&query("wxmain", KEY)).await, relay.post(body("wxmain", KEY)).await] {
        assert_token(&answer, "75_token");
        assert_eq!(answer.body, plain.body);
    }
    assert_eq!(relay.metric("token_relay_requests_total{route=\"drop_in_token\",status=\"200\"}").await, "1");
    assert_eq!(relay.metric("token_relay_requests_total{route=\"drop_in_stable_token\",status=\"200\"}").await, "1");
}

#[tokio::test]
async fn a_head_is_a_get_without_a_body() {
    let relay = DropIn::serving("t").await;
    for query in [query("wxmain", KEY), query("wxmain", "wrong")] {
        let target = format!("/cgi-bin/token?{query}");
        let (get, head) = (
            relay.send("GET", &target, "").await,
            relay.served.exchange(client::request("HEAD", &target, None, "", "").as_bytes()).await,
        );
        let headers = |head: &str| {
            let lines = head.trim_end().lines().filter(|line| !line.starts_with("date: "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(headers(&head), headers(&get.head));
    }
}

#[tokio::test]
async fn parameters_come_in_any_order_escaped_or_not_among_others() {
    let relay = DropIn::serving("t").await;
    for query in [
        format!("secret={KEY}&appid=wxmain&grant_type={GRANT}"),
        format!("appid=wxmain&grant_type={GRANT}&secret={KEY}&x=1&x=2&&=&access_token=old"),
        format!("gr%61nt_type=client%5fcredential&%61ppid=wx%6Dain&secret={}", KEY.replace('-', "%2D")),
        format!("{}&broken=%zz&%ff=1&%=&nul=%00", query("wxmain", KEY)),
    ] {
        assert_token(&relay.get(&query).await, "t");
    }
    for body in [
        format!(" {{\"secret\":{KEY:?},\"x\":[{{}}],\"appid\":\"wx\\u006dain\",\"grant_type\":\"{GRANT}\"}}\r\n"),
        json!({ "grant_type": GRANT, "appid": "wxmain", "secret": KEY, "force_refresh": false }).to_string(),
        json!({ "grant_type": GRANT, "appid": "wxmain", "secret": KEY, "access_token": 1 }).to_string(),
    ] {
        assert_token(&relay.post(&body).await, "t");
    }
    let target = format!("/cgi-bin/stable_token?{}", query("wxmain", "ignored"));
    assert_token(&relay.send("POST", &target, &body("wxmain", KEY).to_string()).await, "t");
    let with_body = client::request("GET", &format!("/cgi-bin/token?{}", query("wxmain", KEY)), None, "", "{\"x\":");
    assert_token(&client::send(relay.served.address, with_body.as_bytes()).await.unwrap(), "t");
}

#[tokio::test]
async fn every_refusal_of_a_query_has_wechats_code_and_words() {
    let relay = DropIn::around(FakeRelay::of(&["main", "shop"])).await;
    let (good, other) = (query("wxmain", KEY), query("wxshop", MAIN_KEY));
    for (query, errcode, errmsg) in [
        (String::new(), 41002, "appid missing"),
        (good.replace("appid=", "x="), 41002, "appid missing"),
        (good.replace("wxmain", ""), 41002, "appid missing"),
        (good.replace("appid=wxmain", "appid"), 41002, "appid missing"),
        (good.replace("appid=", "Appid="), 41002, "appid missing"),
        (good.replace("wxmain", "wxnone"), 40013, "invalid appid"),
        (good.replace("wxmain", "main"), 40013, "invalid appid"),
        (good.replace("wxmain", "WXMAIN"), 40013, "invalid appid"),
        (good.replace("wxmain", "wxmain%20"), 40013, "invalid appid"),
        (good.replace("wxmain", "+wxmain"), 40013, "invalid appid"),
        (good.replace("wxmain", "wxmain%00"), 40013, "invalid appid"),
        (good.replace("wxmain", "%ff"), 40013, "invalid appid"),
        (format!("{good}&appid=wxmain"), 40013, "invalid appid"),
        (format!("{good}&%61ppid=wxshop"), 40013, "invalid appid"),
        (format!("{good}&appid="), 40013, "invalid appid"),
        (good.replace("secret=", "secrets="), 41004, "appsecret missing"),
        (good.replace(KEY, ""), 41004, "appsecret missing"),
        (good.replace(KEY, "wrong"), 40125, "invalid appsecret"),
        (good.replace(KEY, &KEY.to_uppercase()), 40125, "invalid appsecret"),
        (good.replace(KEY, &format!("{KEY}+")), 40125, "invalid appsecret"),
        (good.replace(KEY, &format!("{KEY}%0a")), 40125, "invalid appsecret"),
        (good.replace(KEY, "%"), 40125, "invalid appsecret"),
        (format!("{good}&secret={KEY}"), 40125, "invalid appsecret"),
        (format!("secret=wrong&{good}"), 40125, "invalid appsecret"),
        (format!("{good}&s%65cret={KEY}"), 40125, "invalid appsecret"),
        (good.replace(GRANT, ""), 40002, "invalid grant_type"),
        (good.replace("grant_type", "grant"), 40002, "invalid grant_type"),
        (good.replace(GRANT, "authorization_code"), 40002, "invalid grant_type"),
        (good.replace(GRANT, "Client_Credential"), 40002, "invalid grant_type"),
        (format!("{good}&grant_type={GRANT}"), 40002, "invalid grant_type"),
        (other, 48001, "api unauthorized"),
        (good, -1, "system error"),
    ] {
        assert_refused(&relay.get(&query).await, errcode, errmsg);
    }
    for (reason, count) in [
        ("no_appid", "5"),
        ("unknown_appid", "10"),
        ("no_secret", "2"),
        ("wrong_key", "8"),
        ("bad_grant_type", "5"),
        ("foreign_account", "1"),
        ("no_token", "1"),
    ] {
        let series = format!("token_relay_drop_in_refusals_total{{reason=\"{reason}\"}}");
        assert_eq!(relay.metric(&series).await, count, "{reason}");
    }
}

#[tokio::test]
async fn every_refusal_of_a_body_has_wechats_code_and_words() {
    let relay = DropIn::around(FakeRelay::of(&["main", "shop"])).await;
    let with = |name: &str, value: Value| {
        let mut body = body("wxmain", KEY);
        body[name] = value;
        body.to_string()
    };
    let good = body("wxmain", KEY).to_string();
    let twice = |name: &str| good.replacen('{', &format!("{{\"{name}\":\"x\","), 1);
    for (body, errcode, errmsg) in [
        (String::new(), 47001, "data format error"),
        ("{".to_owned(), 47001, "data format error"),
        ("[]".to_owned(), 47001, "data format error"),
        (format!("[\"wxmain\",{KEY:?},{GRANT:?},false]"), 47001, "data format error"),
        ("null".to_owned(), 47001, "data format error"),
        (query("wxmain", KEY), 47001, "data format error"),
        (format!("{good} x"), 47001, "data format error"),
        (format!("\u{feff}{good}"), 47001, "data format error"),
        (with("appid", 7.into()), 47001, "data format error"),
        (with("secret", json!([KEY])), 47001, "data format error"),
        (with("grant_type", true.into()), 47001, "data format error"),
        (with("force_refresh", "true".into()), 47001, "data format error"),
        (with("force_refresh", 1.into()), 47001, "data format error"),
        (with("force_refresh", Value::Null), 47001, "data format error"),
        (twice("appid"), 47001, "data format error"),
        (twice("secret"), 47001, "data format error"),
        (twice("s\\u0065cret"), 47001, "data format error"),
        ("[".repeat(4000), 47001, "data format error"),
        ("{\"x\":".repeat(800), 47001, "data format error"),
        ("{}".to_owned(), 41002, "appid missing"),
        (with("appid", "".into()), 41002, "appid missing"),
        (with("appid", Value::Null), 41002, "appid missing"),
        (with("appid", "wxnone".into()), 40013, "invalid appid"),
        (with("appid", "wxmain\0".into()), 40013, "invalid appid"),
        (with("secret", "".into()), 41004, "appsecret missing"),
        (with("secret", "wrong".into()), 40125, "invalid appsecret"),
        (with("secret", format!("{KEY}\0").into()), 40125, "invalid appsecret"),
        (with("grant_type", "".into()), 40002, "invalid grant_type"),
        (with("grant_type", "authorization_code".into()), 40002, "invalid grant_type"),
        (body_of("wxshop", MAIN_KEY), 48001, "api unauthorized"),
        (good.clone(), -1, "system error"),
    ] {
        assert_refused(&relay.post(&body).await, errcode, errmsg);
    }
    assert_eq!(relay.metric("token_relay_drop_in_refusals_total{reason=\"bad_body\"}").await, "19");
}

fn body_of(appid: &str, secret: &str) -> String {
    body(appid, secret).to_string()
}

#[tokio::test]
async fn the_checks_come_in_wechats_order() {
    let relay = DropIn::around(FakeRelay::of(&["main", "shop"])).await;
    // Each has the faults of all that follow.
    assert_refused(&relay.send("POST", "/cgi-bin/token?x", "x").await, 43001, "require GET method");
    assert_refused(&relay.get("secret=wrong&grant_type=x").await, 41002, "appid missing");
    assert_refused(&relay.get("appid=none&grant_type=x").await, 40013, "invalid appid");
    assert_refused(&relay.get("appid=wxshop&grant_type=x").await, 41004, "appsecret missing");
    assert_refused(&relay.get("appid=wxshop&secret=wrong&grant_type=x").await, 40125, "invalid appsecret");
    assert_refused(
        &relay.get(&format!("appid=wxshop&secret={MAIN_KEY}&grant_type=x")).await,
        40002,
        "invalid grant_type",
    );
    assert_refused(&relay.get(&query("wxshop", MAIN_KEY)).await, 48001, "api unauthorized");
    assert_refused(&relay.send("GET", "/cgi-bin/stable_token?x", "x").await, 43002, "require POST method");
    assert_refused(&relay.post("{\"appid\":7}").await, 47001, "data format error");
}

#[tokio::test]
async fn each_route_takes_its_own_method() {
    let relay = DropIn::serving("t").await;
    let target = format!("/cgi-bin/token?{}", query("wxmain", KEY));
    let body = body("wxmain", KEY).to_string();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        assert_refused(&relay.send(method, &target, &body).await, 43001, "require GET method");
    }
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        assert_refused(&relay.send(method, "/cgi-bin/stable_token", &body).await, 43002, "require POST method");
    }
    assert_eq!(relay.metric("token_relay_drop_in_refusals_total{reason=\"not_get\"}").await, "6");
    assert_eq!(relay.metric("token_relay_drop_in_refusals_total{reason=\"not_post\"}").await, "6");
    for path in ["/cgi-bin/token/", "/cgi-bin", "/cgi-bin%2Ftoken", "/CGI-BIN/token", "//cgi-bin/token"] {
        let answer = relay.send("GET", &format!("{path}?{}", query("wxmain", KEY)), "").await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[tokio::test]
async fn only_a_key_that_a_url_takes_as_it_is_is_a_key_here() {
    let relay = DropIn::serving("t").await;
    assert_eq!(relay.fake.get_as(ODD_KEY, "/token").await.status, 200);
    let escaped = ODD_KEY.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    assert_refused(&relay.get(&query("wxmain", &escaped)).await, 40125, "invalid appsecret");
    assert_refused(&relay.post(body("wxmain", ODD_KEY)).await, 40125, "invalid appsecret");
}

#[tokio::test]
async fn a_client_gets_the_accounts_that_it_may_use_and_no_other() {
    let relay = DropIn::around(FakeRelay::of(&["main", "shop", "other"])).await;
    for name in ["main", "shop", "other"] {
        relay.fake.offer(name, 7, name, 3541);
    }
    for (key, names) in [(KEY, &["main", "shop", "other"][..]), (BOTH_KEY, &["main", "shop"]), (MAIN_KEY, &["main"])] {
        for name in ["main", "shop", "other"] {
            let appid = format!("wx{name}");
            for answer in [relay.get(&query(&appid, key)).await, relay.post(body(&appid, key)).await] {
                if names.contains(&name) {
                    assert_token(&answer, name);
                } else {
                    assert_refused(&answer, 48001, "api unauthorized");
                }
            }
        }
    }
}

/// `main` and `calm` with one appid and both endpoints, `shop` with another appid. Only `main` accepts its AppSecret.
async fn three_accounts() -> DropIn {
    let accepting = App { appsecret: Some(KeyDigest::of(APPSECRET.as_bytes())), ..app("main", Endpoint::Token) };
    let apps = [
        ("wx1".to_owned(), accepting),
        ("wx1".to_owned(), app("calm", Endpoint::StableToken)),
        ("wx2".to_owned(), app("shop", Endpoint::StableToken)),
    ];
    let fake = FakeRelay::with_apps(&["main", "calm", "shop"], Timeouts::new(Duration::from_secs(60)), Apps::new(apps));
    for name in ["main", "calm", "shop"] {
        fake.offer(name, 7, name, 3541);
    }
    DropIn::around(fake).await
}

#[tokio::test]
async fn of_two_accounts_with_one_appid_each_route_serves_its_own() {
    let relay = three_accounts().await;
    assert_token(&relay.get(&query("wx1", KEY)).await, "main");
    assert_token(&relay.post(body("wx1", KEY)).await, "calm");
    assert_token(&relay.get(&query("wx2", KEY)).await, "shop");
    assert_token(&relay.post(body("wx2", KEY)).await, "shop");
    assert_token(&relay.get(&query("wx1", MAIN_KEY)).await, "main");
    assert_refused(&relay.post(body("wx1", MAIN_KEY)).await, 48001, "api unauthorized");
}

#[tokio::test]
async fn an_accepted_appsecret_is_taken_for_its_account_alone_and_counted() {
    let relay = three_accounts().await;
    assert_token(&relay.get(&query("wx1", APPSECRET)).await, "main");
    assert_token(&relay.get(&query("wx1", APPSECRET)).await, "main");
    assert_refused(&relay.get(&query("wx1", &APPSECRET.to_uppercase())).await, 40125, "invalid appsecret");
    assert_refused(&relay.post(body("wx1", APPSECRET)).await, 40125, "invalid appsecret");
    assert_refused(&relay.get(&query("wx2", APPSECRET)).await, 40125, "invalid appsecret");
    assert_refused(&relay.post(body("wx2", APPSECRET)).await, 40125, "invalid appsecret");
    assert_eq!(relay.fake.get_as(APPSECRET, "/token?account=main").await.status, 401);
    assert_token(&relay.get(&query("wx1", KEY)).await, "main");
    assert_eq!(relay.metric("token_relay_appsecret_requests_total{account=\"main\"}").await, "2");
    assert_eq!(relay.metric("token_relay_appsecret_requests_total{account=\"shop\"}").await, "0");
}

#[tokio::test]
async fn a_first_token_is_waited_for_while_a_call_is_under_way() {
    let relay = DropIn::around(FakeRelay::of(&["main"])).await;
    assert_refused(&relay.get(&query("wxmain", KEY)).await, -1, "system error");
    relay.fake.publish("main", Status::default());
    let (asked, posted) = (query("wxmain", KEY), body("wxmain", KEY));
    let (got, stable, ()) = tokio::join!(relay.get(&asked), relay.post(&posted), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        relay.fake.offer("main", 8, "new", 7000);
    });
    assert_token(&got, "new");
    assert_token(&stable, "new");
}

#[tokio::test]
async fn a_wait_for_a_first_token_ends() {
    let relay = DropIn::around(FakeRelay::patient(&["main"], Timeouts::new(Duration::from_millis(50)))).await;
    relay.fake.publish("main", Status::default());
    assert_refused(&relay.get(&query("wxmain", KEY)).await, -1, "system error");
    assert_refused(&relay.post(forced()).await, -1, "system error");
}

#[tokio::test]
async fn a_forced_fetch_reports_the_current_token_and_gets_what_stands_then() {
    let relay = DropIn::serving("old").await;
    let mut reports = relay.fake.take_reports("main");
    let (answer, ()) = tokio::join!(relay.post(forced()), async {
        let report = reports.recv().await.unwrap();
        assert_eq!(report.generation.0, 7);
        relay.fake.offer("main", 8, "new", 7000);
        report.answer.send(Reported::Settled).unwrap();
    });
    assert_token(&answer, "new");
    assert!(reports.try_recv().is_err(), "one report, and no more");
}

#[tokio::test]
async fn a_forced_fetch_that_is_not_heard_gets_the_current_token() {
    let relay = DropIn::serving("old").await;
    let retry_in = Duration::from_secs(30);
    let mut answers = [
        Reported::Settled,
        Reported::TooMany { retry_in, limit: ReportLimit::Cooldown },
        Reported::TooMany { retry_in, limit: ReportLimit::Calls },
        Reported::TooMany { retry_in, limit: ReportLimit::Probes },
        Reported::Failed { retry_in, failure: ReportFailure::StoreAway },
        Reported::Failed { retry_in, failure: ReportFailure::NotStored },
    ]
    .into_iter();
    let count = answers.len();
    relay.fake.keeper("main", move |_| answers.next().expect("one report for each fetch"));
    for _ in 0..count {
        assert_token(&relay.post(forced()).await, "old");
    }
}

#[tokio::test]
async fn a_forced_fetch_waits_for_a_verdict_no_longer_than_it_may() {
    let timeouts = Timeouts { verdict: Duration::from_millis(50), ..Timeouts::new(Duration::from_secs(60)) };
    let fake = FakeRelay::patient(&["main"], timeouts);
    fake.offer("main", 7, "old", 3541);
    let relay = DropIn::around(fake).await;
    let _unanswered = relay.fake.take_reports("main");
    assert_token(&relay.post(forced()).await, "old");
}

#[tokio::test]
async fn a_forced_fetch_of_a_token_that_is_refused_and_not_replaced_is_a_system_error() {
    let relay = DropIn::serving("dead").await;
    let mut reports = relay.fake.take_reports("main");
    let (answer, ()) = tokio::join!(relay.post(forced()), async {
        let report = reports.recv().await.unwrap();
        relay.fake.publish("main", idle());
        let failure = ReportFailure::TooSoon;
        report.answer.send(Reported::Failed { retry_in: Duration::from_secs(60), failure }).unwrap();
    });
    assert_refused(&answer, -1, "system error");
    // There is no current token to report now.
    assert_refused(&relay.post(forced()).await, -1, "system error");
    assert!(reports.try_recv().is_err());
}

#[tokio::test]
async fn nothing_but_a_true_force_refresh_on_its_own_route_with_a_key_is_a_report() {
    let relay = DropIn::serving("t").await;
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    relay.fake.keeper("main", move |_| {
        count.fetch_add(1, Relaxed);
        Reported::Settled
    });
    relay.get(&(query("wxmain", KEY) + "&force_refresh=true")).await;
    relay.send("POST", "/cgi-bin/stable_token?force_refresh=true", &body("wxmain", KEY).to_string()).await;
    for value in [json!(false), json!("true"), json!(1), json!([true]), Value::Null] {
        let mut body = body("wxmain", KEY);
        body["force_refresh"] = value;
        relay.post(body).await;
    }
    for (name, value) in [("secret", "wrong"), ("appid", "wxnone"), ("grant_type", "x")] {
        let mut body = forced();
        body[name] = value.into();
        relay.post(body).await;
    }
    assert_eq!(asked.load(Relaxed), 0);
    relay.post(forced()).await;
    assert_eq!(asked.load(Relaxed), 1);
}

#[tokio::test]
async fn a_token_that_cannot_be_promised_any_more_is_not_served() {
    let relay = DropIn::around(FakeRelay::of(&["main"])).await;
    let mut standing = offering(7, "sentinel", 0);
    standing.next_attempt_at = idle().next_attempt_at;
    relay.fake.publish("main", standing);
    let answer = relay.get(&query("wxmain", KEY)).await;
    assert_refused(&answer, -1, "system error");
    assert!(!answer.body.contains("sentinel"));
}

#[tokio::test]
async fn an_account_whose_keeper_was_removed_has_no_token() {
    let relay = DropIn::serving("t").await;
    let id = token_relay::credential::CredentialId::access_token("main".parse().unwrap());
    relay.fake.relay.registry.remove(&[id]);
    assert_refused(&relay.get(&query("wxmain", KEY)).await, -1, "system error");
}
