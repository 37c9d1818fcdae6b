//! Years of the keeper's machine in seconds: driven on virtual time against a model of WeChat, under every fault.
//!
//! `SIM_START=s SIM_SEEDS=n` choose the seeds; `SIM_SEED=s cargo test --test simulation -- --nocapture` tells one run event
//! by event. A run ends at the first broken promise, with its number, its seed and its moment.
//!
//! Out of scope, because nothing could notice it: a wall clock that is set between two boots to something that is possible,
//! and a mint later than the end of its call while the caller lives.

#![expect(clippy::print_stdout, reason = "the summary and the trace are what a person runs this for")]

#[path = "simulation/court.rs"]
mod court;
#[path = "simulation/desk.rs"]
mod desk;
#[path = "virtual_time/dice.rs"]
mod dice;
#[path = "simulation/disturb.rs"]
mod disturb;
#[path = "simulation/host.rs"]
mod host;
#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "virtual_time/queue.rs"]
mod queue;
#[path = "simulation/record_of_run.rs"]
mod record_of_run;
#[path = "simulation/relay.rs"]
mod relay;
#[path = "virtual_time/seeds.rs"]
mod seeds;
#[path = "simulation/setup.rs"]
mod setup;
#[path = "simulation/sim.rs"]
mod sim;
#[path = "simulation/weather.rs"]
mod weather;
#[path = "virtual_time/wechat.rs"]
mod wechat;
#[path = "simulation/wire.rs"]
mod wire;

use std::ops::Range;

use record_of_run::{Tally, Trace, ratio};
use seeds::{chosen, from_env, run_all};
use sim::Sim;

/// About 1,100 account-years: two minutes of one core.
const SEEDS: u64 = 410;
/// The share of its life for which a token is served that the relay holds, where only calls and probes fail.
const SERVED_ON_A_BAD_WIRE: f64 = 0.995;
/// The same under every fault.
const SERVED: f64 = 0.99;

/// Stands at every token that WeChat has minted.
#[derive(Default)]
pub(crate) struct Mark {
    /// The relay that knew it died before it could store it (see `Oracle::minted`).
    pub is_orphan: bool,
}

#[test]
fn every_reply_is_true_under_every_fault() {
    if let Some(seed) = from_env("SIM_SEED") {
        tell(&Sim::new(seed, Trace { is_on: true }).run(), &(seed..seed + 1));
        return;
    }
    let seeds = chosen(SEEDS);
    let run = |seed| Sim::new(seed, Trace { is_on: false }).run();
    let (sum, broken) = run_all(&seeds, run, |sum: &mut Tally, tally| sum.add(&tally));
    tell(&sum, &seeds);
    let first = broken.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(broken.is_empty(), "{} seeds show a broken promise, the first are\n{first}", broken.len());
    if seeds.end - seeds.start >= SEEDS {
        assert!(ratio(sum.served, sum.alive) > SERVED, "a living token is not served");
        assert!(ratio(sum.wire_served, sum.wire_alive) > SERVED_ON_A_BAD_WIRE, "a living token is not served");
    }
}

#[test]
fn a_seed_replays_identically() {
    for seed in [3, 14, 159] {
        let run = || Sim::new(seed, Trace { is_on: false }).run();
        let (first, second) = (run(), run());
        assert_eq!((first.hash, first.steps, first.replies), (second.hash, second.steps, second.replies));
    }
}

fn tell(sum: &Tally, seeds: &Range<u64>) {
    println!(
        "seeds {}..{}: {:.1} account-years, {} steps, {} replies checked, 0 wrong ({} excused: an outsider's doing)",
        seeds.start,
        seeds.end,
        sum.years(),
        sum.steps,
        sum.replies,
        sum.excused
    );
    println!(
        "a living token was served {:.5} of the time, {:.5} with faults on the wire only",
        ratio(sum.served, sum.alive),
        ratio(sum.wire_served, sum.wire_alive)
    );
    for (what, count) in &sum.faults {
        println!("  {count:>9} × {what}");
    }
    println!("  trace hash {:016x}", sum.hash);
}
