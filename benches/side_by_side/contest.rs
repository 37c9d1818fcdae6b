//! What do servers use that take turns under the same load?

use std::{io, rc::Rc, time::Duration};

use token_relay::clock::{Clock, SystemClock};

use super::{
    clients::{Clients, Pattern},
    server::Server,
    spread::{Round, Spread},
};
use crate::support::machine::verdict;

/// Rounds that do not count.
const WARM_UP: usize = 5;
/// A server's turn.
const TURN: Duration = Duration::from_millis(100);

/// A server, and who asks it. Two that take part may be one server, asked in two ways.
pub(crate) struct Entry {
    server: Rc<Server>,
    clients: Clients,
}

impl Entry {
    pub(crate) fn new(server: Rc<Server>, clients: Clients) -> Self {
        Self { server, clients }
    }

    /// The answer that every client got, whole.
    pub(crate) fn answer(&self) -> &[u8] {
        self.clients.answer()
    }

    async fn turn(&mut self, pattern: Pattern) -> io::Result<Round> {
        let (before, began) = (self.server.cpu()?, SystemClock.boot_now());
        let requests = self.clients.run(pattern, TURN).await?;
        let cpu = self.server.cpu()?.saturating_sub(before);
        Ok(Round { requests, cpu, wall: SystemClock.boot_now().since(began) })
    }
}

/// All that take part. The first is the measure of the others.
pub(crate) struct Contest {
    entries: Vec<(&'static str, Entry)>,
}

impl Contest {
    pub(crate) fn new(name: &'static str, measure: Entry) -> Self {
        Self { entries: vec![(name, measure)] }
    }

    pub(crate) fn enter(&mut self, name: &'static str, entry: Entry) {
        self.entries.push((name, entry));
    }

    /// Each goes first in its turn; the first rounds warm up, for Node compiles meanwhile. Who does not know the pattern stands aside.
    pub(crate) async fn run(&mut self, pattern: Pattern, rounds: usize) -> io::Result<Table> {
        let mut rows: Vec<Row> = Vec::new();
        for (name, entry) in &self.entries {
            if entry.clients.know(pattern) {
                rows.push(Row { name, rounds: Vec::new() });
            }
        }
        let mut active: Vec<&mut Entry> =
            self.entries.iter_mut().map(|(_, entry)| entry).filter(|entry| entry.clients.know(pattern)).collect();
        for round in 0..WARM_UP + rounds {
            for place in 0..active.len() {
                let at = (round + place) % active.len();
                let used = active[at].turn(pattern).await?;
                if round >= WARM_UP {
                    rows[at].rounds.push(used);
                }
            }
        }
        Ok(Table { pattern, rows })
    }

    /// All that take part, and their names.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (&'static str, &Server)> {
        self.entries.iter().map(|(name, entry)| (*name, &*entry.server))
    }

    /// Prints how much memory each has in RAM, now and at most.
    pub(crate) fn print_memory(&self) -> io::Result<()> {
        println!("\nmemory, all connections open and used:");
        for (name, server) in self.servers() {
            let (resident, mib) = (server.resident()?, |kib| f64::from(kib) / 1024.0);
            println!("  {name:<14} {:.1} MiB, at most {:.1}", mib(resident.now), mib(resident.peak));
        }
        Ok(())
    }

    /// Ends all servers, as an operator would.
    pub(crate) fn stop(self) -> io::Result<()> {
        let servers: Vec<_> = self.entries.into_iter().map(|(_, entry)| entry.server).collect();
        servers.into_iter().filter_map(Rc::into_inner).try_for_each(Server::stop)
    }
}

/// What one of them used, round by round.
struct Row {
    name: &'static str,
    rounds: Vec<Round>,
}

/// The outcome.
pub(crate) struct Table {
    pattern: Pattern,
    rows: Vec<Row>,
}

impl Table {
    /// CPU per request of each, to that of the first in the same round.
    pub(crate) fn ratios(&self) -> impl Iterator<Item = (&'static str, Spread)> {
        let measure = &self.rows[0].rounds;
        self.rows.iter().map(move |row| {
            let pairs = row.rounds.iter().zip(measure);
            let ratio = |(round, measure): (&Round, &Round)| round.micros_per_request() / measure.micros_per_request();
            (row.name, Spread::of(pairs.map(ratio)))
        })
    }

    /// Prints all of it, with what was aimed at.
    pub(crate) fn print(&self, targets: &[(&str, f64)]) {
        println!(
            "\n{}: CPU per request to that of {}, medians of {} rounds (quartiles)",
            self.pattern,
            self.rows[0].name,
            self.rows[0].rounds.len()
        );
        for ((name, ratio), row) in self.ratios().zip(&self.rows) {
            let of = |measure: fn(&Round) -> f64| Spread::of(row.rounds.iter().map(measure)).median;
            let (micros, rate) = (of(Round::micros_per_request), of(Round::rate));
            print!("  {name:<14} {ratio}   {micros:.2} µs, {rate:.0} a second");
            match targets.iter().find(|(aimed, _)| *aimed == name) {
                Some((_, target)) => println!("   target at most {target}: {}", verdict(ratio.median <= *target)),
                None => println!(),
            }
        }
    }
}
