//! How long do reads take that are sent at a steady pace?

use std::{
    io::{self, Error},
    net::SocketAddr,
    time::Duration,
};

use token_relay::clock::{Clock, SystemClock, Timestamp};
use tokio::{net::TcpStream, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::support::http_exchange::exchange;

/// Connections that read in turn, so that one slow answer holds up few others.
const CONNECTIONS: u32 = 20;
/// Between two reads of all connections together: 1,000 a second.
const PAUSE: Duration = Duration::from_millis(1);

pub(crate) struct Readers {
    streams: Vec<TcpStream>,
    request: Vec<u8>,
}

/// When each read was due, and how long it took.
pub(crate) struct Reads(Vec<(Timestamp, Duration)>);

impl Readers {
    pub(crate) async fn connect(address: SocketAddr, request: &str) -> io::Result<Self> {
        let mut streams = Vec::new();
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        Ok(Self { streams, request: request.into() })
    }

    /// Reads until `stop`.
    pub(crate) async fn read(&mut self, stop: &CancellationToken) -> io::Result<Reads> {
        let mut tasks = JoinSet::new();
        let began = SystemClock.boot_now();
        for (at, stream) in (0..).zip(self.streams.drain(..)) {
            tasks.spawn(read_in_turn(stream, self.request.clone(), began.plus(PAUSE * at), stop.clone()));
        }
        let mut reads = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let (stream, took) = done.map_err(Error::other)??;
            self.streams.push(stream);
            reads.extend(took);
        }
        Ok(Reads(reads))
    }
}

/// A read that was due while the last one was still unanswered counts from when it was due.
async fn read_in_turn(
    mut stream: TcpStream,
    request: Vec<u8>,
    mut due: Timestamp,
    stop: CancellationToken,
) -> io::Result<(TcpStream, Vec<(Timestamp, Duration)>)> {
    let mut reads = Vec::new();
    let mut answered = due;
    while !stop.is_cancelled() {
        sleep(due.since(SystemClock.boot_now())).await;
        let from = if answered > due { due } else { SystemClock.boot_now() };
        if !exchange(&mut stream, &request).await?.is_ok() {
            return Err(Error::other("a read was not answered with 200"));
        }
        answered = SystemClock.boot_now();
        reads.push((from, answered.since(from)));
        due = due.plus(PAUSE * CONNECTIONS);
    }
    Ok((stream, reads))
}

impl Reads {
    /// How long those took that began in the `time` from `begin` on, the shortest first.
    pub(crate) fn within(&self, begin: Timestamp, time: Duration) -> io::Result<Vec<Duration>> {
        let reads = self.0.iter().filter(|(from, _)| (begin..begin.plus(time)).contains(from));
        let mut times: Vec<_> = reads.map(|(_, took)| *took).collect();
        times.sort();
        let expected = time.as_millis() / PAUSE.as_millis();
        if times.len() as u128 * 2 < expected {
            return Err(Error::other(format!(
                "{} reads where {expected} were due: the machine is too busy",
                times.len()
            )));
        }
        Ok(times)
    }
}

/// The 99th percentile of sorted times.
pub(crate) fn p99(times: &[Duration]) -> Duration {
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}
