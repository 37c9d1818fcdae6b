//! What does a read of a token cost beside others that do the same job, and what do TLS, the access log and many accounts add?
//!
//!   cargo bench --bench reads                     40 rounds, about three minutes
//!   cargo bench --bench reads -- 20               fewer
//!   cargo bench --bench reads -- --svg FILE       draws the first table as well
//!   cargo bench --bench reads -- --beside A B …   nothing but other builds of the relay beside this one
//!
//! Every server is a process of its own, pinned to one core; the load comes from another core. The servers of a table run at once and
//! take turns of a tenth of a second, so that other work on the machine affects all alike. A ratio compares two turns of the same
//! round. Servers that are not installed are left out, with a line that says so. docs/PERFORMANCE.md has the results.

#![expect(clippy::print_stdout, reason = "a bench is what it prints")]

use std::{env, io, path::PathBuf};

use side_by_side::{clients::Pattern, contest::Contest, server::Cores};
use support::{
    arguments,
    machine::{self, verdict},
};

mod idle;
#[path = "../support/many_accounts.rs"]
mod many_accounts;
mod others;
mod picture;
mod reference;
mod relays;
#[path = "../side_by_side/mod.rs"]
mod side_by_side;
mod starts;
#[path = "../support/mod.rs"]
mod support;

const ROUNDS: usize = 40;
const CONNECTIONS: u32 = 64;
/// The target for an idle connection of the relay.
const IDLE_KIB: f64 = 8.0;

fn main() -> io::Result<()> {
    // so is a server of its own started: by the bench
    let started: Vec<String> = env::args().skip(1).collect();
    if let [server, address, answer] = started.as_slice()
        && server == "reference"
    {
        return reference::serve(address, answer.as_ref());
    }
    let Some(arguments) = arguments::to_measure("reads") else { return Ok(()) };
    let beside = arguments.iter().position(|argument| argument == "--beside").map(|at| &arguments[at + 1..]);
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    let svg = arguments.windows(2).find(|two| two[0] == "--svg").map(|two| PathBuf::from(&two[1]));
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        match beside {
            Some(programs) => other_builds(rounds, programs).await,
            None => measure(rounds, svg).await,
        }
    })
}

async fn measure(rounds: usize, svg: Option<PathBuf>) -> io::Result<()> {
    let cores = Cores::of_this_machine()?;
    machine::describe()?;
    println!("GET /token, {CONNECTIONS} connections, servers on core {}, load on core {}", cores.servers, cores.load);
    beside_others(rounds, &cores, svg).await?;
    with_more(rounds, &cores).await?;
    starts::time(&cores, tempfile::tempdir()?.path()).await
}

/// The relay beside servers that know one key and one answer.
async fn beside_others(rounds: usize, cores: &Cores, svg: Option<PathBuf>) -> io::Result<()> {
    let home = tempfile::tempdir()?;
    let (sim, relay) = relays::with_one_account(cores, home.path(), &[]).await?;
    let answer = relay.answer().to_vec();
    let mut contest = Contest::new("hyper", others::reference(cores, home.path(), &answer).await?);
    contest.enter("token-relay", relay);
    for (name, other) in others::installed(cores, home.path(), &answer).await? {
        contest.enter(name, other);
    }
    for (pattern, target) in
        [(Pattern::Busy, 0.95), (Pattern::Asleep, 1.0), (Pattern::Paced, 1.0), (Pattern::Fresh, 1.0)]
    {
        let table = contest.run(pattern, rounds).await?;
        table.print(&[("token-relay", target)]);
        if let Some(svg) = svg.as_ref().filter(|_| pattern == Pattern::Busy) {
            std::fs::write(svg, picture::of(&table))?;
        }
    }
    contest.print_memory()?;
    for (name, server) in contest.servers().take(2) {
        let kib = idle::measure(server).await?;
        print!("an idle connection at {name}: {kib:.1} KiB");
        match name {
            "token-relay" => println!("   target at most {IDLE_KIB}: {}", verdict(kib <= IDLE_KIB)),
            _ => println!(),
        }
    }
    drop(sim);
    contest.stop()
}

/// The relay beside others of its builds: what another profile, allocator or change brings.
async fn other_builds(rounds: usize, programs: &[String]) -> io::Result<()> {
    let cores = Cores::of_this_machine()?;
    machine::describe()?;
    let (home, mut sims) = (tempfile::tempdir()?, Vec::new());
    let (sim, built) = relays::with_one_account(&cores, &home.path().join("built"), &[]).await?;
    sims.push(sim);
    let mut contest = Contest::new("this build", built);
    for (number, program) in programs.iter().enumerate().filter(|(_, program)| *program != "--bench") {
        let (sim, other) = relays::of_program(program, &cores, &home.path().join(number.to_string()), &[]).await?;
        sims.push(sim);
        contest.enter(String::leak(program.clone()), other);
    }
    for pattern in [Pattern::Busy, Pattern::Fresh] {
        contest.run(pattern, rounds).await?.print(&[]);
    }
    contest.print_memory()?;
    contest.stop()
}

/// The relay with what costs something, beside the relay without.
async fn with_more(rounds: usize, cores: &Cores) -> io::Result<()> {
    let homes = [tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?];
    let (_sim, plain) = relays::with_one_account(cores, homes[0].path(), &[]).await?;
    let (_sim_too, logging) = relays::with_one_account(cores, homes[1].path(), &[("LOG__ACCESS", "all")]).await?;
    let (_sim_as_well, encrypted) = relays::with_tls(cores, homes[2].path()).await?;
    let slow = [("SERVER__FAST_READS", "false")];
    let (_last_sim, by_hyper) = relays::with_one_account(cores, homes[3].path(), &slow).await?;
    let mut contest = Contest::new("plain", plain);
    contest.enter("access log", logging);
    contest.enter("TLS", encrypted);
    contest.enter("no fast reads", by_hyper);
    contest.run(Pattern::Busy, rounds).await?.print(&[("access log", 1.15), ("TLS", 1.4)]);
    contest.stop()?;

    let home = tempfile::tempdir()?;
    let (_sim, one, random) = relays::with_many_accounts(cores, home.path()).await?;
    let mut contest = Contest::new("one of 10,000", one);
    contest.enter("each in turn", random);
    contest.run(Pattern::Busy, rounds).await?.print(&[("each in turn", 1.05)]);
    contest.stop()
}
