//! What does a client's word that a token is bad cause (I5)?

use std::{collections::BTreeSet, time::Duration};

use test_support::{
    CLIENT_KEY, Relay, Setup, TokenPoller,
    client::{self, Answer},
    eventually,
};
use tokio::{task::JoinSet, time::sleep};
use wechat_sim::{Fault, Kind, Op, Outcome, Times};

use crate::{RELAY, attempts::Attempts};

const OFTEN: Duration = Duration::from_millis(25);

async fn setup_without_cooldown() -> Setup {
    // lives so long that only reports rotate
    let mut setup = Setup::new(RELAY, 600, 10).await;
    setup.set("refresh.report_cooldown", "0s");
    setup
}

async fn all_at_once(relay: &Relay, count: usize, query: &str, token: &str) -> Vec<Answer> {
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let (at, query, token) = (relay.public, query.to_owned(), token.to_owned());
        clients.spawn(async move { client::report(at, CLIENT_KEY, &query, &token).await.unwrap() });
    }
    clients.join_all().await
}

/// Longer than a probe may take, and than a machine stands still.
const COOLDOWN: Duration = Duration::from_secs(10);

/// Two hundred reports at once, and how many probes they cost: another one where a busy machine had no verdict in time.
async fn two_hundred_at_once(setup: &Setup, relay: &Relay, token: &str) -> (Vec<Answer>, usize) {
    for probes in 1..=4 {
        let answers = all_at_once(relay, 200, "", token).await;
        assert_eq!(setup.probes(), probes, "one for all");
        if answers.iter().any(|answer| answer.status == 200) {
            return (answers, probes);
        }
        sleep(COOLDOWN).await;
    }
    panic!("no probe was answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reports_of_a_dead_token_cost_one_probe_and_one_refresh() {
    let mut setup = Setup::new(RELAY, 600, 10).await;
    setup.set("refresh.report_cooldown", "10s");
    let relay = setup.start().await;
    let poller = TokenPoller::start(&setup.sim, &["main"], OFTEN);
    poller.read_from(&relay);
    let dead = relay.get("/token").await.token();
    setup.sim.set_latency(Duration::from_millis(300));
    poller.forgive(&dead);
    setup.sim.revoke(&dead);
    let (answers, probes) = two_hundred_at_once(&setup, &relay, &dead).await;
    poller.hold_to_account(&dead);
    let tokens: BTreeSet<String> = answers.iter().map(Answer::token).collect();
    assert_eq!(tokens.len(), 1, "all get one token");
    let new = tokens.first().unwrap();
    assert!(*new != dead && setup.sim.token_alive("wxmain", new));
    assert_eq!((setup.probes(), setup.calls().len()), (probes, 2));
    let late = relay.report(&dead).await;
    assert_eq!((late.token(), setup.probes()), (new.clone(), probes), "a stale report costs nothing");
    poller.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reports_of_a_good_token_cost_one_probe_and_no_rotation() {
    let mut setup = Setup::new(RELAY, 600, 10).await;
    setup.set("refresh.report_cooldown", "10s");
    let relay = setup.start().await;
    let good = relay.get("/token").await.token();
    setup.sim.set_latency(Duration::from_secs(1));
    let (answers, probes) = two_hundred_at_once(&setup, &relay, &good).await;
    // whoever came after the verdict is within the cool-down; nobody is told anything else
    let (heard, late): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(heard.len() >= 2 && heard.iter().all(|answer| answer.token() == good), "{} were heard", heard.len());
    assert!(late.iter().all(|answer| answer.status == 429 && answer.retry_after().is_some_and(|s| s <= 10)));
    let again = relay.report(&good).await;
    assert_eq!(again.status, 429);
    assert!(again.retry_after().is_some_and(|seconds| (1..=10).contains(&seconds)), "{again:?}");
    assert_eq!((setup.probes(), setup.calls().len()), (probes, 1));
    let mut more = 0;
    eventually("the cool-down ends", async || {
        let status = relay.report(&good).await.status;
        more += usize::from(status != 429);
        status == 200
    })
    .await;
    assert_eq!((setup.probes(), setup.calls().len()), (probes + more, 1), "one probe more, and no rotation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_40001_does_not_rotate_and_an_inconclusive_probe_decides_nothing() {
    let setup = setup_without_cooldown().await;
    let relay = setup.start().await;
    let good = relay.get("/token").await.token();
    // The client met a false 40001; the relay's own probe is answered truthfully.
    eventually("the probe is answered", async || {
        let answer = relay.report(&good).await;
        assert!(answer.status != 200 || answer.token() == good);
        answer.status == 200
    })
    .await;
    for fault in [Fault::Status(502), Fault::Hang, Fault::Reset, Fault::errcode(-1), Fault::Body(b"{}".to_vec())] {
        setup.sim.fault(Op::Api, fault.clone(), Times::Next(1));
        eventually("the probe is made", async || {
            let answer = relay.report(&good).await;
            assert!([429, 503].contains(&answer.status), "{fault:?}: {answer:?}");
            assert!(answer.retry_after().is_some());
            answer.status == 503
        })
        .await;
        assert_eq!(relay.get("/token").await.token(), good, "{fault:?}");
    }
    assert_eq!(setup.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_by_somebody_else_is_healed_by_a_report() {
    let setup = setup_without_cooldown().await;
    let relay = setup.start().await;
    let poller = TokenPoller::start(&setup.sim, &["main"], OFTEN);
    poller.read_from(&relay);
    let mut undecided = 0;
    for _ in 0..3 {
        let stolen = relay.get("/token").await.token();
        poller.forgive(&stolen);
        setup.sim.rotate_outside("wxmain", Kind::Rotating);
        setup.sim.rotate_outside("wxmain", Kind::Rotating);
        let mut healed = stolen.clone();
        eventually("a report heals it", async || {
            let answer = relay.report(&stolen).await;
            match answer.status {
                200 => healed = answer.token(),
                503 => undecided += 1,
                other => assert_eq!(other, 429, "{answer:?}"),
            }
            answer.status == 200
        })
        .await;
        poller.hold_to_account(&stolen);
        assert_ne!(healed, stolen);
        assert!(setup.sim.token_alive("wxmain", &healed));
    }
    assert!((3..=3 + undecided).contains(&setup.probes()));
    assert_eq!(setup.calls().len(), 4);
    poller.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_sticky_token_is_asked_for_normally_and_then_by_force() {
    let mut setup = setup_without_cooldown().await;
    setup.account("shop", "stable_token");
    let relay = setup.start().await;
    let attempts = Attempts::watch(setup.state().join("shop.json"));
    let dead = relay.get("/token?account=shop").await.token();
    // WeChat goes on handing a revoked sticky token out until it is forced.
    assert!(setup.sim.revoke(&dead));
    let answers = all_at_once(&relay, 50, "?account=shop", &dead).await;
    let tokens: BTreeSet<String> = answers.iter().map(Answer::token).collect();
    assert_eq!(tokens.len(), 1);
    assert!(setup.sim.token_alive("wxshop", tokens.first().unwrap()));
    let calls = setup.sim.calls(Op::StableToken);
    assert_eq!(calls.iter().map(|call| call.forced).collect::<Vec<_>>(), [false, false, true], "first, normal, forced");
    attempts.close(&setup.sim, calls.len()).await;
    assert_eq!(setup.probes(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_never_served_again_though_the_refresh_fails_and_the_relay_restarts() {
    let mut setup = setup_without_cooldown().await;
    setup.set("server.first_token_wait", "0s");
    let relay = setup.start().await;
    let poller = TokenPoller::start(&setup.sim, &["main"], OFTEN);
    eventually("a token is there", async || relay.get("/token").await.status == 200).await;
    let dead = relay.get("/token").await.token();
    setup.sim.fault(Op::Token, Fault::errcode(-1), Times::Next(2));
    setup.sim.revoke(&dead);
    let answer = relay.report(&dead).await;
    assert!(answer.status == 503 && answer.retry_after().is_some(), "{answer:?}");
    relay.kill();
    let relay = setup.start().await;
    poller.read_from(&relay);
    eventually("a new token is there", async || {
        let answer = relay.get("/token").await;
        assert!(answer.status != 200 || answer.token() != dead);
        answer.status == 200
    })
    .await;
    poller.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_waits_ten_seconds_at_most_and_the_next_one_joins_what_is_under_way() {
    let mut setup = setup_without_cooldown().await;
    setup.set("wechat.timeout", "40s");
    setup.set("server.shutdown_grace", "60s");
    let relay = setup.start().await;
    let dead = relay.get("/token").await.token();
    setup.sim.revoke(&dead);
    setup.sim.fault(Op::Token, Fault::Slow(Duration::from_secs(19)), Times::Next(1));
    let started = setup.sim.now();
    let first = relay.report(&dead).await;
    let waited = setup.sim.now().saturating_sub(started);
    assert_eq!(first.status, 503, "{first:?}");
    assert!(waited > Duration::from_secs(9), "{waited:?}");
    assert_eq!(setup.calls()[1].outcome, Outcome::Pending, "it did not wait for the call");
    eventually("the call has ended", async || {
        let next = relay.report(&dead).await;
        assert!(next.status == 503 || next.token() != dead, "{next:?}");
        next.status == 200
    })
    .await;
    assert_eq!((setup.probes(), setup.calls().len()), (1, 2));
}
