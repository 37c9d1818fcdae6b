//! What does the admin listener show to operators, and what does health say on both listeners?

use axum::http::Request;
use token_relay::{
    clock::{Clock, SystemClock},
    issuer::wechat::ERRORS,
    status::Status,
    store::StoreError,
};

use crate::fake_relay::{FakeRelay, answer, idle, offering, trouble};

fn fake_relay() -> FakeRelay {
    let fake = FakeRelay::of(&["main", "shop"]);
    fake.offer("main", 7, "sentinel_token", 3541);
    fake
}

#[tokio::test]
async fn readiness_tells_ready_degraded_and_neither() {
    let fake = fake_relay();
    let ready = |fake: &FakeRelay| {
        let (http, request) = (fake.relay.public(), Request::get("/readyz").body(axum::body::Body::empty()).unwrap());
        async move {
            // /readyz caches its answer for a second
            tokio::time::sleep(std::time::Duration::from_millis(1010)).await;
            answer(&http, request).await
        }
    };
    assert_eq!(ready(&fake).await.body, r#"{"status":"degraded"}"#);
    fake.offer("shop", 7, "t", 3541);
    assert_eq!(ready(&fake).await.body, r#"{"status":"ready"}"#);
    fake.publish(
        "shop",
        Status { store_trouble: Some(StoreError("disk full".to_owned()).into()), ..offering(7, "t", 60) },
    );
    assert_eq!(ready(&fake).await.body, r#"{"status":"degraded"}"#);
    fake.publish("main", idle());
    fake.publish("shop", idle());
    ready(&fake).await.assert_problem(503);
}

#[tokio::test]
async fn readiness_in_detail_is_for_operators() {
    let fake = fake_relay();
    let all = fake.admin("/readyz").await;
    assert_eq!(all.status, 200);
    assert_eq!(all.json()["accounts"]["main"], serde_json::json!({"state": "fresh", "seconds_left": 3541}));
    assert_eq!(all.json()["accounts"]["shop"], serde_json::json!({"state": "none", "seconds_left": 0}));
    assert_eq!(fake.admin("/readyz?account=main").await.json()["status"], "ready");
    let shop = fake.admin("/readyz?account=shop").await;
    shop.assert_problem(503);
    assert_eq!(shop.json()["accounts"]["shop"]["state"], "none");
    fake.admin("/readyz?account=missing").await.assert_problem(404);
    fake.admin("/readyz?account=").await.assert_problem(400);
    fake.admin("/readyz?account=main&account=main").await.assert_problem(400);
    assert_eq!(fake.send(Request::get("/readyz?account=missing")).await.body, r#"{"status":"degraded"}"#);
}

#[tokio::test]
async fn a_living_relay_is_alive_whatever_its_accounts_do() {
    let fake = FakeRelay::of(&["main"]);
    assert_eq!(fake.send(Request::get("/healthz")).await.body, r#"{"status":"alive"}"#);
    assert_eq!(fake.admin("/healthz").await.status, 200);
}

#[tokio::test]
async fn the_status_tells_all_but_the_token() {
    let fake = fake_relay();
    let status = fake.admin("/status").await;
    assert_eq!(status.status, 200);
    let json = status.json();
    assert_eq!(json["status"], "degraded");
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert!(json["uptime_s"].is_u64());
    let main = &json["accounts"]["main"];
    assert_eq!(
        (&main["state"], &main["seconds_left"], &main["generation"]),
        (&"fresh".into(), &3541.into(), &7.into())
    );
    assert!((1000..=1800).contains(&main["rotation_in_s"].as_u64().unwrap()));
    let shop = &json["accounts"]["shop"];
    assert_eq!((&shop["state"], &shop["failures"]), (&"none".into(), &4.into()));
    assert_eq!(shop["trouble"]["errcode"], 40164);
    assert_eq!(shop["trouble"]["at"], "2026-11-22T12:02:03Z");
    assert_eq!(shop["trouble"]["message"], "WeChat answered errcode 40164: invalid ip 1.2.3.4");
    assert_eq!(shop["trouble"]["hint"], *ERRORS.hint(&trouble().error));
    assert_eq!(main["budget_left"], serde_json::json!({"calls": 0, "forced": 0, "probes": 0}));
}

#[tokio::test]
async fn the_state_follows_the_clock() {
    let fake = FakeRelay::of(&["main"]);
    let state = async || fake.admin("/status").await.json()["accounts"]["main"]["state"].clone();
    assert_eq!(state().await, "none");
    fake.publish("main", Status { rotation_at: Some(SystemClock.boot_now()), ..offering(7, "t", 600) });
    assert_eq!(state().await, "due");
    fake.offer("main", 7, "t", 0);
    assert_eq!(state().await, "expired");
}

#[tokio::test]
async fn no_token_is_anywhere_on_the_admin_listener() {
    let fake = fake_relay();
    for path in ["/", "/page.js", "/page.css", "/status", "/metrics", "/healthz", "/readyz"] {
        let answer = fake.admin(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!answer.body.contains("sentinel"), "{path}");
    }
    for path in ["/token", "/token/refresh", "/status/"] {
        fake.admin(path).await.assert_problem(404);
    }
}

#[tokio::test]
async fn the_metrics_show_how_the_accounts_stand_and_what_was_asked() {
    let fake = fake_relay();
    fake.get("/token?account=main").await;
    fake.get("/token?account=shop").await;
    fake.get("/nowhere").await;
    let metrics = fake.admin("/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(metrics.body.contains("# TYPE token_relay_requests_total counter\n") && !metrics.body.contains("# EOF"));
    for line in [
        "token_relay_token_remaining_seconds{account=\"main\"} 3541",
        "token_relay_token_remaining_seconds{account=\"shop\"} 0",
        "token_relay_token_generation{account=\"main\"} 7",
        "token_relay_consecutive_failures{account=\"shop\"} 4",
        "token_relay_store_ok{account=\"main\"} 1",
        "token_relay_requests_total{route=\"token\",status=\"200\"} 1",
        "token_relay_requests_total{route=\"token\",status=\"503\"} 1",
        "token_relay_requests_total{route=\"other\",status=\"404\"} 1",
    ] {
        assert!(metrics.body.lines().any(|shown| shown == line), "{line} is missing in\n{}", metrics.body);
    }
}
