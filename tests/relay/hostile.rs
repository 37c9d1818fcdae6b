//! Can one client harm the others?

use std::{io, net::SocketAddr, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use test_support::{CLIENT_KEY, PATIENCE, Relay, Setup, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use crate::RELAY;

/// The bytes of the answer, as far as one comes before the connection ends or the patience.
async fn answer(at: SocketAddr, request: &[u8]) -> io::Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    // a relay that has heard enough may close while we still write
    let _ = timeout(PATIENCE, stream.write_all(request)).await;
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let get = |target: &str, headers: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CLIENT_KEY}\r\n{headers}Connection: close\r\n\r\n"
        )
    };
    let post = |headers: &str, body: &str| {
        let head = "POST /token/refresh HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer";
        format!("{head} {CLIENT_KEY}\r\n{headers}\r\n{body}")
    };
    let large = "x".repeat(200_000);
    let mut all: Vec<(&'static str, Vec<u8>)> = [
        ("a header of 200 kB", get("/token", &format!("X: {large}\r\n"))),
        ("a path of 200 kB", get(&format!("/{large}"), "")),
        ("a query of 60 kB", get(&format!("/token?account={}", &large[..60_000]), "")),
        ("10,000 headers", get("/token", &"X: y\r\n".repeat(10_000))),
        ("150 headers", get("/token", &"X: y\r\n".repeat(150))),
        ("two accounts", get("/token?account=main&account=main", "")),
        ("a NUL in the account", get("/token?account=%00", "")),
        ("an account that is not UTF-8", get("/token?account=%ff%fe", "")),
        ("a broken escape", get("/token?account=%zz", "")),
        ("an endless wait", get("/token?wait=99999999999999999999", "")),
        ("a negative wait", get("/token?wait=-1", "")),
        ("two waits", get("/token?wait=1&wait=2", "")),
        ("two keys", get("/token", &format!("Authorization: Bearer {CLIENT_KEY}\r\n"))),
        ("a folded header", get("/token", "X: a\r\n b\r\n")),
        ("no host", "GET /healthz? HTTP/1.1\r\n\r\n\0\0\0".to_owned()),
        ("HTTP/0.9", "GET /token\r\n\r\n".to_owned()),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("CONNECT", "CONNECT wechat:443 HTTP/1.1\r\nHost: wechat\r\nConnection: close\r\n\r\n".to_owned()),
        ("a strange method", "MINT /token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned()),
        ("a body of 100 kB", post("Content-Length: 100000\r\n", &large[..100_000])),
        (
            "a chunked body of 100 kB",
            post("Transfer-Encoding: chunked\r\n", &format!("186a0\r\n{}\r\n0\r\n\r\n", &large[..100_000])),
        ),
        ("a broken chunk", post("Transfer-Encoding: chunked\r\n", "zz\r\nno\r\n")),
        ("two lengths", post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}")),
        ("a length and chunks", post("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        ("a negative length", post("Content-Length: -2\r\n", "{}")),
        ("an empty body", post("Content-Length: 0\r\n", "")),
        ("a deep body", post("Content-Length: 4000\r\n", &"[".repeat(4000))),
        ("another shape", post("Content-Length: 19\r\n", "{\"access_token\":[]}")),
    ]
    .map(|(what, text)| (what, text.into_bytes()))
    .into();
    all.push(("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()));
    all.push(("bytes", (0..=255).collect()));
    all.push((
        "a key that is not UTF-8",
        b"GET /token HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\nConnection: close\r\n\r\n".to_vec(),
    ));
    all.push(("a path that is not UTF-8", b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec()));
    all
}

async fn still_serves(relay: &Relay, token: &str) {
    let got = relay.get("/token").await;
    assert_eq!(got.token(), token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_malformed_request_gets_a_token_or_a_5xx_or_harms_another_client() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("server.header_timeout", "3s");
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    for (what, request) in malformed() {
        let answer = answer(relay.public, &request).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        let fine = answer.is_empty() || status.starts_with('4') || what == "no host" && status == "200";
        assert!(fine, "{what}: {}", answer.chars().take(300).collect::<String>());
        assert!(!answer.contains(&token) && !answer.contains(CLIENT_KEY), "{what}");
        still_serves(&relay, &token).await;
    }
    assert_eq!(relay.metric("token_relay_handler_panics_total").await, 0);
    assert_eq!((setup.calls().len(), setup.probes()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_senders_are_cut_off_and_the_others_are_served_meanwhile() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("server.header_timeout", "2s");
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    let mut slow = Vec::new();
    for _ in 0..300 {
        slow.push(TcpStream::connect(relay.public).await.unwrap());
    }
    let head = b"GET /token HTTP/1.1\r\nHost: x\r\nX-Slow: yes, very, very, very slow indeed";
    for byte in &head[..40] {
        for stream in &mut slow {
            let _ = stream.try_write(&[*byte]);
        }
        still_serves(&relay, &token).await;
        sleep(Duration::from_millis(100)).await;
    }
    for stream in &mut slow {
        let mut rest = Vec::new();
        // an end, an answer 408 or a reset; only a connection that is still open stays silent
        let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it was not cut off because bytes kept coming");
    }
    still_serves(&relay, &token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_idle_connections_do_not_keep_others_from_their_token() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).unwrap(); // the relay inherits it
    let allowed = limit.maximum.unwrap_or(u64::MAX).saturating_sub(500) / 2;
    let count = usize::try_from(allowed.min(4000)).unwrap();
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("server.max_connections", "5000");
    setup.set("server.header_timeout", "10m");
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    let mut idle = Vec::new();
    for number in 0..count {
        let stream = TcpStream::connect(relay.public).await.unwrap();
        if number % 2 == 0 {
            stream.try_write(b"GET /tok").unwrap();
        }
        idle.push(stream);
        if number % 500 == 0 {
            still_serves(&relay, &token).await;
        }
    }
    still_serves(&relay, &token).await;
    println!("{count} idle connections");
    eventually("all are open at once", async || {
        let open = relay.metric("token_relay_connections{listener=\"public\"}").await;
        usize::try_from(open).unwrap() >= count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_all_connections_are_taken_operators_still_get_in_and_clients_after_the_idle_ones_end() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("server.max_connections", "50");
    setup.set("server.header_timeout", "10s");
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    let mut idle = Vec::new();
    for _ in 0..60 {
        idle.push(TcpStream::connect(relay.public).await.unwrap());
    }
    assert_eq!(relay.look("/healthz").await.status, 200, "the admin listener has connections of its own");
    assert_eq!(relay.get("/token").await.token(), token, "after the idle ones were closed");
    assert!(relay.metric("token_relay_connection_limit_reached_total{listener=\"public\"}").await >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_address_that_stalls_does_not_keep_probes_from_the_admin_listener() {
    let relay = Setup::new(RELAY, 600, 60).await.start().await;
    let mut stalled = Vec::new();
    for _ in 0..100 {
        stalled.push(TcpStream::connect(relay.admin).await.unwrap());
    }
    let other = TcpSocket::new_v4().unwrap();
    other.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let mut probe = other.connect(relay.admin).await.unwrap();
    probe.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(10), probe.read_to_string(&mut answer)).await.expect("in the time of a probe").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reports_that_never_send_their_body_hold_nobody_up() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("refresh.report_cooldown", "0s");
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    let head = format!(
        "POST /token/refresh HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CLIENT_KEY}\r\nContent-Length: 300\r\n\r\n{{\"acc"
    );
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(relay.public).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    still_serves(&relay, &token).await;
    eventually("a report is heard", async || relay.report(&token).await.status == 200).await;
    let mut answer = String::new();
    timeout(PATIENCE, slow[0].read_to_string(&mut answer)).await.expect("cut off").unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}
