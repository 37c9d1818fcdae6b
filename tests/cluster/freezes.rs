//! What if the holder is frozen while its call is out, and goes on after another relay has rotated?
//!
//! Its token is WeChat's newest or not, depending on when WeChat minted: at once, while the relay stood still, or after the
//! other one's call. Whoever serves a token must serve one that lives.

use std::time::Duration;

use futures_util::future::join_all;
use test_support::{Link, LinkState, Setup, eventually};
use tokio::time::{Instant, sleep};
use wechat_sim::{Fault, Op, Times};

use crate::{
    RELAY,
    cluster::{Cluster, count},
};

const OVERLAP: u64 = 20;

/// When WeChat mints for the call that is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mint {
    AtOnce,
    WhileFrozen,
    /// The call's first byte arrives when the relay goes on, as if it had been frozen just before.
    AfterTheOthers,
}

async fn frozen_in_calls(number: u64, rounds: u64) {
    let mut setup = Setup::new(RELAY, 44, OVERLAP).await;
    // an orphaned call is waited for as long; and a relay that goes on finds its own timer run out, or its reply
    setup.set("wechat.timeout", "4s");
    let wechat = Link::to(setup.sim.addr().port()).await;
    setup.set("wechat.base_url", &format!("http://127.0.0.1:{}", wechat.port));
    let mut cluster = Cluster::of(setup, &["main"]).await;
    for round in number * rounds..(number + 1) * rounds {
        frozen(&cluster, &wechat, round).await;
    }
    sleep(Duration::from_secs(12)).await;
    let calls = cluster.setup.calls();
    let seen = cluster.close().await;
    let served: u64 = seen.iter().map(|seen| seen.served).sum();
    let waited: usize =
        seen.iter().map(|seen| seen.excused + seen.unavailable.values().map(Vec::len).sum::<usize>()).sum();
    println!("{rounds} freezes, {} calls, {served} reads, {waited} without a token, none dead", calls.len());
    for three in calls.windows(3) {
        let apart = three[2].at.saturating_sub(three[0].at);
        // a third one kills the first at once: not before all that was promised of it has run out, O − r after a call (I8)
        // counted here from its arrival, which a busy machine delays, and by the relay from its first byte
        assert!(apart >= Duration::from_secs(OVERLAP * 4 / 5 - 2), "three calls within {apart:?}");
    }
}

async fn frozen(cluster: &Cluster, wechat: &Link, round: u64) {
    let mint = [Mint::AtOnce, Mint::WhileFrozen, Mint::AfterTheOthers][usize::try_from(round % 3).unwrap()];
    let sim = &cluster.setup.sim;
    let (calls, held) = (cluster.setup.calls().len(), wechat.held());
    match mint {
        Mint::AtOnce => sim.fault(Op::Token, Fault::Slow(Duration::from_millis(1500)).minting(), Times::Next(1)),
        Mint::WhileFrozen => sim.fault(Op::Token, Fault::Slow(Duration::from_secs(8)), Times::Next(1)),
        Mint::AfterTheOthers => wechat.set(LinkState::Held),
    }
    let asked = Instant::now();
    while cluster.setup.calls().len() == calls && wechat.held() == held {
        assert!(asked.elapsed() < Duration::from_secs(120), "no call");
        sleep(Duration::from_millis(5)).await;
    }
    let (holder, watch) = (cluster.holder(), cluster.watch());
    cluster.freeze_in_a_call(holder);
    wechat.set(LinkState::Open);
    let (new, took) = cluster.new_holder(holder, &watch).await;
    let calls = calls + usize::from(mint != Mint::AfterTheOthers);
    eventually("another relay rotates", async || cluster.setup.calls().len() > calls).await;
    sleep(Duration::from_millis(300 * (round % 4))).await;
    wechat.release();
    cluster.thaw(holder);
    eventually("all serve one token", async || cluster.agrees().await).await;
    println!("freeze {round}, {mint:?}: relay {new} instead of {holder} after {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_is_frozen_in_its_call_makes_nobody_serve_a_dead_token() {
    let (freezes, clusters) = (count("CLUSTER_FREEZES", 3), count("CLUSTER_SIDE_BY_SIDE", 3));
    let rounds = freezes.div_ceil(clusters);
    join_all((0..clusters).map(|cluster| frozen_in_calls(cluster, rounds))).await;
}
