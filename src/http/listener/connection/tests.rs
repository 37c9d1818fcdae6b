//! Does the fast path answer as hyper does, whatever comes and however it is cut?
//!
//! ```sh
//! HEADS=1000000 SEED=2 cargo test --lib fast_path -- --nocapture      # more than the default of 30,000, and others
//! ```

use super::*;

use std::{
    collections::BTreeSet,
    env, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};

use crate::{
    clock::{Clock, FixedClock, WallTime},
    credential::{CredentialId, Generation, Promise, Token},
    heartbeat::Heartbeat,
    http::{Access, AppState, Apps, ClientLimits, Clients, Pages, Quota, Rules, tests},
    registry::Handle,
    relay_key::KeyDigest,
    status::{Offer, Status},
};

/// May read both accounts, one account, and both so many times a second.
const KEYS: [&str; 3] = ["key-of-all", "key-of-main", "key-with-limit"];
const LIMITS: Limits = Limits {
    max_connections: 1,
    max_per_source: 0,
    header_timeout: Duration::from_secs(60),
    grace: Duration::from_secs(60),
};

/// A client that sends these pieces, each of which is read by itself, and then nothing more.
struct Script<'s> {
    pieces: Vec<&'s [u8]>,
    answers: &'s mut Vec<u8>,
}

impl AsyncRead for Script<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(piece) = self.pieces.first().copied() {
            let (now, later) = piece.split_at(piece.len().min(to.remaining()));
            to.put_slice(now);
            self.pieces[0] = later;
            self.pieces.retain(|piece| !piece.is_empty());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answers.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Two relays that differ in nothing but in their fast path, and how many connections and answers it kept from hyper.
struct Pair {
    states: [Arc<AppState>; 2],
    clock: Arc<FixedClock>,
    kept: usize,
    answered: usize,
}

impl Pair {
    fn new() -> Self {
        let clock = Arc::new(FixedClock::default());
        let states = [(); 2].map(|()| state(&clock));
        Self { states, clock, kept: 0, answered: 0 }
    }

    /// What both answer must be the same.
    async fn compare(&mut self, pieces: &[&[u8]]) {
        let ([fast, plain], shutdown) = (&self.states, CancellationToken::new());
        let (mut by_both, mut by_hyper) = (Vec::new(), Vec::new());
        let stream = Script { pieces: pieces.to_vec(), answers: &mut by_both };
        let (service, times) = (fast.public(), Times { idle: LIMITS.header_timeout, grace: LIMITS.grace });
        match fast_path::serve((stream, tests::PEER), &service, fast, times, &shutdown).await.unwrap() {
            Some(connection) => {
                self.answered += count(connection.stream.answers);
                serve_by_hyper((connection, tests::PEER), None, &service, LIMITS, &shutdown).await;
            }
            None => {
                (self.kept, self.answered) = (self.kept + 1, self.answered + count(&by_both));
            }
        }
        let stream = Script { pieces: pieces.to_vec(), answers: &mut by_hyper };
        let connection = HandedOver { stream, read: Vec::new(), head_within: LIMITS.header_timeout };
        serve_by_hyper((connection, tests::PEER), None, &plain.public(), LIMITS, &shutdown).await;
        let [by_both, by_hyper] = [by_both, by_hyper].map(|answers| without_dates(&answers));
        assert_eq!(by_both, by_hyper, "{:?}", String::from_utf8_lossy(&pieces.concat()));
    }

    /// What both have counted, whatever the order.
    fn metrics(&self) -> [BTreeSet<String>; 2] {
        let lines = |state: &Arc<AppState>| state.metrics.render(Duration::ZERO).lines().map(str::to_owned).collect();
        self.states.each_ref().map(lines)
    }
}

/// `main` and `shop` have tokens, `gone` has none.
fn state(clock: &Arc<FixedClock>) -> Arc<AppState> {
    let now = clock.boot_now();
    let state = tests::app(&["gone"], clock.clone());
    for (name, until) in [("main", now.plus(Duration::from_secs(3541))), ("shop", now.plus(Duration::from_secs(42)))] {
        let id = CredentialId::access_token(name.parse().unwrap());
        let (handle, end) = Handle::new(id.clone(), state.metrics.credential(&id), Heartbeat::starting(clock.awake()));
        state.registry.insert(&[handle]);
        let promise = Promise { until, sliding: None, verified_until: None };
        let token = Token::try_from(format!("token_of_{name}")).unwrap();
        let offer = Some(Offer { generation: Generation(7), token, promise });
        end.publisher.publish(Status { offer, ..Status::default() });
    }
    let limits =
        ClientLimits { requests: Some(Quota::new(200.try_into().unwrap(), Duration::from_secs(1))), reports: None };
    let access = [
        Access::default(),
        Access { accounts: Some(["main".parse().unwrap()].into()), ..Access::default() },
        Access { limits: Arc::new(limits), ..Access::default() },
    ];
    let clients =
        KEYS.iter().zip(access).map(|(key, access)| ((*key).to_owned(), KeyDigest::of(key.as_bytes()), access));
    let rules = state.rules.load_full();
    state.rules.store(Arc::new(Rules {
        clients: Clients::new(clients),
        apps: Apps::default(),
        pages: Pages::default(),
        gateway: None,
        timeouts: rules.timeouts,
    }));
    state
}

fn count(answers: &[u8]) -> usize {
    answers.windows(9).filter(|bytes| bytes == b"HTTP/1.1 ").count()
}

/// A date is a date, whichever.
fn without_dates(answers: &[u8]) -> String {
    let text = String::from_utf8(answers.to_vec()).unwrap();
    let mut parts = text.split("\r\ndate: ");
    let mut rest = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (date, after) = part.split_at(29);
        assert!(WallTime::from_http_date(date).is_some(), "{date}");
        rest.extend(["\r\ndate", after]);
    }
    rest
}

