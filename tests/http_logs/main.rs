//! Nothing leaks (I9): every kind of request, with the log at its loudest.
//!
//! A binary of its own: tracing asks each callsite once whether anybody listens, and other tests would have said no.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    dead_code,
    reason = "the house is shared with the tests of HTTP, which use more of it; and a test may unwrap and spawn as it likes"
)]

#[path = "../http/house.rs"]
mod house;

use std::{io, sync::Arc, sync::Mutex};

use axum::http::Request;
use token_relay::{registry::Reported, report::ReportLimit};
use tracing_subscriber::fmt::MakeWriter;

use crate::house::{House, KEY, LIMITS, bearer, idle};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_token_and_no_key_is_in_any_log_or_error() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let house = House::of(&["main"]);
    house.offer("main", 7, "sentinel_token", 3541);
    let retry_in = std::time::Duration::ZERO;
    house.keeper("main", move |_| Reported::TooMany { retry_in, limit: ReportLimit::Cooldown });
    let mut said = Vec::new();
    said.push(house.say(r#"{"access_token":"sentinel_token"}"#).await);
    said.push(house.say(r#"{"access_token":"sentinel_token""#).await);
    said.push(house.say(r#"{"access_token":["sentinel_token"]}"#).await);
    said.push(house.ask(Request::get("/token").header("authorization", "Bearer sentinel_key")).await);
    said.push(house.ask(Request::get("/token?account=sentinel_x").header("authorization", bearer(KEY))).await);
    said.push(
        house.ask(Request::get("/token?access_token=sentinel_y&wait=x").header("authorization", bearer(KEY))).await,
    );
    assert_eq!(house.get("/token").await.status, 200);
    let open = house.open(LIMITS).await;
    open.exchange(b"GET /token HTTP/1.1\r\nAuthorization: Bearer sentinel_key\r\nbad sentinel header\r\n\r\n").await;
    house.publish("main", idle());
    said.push(house.get("/token").await);
    said.push(house.admin("/status").await);
    assert!(!format!("{:?}{said:?}", house.relay).contains("sentinel"));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("status=429") && log.contains("status=401"), "{log}");
    assert!(!log.contains("sentinel") && !log.contains(KEY), "{log}");
}
