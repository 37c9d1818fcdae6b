//! Three relays on one store: the keeper's machine on virtual time, with frozen, killed and cut-off relays at every action
//! and a store that forgets, lies and comes late.
//!
//! `SIM_START=s SIM_SEEDS=n` choose the seeds; `SIM_SEED=s cargo test --test cluster_sim -- --nocapture` tells one run event
//! by event. A run ends at the first broken promise, with its number, its seed and its moment.

#![allow(clippy::print_stdout)] // the tally, and one run event by event

#[path = "cluster_sim/dice.rs"]
mod dice;
#[path = "cluster_sim/faults.rs"]
mod faults;
#[path = "cluster_sim/oracle.rs"]
mod oracle;
#[path = "cluster_sim/replica.rs"]
mod replica;
#[path = "cluster_sim/store.rs"]
mod store;
#[path = "cluster_sim/tally.rs"]
mod tally;
#[path = "cluster_sim/trials.rs"]
mod trials;
#[path = "cluster_sim/wechat.rs"]
mod wechat;
#[path = "cluster_sim/world.rs"]
mod world;

use std::{
    ops::Range,
    panic::catch_unwind,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use tally::Tally;
use world::World;

/// Two hours each of three relays.
const SEEDS: u64 = 2000;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// `SIM_LOSSY=2`: the store is also flushed, restored and overwritten. Then only the relays' memory is left, and what a
/// relay that is gone has promised nobody can know: a run may end with a breach that no relay could have kept.
fn loses_all() -> bool {
    from_env("SIM_LOSSY") == Some(2)
}

#[test]
fn several_relays_keep_every_promise_under_every_fault() {
    if let Some(seed) = from_env("SIM_SEED") {
        tell(&World::new(seed, true).run(), &(seed..seed + 1), 0);
        return;
    }
    let start = from_env("SIM_START").unwrap_or(1);
    let seeds = start..start + from_env("SIM_SEEDS").unwrap_or(SEEDS);
    let (sum, broken) = run_all(&seeds);
    tell(&sum, &seeds, broken.len());
    assert!(broken.is_empty(), "{} seeds show a broken promise:\n{}", broken.len(), broken.join("\n"));
}

/// Runs every seed, on every core.
fn run_all(seeds: &Range<u64>) -> (Tally, Vec<String>) {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new((Tally::default(), Vec::new()));
    let runner = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let run = catch_unwind(|| World::new(seed, false).run());
            let mut found = found.lock().expect("nobody panics with it");
            match run {
                Ok(tally) => found.0.add(tally),
                Err(story) => {
                    let text = story.downcast_ref::<String>().cloned();
                    found.1.push(text.unwrap_or_else(|| format!("seed {seed} panicked")));
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(runner);
        }
    });
    found.into_inner().expect("nobody panics with it")
}

fn tell(sum: &Tally, seeds: &Range<u64>, broken: usize) {
    let faults: u64 = sum.faults.values().sum();
    println!(
        "seeds {}..{}: {} relay-hours, {} steps, {} calls, {faults} faults, {} replies checked ({} excused), {broken} runs with a breach",
        seeds.start,
        seeds.end,
        sum.simulated / dice::HOUR * 3,
        sum.steps,
        sum.calls,
        sum.replies,
        sum.excused,
    );
    println!(
        "  served {} of {} s in which WeChat's newest token worked",
        sum.served / dice::SECOND,
        sum.alive / dice::SECOND
    );
    for (what, times) in &sum.successions {
        println!("  a new holder after {what}: {} times, at most {} ms", times.len(), times.iter().max().unwrap_or(&0));
    }
    for (what, count) in &sum.faults {
        println!("  {count:>9} × {what}");
    }
}
