//! What the wire can do: real sockets, real time, and no time asserted tightly.

use std::{process::Command, time::Duration};

use token_relay::{
    http::{Limits, Timeouts},
    registry::Reported,
    status::Status,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::house::{House, KEY, LIMITS, Open};

const SHORT: Duration = Duration::from_millis(100);
/// Longer than anything here should take, however busy the machine is.
const LONG: Duration = Duration::from_secs(60);

fn house() -> House {
    let house = House::of(&["main"]);
    house.offer("main", 7, "wire_token", 3541);
    house
}

fn get(target: &str, more: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {KEY}\r\n{more}\r\n")
}

fn post(length: usize, more: &str) -> String {
    format!(
        "POST /token/refresh HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {length}\r\n{more}\r\n"
    )
}

/// Reads until the connection ends, which it must.
async fn rest(stream: &mut TcpStream) -> String {
    let mut back = Vec::new();
    // A reset is an end too.
    let _ = timeout(LONG, stream.read_to_end(&mut back)).await.expect("the connection must end");
    String::from_utf8_lossy(&back).into_owned()
}

/// Reads one answer, which must have a body.
async fn one(stream: &mut TcpStream) -> String {
    let mut back = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&back).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                return text;
            }
        }
        let read = timeout(LONG, stream.read_buf(&mut back)).await.expect("an answer must come").unwrap();
        assert!(read > 0, "the connection ended after {text:?}");
    }
}

async fn asks(open: &Open) -> TcpStream {
    let mut stream = open.connect().await;
    stream.write_all(get("/token", "").as_bytes()).await.unwrap();
    assert!(one(&mut stream).await.contains("wire_token"));
    stream
}

#[tokio::test]
async fn a_head_of_200_kilobytes_is_refused_and_the_relay_lives() {
    let house = house();
    let open = house.open(LIMITS).await;
    let back = open.exchange(get("/token", &format!("X: {}\r\n", "x".repeat(200_000))).as_bytes()).await;
    assert!(back.is_empty() || back.starts_with("HTTP/1.1 431"), "{back}");
    let back = open.exchange(get(&format!("/token?{}", "x".repeat(200_000)), "").as_bytes()).await;
    assert!(back.is_empty() || back.starts_with("HTTP/1.1 4"), "{back}");
    let back = open.exchange(get("/token", &"X: x\r\n".repeat(500)).as_bytes()).await;
    assert!(back.starts_with("HTTP/1.1 431"), "{back}");
    asks(&open).await;
}

#[tokio::test]
async fn silent_idle_and_half_sent_connections_are_closed_by_the_header_timeout() {
    let house = house();
    // Long enough for a request to be sent, on a busy machine too.
    let open = house.open(Limits { header_timeout: Duration::from_secs(3), ..LIMITS }).await;
    let mut silent = open.connect().await;
    let mut idle = asks(&open).await;
    let mut half = open.connect().await;
    half.write_all(b"GET /token HTTP/1.1\r\nHost: re").await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(rest(&mut idle).await, "");
    let said = rest(&mut half).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
}

