//! What if the process stands still for seconds (SIGSTOP, a paused virtual machine) while its token's life goes on?

use std::time::Duration;

use rustix::process::Signal;
use test_support::{CLIENT_KEY, Relay, Setup, TokenPoller, client, eventually};
use tokio::{task::JoinSet, time::sleep};
use wechat_sim::{Fault, Op};

use crate::{RELAY, attempts::Attempts};

/// Stops the relay for `pause`, with requests waiting in its sockets, and asks at once when it goes on.
async fn freeze(relay: &Relay, pause: Duration) {
    relay.signal(Signal::STOP);
    let mut early = JoinSet::new();
    for _ in 0..20 {
        let at = relay.public;
        early.spawn(async move { client::get(at, "/token", Some(CLIENT_KEY)).await.map(|answer| answer.status) });
    }
    sleep(pause).await;
    relay.signal(Signal::CONT);
    for status in early.join_all().await {
        assert!([200, 503].contains(&status.unwrap()));
    }
    assert_eq!(relay.get("/healthz").await.status, 200);
}

async fn frozen_for(pauses: &[u64]) {
    let setup = Setup::new(RELAY, 6, 2).await;
    let relay = setup.start().await;
    let attempts = Attempts::watch(setup.record());
    let poller = TokenPoller::start(&setup.sim, &["main"], Duration::from_millis(10));
    relay.get("/token").await.token();
    poller.read_from(&relay);
    for pause in pauses {
        sleep(Duration::from_millis(700)).await;
        freeze(&relay, Duration::from_millis(*pause)).await;
        eventually("it serves again", async || relay.get("/token").await.status == 200).await;
    }
    poller.close().await;
    attempts.close(&setup.sim, setup.calls().len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_past_the_rotation_serves_no_dead_token() {
    frozen_for(&[3500, 3100, 4200]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_past_the_expiry_serves_no_dead_token() {
    frozen_for(&[6500, 7300]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_while_a_call_is_in_flight_counts_the_tokens_life_from_the_call() {
    let setup = Setup::new(RELAY, 8, 2).await;
    // the reply comes in the middle of the freeze
    setup.sim.script(Op::Token, [Fault::Pass.into(), Fault::Slow(Duration::from_millis(2500)).minting()]);
    let relay = setup.start().await;
    let poller = TokenPoller::start(&setup.sim, &["main"], Duration::from_millis(10));
    relay.get("/token").await.token();
    poller.read_from(&relay);
    eventually("the call is in flight", async || setup.calls().len() == 2).await;
    // the reply waits in the socket while half of the new token's life passes
    freeze(&relay, Duration::from_secs(5)).await;
    assert!(relay.get("/token").await.seconds() <= 7, "not the whole life that the late reply tells");
    poller.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_rotation_during_a_freeze_is_healed_by_a_report() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("refresh.report_cooldown", "0s");
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    relay.signal(Signal::STOP);
    setup.sim.rotate_outside("wxmain", wechat_sim::Kind::Rotating);
    setup.sim.rotate_outside("wxmain", wechat_sim::Kind::Rotating);
    sleep(Duration::from_secs(2)).await;
    relay.signal(Signal::CONT);
    eventually("it is healed", async || relay.report(&token).await.status == 200).await;
    let healed = relay.get("/token").await.token();
    assert_ne!(healed, token);
    assert!(setup.sim.token_alive("wxmain", &healed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_came_during_a_freeze_past_the_time_of_the_call_is_taken() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("wechat.timeout", "5s");
    setup.sim.script(Op::Token, [Fault::Slow(Duration::from_secs(1)).minting()]);
    let relay = setup.start().await;
    eventually("the call has arrived", async || setup.calls().len() == 1).await;
    relay.signal(Signal::STOP);
    sleep(Duration::from_secs(6)).await;
    relay.signal(Signal::CONT);
    assert_eq!(relay.get("/token").await.status, 200);
    assert_eq!((setup.calls().len(), relay.events("fetch failed").len()), (1, 0));
}
