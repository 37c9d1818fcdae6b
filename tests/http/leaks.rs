//! Does anything leak (I9)? Every kind of request, with the log at its loudest.

use axum::{body::Body, http::Request};
use test_support::{LogCapture, child_test};
use token_relay::{registry::Reported, report::ReportLimit};

use wechat_sim::{Fault, Op, Times};

use crate::{
    fake_relay::{Answer, FakeRelay, KEY, LIMITS, answer, idle},
    gateway::Gate,
};

#[tokio::test]
#[ignore = "run by the test that follows, in a process of its own"]
async fn child_with_the_log_at_its_loudest() {
    let log = LogCapture::default();
    let _guard = log.listen();
    let fake = FakeRelay::serving("sentinel_token");
    let retry_in = std::time::Duration::ZERO;
    fake.keeper("main", move |_| Reported::TooMany { retry_in, limit: ReportLimit::Cooldown });
    let mut said = Vec::new();
    said.push(fake.report(r#"{"access_token":"sentinel_token"}"#).await);
    said.push(fake.report(r#"{"access_token":"sentinel_token""#).await);
    said.push(fake.report(r#"{"access_token":["sentinel_token"]}"#).await);
    said.push(fake.send(Request::get("/token").header("authorization", "Bearer sentinel_key")).await);
    said.push(fake.get("/token?account=sentinel_x").await);
    said.push(fake.get("/token?access_token=sentinel_y&wait=x").await);
    assert_eq!(fake.get("/token").await.status, 200);
    said.extend(drop_in(&fake).await);
    // a key as a part of the path, where it is refused and where it is passed on
    let gate = Gate::new().await;
    gate.get(&format!("/{KEY}/cgi-bin/user/get")).await;
    gate.sim.fault(Op::Any, Fault::Reset, Times::Next(1));
    gate.get(&format!("/{KEY}/cgi-bin/user/get?access_token={}", gate.token)).await;
    let served = fake.serve(LIMITS).await;
    for key in ["sentinel_key", "sentinel_key\x7f", "sentinel_\u{e9} key"] {
        served.exchange(format!("GET /cgi-bin/token?secret={key} HTTP/1.1\r\n\r\n").as_bytes()).await;
    }
    served.exchange(b"GET /token HTTP/1.1\r\nAuthorization: Bearer sentinel_key\r\nbad sentinel header\r\n\r\n").await;
    fake.publish("main", idle());
    said.push(fake.get("/token").await);
    said.push(fake.admin("/status").await);
    assert!(!format!("{:?}{said:?}", fake.relay).contains("sentinel"));
    let log = log.text();
    assert!(log.contains("gateway: a call failed") && log.contains("gateway: not passed on"), "{log}");
    assert!(log.contains("status=429") && log.contains("status=401") && log.contains("wrong_key"), "{log}");
    assert!(!log.contains("sentinel") && !log.contains(KEY), "{log}");
}

/// Drop-in requests that are refused, with a key wherever one may stand; and two that are served.
async fn drop_in(fake: &FakeRelay) -> Vec<Answer> {
    let http = fake.relay.public();
    let mut said = Vec::new();
    for query in [
        "grant_type=client_credential&appid=wxmain&secret=sentinel_key",
        "grant_type=client_credential&appid=sentinel_key&secret=sentinel_key",
        "grant_type=sentinel_key&appid=wxmain&secret=sentinel_key&sentinel_key",
        "grant_type=client_credential&appid=wxmain&secret=sentinel_key&secret=%zzsentinel_key",
    ] {
        for method in ["GET", "HEAD", "POST", "BREW"] {
            let request = Request::builder().method(method).uri(format!("/cgi-bin/token?{query}"));
            said.push(answer(&http, request.body(Body::from("sentinel_key")).unwrap()).await);
        }
    }
    for query in [
        "corpid=sentinel_key&corpsecret=sentinel_key",
        "corpsecret=sentinel_key",
        "corpid=wwmain&corpsecret=sentinel_key",
    ] {
        said.push(fake.send(Request::get(format!("/cgi-bin/gettoken?{query}"))).await);
    }
    for body in [
        r#"{"appid":"wxmain","secret":"sentinel_key"}"#,
        r#"{"appid":"wxmain","secret":"sentinel_key","force_refresh":"sentinel_key"}"#,
        r#"{"appid":"wxmain","secret":["sentinel_key"]"#,
        "sentinel_key",
    ] {
        let request = Request::post("/cgi-bin/stable_token?secret=sentinel_key").body(Body::from(body)).unwrap();
        said.push(answer(&http, request).await);
    }
    let query = format!("grant_type=client_credential&appid=wxmain&secret={KEY}");
    let served = fake.send(Request::get(format!("/cgi-bin/token?{query}"))).await;
    let forced = serde_json::json!({
        "grant_type": "client_credential", "appid": "wxmain", "secret": KEY, "force_refresh": true,
    });
    let request = Request::post("/cgi-bin/stable_token").body(Body::from(forced.to_string())).unwrap();
    for served in [served, answer(&http, request).await] {
        assert!(served.body.contains("sentinel_token"));
    }
    said
}

/// Tracing asks each callsite once whether anybody listens, and other tests of this process would have said no.
#[test]
fn no_token_and_no_key_is_in_any_log_or_error() {
    let ended = child_test::command("leaks::child_with_the_log_at_its_loudest").output().unwrap();
    let printed = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && printed.contains("1 passed"),
        "{printed}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}
