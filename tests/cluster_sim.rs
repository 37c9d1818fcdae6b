//! Three relays on one store: the keeper's machine on virtual time, with frozen, killed and cut-off relays at every action
//! and a store that forgets, lies and comes late.
//!
//! `SIM_START=s SIM_SEEDS=n` choose the seeds; `SIM_SEED=s cargo test --test cluster_sim -- --nocapture` tells one run event
//! by event. A run ends at the first broken promise, with its number, its seed and its moment.

#![expect(clippy::print_stdout, reason = "the summary and the trace are what a person runs this for")]

#[path = "virtual_time/dice.rs"]
mod dice;
#[path = "cluster_sim/faults.rs"]
mod faults;
#[path = "cluster_sim/oracle.rs"]
mod oracle;
#[path = "virtual_time/queue.rs"]
mod queue;
#[path = "cluster_sim/replica.rs"]
mod replica;
#[path = "cluster_sim/road.rs"]
mod road;
#[path = "virtual_time/seeds.rs"]
mod seeds;
#[path = "cluster_sim/store.rs"]
mod store;
#[path = "cluster_sim/strays.rs"]
mod strays;
#[path = "cluster_sim/tally.rs"]
mod tally;
#[path = "cluster_sim/trials.rs"]
mod trials;
#[path = "virtual_time/wechat.rs"]
mod wechat;
#[path = "cluster_sim/wire.rs"]
mod wire;
#[path = "cluster_sim/world.rs"]
mod world;

use std::ops::Range;

use seeds::{chosen, from_env, run_all};
use strays::Mark;
use tally::Tally;
use world::World;

/// Two hours each of three relays.
const SEEDS: u64 = 2000;

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
    let seeds = chosen(SEEDS);
    let (sum, broken) = run_all(&seeds, |seed| World::new(seed, false).run(), Tally::add);
    tell(&sum, &seeds, broken.len());
    assert!(broken.is_empty(), "{} seeds show a broken promise:\n{}", broken.len(), broken.join("\n"));
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
