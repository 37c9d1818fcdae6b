//! What do the measurements say, beside the targets of the design?

use std::time::Duration;

use crate::{
    at_rest::WINDOW,
    setup::Setup,
    support::machine::verdict,
    take_over::{Leases, Reads},
};

const MEMORY_KIB: f64 = 10.0;
const TAKE_OVER_S: f64 = 18.0;

/// The targets that depend on the number of accounts; those of the next larger number count.
struct Targets {
    start_s: f64,
    cpu_on_files: f64,
    cpu_on_redis: f64,
    commands: f64,
}

impl Targets {
    fn of(accounts: usize) -> Self {
        match accounts {
            0 | 1 => Self { start_s: 0.3, cpu_on_files: 0.0, cpu_on_redis: 0.0, commands: 5.0 },
            2..=1_000 => Self { start_s: 1.0, cpu_on_files: 0.3, cpu_on_redis: 0.5, commands: 5.0 },
            _ => Self { start_s: 8.0, cpu_on_files: 1.0, cpu_on_redis: 3.0, commands: 20.0 },
        }
    }
}

/// Begins the table, which is printed line by line as it is measured.
pub(crate) fn begin(setup: &Setup) {
    let place = if setup.is_in_memory { "on a tmpfs" } else { "ON A DISK: /dev/shm is no tmpfs" };
    let window = WINDOW.as_secs();
    println!("accounts: {}, state {place} ({}), rest over {window} s", setup.accounts, setup.home().display());
    line("", "measured", "target");
}

pub(crate) fn start_on_files(accounts: usize, time: Duration, cpu: Duration) {
    figure("start to all served, files", time.as_secs_f64(), 2, "s", Some(Targets::of(accounts).start_s));
    figure("CPU of the relay until then", cpu.as_secs_f64(), 2, "s", None);
}

/// Resident memory in KiB, with one account and with all.
pub(crate) fn memory(accounts: usize, first: Option<u32>, all: u32) {
    figure("resident memory, files", f64::from(all) / 1024.0, 1, "MiB", None);
    let others = u32::try_from(accounts.saturating_sub(1)).unwrap_or(u32::MAX);
    if let Some(first) = first {
        let each = (f64::from(all) - f64::from(first)) / f64::from(others);
        figure("memory per account above the first", each, 1, "KiB", Some(MEMORY_KIB));
    }
}

pub(crate) fn cpu_on_files(accounts: usize, percent: f64) {
    figure("CPU at rest, files", percent, 1, "% of a core", Some(Targets::of(accounts).cpu_on_files));
}

pub(crate) fn start_on_redis(time: Duration, cpu: Duration) {
    figure("start to all served, first relay on Redis", time.as_secs_f64(), 2, "s", None);
    figure("CPU of the relay until then", cpu.as_secs_f64(), 2, "s", None);
}

pub(crate) fn cpu_on_redis(accounts: usize, holder: f64, follower: f64, redis: f64) {
    let target = Some(Targets::of(accounts).cpu_on_redis);
    figure("CPU at rest, Redis: the holder", holder, 1, "% of a core", target);
    figure("CPU at rest, Redis: the busier follower", follower, 1, "% of a core", target);
    figure("CPU at rest: the redis-server", redis, 1, "% of a core", None);
}

pub(crate) fn redis_work(accounts: usize, commands: f64, bytes: f64) {
    figure("commands a second at Redis, a relay", commands, 0, "", Some(Targets::of(accounts).commands));
    figure("bytes a second at Redis, a relay", bytes / 1024.0, 1, "KiB", None);
}

/// Leases of the relay that will be killed.
pub(crate) fn leases(accounts: usize, held: usize) {
    line("leases of the holder before it is killed", &format!("{held} of {accounts}"), "");
}

pub(crate) fn reads(reads: &Reads) {
    let Reads { count, failed, slowest, .. } = reads;
    let value = format!("{failed} of {count}");
    let target = format!("0: {}", verdict(*failed == 0 && *count > 0));
    line("take-over: reads without a living token", &value, &target);
    if let Some(failure) = &reads.first_failure {
        println!("  the first: {failure}");
    }
    figure("take-over: the slowest read", slowest.as_secs_f64() * 1e3, 1, "ms", None);
}

pub(crate) fn take_over(accounts: usize, leases: &Leases) {
    let Leases { held, after } = *leases;
    if held >= accounts {
        figure("take-over: every lease is held again", after.as_secs_f64(), 1, "s", Some(TAKE_OVER_S));
    } else {
        let value = format!("{held} of {accounts} after {:.0} s", after.as_secs_f64());
        line("take-over: leases held again", &value, &format!("at most {TAKE_OVER_S} s: {}", verdict(false)));
    }
}

/// Whether a call was made after the take-over, and why not.
pub(crate) fn call_after(outcome: Result<(), String>) {
    let (is_met, value) = (outcome.is_ok(), outcome.map_or_else(|reason| reason, |()| "replaced".to_owned()));
    line("take-over: a token that is refused after it", &value, &format!("replaced: {}", verdict(is_met)));
}

/// Judged as it is printed.
fn figure(what: &str, value: f64, decimals: usize, unit: &str, at_most: Option<f64>) {
    let value = format!("{value:.decimals$}");
    let is_met = |most| value.parse::<f64>().is_ok_and(|value| value <= most);
    let target = at_most.map_or_else(String::new, |most| format!("at most {most}: {}", verdict(is_met(most))));
    line(what, &format!("{value} {unit}"), &target);
}

fn line(what: &str, value: &str, target: &str) {
    println!("{what:<44} {value:<22} {target}");
}