/// Heads of which half are plain, and most of the others differ from plain ones in one or two things.
struct Heads {
    rng: Rng,
    is_plain: bool,
}

impl Heads {
    /// One of these, which stand between bars.
    fn one(&mut self, of: &str) -> String {
        let of: Vec<_> = of.split('|').collect();
        of[self.rng.usize(..of.len())].to_owned()
    }

    /// One of the plain ones, or in a head that is not plain at times an odd one.
    fn mostly(&mut self, plain: &str, odd: &str) -> String {
        let is_odd = !self.is_plain && self.rng.u8(..) < 16;
        self.one(if is_odd { odd } else { plain })
    }

    fn head(&mut self) -> Vec<u8> {
        self.is_plain = self.rng.bool();
        let mut head = self.mostly("GET", "HEAD|POST|get|OPTIONS|GE|GETX|\r\nGET|\nGET|") + &self.mostly(" ", "  |\t|");
        head += &self.mostly(
            "/token",
            "/healthz|/nowhere|/tokens|/token/|/token/refresh|//token|http://h/token|*|/tok%65n|/Token|",
        );
        head += &self.mostly(
            "|?account=main|?account=main|?account=shop",
            "?|?account=|?account=gone|?account=nobody|?account=main&account=shop|?account=m%61in|?account=main&x|?wait=0|\
            ?account=main&wait=0|?account=main&wait=61|?Account=main|?account=ma+in|?account=MAIN|?account=main#x|?%ff|?account=\u{4e3b}",
        );
        head += &self.mostly(" HTTP/1.1", " HTTP/1.0| HTTP/2.0| HTTP/9.9| http/1.1||  HTTP/1.1");
        head += &self.mostly("\r\n", "\n|\r|\r\r\n");
        for header in self.headers() {
            head.extend([header, self.mostly("\r\n", "\n|\r\n folded: x\r\n|\r")]);
        }
        head += &self.mostly("\r\n", "\n||\r\n\r\n|\r\nhello");
        self.changed(head.into_bytes())
    }

    fn headers(&mut self) -> Vec<String> {
        let mut headers = vec![self.header("Host"), self.header("Authorization")];
        for _ in 0..self.rng.usize(..4) {
            let name = self.mostly(
                "Accept|X|User-Agent|Cookie|Connection|TE|Keep-Alive|Range|Trailer|Proxy-Connection",
                "Host|Authorization|Content-Length|Transfer-Encoding|Expect|Upgrade|If-None-Match||a b|X\u{e9}",
            );
            headers.push(self.header(&name));
        }
        if !self.is_plain && self.rng.u8(..) < 8 {
            headers.extend(vec!["Many: x".to_owned(); self.rng.usize(20..120)]);
        }
        if !self.is_plain && self.rng.u8(..) < 16 {
            headers.remove(self.rng.usize(..2));
        }
        self.rng.shuffle(&mut headers);
        headers
    }

    fn header(&mut self, name: &str) -> String {
        let value = match name {
            "Host" => self.mostly("relay|relay:8080|", "a b|\t"),
            "Authorization" => {
                self.mostly("Bearer |bearer |Bearer  ", "Bearer|Basic |Bearer\t|")
                    + &self.mostly(&KEYS.join("|"), "wrong||key-of-all x")
            }
            "Connection" => self.mostly("keep-alive|Keep-Alive", "close|keep-alive, close|upgrade||x"),
            "Content-Length" => self.one("0|5|-1|x|00|99999999999999999999"),
            "Transfer-Encoding" => self.one("chunked|gzip|gzip, chunked|"),
            "Expect" => self.one("100-continue|x"),
            "If-None-Match" => self.one("W/\"main-7\"|*|"),
            "Upgrade" => "websocket".to_owned(),
            _ => self.one("*/*|x||\u{e9}|gzip, br|a\tb|trailers"),
        };
        let name = match self.rng.u8(..) {
            0..200 => name.to_owned(),
            200..230 => name.to_lowercase(),
            _ => name.to_uppercase(),
        };
        name + &self.mostly(": |:|:  |:\t", " : |") + &value + &self.one("|||| |\t")
    }

