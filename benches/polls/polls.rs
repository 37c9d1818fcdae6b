//! How do thousands of long polls wait, and when was each answered?
//!
//! They have a thread of their own, at the lowest priority: while it reads thousands of answers, the readers' thread gets the core
//! whenever it wants it, so that what the readers measure is the relay and not the clients.

use std::{
    io::{self, Error},
    net::SocketAddr,
    thread,
};

use rustix::process::nice;
use token_relay::clock::{Clock, SystemClock, Timestamp};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::mpsc, task::JoinSet};

use crate::{request, rotation::etag, support::http_exchange::receive};

/// The most that nice(2) knows: the thread runs when nobody else wants to.
const LOWEST_PRIORITY: i32 = 19;

/// The thread with the polls.
pub(crate) struct Polls {
    /// The tag that they hold.
    rounds: mpsc::UnboundedSender<String>,
    done: mpsc::UnboundedReceiver<io::Result<Progress>>,
}

enum Progress {
    Asked,
    Answered(Answered),
}

/// When the first and the last poll of a round were answered.
pub(crate) struct Answered {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

impl Polls {
    /// Starts the thread with `count` connections. It ends when this is dropped.
    pub(crate) fn connect(address: SocketAddr, count: usize) -> io::Result<Self> {
        let (rounds, tags) = mpsc::unbounded_channel();
        let (progress, done) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            let result = nice(LOWEST_PRIORITY).map_err(Error::from);
            let result = result.and_then(|_| runtime.block_on(wait(address, count, tags, &progress)));
            if let Err(error) = result {
                // without a receiver the bench has ended
                let _ = progress.send(Err(error));
            }
        });
        Ok(Self { rounds, done })
    }

    /// Sends a poll on each connection and returns when all are sent.
    pub(crate) async fn ask(&mut self, etag: &str) -> io::Result<()> {
        self.rounds.send(etag.to_owned()).map_err(Error::other)?;
        match self.progress().await? {
            Progress::Asked => Ok(()),
            Progress::Answered(_) => Err(Error::other("answered before they were all asked")),
        }
    }

    /// Waits until each has another token.
    pub(crate) async fn answered(&mut self) -> io::Result<Answered> {
        match self.progress().await? {
            Progress::Answered(answered) => Ok(answered),
            Progress::Asked => Err(Error::other("asked twice")),
        }
    }

    async fn progress(&mut self) -> io::Result<Progress> {
        self.done.recv().await.ok_or(io::ErrorKind::BrokenPipe)?
    }
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
    while let Some(tag) = tags.recv().await {
        let poll = request("GET", "/token?wait=55", &format!("If-None-Match: {tag}\r\n"));
        for stream in &mut streams {
            stream.write_all(poll.as_bytes()).await?;
        }
        progress.send(Ok(Progress::Asked)).map_err(Error::other)?;
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
