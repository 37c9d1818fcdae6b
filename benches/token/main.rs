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
    time::Duration,
};

use report::{Rounds, Starts};
use side_by_side::{
    load::{Load, Waiting},
    server::{Cores, Server},
    spread::Round,
};
use token_relay::clock::{Clock, SystemClock};
use wechat_sim::{Op, Sim};

mod reference;
mod report;
#[path = "../side_by_side/mod.rs"]
mod side_by_side;
#[path = "../support/mod.rs"]
mod support;

const APPID: &str = "wx0000000000000001";
const SECRET: &str = "a-secret-of-no-real-account";
const KEY: &str = "trk_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 100;
const ROUND: Duration = Duration::from_millis(100);
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
    let relay = Server::start(cores, &request(), |address| relay_command(address, sim, home)).await?;
    let mut relay_load = Load::connect(relay.address(), &request(), CONNECTIONS).await?;
    let answer = home.join("answer");
    std::fs::write(&answer, relay_load.answer())?;
    let bare = Server::start(cores, &request(), |address| reference_command(address, &answer)).await?;
    let mut bare_load = Load::connect(bare.address(), &request(), CONNECTIONS).await?;
    same_bytes(relay_load.answer(), bare_load.answer())?;

    let mut servers = [(&bare, &mut bare_load), (&relay, &mut relay_load)];
    for waiting in [Waiting::Awake, Waiting::Asleep] {
        take_turns(rounds, waiting, &mut servers).await?.print(waiting);
    }
    report::resident(&relay.resident()?, &bare.resident()?);
    drop((relay_load, bare_load));
    bare.stop()?;
    relay.stop()
}

/// Pairs of turns, of bare hyper and of the relay. Each goes first in every other round; the first round of all warms up.
async fn take_turns(rounds: usize, waiting: Waiting, servers: &mut [(&Server, &mut Load); 2]) -> io::Result<Rounds> {
    let mut measured = Rounds::default();
    for round in 0..=rounds {
        let [(bare, bare_load), (relay, relay_load)] = servers;
        let pair = if round % 2 == 0 {
            let bare = turn(bare, bare_load, waiting).await?;
            (bare, turn(relay, relay_load, waiting).await?)
        } else {
            let relay = turn(relay, relay_load, waiting).await?;
            (turn(bare, bare_load, waiting).await?, relay)
        };
        if round > 0 {
            measured.push(pair);
        }
    }
    Ok(measured)
}

/// Starts of the relay on the state that the first one left.
async fn time_starts(cores: &Cores, sim: &Sim, home: &Path) -> io::Result<()> {
    let mut starts = Starts::default();
    for _ in 0..STARTS {
        let relay = Server::start(cores, &request(), |address| relay_command(address, sim, home)).await?;
        starts.push(relay.started_in());
        relay.stop()?;
    }
    starts.print();
    Ok(())
}

/// One server under load.
async fn turn(server: &Server, load: &mut Load, waiting: Waiting) -> io::Result<Round> {
    let (before, began) = (server.cpu()?, SystemClock.boot_now());
    let requests = load.run(ROUND, waiting).await?;
    let cpu = server.cpu()?.saturating_sub(before);
    Ok(Round { requests, cpu, wall: SystemClock.boot_now().since(began) })
}

fn request() -> String {
    format!("GET /token HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {KEY}\r\nAccept: */*\r\n\r\n")
}

/// The relay as it is shipped, with nothing set but where things are.
fn relay_command(address: SocketAddr, sim: &Sim, home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_token-relay"));
    let settings: [(&str, &str); 9] = [
        ("SERVER__LISTEN", &address.to_string()),
        ("SERVER__ADMIN_LISTEN", "127.0.0.1:0"),
        ("WECHAT__BASE_URL", &sim.base_url()),
        ("WECHAT__FALLBACK_BASE_URL", ""),
        ("STATE__URL", &format!("file:{}", home.join("state").display())),
        ("LOG__FORMAT", "json"),
        ("ACCOUNTS__MAIN__APPID", APPID),
        ("ACCOUNTS__MAIN__SECRET", SECRET),
        ("CLIENTS__BENCH__KEY", KEY),
    ];
    command.env_clear().envs(settings.map(|(key, value)| (format!("TOKEN_RELAY__{key}"), value.to_owned())));
    command
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
