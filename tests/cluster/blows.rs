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

#[derive(Debug, Clone, Copy)]
enum Blow {
    Kill,
    Stop,
    Freeze,
    Lose(Way),
}

impl Blow {
    fn any(rng: &mut Rng) -> Self {
        let all = [
            Self::Kill,
            Self::Stop,
            Self::Freeze,
            Self::Lose(Way::Stalled),
            Self::Lose(Way::Deaf),
            Self::Lose(Way::Cut),
        ];
        all[rng.usize(..all.len())]
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

async fn struck(seed: u64, blows: u64) -> Vec<Duration> {
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
            takings.push(took);
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
    let mut takings: Vec<Duration> = takings.into_iter().flatten().collect();
    takings.sort();
    println!(
        "{} new holders: median {:?}, longest {:?}",
        takings.len(),
        takings.get(takings.len() / 2),
        takings.last()
    );
    assert!(takings.iter().all(|took| *took < promised(Duration::from_secs(18))), "{takings:?}");
}
