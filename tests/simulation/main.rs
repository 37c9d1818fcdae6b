//! Years of the keeper's machine in seconds: one to three relays on virtual time, on one store, against a model of WeChat,
//! under every fault. A ticket, which needs a token, has a world of its own (`tickets`).
//!
//! `SIM_START=s SIM_SEEDS=n` choose the seeds; `SIM_SEED=s cargo test --test simulation TEST -- --nocapture` prints one run
//! event by event. A run ends at the first broken promise, with its number, its seed and its moment. What is not held against
//! a relay stands in `excuses`.
//!
//! Out of scope, because nothing could notice it: a mint later than the end of its call while the caller lives.

#![expect(clippy::print_stdout, reason = "the summary and the trace are what a person runs this for")]

mod actions;
mod breach;
mod call_checks;
mod calm;
mod excuses;
mod fault_plan;
mod faults;
mod group;
mod history;
mod oracle;
mod orphans;
mod queue;
mod readers;
mod replica;
mod report_checks;
mod rng;
mod seeds;
mod setup;
mod store;
mod store_link;
mod tally;
mod tickets;
mod wechat;
mod wechat_link;
mod world;

use std::ops::Range;

use rng::{DAY, HOUR, SECOND};
use seeds::{chosen, from_env, run_all};
use setup::Shape;
use tally::{Tally, ratio};
use tickets::{Kept, TicketWorld};
use token_relay::issuer::Platform;
use world::World;

/// About 1,100 account-years: two minutes of one core.
const SEEDS_ALONE: u64 = 410;
/// Two hours each of three relays; and of fewer.
const SEEDS_OF_THREE: u64 = 2000;
const SEEDS_OF_FEWER: u64 = 100;
/// Twenty days each of one relay's ticket, of WeChat or WeCom, or of a WeCom agent's token.
const SEEDS_OF_TICKETS: u64 = 100;
/// The share of its life for which a token is served that the relay holds, where only calls and probes fail.
const SERVED_ON_A_BAD_WIRE: f64 = 0.995;
/// The same under every fault.
const SERVED: f64 = 0.99;

const ALONE: &str = "one_relay_keeps_every_promise_under_every_fault";
const SEVERAL: &str = "several_relays_keep_every_promise_under_every_fault";
const TICKETS: &str = "a_ticket_is_never_promised_wrongly_where_its_life_can_be_known";
const WECOM_TICKETS: &str =
    "a_ticket_of_wecom_is_asked_for_less_and_never_promised_wrongly_where_its_life_can_be_known";
const WECOM: &str = "a_token_of_wecom_is_never_promised_wrongly_once_another_one_was_seen_to_end";
const FEWER: &str = "one_or_two_relays_on_a_shared_store_keep_every_promise";

/// `SIM_LOSSY=2`: a shared store is also flushed, restored and overwritten. Then only the relays' memory is left, and what a
/// relay that is gone has promised nobody can know: a run may end with a breach that no relay could have kept.
fn loses_all() -> bool {
    static LOSES_ALL: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| from_env("SIM_LOSSY") == Some(2));
    *LOSES_ALL
}

/// `SIM_UNCONFIRMED=1`: writes count that no replica has, as without `min-replicas-to-write`. Then two relays may hold a lease, one
/// by each of two primaries, and a run ends with a breach.
fn confirms_writes() -> bool {
    static CONFIRMS: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| from_env("SIM_UNCONFIRMED") != Some(1));
    *CONFIRMS
}

/// `SIM_CLOCKS=1`: the wall clocks of several relays are never set by more than 2 s.
fn sets_clocks_far() -> bool {
    static IS_FAR: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| from_env("SIM_CLOCKS") != Some(1));
    *IS_FAR
}

#[test]
fn one_relay_keeps_every_promise_under_every_fault() {
    let seeds = chosen(SEEDS_ALONE);
    let sum = run(ALONE, &seeds, |_| Shape::Alone);
    if seeds.end - seeds.start >= SEEDS_ALONE {
        assert!(ratio(sum.served, sum.alive) > SERVED, "a living token is not served");
        assert!(ratio(sum.wire_served, sum.wire_alive) > SERVED_ON_A_BAD_WIRE, "a living token is not served");
    }
}