#[tokio::test]
async fn a_body_of_100_kilobytes_is_refused_so_that_the_client_reads_it() {
    let house = house();
    let open = house.open(LIMITS).await;
    let body = "x".repeat(100_000);
    let mut stream = open.connect().await;
    stream.write_all((post(body.len(), "") + &body).as_bytes()).await.unwrap();
    assert!(one(&mut stream).await.starts_with("HTTP/1.1 413"));
    let chunked = post(0, "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let mut stream = open.connect().await;
    stream.write_all(format!("{chunked}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes()).await.unwrap();
    assert!(one(&mut stream).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_client_that_asks_leave_for_too_long_a_body_is_refused_without_it() {
    let house = house();
    let open = house.open(LIMITS).await;
    let mut stream = open.connect().await;
    stream.write_all(post(1_000_000, "Expect: 100-continue\r\n").as_bytes()).await.unwrap();
    assert!(one(&mut stream).await.starts_with("HTTP/1.1 413"));
    let mut stream = open.connect().await;
    let body = r#"{"access_token":"older"}"#;
    stream.write_all(post(body.len(), "Expect: 100-continue\r\n").as_bytes()).await.unwrap();
    let mut leave = [0; 25];
    stream.read_exact(&mut leave).await.unwrap();
    assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    assert!(one(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up_with_its_connection() {
    let house = House::patient(&["main"], Timeouts { body: SHORT, ..Timeouts::new(Duration::ZERO) });
    let open = house.open(LIMITS).await;
    let mut stream = open.connect().await;
    stream.write_all((post(100, "") + "{").as_bytes()).await.unwrap();
    let said = rest(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("connection: close"), "{said}");
}

#[tokio::test]
async fn a_body_that_ends_early_is_refused() {
    let house = house();
    let open = house.open(LIMITS).await;
    let said = open.exchange((post(100, "") + "{").as_bytes()).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{said}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_a_half_closed_client_too() {
    let house = house();
    let open = house.open(LIMITS).await;
    let tagged = get("/token?wait=0", "If-None-Match: W/\"main-7\"\r\n");
    let requests = [get("/token", ""), get("/nowhere", ""), tagged, get("/healthz", ""), get("/token", "")].concat();
    let back = open.exchange(requests.replace("GET /healthz", "HEAD /healthz").as_bytes()).await;
    let statuses: Vec<_> = back.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "404", "304", "200", "200"], "{back}");
    let answers: Vec<_> = back.split("HTTP/1.1 ").skip(1).collect();
    assert!(answers[0].ends_with("\r\n\r\n{\"access_token\":\"wire_token\",\"expires_in\":3541}"), "{back}");
    assert!(answers[2].ends_with("\r\n\r\n") && !answers[2].contains("content-length"), "{back}");
    assert!(answers[3].ends_with("\r\n\r\n") && answers[3].contains("content-length: 18"), "{back}");
}

#[tokio::test]
async fn odd_but_lawful_requests_are_answered() {
    let house = house();
    let open = house.open(LIMITS).await;
    for (request, status) in [
        (get("/token", "").replace("HTTP/1.1", "HTTP/1.0"), "HTTP/1.0 200"),
        (get("http://elsewhere/token", ""), "HTTP/1.1 200"),
        (get("*", "").replace("GET", "OPTIONS"), "HTTP/1.1 404"),
        (get("relay:443", "").replace("GET", "CONNECT"), "HTTP/1.1 404"),
        (get("/token", "Content-Length: 5\r\n") + "hello", "HTTP/1.1 200"),
        (get("/token", "Upgrade: websocket\r\nConnection: upgrade\r\n"), "HTTP/1.1 200"),
    ] {
        let back = open.exchange(request.as_bytes()).await;
        assert!(back.starts_with(status), "{request}\n{back}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused() {
    let house = house();
    let open = house.open(LIMITS).await;
    for (request, status) in [
        (&b"GET /token HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer \xff\xfe\r\n\r\n"[..], "401"),
        (b"GET /token?account=\xff HTTP/1.1\r\nHost: relay\r\n\r\n", "400"),
        (b"GET /\xff HTTP/1.1\r\nHost: relay\r\n\r\n", "400"),
        (b"GET /token\0 HTTP/1.1\r\nHost: relay\r\n\r\n", "400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
        (b"GET /token HTTP/9.9\r\n\r\n", "400"),
    ] {
        let back = open.exchange(request).await;
        let answered = back.strip_prefix("HTTP/1.1 ").is_some_and(|rest| rest.starts_with(status));
        assert!(back.is_empty() || answered, "{request:?}\n{back}");
    }
    asks(&open).await;
}

#[tokio::test]
async fn at_the_limit_the_next_connection_waits_for_a_place() {
    let house = house();
    let open = house.open(Limits { max_connections: 2, ..LIMITS }).await;
    let first = asks(&open).await;
    let _second = asks(&open).await;
    let mut third = open.connect().await;
    third.write_all(get("/token", "").as_bytes()).await.unwrap();
    assert!(timeout(SHORT, third.read_u8()).await.is_err());
    shows(&house, "connections{listener=\"public\"} 2\n").await;
    shows(&house, "connection_limit_reached_total{listener=\"public\"} 1\n").await;
    drop(first);
    assert!(one(&mut third).await.contains("wire_token"));
}

#[tokio::test]
async fn shutdown_answers_what_is_in_flight_and_closes_the_rest() {
    let house = house();
    let open = house.open(LIMITS).await;
    let mut silent = open.connect().await;
    let mut idle = asks(&open).await;
    let mut poll = asks(&open).await;
    poll.write_all(get("/token?wait=60", "If-None-Match: W/\"main-7\"\r\n").as_bytes()).await.unwrap();
    let mut report = asks(&open).await;
    let mut reports = house.reports("main");
    let body = r#"{"access_token":"wire_token"}"#;
    report.write_all((post(body.len(), "") + body).as_bytes()).await.unwrap();
    let heard = reports.recv().await.unwrap();

    house.shutdown.cancel();
    assert!(rest(&mut poll).await.starts_with("HTTP/1.1 304"));
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut silent).await, "");
    assert!(!open.serving.is_finished());
    assert!(TcpStream::connect(open.address).await.is_err());
    heard.answer.send(Reported::Settled).unwrap();
    assert!(rest(&mut report).await.starts_with("HTTP/1.1 200"));
    timeout(LONG, open.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_waits_no_longer_than_the_grace() {
    let house = House::patient(&["main"], Timeouts { report: LONG * 10, ..Timeouts::new(Duration::ZERO) });
    house.publish("main", Status::default());
    let open = house.open(Limits { grace: SHORT, ..LIMITS }).await;
    let mut reports = house.reports("main");
    house.offer("main", 7, "wire_token", 3541);
    let mut stream = open.connect().await;
    let body = r#"{"access_token":"wire_token"}"#;
    stream.write_all((post(body.len(), "") + body).as_bytes()).await.unwrap();
    let _heard = reports.recv().await.unwrap();
    house.shutdown.cancel();
    timeout(LONG, open.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_no_report() {
    let house = house();
    let open = house.open(LIMITS).await;
    let mut reports = house.reports("main");
    let mut stream = asks(&open).await;
    let body = r#"{"access_token":"wire_token"}"#;
    stream.write_all((post(body.len(), "") + body).as_bytes()).await.unwrap();
    drop(stream);
    let heard = timeout(LONG, reports.recv()).await.unwrap().unwrap();
    assert_eq!(heard.generation.0, 7);
    asks(&open).await;
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_keep_its_place() {
    let house = house();
    let open = house.open(Limits { header_timeout: SHORT * 5, ..LIMITS }).await;
    let mut deaf = open.connect().await;
    let requests = get("/healthz", "").repeat(1000);
    while timeout(SHORT, deaf.write_all(requests.as_bytes())).await.is_ok_and(|sent| sent.is_ok()) {}
    shows(&house, "connections{listener=\"public\"} 0\n").await;
    drop(deaf);
}

/// Waits until the metrics tell this.
async fn shows(house: &House, line: &str) {
    let told = async {
        while !house.admin("/metrics").await.body.contains(line) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, told).await.unwrap_or_else(|_| panic!("it never came: {line}"));
}

/// How many files this process may have open.
fn file_limit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)).and_then(|soft| soft.parse().ok()).unwrap_or(1024)
}

#[tokio::test]
async fn ten_thousand_idle_connections_leave_the_relay_quick() {
    // Both ends are in this process, and other tests need files too.
    let count = (file_limit().saturating_sub(1000) / 2).min(10_000);
    let house = house();
    let open = house.open(Limits { max_connections: count + 10, header_timeout: LONG * 10, ..LIMITS }).await;
    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(open.connect().await);
    }
    timeout(LONG, asks(&open)).await.unwrap();
    house.shutdown.cancel();
    timeout(LONG, open.serving).await.unwrap().unwrap();
}

/// The other half of the next test, run in a process of its own with few files.
#[tokio::test]
#[ignore = "run by the test that follows, with few files"]
async fn child_with_few_files() {
    let house = house();
    let open = house.open(Limits { header_timeout: LONG * 10, ..LIMITS }).await;
    let mut taken = Vec::new();
    while let Ok(stream) = TcpStream::connect(open.address).await {
        taken.push(stream);
        sleep(Duration::from_millis(1)).await;
    }
    let failures = async || -> u32 {
        let metrics = house.admin("/metrics").await.body;
        let name = "token_relay_accept_failures_total{listener=\"public\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
    };
    timeout(LONG, async {
        while failures().await == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("the files are used up");
    sleep(Duration::from_millis(500)).await;
    let failures = failures().await;
    assert!((1..30).contains(&failures), "{failures}");
    drop(taken);
    timeout(LONG, asks(&open)).await.unwrap();
}

#[test]
fn without_files_the_accept_loop_pauses_and_goes_on_when_there_are_some() {
    let me = std::env::current_exe().unwrap();
    let run = "ulimit -n 40 && exec \"$0\" --exact wire::child_with_few_files --ignored --nocapture";
    let ended = Command::new("sh").args(["-c", run]).arg(me).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    assert!(String::from_utf8_lossy(&ended.stdout).contains("1 passed"));
}
