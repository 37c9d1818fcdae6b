//! When does a long poll end, and with what? `GET /token?wait=…` with `If-None-Match`.

use std::time::Duration;

use axum::http::{Request, request::Builder};
use token_relay::{
    clock::{Clock, SystemClock},
    http::Timeouts,
    status::Status,
};
use tokio::{join, time::sleep};

use crate::fake_relay::{FakeRelay, KEY, bearer, offering};

const SOON: Duration = Duration::from_millis(30);

fn poll(wait: u64, tag: &str) -> Builder {
    Request::get(format!("/token?wait={wait}")).header("authorization", bearer(KEY)).header("if-none-match", tag)
}

#[tokio::test]
async fn another_generation_is_answered_at_once() {
    let fake = FakeRelay::serving("old");
    for tag in [r#"W/"main-6""#, r#"W/"shop-7""#, "junk", "", "\"\"", ","] {
        assert_eq!(fake.send(poll(60, tag)).await.json()["access_token"], "old", "{tag}");
    }
    let untagged = fake.get("/token?wait=60").await;
    assert_eq!(untagged.status, 200);
}

#[tokio::test]
async fn the_same_generation_is_answered_with_304_when_the_wait_is_over() {
    let fake = FakeRelay::serving("old");
    for (wait, tag) in [(0, r#"W/"main-7""#), (1, r#""main-7""#), (0, "*"), (0, r#""x", W/"main-7""#)] {
        let answer = fake.send(poll(wait, tag)).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (304, ""), "{tag}");
        assert_eq!(answer.header("etag"), r#"W/"main-7""#);
        assert_eq!(answer.header("cache-control"), "private, max-age=60");
        assert!(!answer.headers.contains_key("content-length"));
    }
}

#[tokio::test]
async fn several_lines_of_tags_are_one_list() {
    let answer = FakeRelay::serving("old").send(poll(0, r#""x""#).header("if-none-match", r#"W/"main-7""#)).await;
    assert_eq!(answer.status, 304);
}

#[tokio::test]
async fn a_rotation_ends_the_wait() {
    let fake = FakeRelay::serving("old");
    let (answer, ()) = join!(fake.send(poll(60, r#"W/"main-7""#)), async {
        sleep(SOON).await;
        // Published again without a rotation: no news.
        fake.offer("main", 7, "old", 3000);
        sleep(SOON).await;
        fake.offer("main", 8, "new", 7000);
    });
    assert_eq!(answer.json()["access_token"], "new");
    assert_eq!(answer.header("etag"), r#"W/"main-8""#);
}

#[tokio::test]
async fn a_key_that_is_taken_out_during_the_wait_gets_neither_token_nor_ticket() {
    let fake = FakeRelay::of(&["main", "main.jsapi"]);
    let tickets = Request::get("/ticket?type=jsapi&wait=60").header("authorization", bearer(KEY));
    for (name, poll) in
        [("main", poll(60, r#"W/"main-7""#)), ("main.jsapi", tickets.header("if-none-match", r#"W/"main.jsapi-7""#))]
    {
        fake.offer("main", 7, "old", 3541);
        fake.offer("main.jsapi", 7, "old", 3541);
        let (answer, rules) = join!(fake.send(poll), async {
            sleep(SOON).await;
            let rules = fake.take_out_all_clients();
            fake.offer(name, 8, "new", 7000);
            rules
        });
        answer.assert_problem(401);
        fake.relay.rules.store(rules);
    }
}

#[tokio::test]
async fn shutdown_ends_the_wait_with_304() {
    let fake = FakeRelay::serving("old");
    let (answer, ()) = join!(fake.send(poll(60, r#"W/"main-7""#)), async {
        sleep(SOON).await;
        fake.relay.shutdown.cancel();
    });
    assert_eq!(answer.status, 304);
}

#[tokio::test]
async fn a_promise_that_runs_out_during_the_wait_is_not_called_unchanged() {
    let fake = FakeRelay::patient(&["main"], Timeouts::new(Duration::from_millis(50)));
    let mut standing = offering(7, "old", 1);
    standing.offer.as_mut().unwrap().promise.until = SystemClock.boot_now().plus(Duration::from_secs(3));
    fake.publish("main", standing);
    fake.send(poll(60, r#"W/"main-7""#)).await.assert_problem(503);
}

#[tokio::test]
async fn a_token_that_is_withdrawn_during_the_wait_is_waited_for_like_the_first_one() {
    let fake = FakeRelay::patient(&["main"], Timeouts::new(Duration::from_secs(60)));
    fake.offer("main", 7, "old", 3541);
    let (answer, ()) = join!(fake.send(poll(60, r#"W/"main-7""#)), async {
        sleep(SOON).await;
        fake.publish("main", Status::default());
        sleep(SOON).await;
        fake.offer("main", 8, "new", 3541);
    });
    assert_eq!(answer.json()["access_token"], "new");
}

#[tokio::test]
async fn a_poll_without_anything_to_serve_follows_the_rules_of_the_first_token() {
    let fake = FakeRelay::of(&["main"]);
    fake.send(poll(60, r#"W/"main-7""#)).await.assert_problem(503);
}

#[tokio::test]
async fn a_verified_token_is_held_on_to_second_by_second() {
    let fake = FakeRelay::of(&["main"]);
    let mut standing = offering(7, "old", 0);
    let verified = SystemClock.boot_now().plus(Duration::from_secs(3000));
    standing.offer.as_mut().unwrap().promise.verified_until = Some(verified);
    fake.publish("main", standing);
    assert_eq!(fake.get("/token").await.json()["expires_in"], 1);
    assert_eq!(fake.send(poll(1, r#"W/"main-7""#)).await.status, 304);
}
