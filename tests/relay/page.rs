//! Does an operator's page follow a real relay, and does an open one hold up nothing?

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use test_support::{Relay, Setup};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    time::{Instant, timeout},
};
use wechat_sim::{Fault, Op, Times};

use crate::RELAY;

/// The updates that an open page is sent.
struct Updates(Lines<BufReader<TcpStream>>);

impl Updates {
    async fn of(relay: &Relay) -> Self {
        let mut stream = TcpStream::connect(relay.admin).await.unwrap();
        stream.write_all(b"GET /events?lang=en HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        Self(BufReader::new(stream).lines())
    }

    /// The first update in which the relay's account looks like this; `None` when the updates end.
    async fn until(&mut self, is_so: impl Fn(&Value) -> bool) -> Option<Value> {
        timeout(Duration::from_secs(60), async {
            while let Some(line) = self.0.next_line().await.unwrap() {
                let update: Value =
                    line.strip_prefix("data: ").and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
                if is_so(&update["rows"][0]) {
                    return Some(update);
                }
            }
            None
        })
        .await
        .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_page_follows_a_refused_call_and_its_end_and_holds_no_stop_up() {
    let mut setup = Setup::new(RELAY, 20, 5).await;
    setup.set("server.shutdown_grace", "10m");
    let mut relay = setup.start().await;
    relay.get("/token").await.token();
    let mut page = Updates::of(&relay).await;
    let fine = page.until(|row| row["severity"] == "fine").await.unwrap();
    let bar = &fine["rows"][0]["cells"][0]["bar"];
    assert_eq!(bar["life"], 20_000);
    assert!(bar["left"].as_u64().unwrap() <= 20_000 && bar["left"].as_u64() > bar["mark"].as_u64(), "{bar}");
    assert_eq!(fine["rows"][0]["lease"], "this relay");

    setup.sim.fault(Op::Token, Fault::errcode(40164), Times::Always);
    let failing = page.until(|row| row["severity"] == "act" || row["severity"] == "bad").await.unwrap();
    let tick = failing["rows"][0]["cells"][0]["ticks"].as_array().unwrap().last().unwrap();
    assert_eq!((&tick["kind"], &tick["text"]), (&"failed".into(), &"errcode 40164".into()));
    let advice = failing["head"]["notices"][0]["advice"].as_str().unwrap();
    assert!(advice.contains("is not on the IP whitelist: put exactly this IP on the whitelist"), "{advice}");

    let asked = Instant::now();
    relay.signal(Signal::TERM);
    assert!(page.until(|_| false).await.is_none(), "the updates end");
    assert_eq!(relay.ended().await, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
}
