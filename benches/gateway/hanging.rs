//! Do calls that hang at WeChat slow down those who read a token?

use std::{io, net::SocketAddr, time::Duration};

use token_relay::clock::{Clock, SystemClock};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};
use wechat_sim::{Fault, Op, Sim, Times};

use crate::{
    call, read,
    support::{http_exchange::exchange, machine::verdict},
};

/// Calls that hang at once.
const HANGING: usize = 1000;
const READS: usize = 3000;
/// The target.
const RATIO: f64 = 2.0;

/// The token that the relay serves.
pub(crate) async fn token(relay: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(relay).await?;
    let answer = exchange(&mut stream, read().as_bytes()).await?;
    let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
    Ok(body["access_token"].as_str().ok_or(io::ErrorKind::InvalidData)?.to_owned())
}

pub(crate) async fn measure(sim: &Sim, relay: SocketAddr) -> io::Result<()> {
    let call = call(&token(relay).await?);
    let quiet = p99(relay).await?;
    sim.fault(Op::Api, Fault::Hang, Times::Always);
    let mut hanging = Vec::with_capacity(HANGING);
    for _ in 0..HANGING {
        let mut stream = TcpStream::connect(relay).await?;
        stream.write_all(call.as_bytes()).await?;
        hanging.push(stream);
    }
    // until they have all reached WeChat, or the limit of calls at once
    sleep(Duration::from_secs(1)).await;
    let beside = p99(relay).await?;
    drop(hanging);
    sim.clear_faults();
    sleep(Duration::from_secs(1)).await;
    let quiet_again = p99(relay).await?;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let ratio = micros(beside) / micros(quiet.max(quiet_again));
    println!(
        "GET /token while {HANGING} gateway calls hang: p99 {:.0} µs, quiet before and after {:.0} and {:.0} µs, ratio {ratio:.2}   \
         target at most {RATIO}: {}",
        micros(beside),
        micros(quiet),
        micros(quiet_again),
        verdict(ratio <= RATIO)
    );
    Ok(())
}

/// The 99th percentile of reads one after the other, on one connection.
async fn p99(relay: SocketAddr) -> io::Result<Duration> {
    let mut stream = TcpStream::connect(relay).await?;
    stream.set_nodelay(true)?;
    let mut times = Vec::with_capacity(READS);
    for _ in 0..READS {
        let began = SystemClock.boot_now();
        exchange(&mut stream, read().as_bytes()).await?;
        times.push(SystemClock.boot_now().since(began));
    }
    times.sort();
    Ok(times[READS * 99 / 100])
}
