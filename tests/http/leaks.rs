//! Does anything leak (I9)? Every kind of request, with the log at its loudest.

use axum::http::Request;
use test_support::{LogCapture, child_test};
use token_relay::{registry::Reported, report::ReportLimit};

use crate::fake_relay::{FakeRelay, KEY, LIMITS, idle};

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
    let served = fake.serve(LIMITS).await;
    served.exchange(b"GET /token HTTP/1.1\r\nAuthorization: Bearer sentinel_key\r\nbad sentinel header\r\n\r\n").await;
    fake.publish("main", idle());
    said.push(fake.get("/token").await);
    said.push(fake.admin("/status").await);
    assert!(!format!("{:?}{said:?}", fake.relay).contains("sentinel"));
    let log = log.text();
    assert!(log.contains("status=429") && log.contains("status=401"), "{log}");
    assert!(!log.contains("sentinel") && !log.contains(KEY), "{log}");
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
