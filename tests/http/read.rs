//! What does `GET /token` answer, and in which order are requests checked?

use std::time::Duration;

use axum::http::{Method, Request};
use token_relay::{
    clock::{Clock, SystemClock},
    http::Timeouts,
    status::Status,
};

use crate::fake_relay::{BOTH_KEY, FakeRelay, KEY, MAIN_KEY, bearer, idle, offering};

#[tokio::test]
async fn a_token_is_served_in_wechats_own_shape() {
    let fake = FakeRelay::serving("75_token");
    let answer = fake.get("/token").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, r#"{"access_token":"75_token","expires_in":3541}"#);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "private, max-age=60");
    assert_eq!(answer.header("etag"), r#"W/"main-7""#);
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
}

#[tokio::test]
async fn a_token_with_less_than_a_minute_is_not_cached_for_longer_than_it_lives() {
    let fake = FakeRelay::of(&["main"]);
    fake.offer("main", 7, "t", 12);
    let answer = fake.get("/token").await;
    assert_eq!(answer.json()["expires_in"], 12);
    assert_eq!(answer.header("cache-control"), "private, max-age=12");
}

#[tokio::test]
async fn a_head_is_a_get_without_a_body() {
    let fake = FakeRelay::serving("t");
    let get = fake.get("/token").await;
    let head = fake.send(Request::head("/token").header("authorization", bearer(KEY))).await;
    assert_eq!((head.status, head.body.as_str()), (get.status, ""));
    assert_eq!(head.headers, get.headers);
    assert_eq!(fake.send(Request::head("/healthz")).await.status, 200);
}

#[tokio::test]
async fn no_answer_carries_an_expired_token() {
    let fake = FakeRelay::of(&["main"]);
    let mut standing = offering(7, "sentinel", 0);
    standing.next_attempt_at = idle().next_attempt_at;
    fake.publish("main", standing);
    let answer = fake.get("/token").await;
    answer.assert_problem(503);
    assert!(!answer.body.contains("sentinel"));
}

#[tokio::test]
async fn the_route_is_checked_first() {
    let fake = FakeRelay::of(&["main"]);
    let nowhere =
        ["/token/", "/", "/tokens", "//token", "/token/refresh/", "/metrics", "/status", "/%74oken", "/TOKEN"];
    for path in nowhere {
        fake.send(Request::get(path)).await.assert_problem(404);
        fake.send(Request::post(path)).await.assert_problem(404);
    }
    fake.send(Request::builder().method(Method::CONNECT).uri("relay:443")).await.assert_problem(404);
}

#[tokio::test]
async fn the_method_is_checked_before_the_key() {
    let fake = FakeRelay::of(&["main"]);
    for (path, allow) in
        [("/token", "GET,HEAD"), ("/token/refresh", "POST"), ("/healthz", "GET,HEAD"), ("/readyz", "GET,HEAD")]
    {
        let wrong =
            if allow == "POST" { ["GET", "OPTIONS", "PUT", "BREW"] } else { ["POST", "OPTIONS", "DELETE", "BREW"] };
        for method in wrong {
            let answer = fake.send(Request::builder().method(method).uri(path)).await;
            answer.assert_problem(405);
            assert_eq!(answer.header("allow"), allow);
        }
    }
}

#[tokio::test]
async fn the_key_is_checked_before_the_query() {
    let fake = FakeRelay::serving("t");
    let bad = ["", "Bearer", "Bearer wrong", "Basic a2V5", &format!("Bearer{KEY}"), &format!("Bearer {KEY}x"), KEY];
    for value in bad {
        let answer = fake.send(Request::get("/token?account=%ff&wait=x").header("authorization", value)).await;
        answer.assert_problem(401);
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert!(!answer.body.contains(KEY));
    }
    fake.send(Request::get("/token")).await.assert_problem(401);
    fake.send(Request::get("/token").header("authorization", &b"Bearer \xff\xfe"[..])).await.assert_problem(401);
    let twice = Request::get("/token").header("authorization", bearer(KEY)).header("authorization", bearer(KEY));
    fake.send(twice).await.assert_problem(401);
}

#[tokio::test]
async fn the_scheme_is_taken_in_any_case() {
    let fake = FakeRelay::serving("t");
    for scheme in ["bearer", "BEARER", "bEARER  "] {
        let answer = fake.send(Request::get("/token").header("authorization", format!("{scheme} {KEY}"))).await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn the_query_is_checked_before_the_account() {
    let fake = FakeRelay::of(&["main", "shop"]);
    let bad = [
        "account=main&account=main",
        "account=secret&account=main",
        "account=",
        "account=%00",
        "account=%FF",
        "x=%ff",
        "account=foreign&wait=61",
        "account=foreign&wait=",
        "account=foreign&wait=1&wait=1",
        "wait=-1&account=main",
    ];
    for query in bad {
        fake.get_as(MAIN_KEY, &format!("/token?{query}")).await.assert_problem(400);
    }
}

#[tokio::test]
async fn a_client_without_restrictions_learns_which_accounts_there_are() {
    let fake = FakeRelay::of(&["main", "shop"]);
    fake.offer("shop", 7, "of_shop", 3541);
    assert_eq!(fake.get("/token?account=shop").await.json()["access_token"], "of_shop");
    fake.get("/token?account=other").await.assert_problem(404);
    fake.get("/token").await.assert_problem(400);
}

#[tokio::test]
async fn a_restricted_client_learns_nothing_of_other_accounts() {
    let fake = FakeRelay::of(&["main", "shop", "other"]);
    fake.offer("main", 7, "of_main", 3541);
    for (key, name) in
        [(MAIN_KEY, "shop"), (MAIN_KEY, "missing"), (BOTH_KEY, "other"), (BOTH_KEY, "missing"), (MAIN_KEY, "a%20b")]
    {
        fake.get_as(key, &format!("/token?account={name}")).await.assert_problem(403);
    }
    let only = fake.get_as(MAIN_KEY, "/token").await;
    assert_eq!(only.json()["access_token"], "of_main");
    fake.get_as(BOTH_KEY, "/token").await.assert_problem(400);
}

#[tokio::test]
async fn the_account_called_default_is_the_default_of_who_may_use_it() {
    let fake = FakeRelay::of(&["default", "main", "shop"]);
    fake.offer("default", 7, "of_default", 3541);
    fake.offer("main", 7, "of_main", 3541);
    assert_eq!(fake.get("/token").await.json()["access_token"], "of_default");
    let only = fake.get_as(MAIN_KEY, "/token").await;
    assert_eq!(only.json()["access_token"], "of_main");
    fake.get_as(BOTH_KEY, "/token").await.assert_problem(400);
}

#[tokio::test]
async fn unknown_parameters_and_a_tag_without_a_wait_are_ignored() {
    let fake = FakeRelay::serving("t");
    for query in ["x", "x=1&x=2", "Wait=x", "&&", "wait=0", "wait=60"] {
        assert_eq!(fake.get(&format!("/token?{query}")).await.status, 200, "{query}");
    }
    let tagged = Request::get("/token").header("authorization", bearer(KEY)).header("if-none-match", r#"W/"main-7""#);
    assert_eq!(fake.send(tagged).await.status, 200);
}

#[tokio::test]
async fn nothing_to_serve_and_no_call_soon_is_said_at_once_with_the_cause() {
    let fake = FakeRelay::patient(&["main"], Timeouts::new(Duration::from_secs(3000)));
    let answer = fake.get("/token").await;
    answer.assert_problem(503);
    let json = answer.json();
    assert_eq!(json["errcode"], 40164);
    let hint = json["hint"].as_str().unwrap();
    assert!(hint.starts_with("1.2.3.4 is not on the IP whitelist: "), "{hint}");
    let detail =
        "no token can be served; the last call to WeChat failed: WeChat answered errcode 40164: invalid ip 1.2.3.4";
    assert_eq!(json["detail"], detail);
    let retry: u64 = answer.header("retry-after").parse().unwrap();
    assert!((3000..=3600).contains(&retry), "{retry}");
}

#[tokio::test]
async fn the_first_token_is_waited_for_while_a_call_is_under_way() {
    let fake = FakeRelay::patient(&["main"], Timeouts::new(Duration::from_secs(60)));
    fake.publish("main", Status::default());
    let (answer, ()) = tokio::join!(fake.get("/token"), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        fake.publish("main", Status { failures: 1, ..Status::default() });
        tokio::time::sleep(Duration::from_millis(20)).await;
        fake.offer("main", 7, "first", 3541);
    });
    assert_eq!(answer.json()["access_token"], "first");
}

#[tokio::test]
async fn the_wait_for_the_first_token_ends_when_the_call_has_failed_and_the_next_is_far() {
    let fake = FakeRelay::patient(&["main"], Timeouts::new(Duration::from_secs(60)));
    fake.publish("main", Status::default());
    let (answer, ()) = tokio::join!(fake.get("/token"), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        fake.publish("main", idle());
    });
    answer.assert_problem(503);
}

#[tokio::test]
async fn the_wait_for_the_first_token_ends_in_time_and_at_shutdown() {
    let fake = FakeRelay::patient(&["main"], Timeouts::new(Duration::from_millis(50)));
    fake.publish("main", Status::default());
    let answer = fake.get("/token").await;
    answer.assert_problem(503);
    assert_eq!(answer.header("retry-after"), "1");

    let fake = FakeRelay::patient(&["main"], Timeouts::new(Duration::from_secs(3000)));
    fake.publish("main", Status::default());
    let (answer, ()) = tokio::join!(fake.get("/token"), async { fake.relay.shutdown.cancel() });
    answer.assert_problem(503);
}

#[tokio::test]
async fn a_dead_keeper_makes_no_reader_spin() {
    let fake = FakeRelay::patient(&["main"], Timeouts::new(Duration::from_millis(200)));
    fake.publish("main", Status::default());
    let relay = fake.relay.clone();
    drop(fake);
    let request = Request::get("/token").header("authorization", bearer(KEY)).body(axum::body::Body::empty()).unwrap();
    let before = SystemClock.boot_now();
    crate::fake_relay::answer(&relay.public(), request).await.assert_problem(503);
    assert!(SystemClock.boot_now().since(before) >= Duration::from_millis(150));
}
