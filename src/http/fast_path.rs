//! Which requests are answered in front of hyper, and how?
//!
//! A plain `GET /token` that can be answered at once needs nothing of hyper but its parser (docs/PERFORMANCE.md has what hyper
//! costs). Whether it can be answered at once, and with what, is decided where it is for all others
//! (`token::offered`). Everything else goes to hyper, with the bytes that were read, and the rest of its connection too.
//!
//! Nothing but its stream is held of a connection that is idle: bytes are read into the stack, and an answer is freed when it is
//! written. So an idle connection takes a sixth of what hyper would hold.
//!
//! The answers are hyper's, byte for byte: `listener/connection/tests.rs` compares them.

use std::{
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::http::Response;
use futures_util::future::poll_fn;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    AppState, HttpService,
    asked::Asked,
    auth::Client,
    date,
    token::{self, LongPoll},
};
use crate::{clock::Timestamp, logs::AccessLevel, registry::Prepared};

/// Bytes that are read at once. A head that is longer goes to hyper.
const READ: usize = 4096;
/// A head with more headers goes to hyper.
const HEADERS: usize = 32;

/// How long what may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// From when an answer was made, or the start of the connection, to the end of the next head.
    pub(super) idle: Duration,
    /// For an answer to be written, from the shutdown on.
    pub(super) grace: Duration,
}

/// What hyper has to go on with. No `Debug`: a key is in it.
pub(super) struct HandedOver<S> {
    /// The connection.
    pub(super) stream: S,
    /// What was read of it and is not answered.
    pub(super) read: Vec<u8>,
    /// How long the head may take that begins with it.
    pub(super) head_within: Duration,
}

/// Serves a connection as long as all that comes are reads that can be answered at once. `None`: it has ended.
///
/// # Errors
/// It was idle for too long, or broke.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    (mut stream, peer): (S, SocketAddr),
    service: &HttpService,
    state: &AppState,
    times: Times,
    shutdown: &CancellationToken,
) -> io::Result<Option<HandedOver<S>>> {
    let mut now = state.clock.boot_now();
    let (mut idle_since, mut has_answered) = (now, false);
    // Both are made once: to register them for each request would cost a lock each.
    let (mut stopping, mut idle_end) = (pin!(shutdown.cancelled()), pin!(sleep(times.idle)));
    loop {
        let received = tokio::select! {
            // A client that asks on and on does not keep the others from their turn: tokio lets no stream be ready for ever.
            biased;
            received = poll_fn(|cx| receive(cx, &mut stream, |bytes| {
                // the only look at a clock for a read: each more would cost half a percent of it
                now = state.clock.boot_now();
                answer_all(service, (state, now), bytes, peer)
            })) => received?,
            // It may have sent a request that is not here yet, unless one was answered already: then it is idle to hyper too.
            () = stopping.as_mut() => Received { unanswered: (!has_answered).then(Vec::new), ..Received::default() },
            () = idle_end.as_mut() => match times.idle.saturating_sub(state.clock.boot_now().since(idle_since)) {
                Duration::ZERO => return Err(io::ErrorKind::TimedOut.into()),
                left => {
                    idle_end.set(sleep(left));
                    continue;
                }
            },
        };
        let Received { answers, unanswered } = received;
        let has_ended = answers.is_empty() && unanswered.is_none();
        if !answers.is_empty() {
            within(times.grace, shutdown, write(&mut stream, &answers)).await?;
            (idle_since, has_answered) = (now, true);
        }
        if let Some(read) = unanswered {
            let head_within = times.idle.saturating_sub(state.clock.boot_now().since(idle_since));
            return Ok(Some(HandedOver { stream, read, head_within }));
        }
        if has_ended {
            within(times.grace, shutdown, stream.shutdown()).await?;
            return Ok(None);
        }
    }
}

/// What came of a connection; nothing at its end. No `Debug`: tokens and keys are in it.
#[derive(Default)]
struct Received {
    /// To be written.
    answers: Vec<u8>,
    /// What hyper has to answer.
    unanswered: Option<Vec<u8>>,
}

/// Reads once.
fn receive(
    cx: &mut Context<'_>,
    stream: &mut (impl AsyncRead + Unpin),
    answer_all: impl FnOnce(&[u8]) -> Received,
) -> Poll<io::Result<Received>> {
    let mut space = [MaybeUninit::uninit(); READ];
    let mut read = ReadBuf::uninit(&mut space);
    ready!(Pin::new(stream).poll_read(cx, &mut read))?;
    Poll::Ready(Ok(answer_all(read.filled())))
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), answers: &[u8]) -> io::Result<()> {
    stream.write_all(answers).await?;
    stream.flush().await
}

