//! What does a call through the gateway cost, next to nginx's `proxy_pass` doing the same, and what do calls that hang cost
//! those who read a token?
//!
//!   cargo bench --bench gateway            60 rounds of each kind, about a minute
//!   cargo bench --bench gateway -- 20      fewer
//!
//! Relay and nginx are processes of their own, pinned to one core; the load and the simulated WeChat behind both have another. They
//! take turns, a tenth of a second each, and what is told is the ratio. Plain HTTP/1.1, connections kept alive on both sides.
//! Without nginx only the second figure is taken. docs/PERFORMANCE.md holds the results.

#![expect(clippy::print_stdout, reason = "a bench is what it prints")]

use std::{
    io::{self, Error},
    net::SocketAddr,
    path::Path,
    process::Command,
    rc::Rc,
};

use side_by_side::{
    clients::{Clients, Pattern},
    contest::{Contest, Entry},
    nginx,
    relay::{self, APPID, KEY, SECRET},
    server::{Cores, Server, is_installed},
};
use support::{arguments, machine};
use wechat_sim::Sim;

mod hanging;
#[path = "../side_by_side/mod.rs"]
mod side_by_side;
#[path = "../support/mod.rs"]
mod support;

const CONNECTIONS: u32 = 32;
const ROUNDS: usize = 60;
/// The target.
const RATIO: f64 = 1.2;

fn main() -> io::Result<()> {
    let Some(arguments) = arguments::to_measure("gateway") else { return Ok(()) };
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(rounds))
}

async fn measure(rounds: usize) -> io::Result<()> {
    let cores = Cores::of_this_machine()?;
    let sim = Sim::builder().app(APPID, SECRET).start().await.map_err(Error::other)?;
    let home = tempfile::tempdir()?;
    machine::describe()?;
    let relay = Server::start(&cores, read().as_bytes(), |address| relay_command(address, &sim, home.path())).await?;
    let relay = Rc::new(relay);
    compare(rounds, &cores, &sim, &relay, home.path()).await?;
    hanging::measure(&sim, relay.address()).await?;
    println!("relay: {:.0} ms from start to the first token", relay.started_in().as_secs_f64() * 1e3);
    Rc::into_inner(relay).map_or(Ok(()), Server::stop)
}

/// nginx and the relay, in turn, under both kinds of load.
async fn compare(rounds: usize, cores: &Cores, sim: &Sim, relay: &Rc<Server>, home: &Path) -> io::Result<()> {
    if !is_installed("nginx", "-v", "nginx-light") {
        return Ok(());
    }
    let call = call(&hanging::token(relay.address()).await?);
    let nginx = Server::start(cores, call.as_bytes(), |address| nginx_command(address, sim, home)).await?;
    let entry = async |server: Rc<Server>| {
        let clients = Clients::connect(server.address(), CONNECTIONS, None, vec![call.clone().into()]).await?;
        Ok::<_, Error>(Entry::new(server, clients))
    };
    let (nginx, relay) = (entry(Rc::new(nginx)).await?, entry(relay.clone()).await?);
    if body(nginx.answer()) != body(relay.answer()) {
        return Err(Error::other("the relay passes on another body than nginx"));
    }
    println!(
        "GET /cgi-bin/get_api_domain_ip, {CONNECTIONS} connections, servers on core {}, the rest on core {}",
        cores.servers, cores.load
    );
    let mut contest = Contest::new("nginx", nginx);
    contest.enter("token-relay", relay);
    for pattern in [Pattern::Busy, Pattern::Asleep] {
        contest.run(pattern, rounds).await?.print(&[("token-relay", RATIO)]);
    }
    contest.print_memory()?;
    contest.stop()
}

fn body(answer: &[u8]) -> Option<&[u8]> {
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    answer.get(at..)
}

/// A read of the token.
fn read() -> String {
    format!("GET /token HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {KEY}\r\n\r\n")
}

/// A call with it, as an SDK makes it.
fn call(token: &str) -> String {
    format!("GET /cgi-bin/get_api_domain_ip?access_token={token} HTTP/1.1\r\nHost: relay\r\nAccept: */*\r\n\r\n")
}

fn relay_command(address: SocketAddr, sim: &Sim, home: &Path) -> Command {
    let mut command = relay::command(address, sim, home);
    command.env("TOKEN_RELAY__GATEWAY__ENABLED", "true");
    command
}

/// As many connections to the upstream as the load has.
fn nginx_command(address: SocketAddr, sim: &Sim, home: &Path) -> Command {
    let upstream = sim.addr();
    nginx::command(
        home,
        &format!(
            "upstream wechat {{ server {upstream}; keepalive {CONNECTIONS}; keepalive_requests 1000000000; }}
            server {{
              listen {address};
              location / {{ proxy_pass http://wechat; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}
            }}"
        ),
    )
}
