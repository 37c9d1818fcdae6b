//! How are many keep-alive connections kept busy at little cost? One thread, one task a connection, one request at a time on
//! each; an answer is whole when it is as long as the first one was.

use std::{
    io::{self, Error},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use token_relay::clock::{Clock, SystemClock, Timestamp};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, yield_now},
    time::timeout,
};

use crate::support::http_exchange::exchange;

/// An answer that takes this long is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the load does while it waits for answers. Whoever wakes a sleeper pays for it, in a virtual machine with
/// microseconds. So the faster server meets a load that is nearly always awake, and the slower one also pays for the sleep that
/// its being slower allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// It looks again and again: the servers are compared by their own work alone.
    Awake,
    /// It sleeps, as most clients do.
    Asleep,
}

/// Connections to one server, and what they ask.
pub(crate) struct Load {
    request: Arc<[u8]>,
    answer: Arc<[u8]>,
    connections: Vec<TcpStream>,
}

impl Load {
    /// Opens `count` connections and asks on each once.
    pub(crate) async fn connect(server: SocketAddr, request: &str, count: usize) -> io::Result<Self> {
        let request: Arc<[u8]> = request.as_bytes().into();
        let mut answer = Vec::new();
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            let mut stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            answer = ask(&mut stream, &request).await?;
            connections.push(stream);
        }
        Ok(Self { request, answer: answer.into(), connections })
    }

    /// An answer, whole.
    pub(crate) fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// Keeps every connection busy for `time`; the number of answers.
    pub(crate) async fn run(&mut self, time: Duration, waiting: Waiting) -> io::Result<u32> {
        let until = SystemClock.boot_now().plus(time);
        let mut tasks = JoinSet::new();
        for stream in self.connections.drain(..) {
            tasks.spawn(drive(stream, Arc::clone(&self.request), self.answer.len(), until));
        }
        while waiting == Waiting::Awake && SystemClock.boot_now() < until {
            yield_now().await;
        }
        let mut answers = 0;
        while let Some(done) = timeout(time + PATIENCE, tasks.join_next()).await? {
            let (stream, count) = done.map_err(Error::other)??;
            answers += count;
            self.connections.push(stream);
        }
        Ok(answers)
    }
}

async fn drive(
    mut stream: TcpStream,
    request: Arc<[u8]>,
    length: usize,
    until: Timestamp,
) -> io::Result<(TcpStream, u32)> {
    let mut buffer = [0; 4096];
    let mut answers = 0;
    while SystemClock.boot_now() < until {
        stream.write_all(&request).await?;
        let mut have = 0;
        while have < length {
            match stream.read(&mut buffer[have..]).await? {
                0 => return Err(Error::other("the server closed a connection")),
                more => have += more,
            }
        }
        if have > length || !buffer.starts_with(b"HTTP/1.1 200 OK\r\n") {
            return Err(Error::other("an answer unlike the first one"));
        }
        answers += 1;
    }
    Ok((stream, answers))
}

/// Asks once and reads the answer by its length; anything but 200 is an error.
pub(crate) async fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
    let answer = exchange(stream, request).await?;
    if answer.is_ok() {
        Ok([answer.head.as_bytes(), b"\r\n\r\n", &answer.body].concat())
    } else {
        Err(Error::other("not an answer with status 200"))
    }
}