/// Writes to the end. A client that does not read is cut off by the system (`TCP_USER_TIMEOUT`), and by this after the shutdown.
async fn within(
    grace: Duration,
    shutdown: &CancellationToken,
    writing: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let mut writing = pin!(writing);
    tokio::select! {
        biased;
        written = writing.as_mut() => written,
        () = shutdown.cancelled() => timeout(grace, writing).await?,
    }
}

/// Where the tokens are, and what time it is.
type At<'s> = (&'s AppState, Timestamp);

/// Answers the reads at the front of `bytes`.
fn answer_all(service: &HttpService, at: At<'_>, mut bytes: &[u8], peer: SocketAddr) -> Received {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let length = Read::parse(bytes).filter(|read| answer(service, at, read, peer, &mut answers));
        let Some(Read { length, .. }) = length else {
            return Received { answers, unanswered: Some(bytes.to_vec()) };
        };
        bytes = &bytes[length..];
    }
    Received { answers, unanswered: None }
}

/// Appends the answer to `read`, if it is 200 at once.
fn answer(service: &HttpService, at: At<'_>, read: &Read<'_>, peer: SocketAddr, answers: &mut Vec<u8>) -> bool {
    let (state, now) = at;
    let before = answers.len();
    let is_logged = state.logs.access() == AccessLevel::All;
    let asked = is_logged.then(|| Asked::plain_read(state, !read.query.is_empty(), peer));
    let mut sender = None;
    let answered = service.read_at_once(|state| {
        let date = date::at(now, &*state.clock)?;
        let write = |prepared: &Prepared, seconds, client: &Arc<Client>| {
            token::write_ok(answers, prepared, seconds, &date);
            sender = is_logged.then(|| client.clone());
        };
        let (authorization, poll) = ([read.authorization], Ok(LongPoll::default()));
        token::offered((state, now), |clients| clients.identify_by(authorization, None), Some(read.query), poll, write)
    });
    if answered.is_none() {
        answers.truncate(before);
    } else if let (Some(asked), Some(sender)) = (asked, sender) {
        asked.by(sender).answered(state, &Response::new(()));
    }
    answered.is_some()
}

/// A head that is plainly a read of a token.
struct Read<'b> {
    query: &'b str,
    authorization: &'b [u8],
    /// Of the head.
    length: usize,
}

impl<'b> Read<'b> {
    /// The head at the front of `bytes`. `None`: it is not whole, or anything about it is not plain.
    fn parse(bytes: &'b [u8]) -> Option<Self> {
        // Leaves what is no read at all to one parser.
        bytes.starts_with(b"GET /token").then_some(())?;
        let mut headers = [MaybeUninit::uninit(); HEADERS];
        let mut head = httparse::Request::new(&mut []);
        let parsed = head.parse_with_uninit_headers(bytes, &mut headers).ok()?;
        let httparse::Status::Complete(length) = parsed else { return None };
        let target = head.path.filter(|_| head.method == Some("GET") && head.version == Some(1))?;
        let query = plain_query(target.strip_prefix("/token")?)?;
        Some(Self { query, authorization: plain_headers(head.headers)?, length })
    }
}

/// The query behind a path, if it is empty or names an account.
fn plain_query(behind_path: &str) -> Option<&str> {
    let Some(query) = behind_path.strip_prefix('?') else { return behind_path.is_empty().then_some("") };
    let name = query.strip_prefix("account=")?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().all(is_plain).then_some(query)
}

/// The value of the only `Authorization` among headers that ask for nothing else: one `Host`, no body, the connection kept.
fn plain_headers<'b>(headers: &[httparse::Header<'b>]) -> Option<&'b [u8]> {
    let (mut host, mut authorization) = (None, None);
    for header in headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let is_plain = if is("host") {
            host.replace(header.value).is_none()
        } else if is("authorization") {
            authorization.replace(header.value).is_none()
        } else if is("connection") {
            header.value.eq_ignore_ascii_case(b"keep-alive")
        } else {
            !["content-length", "transfer-encoding", "expect", "upgrade", "if-none-match"].into_iter().any(is)
        };
        is_plain.then_some(())?;
    }
    host.and(authorization)
}
