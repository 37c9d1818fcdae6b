//! What does an SDK get that meets 40001 and fetches again at once, and what does that cost?

use std::time::Duration;

use serde_json::Value;
use test_support::{CLIENT_KEY, Relay, Setup, client, eventually};
use tokio::{task::JoinSet, time::timeout};
use wechat_sim::{Fault, Kind, Op, Times};

use crate::RELAY;

async fn fetch(relay: &Relay) -> Value {
    let target = format!("/cgi-bin/token?grant_type=client_credential&appid=wxmain&secret={CLIENT_KEY}");
    client::get(relay.public, &target, None).await.unwrap().json()
}

async fn token(relay: &Relay) -> String {
    fetch(relay).await["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_somebody_else_has_ended_is_replaced_before_the_early_fetch_is_answered() {
    let setup = Setup::new(RELAY, 7200, 60).await;
    let relay = setup.start().await;
    let first = token(&relay).await;
    let mut before = first.clone();
    // also right after the token was replaced
    for rotations in 1..=3 {
        setup.sim.rotate_outside("wxmain", Kind::Rotating);
        setup.sim.rotate_outside("wxmain", Kind::Rotating);
        // a busy machine may have no verdict within 4 s: then the current token is the answer, once
        eventually("another token is the answer", async || {
            let after = token(&relay).await;
            let is_new = after != before;
            before = after;
            is_new
        })
        .await;
        assert!(setup.sim.token_alive("wxmain", &before));
        assert_eq!(setup.calls().len(), 1 + rotations);
    }
    assert_eq!(relay.metric("token_relay_ended_by_others_total{account=\"main\"}").await, 3);
    assert_eq!(relay.metric("token_relay_another_caller{account=\"main\"}").await, 1);
    assert!(relay.metric("token_relay_early_fetches_total{account=\"main\",outcome=\"renewed\"}").await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_with_one_key_cost_one_probe_a_minute() {
    let setup = Setup::new(RELAY, 7200, 60).await;
    let relay = setup.start().await;
    let good = token(&relay).await;
    setup.sim.set_latency(Duration::from_millis(300));
    let mut processes = JoinSet::new();
    for _ in 0..100 {
        let at = relay.public;
        processes.spawn(async move {
            let target = format!("/cgi-bin/token?grant_type=client_credential&appid=wxmain&secret={CLIENT_KEY}");
            client::get(at, &target, None).await.unwrap().token()
        });
    }
    assert!(processes.join_all().await.iter().all(|token| *token == good));
    for _ in 0..20 {
        assert_eq!(token(&relay).await, good);
    }
    assert_eq!((setup.probes(), setup.calls().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_verdict_the_current_token_is_the_answer_and_a_refused_one_never_is() {
    let setup = Setup::new(RELAY, 7200, 60).await;
    let relay = setup.start().await;
    let first = token(&relay).await;
    setup.sim.fault(Op::Api, Fault::Hang, Times::Next(1));
    // a probe that hangs takes longer than an SDK waits
    let answer = timeout(Duration::from_secs(7), token(&relay)).await.expect("the answer comes before the probe's end");
    assert_eq!((answer, setup.probes()), (first.clone(), 1));

    drop(relay);
    setup.sim.clear_faults();
    let other = setup.start().await;
    let first = token(&other).await;
    setup.sim.revoke(&first);
    setup.sim.fault(Op::Token, Fault::errcode(-1), Times::Always);
    assert_eq!(fetch(&other).await["errcode"], -1);
    setup.sim.clear_faults();
    eventually("a new token is served", async || {
        fetch(&other).await["access_token"].as_str().is_some_and(|it| it != first)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_in_good_time_and_one_of_a_new_token_cost_nothing() {
    let mut setup = Setup::new(RELAY, 10, 4).await;
    setup.set("refresh.probe_every", "0s");
    let relay = setup.start().await;
    let first = token(&relay).await;
    eventually("the relay has rotated", async || relay.get("/token").await.token() != first).await;
    assert_ne!(token(&relay).await, first);
    assert_eq!(setup.probes(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_regular_probe_finds_out_that_somebody_else_rotates_and_it_is_said() {
    let mut setup = Setup::new(RELAY, 7200, 60).await;
    setup.set("refresh.probe_every", "1s");
    let relay = setup.start().await;
    let first = relay.get("/token").await.token();
    eventually("it is probed", async || setup.probes() > 1).await;
    assert_eq!(relay.get("/token").await.token(), first);
    setup.sim.rotate_outside("wxmain", Kind::Rotating);
    setup.sim.rotate_outside("wxmain", Kind::Rotating);
    eventually("the token is replaced", async || relay.get("/token").await.token() != first).await;
    assert!(setup.sim.token_alive("wxmain", &relay.get("/token").await.token()));
    assert_eq!(setup.calls().len(), 2);
    assert_eq!(relay.metric("token_relay_another_caller{account=\"main\"}").await, 1);
    let status = relay.look("/status").await.json();
    assert_eq!(status["accounts"]["main"]["another_caller"], true);
    eventually("it is logged", async || relay.text().contains("another caller fetches tokens for this appid")).await;
}
