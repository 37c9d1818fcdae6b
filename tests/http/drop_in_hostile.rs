//! What do the drop-in routes make of requests that no SDK would send? Raw bytes, and no time asserted tightly.

use std::time::Duration;

use token_relay::http::Timeouts;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    drop_in::{DropIn, body, query},
    fake_relay::{FakeRelay, KEY},
    raw_http::{LONG, SHORT, read_answer, read_to_end},
};

fn get(query: &str) -> String {
    format!("GET /cgi-bin/token?{query} HTTP/1.1\r\nHost: relay\r\n\r\n")
}

fn post(length: usize, more: &str) -> String {
    format!("POST /cgi-bin/stable_token HTTP/1.1\r\nHost: relay\r\nContent-Length: {length}\r\n{more}\r\n")
}

/// A good body of this size.
fn padded(size: usize) -> String {
    let body = body("wxmain", KEY).to_string();
    body.clone() + &" ".repeat(size - body.len())
}

async fn still_serves(relay: &DropIn) {
    assert_eq!(relay.get(&query("wxmain", KEY)).await.token(), "wire_token");
}

#[tokio::test]
async fn a_query_of_100_kilobytes_is_refused_before_it_is_a_request() {
    let relay = DropIn::serving("wire_token").await;
    let long = "x".repeat(100_000);
    for query in [query("wxmain", &long), query(&long, KEY), format!("{}&x={long}", query("wxmain", KEY))] {
        let back = relay.served.exchange(get(&query).as_bytes()).await;
        let refused = ["HTTP/1.1 414", "HTTP/1.1 431"].iter().any(|status| back.starts_with(status));
        assert!(refused && !back.contains("wire_token") && !back.contains(&long), "{back}");
    }
    still_serves(&relay).await;
}

