//! How does a test read thousands of times a second, and look at every reply? Over connections that stay, some requests at a time.

use std::{
    io,
    sync::{Mutex, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use wechat_sim::Sim;

use super::{Seen, TokenPoller, record};
use crate::{
    client::{Answer, LATEST},
    relay_process::{CLIENT_KEY, Relay},
};

/// How many requests are sent before the first reply is read.
const AT_ONCE: usize = 4;
/// From the last reply of one batch to the next.
const PAUSE: Duration = Duration::from_millis(1);

impl TokenPoller {
    /// Reads the token of `account` from this relay as well, over one connection that stays, until this poller is closed.
    pub fn load(&mut self, relay: &Relay, account: &str) {
        let (sim, seen, over) = (self.sim.clone(), self.seen.clone(), self.over.clone());
        let (at, account) = (relay.public, account.to_owned());
        self.tasks.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let Ok(stream) = TcpStream::connect(at).await else {
                    seen.lock().unwrap().lost += 1;
                    sleep(PAUSE).await;
                    continue;
                };
                let mut connection = Connection { stream, unread: Vec::new(), account: account.clone(), held: None };
                while !over.load(Ordering::Relaxed) {
                    match connection.exchange(&sim, &seen).await {
                        Ok(true) => sleep(PAUSE).await,
                        Ok(false) => break,
                        Err(_) => {
                            seen.lock().unwrap().lost += 1;
                            break;
                        }
                    }
                }
            }
        });
    }
}

struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
    account: String,
    /// The last token, and up to when it was promised.
    held: Option<(String, Duration)>,
}

impl Connection {
    /// Whether the connection stays after this.
    async fn exchange(&mut self, sim: &Sim, seen: &Mutex<Seen>) -> io::Result<bool> {
        let (asked, account) = (sim.now(), &self.account);
        let one = format!(
            "GET /token?account={account} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {CLIENT_KEY}\r\n\r\n"
        );
        self.stream.write_all(one.repeat(AT_ONCE).as_bytes()).await?;
        for _ in 0..AT_ONCE {
            let answer =
                timeout(LATEST, self.reply()).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            self.take(sim, seen, asked, &answer);
            if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn reply(&mut self) -> io::Result<Answer> {
        loop {
            if let Some(length) = whole(&self.unread) {
                let bytes: Vec<u8> = self.unread.drain(..length).collect();
                return Answer::read(&bytes);
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// A reply that promises no more than the last one did is counted: that one is watched until its end.
    fn take(&mut self, sim: &Sim, seen: &Mutex<Seen>, asked: Duration, answer: &Answer) {
        let mut seen = seen.lock().unwrap();
        if answer.status == 200 {
            let (token, until) = (answer.token(), asked + Duration::from_secs(answer.seconds()));
            if self.held.as_ref().is_some_and(|(held, promised)| *held == token && until <= *promised) {
                seen.repeated += 1;
                return;
            }
            self.held = Some((token, until));
        }
        record(sim, &mut seen, &self.account, asked, answer);
    }
}

/// The length of the reply at the beginning of these bytes, if all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let length = end + length.unwrap_or(0_usize);
    (length <= bytes.len()).then_some(length)
}
