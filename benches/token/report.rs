//! What do the measurements say?

use std::{io, time::Duration};

use crate::{
    CONNECTIONS,
    load::Waiting,
    process::{Cores, Resident},
    support::machine::{self, verdict},
};

/// The targets of the design.
const RATIO: f64 = 1.25;
const RESIDENT_MIB: f64 = 24.0;
const START: Duration = Duration::from_millis(100);

/// One server under load for a while.
pub(crate) struct Round {
    pub(crate) requests: u32,
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

impl Round {
    fn micros_per_request(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(self.requests.max(1))
    }

    fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.wall.as_secs_f64() * 100.0
    }

    fn rate(&self) -> f64 {
        f64::from(self.requests) / self.wall.as_secs_f64()
    }
}

/// Rounds of both servers, in pairs.
#[derive(Default)]
pub(crate) struct Rounds {
    bare: Vec<Round>,
    relay: Vec<Round>,
}

impl Rounds {
    pub(crate) fn push(&mut self, (bare, relay): (Round, Round)) {
        self.bare.push(bare);
        self.relay.push(relay);
    }

    pub(crate) fn print(&self, waiting: Waiting) {
        let load = match waiting {
            Waiting::Awake => "that never sleeps",
            Waiting::Asleep => "that sleeps while it waits",
        };
        println!("{} rounds with a load {load}, medians (quartiles):", self.relay.len());
        for (name, rounds) in [("bare hyper", &self.bare), ("token-relay", &self.relay)] {
            let of = |measure: fn(&Round) -> f64| Spread::of(rounds.iter().map(measure));
            println!(
                "  {name:<12} CPU per request {} µs   core busy {:.0} %   requests a second {:.0}",
                of(Round::micros_per_request),
                of(Round::busy).median,
                of(Round::rate).median,
            );
        }
        let pairs = || self.relay.iter().zip(&self.bare);
        let cpu = Spread::of(pairs().map(|(relay, bare)| relay.micros_per_request() / bare.micros_per_request()));
        let rate = Spread::of(pairs().map(|(relay, bare)| relay.rate() / bare.rate()));
        println!("  CPU per request, relay to bare: {cpu}   target at most {RATIO}: {}", verdict(cpu.median <= RATIO));
        println!("  requests a second, relay to bare: {rate}");
    }
}

/// How long starts took.
#[derive(Default)]
pub(crate) struct Starts(Vec<Duration>);

impl Starts {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn print(&self) {
        let times = Spread::of(self.0.iter().map(|time| time.as_secs_f64() * 1e3));
        let worst = self.0.iter().max().copied().unwrap_or_default();
        println!(
            "from start to first 200, with a stored token: {times} ms, worst of {} {:.1} ms   target at most {} ms: {}",
            self.0.len(),
            worst.as_secs_f64() * 1e3,
            START.as_millis(),
            verdict(worst <= START)
        );
    }
}

/// Says how much memory the servers hold with all connections open and used.
pub(crate) fn resident(relay: &Resident, bare: &Resident) {
    let mib = |kib: u32| f64::from(kib) / 1024.0;
    println!(
        "resident under load: relay {:.1} MiB (peak {:.1}), bare hyper {:.1}   target at most {RESIDENT_MIB} MiB: {}",
        mib(relay.now),
        mib(relay.peak),
        mib(bare.now),
        verdict(mib(relay.peak) <= RESIDENT_MIB)
    );
}

/// Says on what it is measured, and in what company.
pub(crate) fn machine(cores: &Cores) -> io::Result<()> {
    machine::describe()?;
    println!(
        "GET /token, {CONNECTIONS} keep-alive connections, servers on core {}, load on core {}",
        cores.servers, cores.load
    );
    Ok(())
}

/// The median and the quartiles.
struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |quarter: usize| values.get(values.len() * quarter / 4).copied().unwrap_or(f64::NAN);
        Self { low: at(1), median: at(2), high: at(3) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.low, self.high)
    }
}
