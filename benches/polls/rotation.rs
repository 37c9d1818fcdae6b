//! Which token is served, and when did WeChat hand it out?

use std::{
    io::{self, Error},
    net::SocketAddr,
};

use token_relay::clock::{Clock, SystemClock, Timestamp};
use tokio::net::TcpStream;
use wechat_sim::{Op, Sim};

use crate::{
    request,
    support::http_exchange::{Answer, exchange},
};

/// The tag of the token that `relay` serves; of the next one, where `last` is served.
pub(crate) async fn tag(relay: SocketAddr, last: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(relay).await?;
    let answer = exchange(&mut stream, poll(last).as_bytes()).await?;
    etag(&answer).map(str::to_owned)
}

/// A long poll with this tag.
pub(crate) fn poll(tag: &str) -> String {
    request("/token?wait=55", &format!("If-None-Match: {tag}\r\n"))
}

/// The tag of an answer.
pub(crate) fn etag(answer: &Answer) -> io::Result<&str> {
    let etag = answer.head.lines().find_map(|line| line.strip_prefix("etag: "));
    etag.ok_or_else(|| Error::other(format!("an answer without a tag: {}", answer.head)))
}

/// When the last call arrived that brought a token. The simulator answers at once.
pub(crate) fn last_call(sim: &Sim) -> io::Result<Timestamp> {
    let call = sim.calls(Op::Any).into_iter().rfind(|call| call.minted).ok_or(io::ErrorKind::NotFound)?;
    Ok(SystemClock.boot_now().minus(sim.now().saturating_sub(call.at)))
}
