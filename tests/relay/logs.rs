//! What if nobody reads the logs any more?

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, ChildStderr, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use test_support::{CLIENT_KEY, Setup, client};

use crate::RELAY;

/// Many times what a pipe holds, at the level TRACE.
const REQUESTS: usize = 400;

/// Starts a relay that logs all it can, and reads its log up to the line that says where it serves.
fn start(setup: &Setup) -> (Child, BufReader<ChildStderr>, SocketAddr) {
    let mut command = Command::new(RELAY);
    command.env_clear().envs(&setup.env).env("TOKEN_RELAY__LOG__FILTER", "trace").stdin(Stdio::null());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("token-relay serves") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended");
    }
    let event: Value = serde_json::from_str(&line).unwrap();
    (child, log, event["listen"].as_str().unwrap().parse().unwrap())
}

async fn serves_on_and_stops(mut child: Child, public: SocketAddr) {
    for _ in 0..REQUESTS {
        let answer = client::get(public, "/token", Some(CLIENT_KEY)).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_reader_that_goes_away_takes_nobody_with_it() {
    let setup = Setup::new(RELAY, 600, 60).await;
    let (child, log, public) = start(&setup);
    drop(log);
    serves_on_and_stops(child, public).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_reader_that_stops_reading_holds_nobody_up() {
    let setup = Setup::new(RELAY, 600, 60).await;
    let (child, log, public) = start(&setup);
    serves_on_and_stops(child, public).await;
    drop(log);
}