#[tokio::test]
async fn a_thousand_parameters_are_read_and_repeated_ones_refused() {
    let relay = DropIn::serving("wire_token").await;
    let many = "&x=1".repeat(1000);
    let back = relay.served.exchange(get(&(query("wxmain", KEY) + &many)).as_bytes()).await;
    assert!(back.starts_with("HTTP/1.1 200") && back.contains("wire_token"), "{back}");
    for (name, errcode) in [("appid=wxmain", 40013), ("secret=x", 40125), ("grant_type=x", 40002)] {
        let many = format!("&{name}").repeat(500);
        let back = relay.served.exchange(get(&(query("wxmain", KEY) + &many)).as_bytes()).await;
        assert!(back.starts_with("HTTP/1.1 200") && back.contains(&format!("{{\"errcode\":{errcode},")), "{back}");
        assert!(!back.contains("wire_token"), "{back}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused() {
    let relay = DropIn::serving("wire_token").await;
    for bytes in [&b"\xff\xfe"[..], b"\0", b"\xe5\xbe", b"a b", b"\x7f"] {
        let request = [
            format!("GET /cgi-bin/token?{}", query("wxmain", KEY)).as_bytes(),
            bytes,
            b" HTTP/1.1\r\nHost: relay\r\n\r\n",
        ]
        .concat();
        let back = relay.served.exchange(&request).await;
        let refused = back.is_empty() || back.starts_with("HTTP/1.1 400") || back.contains("{\"errcode\":40125,");
        assert!(refused && !back.contains("wire_token"), "{bytes:?}: {back}");
    }
    let good = body("wxmain", KEY).to_string().into_bytes();
    for bytes in [&b"\xff"[..], b"\0"] {
        let body = [good.strip_suffix(b"}").unwrap(), b",\"x\":\"", bytes, b"\"}"].concat();
        let back = relay.served.exchange(&[post(body.len(), "").as_bytes(), &body].concat()).await;
        assert!(back.contains("{\"errcode\":47001,"), "{bytes:?}: {back}");
    }
    still_serves(&relay).await;
}

#[tokio::test]
async fn a_body_of_4_kib_is_read_and_one_byte_more_is_not() {
    let relay = DropIn::serving("wire_token").await;
    let chunked = |body: &str| {
        let head = post(0, "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
        format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
    };
    for (size, holds) in [(4096, "wire_token"), (4097, "{\"errcode\":47001,"), (100_000, "{\"errcode\":47001,")] {
        for request in [post(size, "") + &padded(size), chunked(&padded(size))] {
            let mut stream = relay.served.connect().await;
            stream.write_all(request.as_bytes()).await.unwrap();
            let back = read_answer(&mut stream).await;
            assert!(back.starts_with("HTTP/1.1 200") && back.contains(holds), "{size}: {back}");
        }
    }
}

#[tokio::test]
async fn a_client_that_asks_leave_for_too_long_a_body_is_refused_without_it() {
    let relay = DropIn::serving("wire_token").await;
    let mut stream = relay.served.connect().await;
    stream.write_all(post(1_000_000, "Expect: 100-continue\r\n").as_bytes()).await.unwrap();
    let back = read_answer(&mut stream).await;
    assert!(back.starts_with("HTTP/1.1 200") && back.contains("47001"), "{back}");
    let mut stream = relay.served.connect().await;
    let body = padded(200);
    stream.write_all(post(body.len(), "Expect: 100-continue\r\n").as_bytes()).await.unwrap();
    let mut leave = [0; 25];
    timeout(LONG, stream.read_exact(&mut leave)).await.unwrap().unwrap();
    assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.contains("wire_token"));
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up_with_its_connection() {
    let fake = FakeRelay::patient(&["main"], Timeouts { body: SHORT, ..Timeouts::new(Duration::ZERO) });
    fake.offer("main", 7, "wire_token", 3541);
    let relay = DropIn::around(fake).await;
    let mut stream = relay.served.connect().await;
    stream.write_all((post(100, "") + "{").as_bytes()).await.unwrap();
    let back = read_to_end(&mut stream).await;
    assert!(back.starts_with("HTTP/1.1 200") && back.contains("connection: close"), "{back}");
    assert!(back.contains("{\"errcode\":47001,\"errmsg\":\"data format error rid: "), "{back}");
    assert_eq!(relay.metric("token_relay_drop_in_refusals_total{reason=\"body_stalled\"}").await, "1");
    still_serves(&relay).await;
}

#[tokio::test]
async fn clients_that_leave_early_on_either_side_harm_nobody() {
    let relay = DropIn::around(FakeRelay::of(&["main"])).await;
    relay.fake.publish("main", token_relay::status::Status::default());
    // Each of them would wait for the first token.
    for _ in 0..20 {
        let mut stream = relay.served.connect().await;
        stream.write_all(get(&query("wxmain", KEY)).as_bytes()).await.unwrap();
        let mut stream = relay.served.connect().await;
        stream.write_all((post(300, "") + "{\"appid\":").as_bytes()).await.unwrap();
    }
    let back = relay.served.exchange((post(300, "") + "{\"appid\":").as_bytes()).await;
    assert!(back.is_empty() || back.contains("{\"errcode\":47001,"), "{back}");
    relay.fake.offer("main", 7, "wire_token", 3541);
    still_serves(&relay).await;
    assert_eq!(relay.metric("token_relay_handler_panics_total").await, "0");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let relay = DropIn::serving("wire_token").await;
    let body = body("wxmain", KEY).to_string();
    let requests =
        [get(&query("wxmain", KEY)), post(body.len(), "") + &body, get(&query("wxmain", "wrong")), post(2, "") + "{}"];
    let back = relay.served.exchange(requests.concat().as_bytes()).await;
    let answers: Vec<&str> = back.split("HTTP/1.1 ").skip(1).collect();
    assert_eq!(answers.len(), 4, "{back}");
    for (answer, holds) in answers.iter().zip(["wire_token", "wire_token", "40125", "41002"]) {
        assert!(answer.starts_with("200") && answer.contains(holds), "{back}");
    }
}