#[test]
fn several_relays_keep_every_promise_under_every_fault() {
    run(SEVERAL, &chosen(SEEDS_OF_THREE), |_| Shape::Replica(3));
}

#[test]
fn one_or_two_relays_on_a_shared_store_keep_every_promise() {
    run(FEWER, &chosen(SEEDS_OF_FEWER), |seed| Shape::Replica(if seed % 4 == 0 { 1 } else { 2 }));
}

#[test]
fn a_ticket_is_never_promised_wrongly_where_its_life_can_be_known() {
    run_of_tickets(TICKETS, Kept::Ticket(Platform::WeChat));
}

#[test]
fn a_ticket_of_wecom_is_asked_for_less_and_never_promised_wrongly_where_its_life_can_be_known() {
    run_of_tickets(WECOM_TICKETS, Kept::Ticket(Platform::WeCom));
}

#[test]
fn a_token_of_wecom_is_never_promised_wrongly_once_another_one_was_seen_to_end() {
    run_of_tickets(WECOM, Kept::AgentToken);
}

fn run_of_tickets(test: &'static str, kept: Kept) {
    let seeds = chosen(SEEDS_OF_TICKETS);
    let run = |seed| TicketWorld::new(kept, test, seed, from_env("SIM_SEED").is_some()).run();
    let seeds = from_env("SIM_SEED").map_or(seeds, |seed| seed..seed + 1);
    let (sum, broken) = run_all(&seeds, run, |sum: &mut Tally, tally| sum.add(&tally));
    print(test, &sum, &seeds, broken.len());
    assert!(broken.is_empty(), "{} seeds show a broken promise, the first is\n{}", broken.len(), broken[0]);
    // a single run may be an unlucky one
    if seeds.end - seeds.start >= SEEDS_OF_TICKETS {
        assert!(ratio(sum.served, sum.alive) > SERVED, "what lives is not served");
    }
}

#[test]
fn a_seed_replays_identically() {
    for shape in [Shape::Alone, Shape::Replica(3)] {
        for seed in [3, 14, 159] {
            let run = || World::new(shape, "a_seed_replays_identically", seed, false).run();
            let (first, second) = (run(), run());
            assert_eq!((first.hash, first.steps, first.replies), (second.hash, second.steps, second.replies));
        }
    }
}

fn run(
    test: &'static str,
    seeds: &Range<u64>,
    shape: impl Fn(u64) -> Shape + Sync + std::panic::RefUnwindSafe,
) -> Tally {
    if let Some(seed) = from_env("SIM_SEED") {
        let tally = World::new(shape(seed), test, seed, true).run();
        print(test, &tally, &(seed..seed + 1), 0);
        return tally;
    }
    let run = |seed| World::new(shape(seed), test, seed, false).run();
    let (sum, broken) = run_all(seeds, run, |sum: &mut Tally, tally| sum.add(&tally));
    print(test, &sum, seeds, broken.len());
    let first = broken.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(broken.is_empty(), "{} seeds show a broken promise, the first are\n{first}", broken.len());
    sum
}

fn print(test: &str, sum: &Tally, seeds: &Range<u64>, broken: usize) {
    let faults: u64 = sum.faults.values().sum();
    println!(
        "{test}: seeds {}..{}: {:.1} account-years, {} relay-hours, {} steps, {} calls, {faults} faults, {} replies checked \
         ({} excused), {broken} runs with a breach",
        seeds.start,
        seeds.end,
        ratio(sum.simulated, 365 * DAY),
        sum.relay_time / HOUR,
        sum.steps,
        sum.calls,
        sum.replies,
        sum.excused,
    );
    println!(
        "  served {:.5} of {} s in which a token worked, {:.5} with faults on the wire only",
        ratio(sum.served, sum.alive),
        sum.alive / SECOND,
        ratio(sum.wire_served, sum.wire_alive)
    );
    for (what, (times, longest)) in &sum.successions {
        println!("  a new holder after {what}: {times} times, at most {longest} ms");
    }
    for (what, count) in &sum.faults {
        println!("  {count:>9} × {what}");
    }
    println!("  trace hash {:016x}", sum.hash);
}
