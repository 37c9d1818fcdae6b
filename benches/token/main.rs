//! What does a read of a token cost, next to a bare hyper server that returns the same bytes?
//!
//!   cargo bench --bench token              100 rounds of each kind, about a minute
//!   cargo bench --bench token -- 50        fewer
//!
//! Both servers are processes of their own, pinned to one core; the load comes from another. They take turns, a tenth of
//! a second each, so that whatever else the machine does meets both alike, and what is told is the ratio. The simulator runs in this
//! process and is quiet meanwhile: the token that it minted lives for two hours. docs/PERFORMANCE.md holds the results.

#![expect(clippy::print_stdout, reason = "a bench is what it prints")]

use std::{
    env,
    io::{self, Error},
    net::SocketAddr,
    path::Path,
    process::Command,
};

use report::Starts;
use side_by_side::{
    load::{Load, Waiting},
    relay::{self, APPID, KEY, SECRET},
    server::{Cores, Server},
    turns::Turns,
};
use wechat_sim::{Op, Sim};

mod reference;
mod report;
#[path = "../side_by_side/mod.rs"]
mod side_by_side;
#[path = "../support/mod.rs"]
mod support;

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 100;
const STARTS: usize = 20;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let is_asked = arguments.iter().any(|argument| argument == "--bench");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["reference", address, answer] => reference::serve(address, Path::new(answer)),
        // `cargo test --all-targets` runs this too, and measures nothing.
        _ if !is_asked => {
            println!("to measure: cargo bench --bench token");
            Ok(())
        }
        rest => {
            let rounds = rest.iter().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(rounds))
        }
    }
}

async fn measure(rounds: usize) -> io::Result<()> {
    let cores = Cores::of_this_machine()?;
    let sim = Sim::builder().app(APPID, SECRET).start().await.map_err(Error::other)?;
    let home = tempfile::tempdir()?;
    report::machine(&cores)?;
    compare(rounds, &cores, &sim, home.path()).await?;
    time_starts(&cores, &sim, home.path()).await?;
    println!("calls of WeChat by all {} relays: {}", STARTS + 1, sim.calls(Op::Any).len());
    Ok(())
}

/// Both servers, in turn, under both kinds of load.
async fn compare(rounds: usize, cores: &Cores, sim: &Sim, home: &Path) -> io::Result<()> {
    let relay = Server::start(cores, &request(), |address| relay::command(address, sim, home)).await?;
    let mut relay_load = Load::connect(relay.address(), &request(), CONNECTIONS).await?;
    let answer = home.join("answer");
    std::fs::write(&answer, relay_load.answer())?;
    let bare = Server::start(cores, &request(), |address| reference_command(address, &answer)).await?;
    let mut bare_load = Load::connect(bare.address(), &request(), CONNECTIONS).await?;
    same_bytes(relay_load.answer(), bare_load.answer())?;

    for waiting in [Waiting::Awake, Waiting::Asleep] {
        let turns = Turns::take(rounds, waiting, (&bare, &mut bare_load), (&relay, &mut relay_load)).await?;
        report::turns(&turns, waiting);
    }
    report::resident(&relay.resident()?, &bare.resident()?);
    drop((relay_load, bare_load));
    bare.stop()?;
    relay.stop()
}

/// Starts of the relay on the state that the first one left.
async fn time_starts(cores: &Cores, sim: &Sim, home: &Path) -> io::Result<()> {
    let mut starts = Starts::default();
    for _ in 0..STARTS {
        let relay = Server::start(cores, &request(), |address| relay::command(address, sim, home)).await?;
        starts.push(relay.started_in());
        relay.stop()?;
    }
    starts.print();
    Ok(())
}

fn request() -> String {
    format!("GET /token HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {KEY}\r\nAccept: */*\r\n\r\n")
}

fn reference_command(address: SocketAddr, answer: &Path) -> Command {
    let program = env::current_exe().expect("the system knows the running program");
    let mut command = Command::new(program);
    command.arg("reference").arg(address.to_string()).arg(answer);
    command
}

/// But for the date, which is of the second.
fn same_bytes(relay: &[u8], bare: &[u8]) -> io::Result<()> {
    let lines = |answer: &[u8]| {
        let text = String::from_utf8_lossy(answer).into_owned();
        let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with("date:")).map(str::to_owned).collect();
        let body = lines.pop().unwrap_or_default();
        lines.sort();
        // its last digits are the seconds
        (lines, body.len())
    };
    if lines(relay) == lines(bare) {
        Ok(())
    } else {
        Err(Error::other("the reference does not return what the relay does"))
    }
}
