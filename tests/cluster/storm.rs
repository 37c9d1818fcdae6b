//! Is a dead token ever promised, or does memory grow, when all of it comes at once for long: reads over connections that stay,
//! rotations, settings that are read again, another primary of Redis, and a WeChat that fails?
//!
//! Half a minute by itself; `STORM_SECONDS=3600` makes it an hour.

use std::{array, fs, path::Path, time::Duration};

use fastrand::Rng;
use futures_util::future::join_all;
use test_support::{SentinelGroup, Setup, eventually};
use tokio::time::{Instant, sleep};
use wechat_sim::{Fault, Op, Plan, Sim, Times};

use crate::{
    RELAY,
    cluster::{Cluster, REPLICAS, count},
    failovers::SAFE,
};

const ACCOUNTS: [&str; 2] = ["main", "bank"];

/// One client more, with another key each time.
fn write_settings(config: &Path, number: u64) {
    let key = format!("sentinel-billing-key-number-{number:06}-0123456789");
    fs::write(config, format!("[clients.billing]\nkeys = [{key:?}]\n")).unwrap();
}

async fn settings_are_read_again(cluster: &Cluster, config: &Path, end: Instant) -> u64 {
    let mut times = 0;
    while Instant::now() < end {
        times += 1;
        write_settings(config, times);
        join_all((0..REPLICAS).map(|index| cluster.relay(index).reload())).await;
        sleep(Duration::from_secs(5)).await;
    }
    times
}

async fn primaries_are_killed(group: &mut SentinelGroup, end: Instant) -> u64 {
    let mut times = 0;
    loop {
        sleep(Duration::from_secs(8)).await;
        if end < Instant::now() {
            return times;
        }
        let old = group.primary();
        group.servers[old].kill();
        eventually("there is another primary", async || group.primary() != old).await;
        group.servers[old].restart();
        eventually("the old one follows", async || group.servers[old].follows()).await;
        times += 1;
    }
}

/// A fault of every call for some seconds, and then some of peace. Some mint, so that the token before the last dies unheard of.
async fn wechat_fails(sim: &Sim, end: Instant) -> u64 {
    let mut rng = Rng::with_seed(1);
    let mut times = 0;
    while Instant::now() < end {
        let faults: [Plan; 6] = [
            Fault::errcode(-1).into(),
            Fault::Status(502).into(),
            Fault::Status(502).minting(),
            Fault::Reset.minting(),
            Fault::Truncated.minting(),
            Fault::Close.into(),
        ];
        let fault = &faults[rng.usize(..faults.len())];
        for op in [Op::Token, Op::StableToken, Op::Api] {
            sim.fault(op, fault.clone(), Times::Always);
        }
        sleep(Duration::from_millis(rng.u64(500..8000))).await;
        sim.clear_faults();
        times += 1;
        sleep(Duration::from_millis(rng.u64(2000..12_000))).await;
    }
    times
}

/// The memory of each relay in RAM, in KiB.
fn memory(cluster: &Cluster) -> [u64; REPLICAS] {
    array::from_fn(|index| cluster.relay(index).kib("VmRSS"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_promised_wrongly_and_memory_stays_while_all_comes_at_once() {
    let mut group = SentinelGroup::start(2, &SAFE, "").await;
    let mut setup = Setup::new(RELAY, 40, 20).await;
    setup.account("bank", "stable_token");
    let config = setup.path().join("relay.toml");
    write_settings(&config, 0);
    setup.env("TOKEN_RELAY_CONFIG", config.to_str().unwrap());
    let urls = array::from_fn(|_| group.url(""));
    let mut cluster = Cluster::at(setup, &ACCOUNTS, urls).await;
    cluster.load(&ACCOUNTS);
    let (begun, lasting) = (Instant::now(), Duration::from_secs(count("STORM_SECONDS", 30)));
    let end = begun + lasting;
    let watching = async {
        sleep(lasting / 5).await;
        memory(&cluster)
    };
    let (before, reloads, failovers, outages) = tokio::join!(
        watching,
        settings_are_read_again(&cluster, &config, end),
        primaries_are_killed(&mut group, end),
        wechat_fails(&cluster.setup.sim, end),
    );
    let after = memory(&cluster);
    eventually("all is well again", async || cluster.troubled().await.0.is_empty() && cluster.agrees().await).await;
    let calls = cluster.setup.calls().len();
    let seen = cluster.close().await;
    let sum = |of: fn(&test_support::Seen) -> u64| seen.iter().map(of).sum::<u64>();
    let reads = sum(|seen| seen.served + seen.repeated);
    let waited = sum(|seen| seen.unavailable.values().map(Vec::len).sum::<usize>() as u64);
    let grown: [u64; REPLICAS] = array::from_fn(|index| after[index].saturating_sub(before[index]));
    println!(
        "storm: {} s, {reads} reads, 0 wrong, {waited} answered 503, {calls} calls, {reloads} reloads, {failovers} failovers, \
         {outages} outages; {before:?} KiB, then {grown:?} more",
        begun.elapsed().as_secs()
    );
    assert_eq!(sum(|seen| seen.lost), 0, "{seen:?}");
    assert!(reloads > 0 && failovers > 0 && outages > 0, "nothing happened");
    assert!(grown.iter().all(|&kib| kib <= 1024), "memory grows");
}
