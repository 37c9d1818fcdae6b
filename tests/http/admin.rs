//! The admin listener, and health on both.

use std::sync::Arc;

use axum::http::Request;
use token_relay::{
    clock::{Clock, SystemClock},
    issuer::{IssueError, wechat::ERRORS},
    status::Status,
    store::StoreError,
};

use crate::house::{House, answer, idle, offering, trouble};

fn house() -> House {
    let house = House::of(&["main", "shop"]);
    house.offer("main", 7, "sentinel_token", 3541);
    house
}

#[tokio::test]
async fn readiness_tells_ready_degraded_and_neither() {
    let house = house();
    let ready = |house: &House| {
        let (face, request) = (house.relay.public(), Request::get("/readyz").body(axum::body::Body::empty()).unwrap());
        async move { answer(&face, request).await }
    };
    assert_eq!(ready(&house).await.body, r#"{"status":"degraded"}"#);
    house.offer("shop", 7, "t", 3541);
    assert_eq!(ready(&house).await.body, r#"{"status":"ready"}"#);
    house.publish(
        "shop",
        Status { store_trouble: Some(StoreError("disk full".to_owned()).into()), ..offering(7, "t", 60) },
    );
    assert_eq!(ready(&house).await.body, r#"{"status":"degraded"}"#);
    house.publish("main", idle());
    house.publish("shop", idle());
    ready(&house).await.assert_problem(503);
}

#[tokio::test]
async fn readiness_in_detail_is_for_operators() {
    let house = house();
    let all = house.admin("/readyz").await;
    assert_eq!(all.status, 200);
    assert_eq!(all.json()["accounts"]["main"], serde_json::json!({"state": "fresh", "seconds_left": 3541}));
    assert_eq!(all.json()["accounts"]["shop"], serde_json::json!({"state": "none", "seconds_left": 0}));
    assert_eq!(house.admin("/readyz?account=main").await.json()["status"], "ready");
    let shop = house.admin("/readyz?account=shop").await;
    shop.assert_problem(503);
    assert_eq!(shop.json()["accounts"]["shop"]["state"], "none");
    house.admin("/readyz?account=missing").await.assert_problem(404);
    house.admin("/readyz?account=").await.assert_problem(400);
    house.admin("/readyz?account=main&account=main").await.assert_problem(400);
    assert_eq!(house.ask(Request::get("/readyz?account=missing")).await.body, r#"{"status":"degraded"}"#);
}

#[tokio::test]
async fn a_living_relay_is_alive_whatever_its_accounts_do() {
    let house = House::of(&["main"]);
    assert_eq!(house.ask(Request::get("/healthz")).await.body, r#"{"status":"alive"}"#);
    assert_eq!(house.admin("/healthz").await.status, 200);
}

#[tokio::test]
async fn the_status_tells_all_but_the_token() {
    let house = house();
    let status = house.admin("/status").await;
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
    let house = House::of(&["main"]);
    let state = async || house.admin("/status").await.json()["accounts"]["main"]["state"].clone();
    assert_eq!(state().await, "none");
    house.publish("main", Status { rotation_at: Some(SystemClock.boot_now()), ..offering(7, "t", 600) });
    assert_eq!(state().await, "due");
    house.offer("main", 7, "t", 0);
    assert_eq!(state().await, "expired");
}

#[tokio::test]
async fn no_token_is_anywhere_on_the_admin_listener() {
    let house = house();
    for path in ["/", "/status", "/metrics", "/healthz", "/readyz"] {
        let answer = house.admin(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!answer.body.contains("sentinel"), "{path}");
    }
    for path in ["/token", "/token/refresh", "/status/"] {
        house.admin(path).await.assert_problem(404);
    }
}

#[tokio::test]
async fn the_page_shows_what_is_wrong_first_and_escapes_what_comes_from_elsewhere() {
    let house = house();
    let mut evil = trouble();
    let errmsg = "<script>alert('x')</script>".to_owned();
    evil.error = IssueError::Refused { errcode: 40164, errmsg };
    house.publish(
        "shop",
        Status { trouble: Some(Arc::new(evil)), store_trouble: Some(StoreError("<b>".to_owned()).into()), ..idle() },
    );
    let page = house.admin("/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert!(page.body.contains(": &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; <small>errcode 40164, at 2026-"));
    assert!(page.body.contains("cannot be stored: &lt;b&gt;") && !page.body.contains("<script"));
    assert!(page.body.find("<h2>shop").unwrap() < page.body.find("<h2>main").unwrap());
}

#[tokio::test]
async fn the_metrics_show_how_the_accounts_stand_and_what_was_asked() {
    let house = house();
    house.get("/token?account=main").await;
    house.get("/token?account=shop").await;
    house.get("/nowhere").await;
    let metrics = house.admin("/metrics").await;
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
