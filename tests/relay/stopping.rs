//! How does the process end, and what is left behind?

use std::{process::Command, time::Duration};

use rustix::process::Signal;
use tokio::{task::JoinSet, time::sleep};
use wechat_sim::{Fault, Op, Times};

use crate::{
    client,
    process::{KEY, Relay},
    world::{World, eventually},
};

/// Far below the grace of 20 s, and far above what a stop takes.
const QUICK: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_relay_stops_at_once_with_0_whatever_the_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let world = World::new(60, 10).await;
        let mut relay = world.start().await;
        relay.get("/token").await.token();
        relay.signal(signal);
        let (code, took) = relay.ended().await;
        assert!(code == Some(0) && took < QUICK, "{signal:?}: {code:?} after {took:?}");
        assert_eq!(relay.events("stopped")[0]["as_asked"], true);
        assert!(tokio::net::TcpStream::connect(relay.public).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_long_polls_and_lets_the_call_under_way_end() {
    let world = World::new(8, 3).await;
    let mut relay = world.start().await;
    let first = relay.get("/token").await;
    world.sim.fault(Op::Token, Fault::Slow(Duration::from_secs(2)).minting(), Times::Next(1));
    eventually("the rotation's call is under way", async || world.calls().len() == 2).await;
    let (at, etag) = (relay.public, first.etag());
    let mut polls = JoinSet::new();
    polls.spawn(async move { client::poll(at, KEY, &etag, 60).await });
    sleep(Duration::from_millis(200)).await;
    let told = world.sim.now();
    relay.signal(Signal::TERM);
    let answer = polls.join_next().await.unwrap().unwrap().unwrap();
    assert!(answer.status == 304 && world.sim.now().saturating_sub(told) < Duration::from_secs(1), "{answer:?}");
    let (code, took) = relay.ended().await;
    assert_eq!(code, Some(0), "after {took:?}");
    let minted = world.sim.living("wxmain", wechat_sim::Kind::Rotating)[0].access_token.clone();

    let next = world.start().await;
    assert_eq!(next.get("/token").await.token(), minted, "the reply was stored");
    assert_eq!(world.calls().len(), 2, "and the restart made no call (I7)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_tokens_call_is_not_cut_off_by_a_stop_either() {
    let mut world = World::new(60, 10).await;
    world.set("server.first_token_wait", "10s");
    world.sim.set_latency(Duration::from_secs(2));
    let mut relay = world.start().await;
    eventually("the call is under way", async || world.calls().len() == 1).await;
    let at = relay.public;
    let mut readers = JoinSet::new();
    readers.spawn(async move { client::get(at, "/token", Some(KEY)).await });
    sleep(Duration::from_millis(200)).await;
    relay.signal(Signal::TERM);
    let reader = readers.join_next().await.unwrap().unwrap().unwrap();
    assert!(reader.status == 503 && reader.retry_after().is_some(), "{reader:?}");
    assert_eq!(relay.ended().await.0, Some(0));
    let next = world.start().await;
    next.get("/token").await.token();
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_waits_is_answered_by_a_stop() {
    let world = World::new(60, 10).await;
    let mut relay = world.start().await;
    let dead = relay.get("/token").await.token();
    world.sim.revoke(&dead);
    world.sim.fault(Op::Token, Fault::Slow(Duration::from_secs(2)).minting(), Times::Next(1));
    let at = relay.public;
    let mut reports = JoinSet::new();
    let bad = dead.clone();
    reports.spawn(async move { client::report(at, KEY, "", &bad).await });
    eventually("the refresh is under way", async || world.calls().len() == 2).await;
    relay.signal(Signal::TERM);
    let answer = reports.join_next().await.unwrap().unwrap().unwrap();
    assert!(answer.status == 503 || answer.status == 200 && answer.token() != dead, "{answer:?}");
    assert_eq!(relay.ended().await.0, Some(0));
    let next = world.start().await;
    assert!(world.sim.token_alive("wxmain", &next.get("/token").await.token()));
    assert_eq!(world.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_quick_while_wechat_hangs_and_a_probe_waits() {
    let mut world = World::new(60, 10).await;
    world.set("wechat.timeout", "3s");
    world.set("wechat.connect_timeout", "1s");
    world.set("server.shutdown_grace", "10s");
    world.sim.fault(Op::Any, Fault::Hang, Times::Always);
    let mut relay = world.start().await;
    eventually("the call is under way", async || world.calls().len() == 1).await;
    // A silent connection, a half-sent request and an idle one must not hold the process either.
    let silent = tokio::net::TcpStream::connect(relay.public).await.unwrap();
    let half = tokio::net::TcpStream::connect(relay.public).await.unwrap();
    half.try_write(b"GET /token HTTP/1.1\r\nHo").unwrap();
    relay.signal(Signal::TERM);
    let (code, took) = relay.ended().await;
    assert!(code == Some(0) && took < Duration::from_secs(8), "{code:?} after {took:?}");
    drop((silent, half));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_by_its_exit_code_whether_the_running_relay_lives() {
    let world = World::new(60, 10).await;
    let mut relay = world.start().await;
    let health = |relay: &Relay| {
        let at = relay.public.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_token-relay"));
        command.env_clear().env("TOKEN_RELAY__SERVER__LISTEN", at).arg("health").output().unwrap()
    };
    let alive = health(&relay);
    assert_eq!((alive.status.code(), alive.stdout.as_slice()), (Some(0), b"alive\n".as_slice()));
    relay.signal(Signal::STOP);
    let frozen = health(&relay);
    assert_eq!(frozen.status.code(), Some(1), "{frozen:?}");
    relay.signal(Signal::CONT);
    eventually("it is alive again", async || health(&relay).status.success()).await;
    relay.signal(Signal::TERM);
    relay.ended().await;
    assert_eq!(health(&relay).status.code(), Some(1));
}
