//! What do clients get while all is well?

use std::time::Duration;

use test_support::{CLIENT_KEY, Setup, TokenPoller, client, eventually};
use wechat_sim::{Fault, Kind, Op, Times};

use crate::RELAY;

const SHOP_KEY: &str = "sentinel-client-key-of-the-shop-9876543210";
const OFTEN: Duration = Duration::from_millis(25);

/// `main` rotates, `shop` is sticky and has a client of its own.
async fn two_accounts(lifetime: u64, overlap: u64) -> Setup {
    let mut setup = Setup::new(RELAY, lifetime, overlap).await;
    setup.account("shop", "stable_token");
    setup.set("clients.shop.key", SHOP_KEY);
    setup.set("clients.shop.accounts", "shop");
    setup
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_endpoints_are_served_to_those_who_may_read_them() {
    let setup = two_accounts(600, 60).await;
    let relay = setup.start().await;
    let (main, shop) = (relay.get("/token?account=main").await, relay.get("/token?account=shop").await);
    assert_ne!(main.token(), shop.token());
    assert!(setup.sim.token_alive("wxmain", &main.token()) && setup.sim.token_alive("wxshop", &shop.token()));
    assert!(main.etag().starts_with("W/\"main-"));
    assert_eq!(main.header("cache-control"), Some(format!("private, max-age={}", main.seconds().min(60)).as_str()));

    let home = client::get(relay.public, "/token", Some(SHOP_KEY)).await.unwrap();
    assert_eq!(home.token(), shop.token(), "the only account that the key may use");
    for (target, key, status) in [
        ("/token?account=main", Some(SHOP_KEY), 403),
        ("/token?account=nobody", Some(SHOP_KEY), 403),
        ("/token?account=nobody", Some(CLIENT_KEY), 404),
        ("/token", Some(CLIENT_KEY), 400),
        ("/token", Some("sentinel-wrong-key-wrong-key-wrong-key"), 401),
        ("/token", None, 401),
        ("/token/", Some(SHOP_KEY), 404),
    ] {
        assert_eq!(client::get(relay.public, target, key).await.unwrap().status, status, "{target}");
    }
    assert_eq!(setup.calls().len(), 2, "one call for each account");
    assert_eq!(relay.get("/readyz").await.json()["status"], "ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_come_ahead_of_expiry_and_a_long_poll_sees_them() {
    let mut setup = two_accounts(16, 6).await;
    setup.set("server.first_token_wait", "3s");
    let relay = setup.start().await;
    let poller = TokenPoller::start(&setup.sim, &["main", "shop"], OFTEN);
    eventually("both tokens are there", async || relay.get("/readyz").await.json()["status"] == "ready").await;
    poller.read_from(&relay);
    let first = relay.get("/token?account=main").await;
    let asked = setup.sim.now();
    let held = format!("If-None-Match: {}\r\n", first.etag());
    let poll = client::request("GET", "/token?account=main&wait=30", Some(CLIENT_KEY), &held, "");
    let second = client::send(relay.public, poll.as_bytes()).await.unwrap();
    assert_ne!(second.token(), first.token());
    assert!(second.generation() > first.generation());
    let rotated = setup.sim.calls(Op::Token)[1].at;
    let alive = setup.sim.alive_for(&first.token()).is_some();
    assert!(alive || setup.sim.now() >= rotated + Duration::from_secs(6), "the old token outlives the rotation");
    poller.record("main", asked, &second);
    eventually("both rotate by themselves", async || {
        setup.sim.mints("wxmain", Kind::Rotating) >= 3 && setup.sim.mints("wxshop", Kind::Sticky) >= 2
    })
    .await;
    let seen = poller.close().await;
    assert_eq!(seen.unavailable.get("main"), None, "a reader of a rotating account never waits");
    assert!(setup.sim.most_concurrent("wxmain") == 1 && setup.sim.most_concurrent("wxshop") == 1, "I1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_waits_for_the_first_token_and_gives_up_with_a_reason() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("server.first_token_wait", "30s");
    setup.sim.set_latency(Duration::from_millis(300));
    let relay = setup.start().await;
    assert_eq!(relay.get("/token").await.status, 200, "the call takes 300 ms");

    setup.account("poor", "token");
    setup.set("server.first_token_wait", "1s");
    setup.sim.fault(Op::Token, Fault::errcode(40164), Times::Always);
    relay.kill();
    let relay = setup.start().await;
    eventually("WeChat's refusal is told", async || relay.get("/token?account=poor").await.body.contains("40164"))
        .await;
    let refused = relay.get("/token?account=poor").await;
    assert_eq!((refused.status, refused.header("content-type")), (503, Some("application/problem+json")));
    assert!(refused.json()["hint"].as_str().unwrap().contains("127.0.0.1"), "the IP to put on the whitelist");
    assert!(refused.retry_after().is_some_and(|seconds| (1..=60).contains(&seconds)), "{refused:?}");
    assert_eq!(relay.get("/readyz").await.json()["status"], "degraded", "the other account is served");
    assert_eq!(relay.get("/healthz").await.status, 200);
}
