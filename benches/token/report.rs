//! What do the measurements say?

use std::{io, time::Duration};

use crate::{
    CONNECTIONS,
    side_by_side::{
        load::Waiting,
        server::{Cores, Resident},
        spread::{Round, Spread},
        turns::Turns,
    },
    support::machine::{self, verdict},
};

/// The targets of the design.
const RATIO: f64 = 1.25;
const RESIDENT_MIB: f64 = 24.0;
const START: Duration = Duration::from_millis(100);

/// Says how the relay compares with bare hyper.
pub(crate) fn turns(turns: &Turns, waiting: Waiting) {
    turns.print(waiting, "bare hyper");
    let (cpu, rate) = (turns.ratio(Round::micros_per_request), turns.ratio(Round::rate));
    println!("  CPU per request, relay to bare: {cpu}   target at most {RATIO}: {}", verdict(cpu.median <= RATIO));
    println!("  requests a second, relay to bare: {rate}");
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
