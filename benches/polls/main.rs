//! How fast are 10,000 long polls answered that one rotation wakes, and what do other reads feel of it?
//!
//!   cargo bench --bench polls              5 rounds, a minute and a half
//!   cargo bench --bench polls -- 20        more
//!
//! The relay is a process of its own, pinned to one core; the clients and the simulated WeChat have another. Tokens live for 24 s, so
//! the relay replaces them every 12 s as planned. Other connections read all the time: their last second before the token call is
//! the quiet one, the second from the call on is the woken one. Other work on the machine affects both. docs/PERFORMANCE.md has the results.

#![expect(clippy::print_stdout, reason = "a bench is what it prints")]

use std::{
    io::{self, Error},
    net::SocketAddr,
    path::Path,
    process::Command,
    time::Duration,
};

use polls::Polls;
use readers::{Readers, p99};
use side_by_side::{
    relay::{self, APPID, KEY, SECRET},
    server::{Cores, Server},
    spread::Spread,
};
use support::{
    arguments,
    machine::{self, verdict},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wechat_sim::Sim;

mod polls;
mod readers;
mod rotation;
#[path = "../side_by_side/mod.rs"]
#[expect(dead_code, reason = "this bench compares no servers")]
mod side_by_side;
#[path = "../support/mod.rs"]
mod support;

const POLLS: usize = 10_000;
const ROUNDS: usize = 5;
/// From when the last poll was sent: the relay has read all by then.
const SETTLE: Duration = Duration::from_secs(2);
/// How long a token lives: the relay replaces it after half of it.
const LIFE: Duration = Duration::from_secs(24);
/// A quiet one, and one with the rotation.
const WINDOW: Duration = Duration::from_secs(1);
/// The targets: for all polls to be answered, and p99 of other reads to the quiet one.
const LONGEST_MS: f64 = 1000.0;
const RATIO: f64 = 2.0;

fn main() -> io::Result<()> {
    let Some(arguments) = arguments::to_measure("polls") else { return Ok(()) };
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(rounds))
}

async fn measure(rounds: usize) -> io::Result<()> {
    let cores = Cores::of_this_machine()?;
    let sim = Sim::builder().app(APPID, SECRET).lifetime(LIFE).start().await.map_err(Error::other)?;
    let home = tempfile::tempdir()?;
    machine::describe()?;
    let read = request("/token", "");
    let relay = Server::start(&cores, read.as_bytes(), |address| relay_command(address, &sim, home.path())).await?;
    println!("{POLLS} long polls, relay on core {}, the rest on core {}", cores.servers, cores.load);
    let mut polls = Polls::connect(relay.address(), POLLS).await?;
    let mut readers = Readers::connect(relay.address(), &read).await?;
    // from one rotation on there is time until the next
    let first = rotation::tag(relay.address(), "none").await?;
    rotation::tag(relay.address(), &first).await?;
    let mut results = Vec::new();
    for _ in 0..rounds {
        let result = round(&sim, &relay, &mut polls, &mut readers).await?;
        result.print();
        results.push(result);
    }
    summarize(&results);
    relay.stop()
}

/// One rotation.
async fn round(sim: &Sim, relay: &Server, polls: &mut Polls, readers: &mut Readers) -> io::Result<Round> {
    polls.ask(&rotation::tag(relay.address(), "none").await?).await?;
    sleep(SETTLE).await;
    let stop = CancellationToken::new();
    let answered = async {
        let answered = polls.answered().await;
        sleep(WINDOW).await;
        stop.cancel();
        answered
    };
    let (reads, answered) = tokio::try_join!(readers.read(&stop), answered)?;
    let called = rotation::last_call(sim)?;
    let quiet = reads.within(called.minus(WINDOW), WINDOW)?;
    let woken = reads.within(called, WINDOW)?;
    Ok(Round {
        spread: answered.last.since(answered.first),
        after_call: answered.last.since(called),
        quiet: p99(&quiet),
        woken: p99(&woken),
        slowest: woken.last().copied().unwrap_or_default(),
    })
}

/// What was measured in one round.
struct Round {
    /// From the first answer to a poll to the last.
    spread: Duration,
    /// From WeChat's answer with the new token to the last answer to a poll.
    after_call: Duration,
    quiet: Duration,
    woken: Duration,
    slowest: Duration,
}

impl Round {
    fn ratio(&self) -> f64 {
        self.woken.as_secs_f64() / self.quiet.as_secs_f64()
    }

    fn print(&self) {
        println!(
            "  polls answered within {:.0} ms, {:.0} ms after the token call; reads: p99 {:.0} µs quiet, {:.0} µs woken (worst {:.0}), \
             ratio {:.2}",
            millis(self.spread),
            millis(self.after_call),
            millis(self.quiet) * 1e3,
            millis(self.woken) * 1e3,
            millis(self.slowest) * 1e3,
            self.ratio()
        );
    }
}

fn summarize(rounds: &[Round]) {
    let of = |measure: fn(&Round) -> f64| Spread::of(rounds.iter().map(measure));
    let (spread, after_call, ratio) =
        (of(|round| millis(round.spread)), of(|round| millis(round.after_call)), of(Round::ratio));
    println!("\nmedians of {} rounds (quartiles)", rounds.len());
    println!("  first to last answer     {spread} ms");
    println!(
        "  token call to last       {after_call} ms   target at most {LONGEST_MS:.0} ms: {}",
        verdict(after_call.median <= LONGEST_MS)
    );
    println!("  p99 of other reads       {ratio} × quiet   target at most {RATIO}: {}", verdict(ratio.median <= RATIO));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A GET with the client's key.
fn request(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {KEY}\r\n{more}\r\n")
}

/// With room for the readers. The overlap fits the short life: a shorter one would leave no promise during a slow call, a longer one
/// would put the rotation off.
fn relay_command(address: SocketAddr, sim: &Sim, home: &Path) -> Command {
    let mut command = relay::command(address, sim, home);
    command.env("TOKEN_RELAY__SERVER__MAX_CONNECTIONS", (POLLS + 100).to_string());
    command.env("TOKEN_RELAY__REFRESH__OVERLAP", "10s");
    command
}
