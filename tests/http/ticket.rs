//! What do `GET /ticket` and WeChat's own ticket route answer?

use std::time::Duration;

use axum::http::{Method, Request, StatusCode};
use token_relay::{
    clock::{Clock, SystemClock},
    credential::TokenDigest,
    status::{HandedOut, Status},
};

use crate::fake_relay::{Answer, BOTH_KEY, FakeRelay, KEY, MAIN_KEY, bearer, idle, offering};

/// The account `main` with a token and its ticket for pages, and `shop` with a token alone.
fn fake() -> FakeRelay {
    let fake = FakeRelay::of(&["main", "main.jsapi", "shop"]);
    fake.offer("main", 7, "token-of-main", 3541);
    fake.offer("main.jsapi", 9, "ticket-of-main", 7100);
    fake.offer("shop", 7, "token-of-shop", 3541);
    fake
}

#[tokio::test]
async fn a_ticket_is_served_as_a_token_is() {
    let fake = fake();
    let answer = fake.get_as(MAIN_KEY, "/ticket?type=jsapi").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, r#"{"ticket":"ticket-of-main","expires_in":7100}"#);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "private, max-age=60");
    assert_eq!(answer.header("etag"), r#"W/"main.jsapi-9""#);
    assert_eq!(fake.get("/ticket?account=main&type=jsapi&x=y").await.body, answer.body);
    let head = fake.send(Request::head("/ticket?type=jsapi").header("authorization", bearer(MAIN_KEY))).await;
    assert_eq!((head.status, head.body.as_str(), &head.headers), (answer.status, "", &answer.headers));
    let poll = Request::get("/ticket?type=jsapi&wait=0").header("authorization", bearer(MAIN_KEY));
    let poll = fake.send(poll.header("if-none-match", answer.header("etag"))).await;
    assert_eq!((poll.status, poll.header("etag")), (StatusCode::NOT_MODIFIED, answer.header("etag")));
}

#[tokio::test]
async fn a_ticket_is_not_waited_for_while_no_access_token_comes_to_fetch_it_with() {
    let fake = FakeRelay::of(&["main", "main.jsapi"]);
    fake.publish("main.jsapi", Status { next_attempt_at: None, trouble: None, failures: 0, ..idle() });
    let asked = tokio::time::timeout(Duration::from_secs(30), fake.get("/ticket?type=jsapi&account=main"));
    let answer = asked.await.expect("the token's next call is an hour away");
    answer.assert_problem(503);
    assert!(answer.body.contains("the account has no access token to fetch one with"), "{}", answer.body);
}

#[tokio::test]
async fn a_ticket_is_refused_in_the_order_that_the_design_has() {
    let fake = fake();
    for (method, target, key, status) in [
        (Method::GET, "/ticket/?type=jsapi", None, 404),
        (Method::POST, "/ticket", None, 405),
        (Method::GET, "/ticket", None, 401),
        (Method::GET, "/ticket?type=nothing", Some("a-key-that-nobody-has-0000000000000"), 401),
        (Method::GET, "/ticket", Some(MAIN_KEY), 400),
        (Method::GET, "/ticket?type=", Some(MAIN_KEY), 400),
        (Method::GET, "/ticket?type=agent&account=nobody", Some(MAIN_KEY), 400),
        (Method::GET, "/ticket?type=jsapi&type=jsapi", Some(MAIN_KEY), 400),
        (Method::GET, "/ticket?type=jsapi&wait=61", Some(MAIN_KEY), 400),
        (Method::GET, "/ticket?type=jsapi", Some(BOTH_KEY), 400),
        (Method::GET, "/ticket?type=jsapi&account=shop", Some(MAIN_KEY), 403),
        (Method::GET, "/ticket?type=jsapi&account=nobody", Some(MAIN_KEY), 403),
        (Method::GET, "/ticket?type=jsapi&account=nobody", Some(KEY), 404),
        (Method::GET, "/ticket?type=wx_card", Some(MAIN_KEY), 404),
        (Method::GET, "/ticket?type=agent_config", Some(MAIN_KEY), 404),
        (Method::GET, "/ticket?type=jsapi&account=shop", Some(BOTH_KEY), 404),
    ] {
        let mut request = Request::builder().method(method).uri(target);
        if let Some(key) = key {
            request = request.header("authorization", bearer(key));
        }
        let answer = fake.send(request).await;
        answer.assert_problem(status);
        assert!(!answer.body.contains("ticket-of-main"), "{target}");
    }
}

#[tokio::test]
async fn without_a_ticket_the_answer_says_so_and_names_what_keeps_the_token_away() {
    let fake = fake();
    fake.publish("main.jsapi", Status { trouble: None, ..idle() });
    let answer = fake.get_as(MAIN_KEY, "/ticket?type=jsapi").await;
    answer.assert_problem(503);
    assert_eq!(answer.json()["detail"], "no ticket can be served");
    // `idle` is the account whose IP is not on the whitelist
    fake.publish("main", idle());
    let answer = fake.get_as(MAIN_KEY, "/ticket?type=jsapi").await;
    answer.assert_problem(503);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("no ticket can be served, and the account has no access token"), "{detail}");
    assert_eq!(answer.json()["errcode"], 40164);
    // A ticket outlives the token that it was fetched with.
    fake.offer("main.jsapi", 9, "ticket-of-main", 7100);
    assert_eq!(fake.get_as(MAIN_KEY, "/ticket?type=jsapi").await.json()["ticket"], "ticket-of-main");
}

