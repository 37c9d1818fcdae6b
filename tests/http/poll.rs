//! The long poll: `GET /token?wait=…` with `If-None-Match`.

use std::time::Duration;

use axum::http::{Request, request::Builder};
use token_relay::{
    clock::{Clock, SystemClock},
    http::Timeouts,
    status::Status,
};
use tokio::{join, time::sleep};

use crate::house::{House, KEY, bearer, offering};

const SOON: Duration = Duration::from_millis(30);

fn poll(wait: u64, tag: &str) -> Builder {
    Request::get(format!("/token?wait={wait}")).header("authorization", bearer(KEY)).header("if-none-match", tag)
}

fn house() -> House {
    let house = House::of(&["main"]);
    house.offer("main", 7, "old", 3541);
    house
}

#[tokio::test]
async fn another_generation_is_answered_at_once() {
    let house = house();
    for tag in [r#"W/"main-6""#, r#"W/"shop-7""#, "junk", "", "\"\"", ","] {
        assert_eq!(house.ask(poll(60, tag)).await.json()["access_token"], "old", "{tag}");
    }
    let untagged = house.get("/token?wait=60").await;
    assert_eq!(untagged.status, 200);
}

#[tokio::test]
async fn the_same_generation_is_answered_with_304_when_the_wait_is_over() {
    let house = house();
    for (wait, tag) in [(0, r#"W/"main-7""#), (1, r#""main-7""#), (0, "*"), (0, r#""x", W/"main-7""#)] {
        let answer = house.ask(poll(wait, tag)).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (304, ""), "{tag}");
        assert_eq!(answer.header("etag"), r#"W/"main-7""#);
        assert_eq!(answer.header("cache-control"), "private, max-age=60");
        assert!(!answer.headers.contains_key("content-length"));
    }
}

#[tokio::test]
async fn several_lines_of_tags_are_one_list() {
    let answer = house().ask(poll(0, r#""x""#).header("if-none-match", r#"W/"main-7""#)).await;
    assert_eq!(answer.status, 304);
}

#[tokio::test]
async fn a_rotation_ends_the_wait() {
    let house = house();
    let (answer, ()) = join!(house.ask(poll(60, r#"W/"main-7""#)), async {
        sleep(SOON).await;
        // Published again without a rotation: no news.
        house.offer("main", 7, "old", 3000);
        sleep(SOON).await;
        house.offer("main", 8, "new", 7000);
    });
    assert_eq!(answer.json()["access_token"], "new");
    assert_eq!(answer.header("etag"), r#"W/"main-8""#);
}

#[tokio::test]
async fn shutdown_ends_the_wait_with_304() {
    let house = house();
    let (answer, ()) = join!(house.ask(poll(60, r#"W/"main-7""#)), async {
        sleep(SOON).await;
        house.shutdown.cancel();
    });
    assert_eq!(answer.status, 304);
}

#[tokio::test]
async fn a_promise_that_runs_out_during_the_wait_is_not_called_unchanged() {
    let house = House::patient(&["main"], Timeouts::new(Duration::from_millis(50)));
    let mut standing = offering(7, "old", 1);
    standing.offer.as_mut().unwrap().promise.until = SystemClock.boot_now().plus(Duration::from_secs(3));
    house.publish("main", standing);
    house.ask(poll(60, r#"W/"main-7""#)).await.assert_problem(503);
}

#[tokio::test]
async fn a_token_that_is_withdrawn_during_the_wait_is_waited_for_like_the_first_one() {
    let house = House::patient(&["main"], Timeouts::new(Duration::from_secs(60)));
    house.offer("main", 7, "old", 3541);
    let (answer, ()) = join!(house.ask(poll(60, r#"W/"main-7""#)), async {
        sleep(SOON).await;
        house.publish("main", Status::default());
        sleep(SOON).await;
        house.offer("main", 8, "new", 3541);
    });
    assert_eq!(answer.json()["access_token"], "new");
}

#[tokio::test]
async fn a_poll_without_anything_to_serve_follows_the_rules_of_the_first_token() {
    let house = House::of(&["main"]);
    house.ask(poll(60, r#"W/"main-7""#)).await.assert_problem(503);
}

#[tokio::test]
async fn a_verified_token_is_held_on_to_second_by_second() {
    let house = House::of(&["main"]);
    let mut standing = offering(7, "old", 0);
    let verified = SystemClock.boot_now().plus(Duration::from_secs(3000));
    standing.offer.as_mut().unwrap().promise.verified_until = Some(verified);
    house.publish("main", standing);
    assert_eq!(house.get("/token").await.json()["expires_in"], 1);
    assert_eq!(house.ask(poll(1, r#"W/"main-7""#)).await.status, 304);
}
