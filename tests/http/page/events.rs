//! Do pages that are open hear of every change, at most once a second, and never hold the relay up?

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::Value;
use token_relay::{
    clock::WallTime,
    recent::Happening,
    status::{Lease, Status},
};
use tokio::time::{Instant, timeout};

use crate::fake_relay::{FakeRelay, idle, offering, trouble};

/// A page that follows.
struct Follower {
    body: Body,
    read: String,
}

impl Follower {
    async fn of(fake: &FakeRelay, target: &str) -> Self {
        let request = Request::get(target).body(Body::empty()).unwrap();
        let response = fake.relay.admin().answer(request, ([127, 0, 0, 1], 1).into()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { body: response.into_body(), read: String::new() }
    }

    /// The next event, as its lines; `None` at the end.
    async fn event(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.read = rest;
                return Some(event);
            }
            let frame = timeout(Duration::from_secs(20), self.body.frame()).await.unwrap()?;
            self.read += std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap();
        }
    }

    /// The next update.
    async fn update(&mut self) -> Value {
        loop {
            let event = self.event().await.unwrap();
            let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            if !event.contains("event: beat") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_page_is_told_all_at_first_and_then_what_has_changed() {
    let fake = FakeRelay::of(&["main", "main.jsapi", "shop"]);
    for name in ["main", "main.jsapi", "shop"] {
        fake.offer(name, 7, "sentinel", 3541);
    }
    let mut page = Follower::of(&fake, "/events?lang=zh").await;
    let first = page.update().await;
    assert_eq!(first["order"], serde_json::json!(["main", "shop"]));
    assert_eq!(first["head"]["status"], "就绪");
    assert_eq!(first["rows"][0]["cells"].as_array().unwrap().len(), 2);
    fake.publish("shop", idle());
    let second = page.update().await;
    assert_eq!(second["order"], serde_json::json!(["shop", "main"]));
    assert_eq!(second["rows"].as_array().unwrap().len(), 1);
    assert_eq!((&second["rows"][0]["name"], &second["rows"][0]["severity"]), (&"shop".into(), &"bad".into()));
    let advice = second["head"]["notices"][0]["advice"].as_str().unwrap();
    assert!(advice.starts_with("1.2.3.4 不在 IP 白名单中"), "{advice}");
    fake.handle("main").history.add(WallTime::from_millis(7), Happening::Rotated);
    let third = page.update().await;
    assert_eq!((third["order"].is_null(), third["head"].is_null()), (true, true), "{third}");
    assert_eq!(
        third["rows"][0]["cells"][0]["ticks"],
        serde_json::json!([{"kind": "rotated", "at": 7, "text": "已刷新"}])
    );
    assert!(!format!("{first}{second}{third}").contains("sentinel"));
}

#[tokio::test]
async fn many_changes_make_one_update_a_second_and_none_makes_only_signs_of_life() {
    let fake = FakeRelay::of(&["main"]);
    let mut page = Follower::of(&fake, "/events").await;
    page.update().await;
    let began = Instant::now();
    for generation in 1..=500 {
        fake.offer("main", generation, "t", 3541);
    }
    let update = page.update().await;
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    let facts = update["rows"][0]["cells"][0]["facts"].to_string();
    assert!(facts.contains("\"500\""), "{facts}");
    assert_eq!(page.event().await.unwrap(), "event: beat\ndata: alive");
}

#[tokio::test]
async fn a_state_that_time_alone_has_changed_is_told_too() {
    let fake = FakeRelay::of(&["main"]);
    let mut ending = offering(7, "t", 600);
    let offer = ending.offer.as_mut().unwrap();
    (offer.promise.sliding, offer.promise.until) = (None, soon());
    fake.publish("main", ending);
    let mut page = Follower::of(&fake, "/events").await;
    assert_eq!(page.update().await["rows"][0]["cells"][0]["state"], "fresh");
    assert_eq!(page.update().await["rows"][0]["cells"][0]["state"], "expired");
}

fn soon() -> token_relay::clock::Timestamp {
    use token_relay::clock::Clock;
    token_relay::clock::SystemClock.boot_now().plus(Duration::from_millis(2500))
}

#[tokio::test]
async fn an_account_that_is_removed_leaves_the_page() {
    let fake = FakeRelay::of(&["main", "shop"]);
    let mut page = Follower::of(&fake, "/events").await;
    page.update().await;
    fake.relay.registry.remove(&["shop".parse().unwrap()]);
    assert_eq!(page.update().await["order"], serde_json::json!(["main"]));
}

#[tokio::test]
async fn a_page_that_follows_ends_when_the_relay_stops() {
    let fake = FakeRelay::of(&["main"]);
    let served = fake.serve_admin().await;
    let mut stream = served.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut buffer = [0; 64];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut buffer).await.unwrap();
    let began = Instant::now();
    fake.relay.shutdown.cancel();
    served.serving.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn only_so_many_pages_follow_at_once_and_one_that_leaves_makes_room() {
    let fake = FakeRelay::of(&["main"]);
    let service = fake.relay.admin();
    let ask = async || {
        let request = Request::get("/events").body(Body::empty()).unwrap();
        service.answer(request, ([127, 0, 0, 1], 1).into()).await
    };
    let mut pages = Vec::new();
    for _ in 0..32 {
        let page = ask().await;
        assert_eq!(page.status(), 200);
        pages.push(page);
    }
    let refused = ask().await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"4".parse().unwrap()));
    pages.pop();
    assert_eq!(ask().await.status(), 200);
}

#[tokio::test]
async fn who_calls_and_what_fails_is_in_the_words_of_the_page() {
    let fake = FakeRelay::of(&["main"]);
    let failing = Status { lease: Lease::Another, trouble: Some(Arc::new(trouble())), ..offering(7, "t", 60) };
    fake.publish("main", failing);
    let row = Follower::of(&fake, "/events?lang=en").await.update().await["rows"][0].clone();
    assert_eq!((&row["lease"], &row["severity"]), (&"another relay".into(), &"act".into()));
    assert_eq!(row["brief"], "errcode 40164: invalid ip 1.2.3.4");
}
