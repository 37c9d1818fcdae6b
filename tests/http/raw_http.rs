//! What does the relay make of requests that no library would send? Raw bytes on real sockets, and no time asserted tightly.

use std::time::Duration;

use token_relay::http::{Limits, Timeouts};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::fake_relay::{FakeRelay, KEY, LIMITS, Served};

pub(crate) const SHORT: Duration = Duration::from_millis(100);
/// Longer than anything here should take, however busy the machine is.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) fn get(target: &str, more: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {KEY}\r\n{more}\r\n")
}

pub(crate) fn post(length: usize, more: &str) -> String {
    format!(
        "POST /token/refresh HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {length}\r\n{more}\r\n"
    )
}

/// A relay with a token, served on a socket.
pub(crate) async fn serving(limits: Limits) -> (FakeRelay, Served) {
    let fake = FakeRelay::serving("wire_token");
    let served = fake.serve(limits).await;
    (fake, served)
}

/// Reads until the connection ends, which it must.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut back = Vec::new();
    // A reset is an end too.
    let _ = timeout(LONG, stream.read_to_end(&mut back)).await.expect("the connection must end");
    String::from_utf8_lossy(&back).into_owned()
}

/// Reads one answer, which must have a body.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> String {
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

/// Reads `/token` on a new connection, which stays open.
pub(crate) async fn ask(served: &Served) -> TcpStream {
    let mut stream = served.connect().await;
    stream.write_all(get("/token", "").as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.contains("wire_token"));
    stream
}

#[tokio::test]
async fn a_head_of_200_kilobytes_is_refused_and_the_relay_lives() {
    let (_fake, served) = serving(LIMITS).await;
    let back = served.exchange(get("/token", &format!("X: {}\r\n", "x".repeat(200_000))).as_bytes()).await;
    assert!(back.is_empty() || back.starts_with("HTTP/1.1 431"), "{back}");
    let back = served.exchange(get(&format!("/token?{}", "x".repeat(200_000)), "").as_bytes()).await;
    assert!(back.is_empty() || back.starts_with("HTTP/1.1 4"), "{back}");
    let back = served.exchange(get("/token", &"X: x\r\n".repeat(500)).as_bytes()).await;
    assert!(back.starts_with("HTTP/1.1 431"), "{back}");
    ask(&served).await;
}

#[tokio::test]
async fn a_body_of_100_kilobytes_is_refused_so_that_the_client_reads_it() {
    let (_fake, served) = serving(LIMITS).await;
    let body = "x".repeat(100_000);
    let mut stream = served.connect().await;
    stream.write_all((post(body.len(), "") + &body).as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 413"));
    let chunked = post(0, "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let mut stream = served.connect().await;
    stream.write_all(format!("{chunked}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_client_that_asks_leave_for_too_long_a_body_is_refused_without_it() {
    let (_fake, served) = serving(LIMITS).await;
    let mut stream = served.connect().await;
    stream.write_all(post(1_000_000, "Expect: 100-continue\r\n").as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 413"));
    let mut stream = served.connect().await;
    let body = r#"{"access_token":"older"}"#;
    stream.write_all(post(body.len(), "Expect: 100-continue\r\n").as_bytes()).await.unwrap();
    let mut leave = [0; 25];
    stream.read_exact(&mut leave).await.unwrap();
    assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up_with_its_connection() {
    let fake = FakeRelay::patient(&["main"], Timeouts { body: SHORT, ..Timeouts::new(Duration::ZERO) });
    let served = fake.serve(LIMITS).await;
    let mut stream = served.connect().await;
    stream.write_all((post(100, "") + "{").as_bytes()).await.unwrap();
    let said = read_to_end(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("connection: close"), "{said}");
}

#[tokio::test]
async fn a_body_that_ends_early_is_refused() {
    let (_fake, served) = serving(LIMITS).await;
    let said = served.exchange((post(100, "") + "{").as_bytes()).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{said}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_a_half_closed_client_too() {
    let (_fake, served) = serving(LIMITS).await;
    let tagged = get("/token?wait=0", "If-None-Match: W/\"main-7\"\r\n");
    let requests = [get("/token", ""), get("/nowhere", ""), tagged, get("/healthz", ""), get("/token", "")].concat();
    let back = served.exchange(requests.replace("GET /healthz", "HEAD /healthz").as_bytes()).await;
    let statuses: Vec<_> = back.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "404", "304", "200", "200"], "{back}");
    let answers: Vec<_> = back.split("HTTP/1.1 ").skip(1).collect();
    assert!(answers[0].ends_with("\r\n\r\n{\"access_token\":\"wire_token\",\"expires_in\":3541}"), "{back}");
    assert!(answers[2].ends_with("\r\n\r\n") && !answers[2].contains("content-length"), "{back}");
    assert!(answers[3].ends_with("\r\n\r\n") && answers[3].contains("content-length: 18"), "{back}");
}

#[tokio::test]
async fn odd_but_lawful_requests_are_answered() {
    let (_fake, served) = serving(LIMITS).await;
    for (request, status) in [
        (get("/token", "").replace("HTTP/1.1", "HTTP/1.0"), "HTTP/1.0 200"),
        (get("http://elsewhere/token", ""), "HTTP/1.1 200"),
        (get("*", "").replace("GET", "OPTIONS"), "HTTP/1.1 404"),
        (get("relay:443", "").replace("GET", "CONNECT"), "HTTP/1.1 404"),
        (get("/token", "Content-Length: 5\r\n") + "hello", "HTTP/1.1 200"),
        (get("/token", "Upgrade: websocket\r\nConnection: upgrade\r\n"), "HTTP/1.1 200"),
    ] {
        let back = served.exchange(request.as_bytes()).await;
        assert!(back.starts_with(status), "{request}\n{back}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused() {
    let (_fake, served) = serving(LIMITS).await;
    for (request, status) in [
        (&b"GET /token HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer \xff\xfe\r\n\r\n"[..], "401"),
        (b"GET /token?account=\xff HTTP/1.1\r\nHost: relay\r\n\r\n", "400"),
        (b"GET /\xff HTTP/1.1\r\nHost: relay\r\n\r\n", "400"),
        (b"GET /token\0 HTTP/1.1\r\nHost: relay\r\n\r\n", "400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
        (b"GET /token HTTP/9.9\r\n\r\n", "400"),
    ] {
        let back = served.exchange(request).await;
        let answered = back.strip_prefix("HTTP/1.1 ").is_some_and(|rest| rest.starts_with(status));
        assert!(back.is_empty() || answered, "{request:?}\n{back}");
    }
    ask(&served).await;
}
