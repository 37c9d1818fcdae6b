//! How is a Redis server of the bench's own started, and what has it done?

use std::{
    io::{self, Error},
    process::Command,
    time::Duration,
};

use redis::aio::MultiplexedConnection;
use tokio::time::{sleep, timeout};

use crate::{
    setup::Setup,
    support::process::{Process, free_address},
};

/// The same server under two names.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];
const LONGEST_START: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// `INFO stats`, as it is sent, and what surrounds its answer.
const QUESTION_BYTES: u64 = "*2\r\n$4\r\nINFO\r\n$5\r\nstats\r\n".len() as u64;
const ANSWER_EXTRA_BYTES: u64 = "$1234\r\n\r\n".len() as u64;

/// A running server with nothing in it, that saves nothing.
pub(crate) struct RedisServer {
    pub(crate) process: Process,
    pub(crate) url: String,
    connection: MultiplexedConnection,
}

/// What a server has done since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) commands: u64,
    pub(crate) bytes: u64,
    /// Of the answer that said so: it belongs to the bench.
    answer_bytes: u64,
}

impl RedisServer {
    /// `None` where this machine has no such program.
    pub(crate) async fn start(setup: &Setup) -> io::Result<Option<Self>> {
        let address = free_address()?;
        let url = format!("redis://{address}");
        let Some(mut process) = spawn(setup, address.port())? else { return Ok(None) };
        let connection = timeout(LONGEST_START, connect(&url, &mut process)).await;
        let connection = connection.map_err(|_| Error::other("the Redis server does not answer"))??;
        let mut server = Self { process, url, connection };
        let info = server.info("server").await?;
        if number(&info, "process_id") == Ok(server.process.id().into()) {
            Ok(Some(server))
        } else {
            Err(Error::other("another Redis server answers on this port"))
        }
    }

    pub(crate) async fn work(&mut self) -> io::Result<Work> {
        let info = self.info("stats").await?;
        let number = |key| number(&info, key).map_err(Error::other);
        Ok(Work {
            commands: number("total_commands_processed")?,
            bytes: number("total_net_input_bytes")? + number("total_net_output_bytes")?,
            answer_bytes: info.len() as u64,
        })
    }

    async fn info(&mut self, section: &str) -> io::Result<String> {
        redis::cmd("INFO").arg(section).query_async(&mut self.connection).await.map_err(Error::other)
    }
}

impl Work {
    /// What was done since `before`: commands and bytes, without the bench's own. Redis counts the bytes of a question when it
    /// reads it, and the command and the bytes of its answer later. So one of each was counted in between.
    pub(crate) fn since(self, before: Self) -> (u64, u64) {
        let own_bytes = QUESTION_BYTES + ANSWER_EXTRA_BYTES + before.answer_bytes;
        let commands = self.commands.saturating_sub(before.commands).saturating_sub(1);
        (commands, self.bytes.saturating_sub(before.bytes).saturating_sub(own_bytes))
    }
}

fn spawn(setup: &Setup, port: u16) -> io::Result<Option<Process>> {
    for program in PROGRAMS {
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(["--port", &port.to_string(), "--dir"]).arg(setup.home());
        match Process::start(&mut command) {
            Ok(process) => return Ok(Some(process)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

async fn connect(url: &str, process: &mut Process) -> io::Result<MultiplexedConnection> {
    let client = redis::Client::open(url).map_err(Error::other)?;
    loop {
        if let Ok(connection) = client.get_multiplexed_async_connection().await {
            return Ok(connection);
        }
        process.still_runs()?;
        sleep(LOOK_AGAIN).await;
    }
}

fn number(info: &str, key: &str) -> Result<u64, String> {
    let value = info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.trim().parse().ok());
    value.ok_or_else(|| format!("INFO has no {key}"))
}
