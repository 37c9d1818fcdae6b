//! How do thousands of long polls wait, and when was each answered?
//!
//! They have a thread of their own, which runs while the core is idle: the readers' thread gets the core at once, so that what the
//! readers measure is the relay and not the clients.

use std::{
    io::{self, Error},
    net::SocketAddr,
    process::Command,
    thread,
};

use rustix::{process::nice, thread::gettid};
use token_relay::clock::{Clock, SystemClock, Timestamp};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::mpsc, task::JoinSet};

use crate::{
    rotation::{etag, poll},
    support::http_exchange::receive,
};

/// The most that nice(2) knows.
const LOWEST_PRIORITY: i32 = 19;

/// The thread with the polls.
pub(crate) struct Polls {
    /// The tag that they hold.
    rounds: mpsc::UnboundedSender<String>,
    done: mpsc::UnboundedReceiver<io::Result<Progress>>,
}

enum Progress {
    /// All are connected, or all polls are sent.
    Ready,
    Answered(Answered),
}

/// When the first and the last poll of a round were answered.
pub(crate) struct Answered {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

impl Polls {
    /// Starts the thread with `count` connections. It ends when this is dropped.
    pub(crate) async fn connect(address: SocketAddr, count: usize) -> io::Result<Self> {
        let (rounds, tags) = mpsc::unbounded_channel();
        let (progress, done) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            let result = stand_back();
            let result = result.and_then(|()| runtime.block_on(wait(address, count, tags, &progress)));
            if let Err(error) = result {
                // without a receiver the bench has ended
                let _ = progress.send(Err(error));
            }
        });
        let mut polls = Self { rounds, done };
        polls.ready().await.map(|()| polls)
    }

    /// Sends a poll on each connection and returns when all are sent.
    pub(crate) async fn ask(&mut self, etag: &str) -> io::Result<()> {
        self.rounds.send(etag.to_owned()).map_err(Error::other)?;
        self.ready().await
    }

    async fn ready(&mut self) -> io::Result<()> {
        match self.progress().await? {
            Progress::Ready => Ok(()),
            Progress::Answered(_) => Err(Error::other("answered before they were all asked")),
        }
    }

    /// Waits until each has another token.
    pub(crate) async fn answered(&mut self) -> io::Result<Answered> {
        match self.progress().await? {
            Progress::Answered(answered) => Ok(answered),
            Progress::Ready => Err(Error::other("asked twice")),
        }
    }

    async fn progress(&mut self) -> io::Result<Progress> {
        self.done.recv().await.ok_or(io::ErrorKind::BrokenPipe)?
    }
}

/// Moves this thread to `SCHED_IDLE`. Rejected: nice(2) alone, for the readers' thread then waits for the system's next tick, up to 4 ms.
fn stand_back() -> io::Result<()> {
    let thread = gettid().as_raw_nonzero().to_string();
    if Command::new("chrt").args(["-i", "-p", "0", &thread]).status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    println!("there is no chrt (util-linux): the work of the polls' clients is in the readers' times");
    nice(LOWEST_PRIORITY)?;
    Ok(())
}

async fn wait(
    address: SocketAddr,
    count: usize,
    mut tags: mpsc::UnboundedReceiver<String>,
    progress: &mpsc::UnboundedSender<io::Result<Progress>>,
) -> io::Result<()> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        streams.push(TcpStream::connect(address).await?);
    }
    progress.send(Ok(Progress::Ready)).map_err(Error::other)?;
    while let Some(tag) = tags.recv().await {
        let poll = poll(&tag);
        for stream in &mut streams {
            stream.write_all(poll.as_bytes()).await?;
        }
        progress.send(Ok(Progress::Ready)).map_err(Error::other)?;
        let answered = all_answered(&mut streams, &tag).await?;
        progress.send(Ok(Progress::Answered(answered))).map_err(Error::other)?;
    }
    Ok(())
}

async fn all_answered(streams: &mut Vec<TcpStream>, tag: &str) -> io::Result<Answered> {
    let mut tasks = JoinSet::new();
    for mut stream in streams.drain(..) {
        tasks.spawn(async move {
            let answer = receive(&mut stream).await?;
            Ok::<_, Error>((stream, answer, SystemClock.boot_now()))
        });
    }
    let mut moments = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (stream, answer, moment) = done.map_err(Error::other)??;
        if !answer.is_ok() || answer.body.is_empty() || etag(&answer)? == tag {
            return Err(Error::other(format!("a poll without a new token: {}", answer.head)));
        }
        streams.push(stream);
        moments.push(moment);
    }
    let (first, last) = (moments.iter().min().copied(), moments.iter().max().copied());
    first.zip(last).map(|(first, last)| Answered { first, last }).ok_or_else(|| Error::other("no polls"))
}
