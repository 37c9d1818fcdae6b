//! How is a server asked? One thread, one task a connection, one request at a time on each.

use std::{
    fmt,
    io::{self, Error},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use test_support::TlsClient;
use token_relay::clock::{Clock, SystemClock, Timestamp};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, yield_now},
    time::timeout,
};

/// An answer that takes this long is none.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests a second of all connections together, answered or not.
const PACE: u32 = 20_000;

/// When the clients ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Again as soon as they are answered, on connections that stay. The load never sleeps: who wakes a sleeper pays for it, in a virtual
    /// machine with microseconds, so the servers are compared by their own work alone.
    Busy,
    /// The same with a load that sleeps while it waits, as most clients do.
    Asleep,
    /// At a pace of their own, on connections that stay.
    Paced,
    /// Each time on a new connection.
    Fresh,
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "saturated, keep-alive",
            Self::Asleep => "saturated, keep-alive, with a load that sleeps while it waits",
            Self::Paced => "20,000 requests a second, keep-alive",
            Self::Fresh => "a connection per request",
        })
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Who connects, and how.
#[derive(Clone)]
struct Way {
    address: SocketAddr,
    tls: Option<TlsClient>,
}

impl Way {
    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        if let Some(tls) = &self.tls {
            return Ok(Box::new(tls.connect(self.address).await?));
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

/// The clients of one server.
pub(crate) struct Clients {
    way: Way,
    /// Asked one after the other.
    requests: Arc<[Vec<u8>]>,
    answer: Vec<u8>,
    count: u32,
    streams: Vec<Box<dyn Stream>>,
}

impl Clients {
    /// Opens `count` connections, encrypted where `tls` is given, and asks on each once.
    pub(crate) async fn connect(
        address: SocketAddr,
        count: u32,
        tls: Option<TlsClient>,
        requests: Vec<Vec<u8>>,
    ) -> io::Result<Self> {
        let way = Way { address, tls };
        let (mut answer, mut streams) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut stream = way.connect().await?;
            answer = timeout(PATIENCE, exchange(&mut *stream, &requests[0], &mut [0; 4096])).await??.to_vec();
            streams.push(stream);
        }
        Ok(Self { way, requests: requests.into(), answer, count, streams })
    }

    pub(crate) fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// A connection per request is HTTP's.
    pub(crate) fn know(&self, pattern: Pattern) -> bool {
        pattern != Pattern::Fresh || self.answer.starts_with(b"HTTP/")
    }

    /// Asks for `time`; the number of answers.
    pub(crate) async fn run(&mut self, pattern: Pattern, time: Duration) -> io::Result<u32> {
        let began = SystemClock.boot_now();
        let until = began.plus(time);
        let mut tasks = JoinSet::new();
        let (pause, every) = (Duration::from_secs(1) / PACE, Duration::from_secs(1) / PACE * self.count);
        for (at, stream) in (0..).zip(self.streams.drain(..)) {
            let pace = (pattern == Pattern::Paced).then(|| (began.plus(pause * at), every));
            let way = (pattern == Pattern::Fresh).then(|| self.way.clone());
            // each begins elsewhere among many requests
            let next = self.requests.len() * at as usize / self.count as usize;
            let asking = Asking { requests: self.requests.clone(), next };
            tasks.spawn(asking.until(stream, until, pace, way));
        }
        while pattern != Pattern::Asleep && SystemClock.boot_now() < until {
            yield_now().await;
        }
        let mut answers = 0;
        while let Some(done) = timeout(time + PATIENCE, tasks.join_next()).await? {
            let (stream, count) = done.map_err(Error::other)??;
            answers += count;
            self.streams.push(stream);
        }
        Ok(answers)
    }
}

/// What one client asks.
struct Asking {
    requests: Arc<[Vec<u8>]>,
    /// The last one.
    next: usize,
}

impl Asking {
    async fn until(
        mut self,
        mut stream: Box<dyn Stream>,
        until: Timestamp,
        pace: Option<(Timestamp, Duration)>,
        way: Option<Way>,
    ) -> io::Result<(Box<dyn Stream>, u32)> {
        let mut answers = 0;
        let mut due = pace.map(|(first, _)| first);
        loop {
            while due.is_some_and(|due| SystemClock.boot_now() < due) {
                yield_now().await;
            }
            if until <= SystemClock.boot_now() {
                return Ok((stream, answers));
            }
            match &way {
                Some(way) => self.ask(&mut *way.connect().await?).await?,
                None => self.ask(&mut *stream).await?,
            }
            answers += 1;
            due = due.zip(pace).map(|(due, (_, every))| due.plus(every));
        }
    }

    async fn ask(&mut self, stream: &mut dyn Stream) -> io::Result<()> {
        self.next = (self.next + 1) % self.requests.len();
        exchange(stream, &self.requests[self.next], &mut [0; 4096]).await.map(drop)
    }
}

/// Sends `request` and reads the answer into `buffer`: a status 200 with a length, or a bulk string of Redis.
async fn exchange<'b>(stream: &mut dyn Stream, request: &[u8], buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
    stream.write_all(request).await?;
    let mut have = 0;
    loop {
        match stream.read(&mut buffer[have..]).await? {
            0 => return Err(Error::other("the server closed a connection")),
            more => have += more,
        }
        let text = std::str::from_utf8(&buffer[..have]).map_err(Error::other)?;
        let length = if let Some(bulk) = text.strip_prefix('$') { length_of_bulk(bulk) } else { length_of_http(text)? };
        if length == Some(have) {
            return Ok(&buffer[..have]);
        }
    }
}

fn length_of_bulk(bulk: &str) -> Option<usize> {
    let (length, _) = bulk.split_once("\r\n")?;
    Some(length.len() + length.parse::<usize>().ok()? + "$\r\n\r\n".len())
}

fn length_of_http(text: &str) -> io::Result<Option<usize>> {
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return Ok(None) };
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(Error::other(format!("not an answer with status 200: {head}")));
    }
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body = length.and_then(|(_, length)| length.parse::<usize>().ok());
    let body = body.ok_or_else(|| Error::other("an answer without a length"))?;
    Ok(Some(head.len() + "\r\n\r\n".len() + body))
}
