//! What do thousands of accounts cost, in one relay and in each of three on a Redis, and how are they taken over?
//!
//!   cargo bench --bench accounts                    10,000 accounts, about three minutes
//!   ACCOUNTS=1000 cargo bench --bench accounts      as many as are asked for
//!
//! The relays and the redis-server are processes of their own, and CPU is what the system counted for each of them, so that a
//! busy machine costs the measured times more than the measured CPU. The simulator runs in this process and is quiet at
//! rest: its tokens live for two hours. It judges nothing: beside each value it prints the target. docs/PERFORMANCE.md
//! holds the results.

#![expect(clippy::print_stdout, reason = "a bench is what it prints")]

use std::{
    env,
    io::{self, Error},
    sync::Arc,
};

use setup::Setup;
use support::{arguments, machine};
use tokio::signal::unix::{SignalKind, signal};

mod at_rest;
mod client;
mod cpu_time;
#[path = "../support/many_accounts.rs"]
mod many_accounts;
mod on_files;
mod on_redis;
mod redis_server;
mod relay;
mod report;
mod setup;
#[path = "../support/mod.rs"]
mod support;
mod take_over;

const ACCOUNTS: usize = 10_000;
/// A relay's own limit is memory; a name has five digits.
const MOST_ACCOUNTS: usize = 100_000;

fn main() -> io::Result<()> {
    if arguments::to_measure("accounts").is_none() {
        return Ok(());
    }
    let accounts = accounts()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            done = measure(accounts) => done,
            // What was started ends with its guards.
            _ = interrupt.recv() => Err(io::ErrorKind::Interrupted.into()),
            _ = terminate.recv() => Err(io::ErrorKind::Interrupted.into()),
        }
    })
}

fn accounts() -> io::Result<usize> {
    let Ok(text) = env::var("ACCOUNTS") else { return Ok(ACCOUNTS) };
    let number = text.replace(['_', ','], "").parse().ok().filter(|number| (1..=MOST_ACCOUNTS).contains(number));
    number.ok_or_else(|| Error::other(format!("ACCOUNTS is a number from 1 to {MOST_ACCOUNTS}")))
}

async fn measure(accounts: usize) -> io::Result<()> {
    machine::describe()?;
    let setup = Arc::new(Setup::new(accounts).await?);
    report::begin(&setup);
    on_files::measure(&setup).await?;
    on_redis::measure(&setup).await
}