    /// One in ten of the heads that are not plain has another byte somewhere, one less or one more.
    fn changed(&mut self, mut head: Vec<u8>) -> Vec<u8> {
        let (at, byte) = (self.rng.usize(..head.len()), self.rng.u8(..));
        match self.rng.u8(..30) {
            _ if self.is_plain => {}
            0 => head[at] = byte,
            1 => drop(head.remove(at)),
            2 => head.insert(at, byte),
            _ => {}
        }
        head
    }
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn the_fast_path_answers_as_hyper_does_however_requests_are_cut() {
    let (wanted, mut sent, mut connections) = (number("HEADS", 30_000), 0, 0_u64);
    let (mut pair, mut heads) = (Pair::new(), Heads { rng: Rng::with_seed(number("SEED", 1)), is_plain: true });
    for sequence in 0.. {
        let count = if heads.rng.u8(..) == 0 { 60 } else { heads.rng.u64(1..=4) };
        let bytes: Vec<u8> = (0..count).flat_map(|_| heads.head()).collect();
        // Half of them whole, half cut somewhere, a few cut at every byte, one after the other.
        let cut = if heads.rng.bool() { 0 } else { heads.rng.usize(..bytes.len()) };
        let cuts = if sequence % 500 == 499 { 0..=bytes.len() } else { cut..=cut };
        for cut in cuts {
            let (front, back) = bytes.split_at(cut);
            let pieces = [front, back].into_iter().filter(|piece| !piece.is_empty()).collect::<Vec<_>>();
            let compared = timeout(Duration::from_secs(20), pair.compare(&pieces)).await;
            assert!(compared.is_ok(), "no end after {:?}", String::from_utf8_lossy(&bytes));
            (sent, connections) = (sent + count, connections + 1);
        }
        if heads.rng.u8(..) < 20 {
            pair.clock.advance(Duration::from_millis(7));
        }
        if sent >= wanted {
            break;
        }
    }
    let [fast, plain] = pair.metrics();
    assert_eq!(fast, plain, "what is counted");
    assert!(!plain.contains("token_relay_client_limit_refusals_total{limit=\"requests\"} 0"), "no limit was reached");
    println!(
        "{sent} heads on {connections} connections: {} answered on the fast path, {} connections served by it alone",
        pair.answered, pair.kept
    );
    assert!(pair.answered as u64 > sent / 20 && pair.kept as u64 > connections / 50, "too few take the fast path");
}

/// Over a stream in memory, with the fast path, until the connection ends: how long that takes from now, on paused time.
async fn lasts(script: impl AsyncFnOnce(&mut tokio::io::DuplexStream)) -> Duration {
    let state = state(&Arc::new(FixedClock::following_tokio()));
    let (service, shutdown, began) = (state.public(), CancellationToken::new(), tokio::time::Instant::now());
    let (mut client, server) = tokio::io::duplex(4096);
    let options = ListenerOptions { limits: LIMITS, tls: None, fast_reads: true };
    tokio::join!(serve_stream((server, tests::PEER), None, &service, &options, &shutdown), async {
        script(&mut client).await;
        client.read_to_end(&mut Vec::new()).await.unwrap();
    });
    began.elapsed()
}

const READ: &[u8] = b"GET /token?account=main HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer key-of-main\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_connection_ends_when_its_next_head_is_late_whoever_waits_for_it() {
    let (half, after) = (LIMITS.header_timeout / 2, Duration::from_secs);
    assert_eq!(lasts(async |_| {}).await.as_secs(), 60);
    let idle = lasts(async |client| {
        sleep(after(40)).await;
        client.write_all(READ).await.unwrap();
    });
    assert_eq!(idle.await.as_secs(), 100, "the time runs from the end of the answer");
    for head in [&READ[..20], b"POST"] {
        let half_sent = lasts(async |client| {
            client.write_all(READ).await.unwrap();
            sleep(half).await;
            client.write_all(head).await.unwrap();
        });
        assert_eq!(half_sent.await.as_secs(), 60, "hyper has no more time than was left");
    }
    let by_hyper = lasts(async |client| {
        sleep(half).await;
        client.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.unwrap();
    });
    assert_eq!(by_hyper.await.as_secs(), 90, "hyper's own time runs from its answer");
}