async fn getticket(fake: &FakeRelay, query: &str) -> Answer {
    let answer = fake.send(Request::get(format!("/cgi-bin/ticket/getticket{query}"))).await;
    assert_eq!(answer.status, 200, "WeChat answers every refusal with 200: {answer:?}");
    assert_eq!(answer.header("content-type"), "application/json; encoding=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer
}

#[tokio::test]
async fn an_sdk_gets_the_kept_ticket_for_a_token_of_this_relay_in_wechats_bytes() {
    let fake = fake();
    let answer = getticket(&fake, "?type=jsapi&access_token=token-of-main").await;
    assert_eq!(answer.body, r#"{"errcode":0,"errmsg":"ok","ticket":"ticket-of-main","expires_in":7100}"#);
    // Also for one that was rotated away, within its life.
    let mut status = offering(8, "the-next-token", 3541);
    let until = SystemClock.boot_now().plus(Duration::from_secs(3600));
    status.handed_out = vec![HandedOut { digest: TokenDigest::of("token-of-main"), until }];
    fake.publish("main", status);
    for token in ["token-of-main", "the-next-token"] {
        assert_eq!(getticket(&fake, &format!("?access_token={token}&type=jsapi&x")).await.body, answer.body);
    }
}

#[tokio::test]
async fn the_drop_in_ticket_route_refuses_with_wechats_codes() {
    let fake = fake();
    for (query, errcode) in [
        ("", 41001),
        ("?type=jsapi", 41001),
        ("?access_token=&type=jsapi", 41001),
        ("?access_token=token-of-nobody&type=jsapi", 40001),
        ("?access_token=token-of-main&access_token=token-of-main&type=jsapi", 40001),
        ("?access_token=%zz&type=jsapi", 40001),
        ("?access_token=ticket-of-main&type=jsapi", 40001),
        ("?access_token=token-of-main", 40097),
        ("?access_token=token-of-main&type=agent_config", 40097),
        ("?access_token=token-of-main&type=jsapi&type=jsapi", 40097),
        ("?access_token=token-of-main&type=wx_card", 48001),
        ("?access_token=token-of-shop&type=jsapi", 48001),
    ] {
        let answer = getticket(&fake, query).await;
        assert_eq!(answer.json()["errcode"], errcode, "{query}");
        assert!(
            answer.json()["errmsg"].as_str().unwrap().contains(" rid: ") && !answer.body.contains("ticket-of-main")
        );
    }
    let post = fake.send(Request::post("/cgi-bin/ticket/getticket?access_token=token-of-main&type=jsapi")).await;
    assert_eq!(post.json()["errcode"], 43001);
    fake.publish("main.jsapi", idle());
    assert_eq!(getticket(&fake, "?access_token=token-of-main&type=jsapi").await.json()["errcode"], -1);
    let page = fake.admin("/metrics").await.body;
    for (reason, count) in
        [("no_access_token", 3), ("unknown_access_token", 4), ("bad_ticket_type", 3), ("ticket_not_kept", 2)]
    {
        let series = format!("drop_in_refusals_total{{reason=\"{reason}\"}} {count}\n");
        assert!(page.contains(&series), "{series}{page}");
    }
}

#[tokio::test]
async fn a_ticket_that_is_missing_degrades_the_relay_and_a_token_that_is_missing_takes_it_out_of_service() {
    let fake = fake();
    assert_eq!(fake.admin("/readyz").await.json()["status"], "ready");
    fake.publish("main.jsapi", idle());
    let answer = fake.admin("/readyz").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &"degraded".into()));
    let one = fake.admin("/readyz?account=main").await;
    assert_eq!(one.status, 200);
    assert_eq!(
        (&one.json()["accounts"]["main"]["state"], &one.json()["accounts"]["main.jsapi"]["state"]),
        (&"fresh".into(), &"none".into())
    );
    assert_eq!(fake.admin("/readyz?account=shop").await.json()["status"], "ready");
    assert_eq!(fake.admin("/status").await.json()["accounts"]["main.jsapi"]["state"], "none");
    fake.offer("main.jsapi", 9, "ticket-of-main", 7100);
    for name in ["main", "shop"] {
        fake.publish(name, idle());
    }
    assert_eq!(fake.admin("/readyz").await.status, 503, "a ticket alone does not make it ready");
}
