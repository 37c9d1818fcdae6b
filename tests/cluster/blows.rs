//! Does a read ever fail on a relay that lives, whatever is killed, stopped or cut off, time after time?

use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::{
    fleet::{Fleet, REPLICAS, count, promised},
    wire::Way,
    world::eventually,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    Stop,
    Freeze,
    Lose(Way),
}

impl Blow {
    const ALL: [Self; 6] =
        [Self::Kill, Self::Stop, Self::Freeze, Self::Lose(Way::Stalled), Self::Lose(Way::Deaf), Self::Lose(Way::Cut)];

    fn any(rng: &mut Rng) -> Self {
        Self::ALL[rng.usize(..Self::ALL.len())]
    }
}

async fn strike(fleet: &mut Fleet, target: usize, blow: Blow) {
    match blow {
        Blow::Kill => fleet.kill(target).await,
        Blow::Stop => fleet.stop(target).await,
        Blow::Freeze => fleet.freeze(target).await,
        Blow::Lose(way) => fleet.put(target, way),
    }
}

async fn mend(fleet: &mut Fleet, target: usize, blow: Blow) {
    match blow {
        Blow::Kill | Blow::Stop => fleet.start(target).await,
        Blow::Freeze => fleet.thaw(target),
        Blow::Lose(_) => fleet.put(target, Way::Open),
    }
    eventually("all serve one token", async || fleet.agrees().await).await;
}

/// How long it took until another relay held the lease, after which blow on the holder.
async fn struck(seed: u64, blows: u64) -> Vec<(Blow, Duration)> {
    let mut rng = Rng::with_seed(seed);
    let mut fleet = Fleet::new(60, 30).await;
    let mut takings = Vec::new();
    for number in 0..blows {
        sleep(Duration::from_millis(rng.u64(500..6000))).await;
        let (holder, blow) = (fleet.holder(), Blow::any(&mut rng));
        if rng.u8(..4) > 0 {
            let watch = fleet.watch();
            strike(&mut fleet, holder, blow).await;
            let (new, took) = fleet.new_holder(holder, &watch).await;
            println!("{seed}.{number}: {blow:?} on the holder {holder}: relay {new} after {took:?}");
            takings.push((blow, took));
            mend(&mut fleet, holder, blow).await;
        } else {
            let follower = (holder + rng.usize(1..REPLICAS)) % REPLICAS;
            strike(&mut fleet, follower, blow).await;
            sleep(Duration::from_millis(rng.u64(1000..10_000))).await;
            println!("{seed}.{number}: {blow:?} on the follower {follower}");
            mend(&mut fleet, follower, blow).await;
        }
    }
    fleet.close_served(&format!("{blows} blows, seed {seed}")).await;
    takings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_stops_and_partitions_fail_no_read_on_the_living_relays() {
    let (blows, fleets) = (count("CLUSTER_BLOWS", 4), count("CLUSTER_SIDE_BY_SIDE", 2));
    let start = count("CLUSTER_SEED", 1);
    let takings = join_all((start..start + fleets).map(|seed| struck(seed, blows.div_ceil(fleets)))).await;
    let takings = takings.concat();
    for blow in Blow::ALL {
        let mut times: Vec<Duration> = takings.iter().filter(|(by, _)| *by == blow).map(|(_, took)| *took).collect();
        times.sort();
        // what is given back with SIGTERM is taken at once; all others wait for the lease
        let latest = promised(Duration::from_secs(if blow == Blow::Stop { 2 } else { 18 }));
        let (median, longest) = (times.get(times.len() / 2), times.last());
        println!("{blow:?}: {} new holders, median {median:?}, longest {longest:?}", times.len());
        assert!(longest.is_none_or(|longest| *longest < latest), "{blow:?}: {times:?}");
    }
}
