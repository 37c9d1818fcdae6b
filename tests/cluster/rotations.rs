//! Is a rotation one call, and how soon do all relays serve it?

use std::{collections::BTreeSet, time::Duration};

use test_support::{Seen, Setup, appid};
use tokio::time::sleep;
use wechat_sim::{Kind, Op, Sim};

use crate::{
    RELAY,
    cluster::{Cluster, REPLICAS, count, promised},
};

const ROTATING: [&str; 4] = ["main", "shop", "news", "club"];
const STICKY: [&str; 2] = ["bank", "blog"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_is_one_call_and_all_relays_serve_it_within_two_seconds() {
    let (lifetime, overlap) = (Duration::from_secs(10), Duration::from_secs(4));
    let sim = Sim::builder().lifetime(lifetime).overlap(overlap).start().await.unwrap();
    let mut setup = Setup::around(RELAY, sim);
    setup.set("refresh.overlap", "4s");
    for name in ROTATING {
        setup.account(name, "token");
    }
    for name in STICKY {
        setup.account(name, "stable_token");
    }
    let accounts = [&ROTATING[..], &STICKY[..]].concat();
    let mut cluster = Cluster::of(setup, &accounts).await;
    sleep(Duration::from_secs(count("CLUSTER_SECONDS", 15))).await;
    let seen = cluster.close().await;
    cluster.end().await;
    let sim = &cluster.setup.sim;
    for account in ROTATING {
        let calls = sim.calls(Op::Token).iter().filter(|call| call.appid == appid(account)).count();
        assert_eq!(calls as u64, sim.mints(&appid(account), Kind::Rotating), "{account}: every call rotates");
        assert_eq!(sim.most_concurrent(&appid(account)), 1, "{account}: I1");
    }
    for account in STICKY {
        let calls = sim.calls(Op::StableToken).iter().filter(|call| call.appid == appid(account)).count() as u64;
        let mints = sim.mints(&appid(account), Kind::Sticky);
        assert!(calls <= 2 * mints + 1, "{account}: {calls} calls for {mints} tokens");
        assert_eq!(sim.most_concurrent(&appid(account)), 1, "{account}: I1");
    }
    let mut spreads = spreads(&seen);
    spreads.sort();
    let p99 = spreads[(spreads.len() * 99).div_ceil(100) - 1];
    let (served, longest) = (seen.iter().map(|seen| seen.served).sum::<u64>(), *spreads.last().unwrap());
    println!("{} rotations on {REPLICAS} relays, {served} reads: p99 {p99:?}, longest {longest:?}", spreads.len());
    assert!(seen.iter().all(|seen| seen.unavailable.is_empty() && seen.lost == 0), "{seen:?}");
    assert!(longest < promised(Duration::from_secs(2)), "{spreads:?}");
}

/// For each generation that all relays have served, the time from the first one's answer to the last one's.
fn spreads(seen: &[Seen]) -> Vec<Duration> {
    let generations: BTreeSet<_> = seen.iter().flat_map(|seen| seen.first_served.keys()).collect();
    let spread = |generation| {
        let moments: Option<Vec<Duration>> =
            seen.iter().map(|seen| seen.first_served.get(generation).copied()).collect();
        let moments = moments?;
        Some(moments.iter().max()?.saturating_sub(*moments.iter().min()?))
    };
    let mut complete: Vec<Duration> = generations.iter().filter_map(|generation| spread(*generation)).collect();
    // of each account the first generation and the last may have been seen by some readers only
    let missed = generations.len() - complete.len();
    assert!(missed <= 2 * (ROTATING.len() + STICKY.len()), "{missed} generations were not served by all");
    complete.retain(|spread| *spread > Duration::ZERO);
    complete
}
