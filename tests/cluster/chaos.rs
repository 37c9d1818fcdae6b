//! Does a read ever fail on a relay that lives, whatever is killed, stopped or cut off, time after time?

use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::{
    cluster::{Cluster, REPLICAS, count, promised},
    relay_faults::RelayFault,
};

/// Injects this many faults. For each fault of a holder, how long it took until another relay held the lease.
async fn faults_at_random(seed: u64, faults: u64) -> Vec<(RelayFault, Duration)> {
    let mut rng = Rng::with_seed(seed);
    let mut cluster = Cluster::new(60, 30).await;
    let mut takings = Vec::new();
    for number in 0..faults {
        sleep(Duration::from_millis(rng.u64(500..6000))).await;
        let (holder, fault) = (cluster.holder(), RelayFault::any(&mut rng));
        if rng.u8(..4) > 0 {
            let watch = cluster.watch();
            fault.inject(&mut cluster, holder).await;
            let (new, took) = cluster.new_holder(holder, &watch).await;
            println!("{seed}.{number}: {fault:?} on the holder {holder}: relay {new} after {took:?}");
            takings.push((fault, took));
            fault.repair(&mut cluster, holder).await;
        } else {
            let follower = (holder + rng.usize(1..REPLICAS)) % REPLICAS;
            fault.inject(&mut cluster, follower).await;
            sleep(Duration::from_millis(rng.u64(1000..10_000))).await;
            println!("{seed}.{number}: {fault:?} on the follower {follower}");
            fault.repair(&mut cluster, follower).await;
        }
    }
    cluster.close_served(&format!("{faults} faults, seed {seed}")).await;
    takings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_stops_and_partitions_fail_no_read_on_the_living_relays() {
    let (faults, clusters) = (count("CLUSTER_CHAOS", 4), count("CLUSTER_SIDE_BY_SIDE", 2));
    let start = count("CLUSTER_SEED", 1);
    let all = (start..start + clusters).map(|seed| faults_at_random(seed, faults.div_ceil(clusters)));
    let takings = join_all(all).await.concat();
    for fault in RelayFault::ALL {
        let mut times: Vec<Duration> = takings.iter().filter(|(by, _)| *by == fault).map(|(_, took)| *took).collect();
        times.sort();
        // what is given back with SIGTERM is taken at once; all others wait for the lease
        let latest = promised(Duration::from_secs(if fault == RelayFault::Stop { 2 } else { 18 }));
        let (median, longest) = (times.get(times.len() / 2), times.last());
        println!("{fault:?}: {} new holders, median {median:?}, longest {longest:?}", times.len());
        assert!(longest.is_none_or(|longest| *longest < latest), "{fault:?}: {times:?}");
    }
}
