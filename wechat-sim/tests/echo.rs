//! What arrives is what the echo shows.
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod common;

use std::time::Duration;

use common::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wechat_sim::{Fault, Kind, Op, Outcome, Sim, Times, TokenId};

async fn started() -> (Sim, String) {
    let sim = sim().start().await.unwrap();
    let token = sim.rotate_outside(APP, Kind::Rotating).access_token;
    (sim, token)
}

fn header<'a>(echo: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = echo["headers"].as_array().unwrap().iter().filter(|header| header[0] == name);
    headers.map(|header| header[1].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_echo_shows_method_path_query_headers_and_the_hash_of_the_body() {
    let (sim, token) = started().await;
    let body = "a body\r\nin two lines";
    let target = format!("/wxa/business/echo?b=%41+x&access_token={token}&empty&b=2");
    let request = request("PATCH", &target, body).replace("Host:", "X-Twice: 1\r\nx-twice: 2\r\nHost:");
    let (_, bytes) = reply(sim.addr(), &request).await;
    assert!(!String::from_utf8(bytes.clone()).unwrap().contains(&token));
    let echo: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((&echo["method"], &echo["path"]), (&json!("PATCH"), &json!("/wxa/business/echo")));
    let id = |value: &str| TokenId::of(value).to_string();
    assert_eq!(
        echo["query"],
        json!([["b", id("%41+x")], ["access_token", id(&token)], ["empty", id("")], ["b", id("2")]])
    );
    assert_eq!((header(&echo, "X-Twice"), header(&echo, "x-twice")), (vec!["1"], vec!["2"]));
    assert_eq!(header(&echo, "Host"), ["sim"]);
    assert_eq!(echo["body"]["size"], body.len());
    let again = json(sim.addr(), request.replace("PATCH", "PUT")).await;
    assert_eq!(again["body"], echo["body"]);
    let other = json(sim.addr(), request.replace("two", "six")).await;
    assert_ne!(other["body"]["sha256"], echo["body"]["sha256"]);
}

#[tokio::test]
async fn an_echo_refuses_a_bad_token_and_takes_none() {
    let (sim, _) = started().await;
    assert_eq!(json(sim.addr(), get("/cgi-bin/echo?access_token=75_bad")).await["errcode"], 40001);
    assert_eq!(json(sim.addr(), get("/echo?x=1")).await["path"], "/echo");
    let calls: Vec<_> = sim.calls(Op::Echo).iter().map(|call| (call.token, call.outcome)).collect();
    assert_eq!(calls, [(Some(TokenId::of("75_bad")), Outcome::Refused(40001)), (None, Outcome::Granted)]);
    assert_eq!(sim.route("/cgi-bin/echo").refused, [(40001, 1)].into());
}

#[tokio::test]
async fn a_body_of_any_length_is_hashed_as_it_comes() {
    let (sim, token) = started().await;
    let piece = vec![b'x'; 1024 * 1024];
    let head = format!(
        "POST /echo?access_token={token} HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    let mut socket = TcpStream::connect(sim.addr()).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..40 {
        socket.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.unwrap();
        socket.write_all(&piece).await.unwrap();
        socket.write_all(b"\r\n").await.unwrap();
    }
    socket.write_all(b"0\r\n\r\n").await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    let echo: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(echo["body"]["size"], 40 * 1024 * 1024);
    assert_eq!(echo["body"]["sha256"], "831ede74ceb909e3e3401d00eb17d6a2081ff776206a7007047b47859137c6f0");
}

#[tokio::test]
async fn a_fault_may_stop_reading_in_the_middle_of_a_body() {
    let (sim, token) = started().await;
    sim.fault(Op::Echo, Fault::StopReading(1_000_000), Times::Next(1));
    let mut socket = TcpStream::connect(sim.addr()).await.unwrap();
    let head = format!("POST /echo?access_token={token} HTTP/1.1\r\nHost: sim\r\nContent-Length: 1000000000\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; 65_536];
    let stuck = async {
        let mut sent = 0;
        loop {
            match tokio::time::timeout(Duration::from_millis(200), socket.write(&piece)).await {
                Ok(written) => sent += written.unwrap(),
                Err(_) if sent < 1_000_000 => {}
                Err(_) => return sent,
            }
        }
    };
    let sent = tokio::time::timeout(PATIENCE, stuck).await.unwrap();
    assert!((1_000_000..100_000_000).contains(&sent), "{sent} bytes");
    assert_eq!(sim.calls(Op::Echo)[0].outcome, Outcome::Pending);
    assert_eq!(json(sim.addr(), get("/echo")).await["method"], "GET", "others are served");
}

#[tokio::test]
async fn a_fault_may_close_in_the_middle_of_a_body() {
    let (sim, token) = started().await;
    sim.fault(Op::Media, Fault::CloseReading(100_000), Times::Next(1));
    let request =
        upload(&format!("/cgi-bin/media/upload?access_token={token}&type=image"), "image/png", &vec![0; 8_000_000]);
    let mut socket = TcpStream::connect(sim.addr()).await.unwrap();
    assert!(tokio::time::timeout(PATIENCE, socket.write_all(&request)).await.unwrap().is_err());
    assert_eq!(sim.calls(Op::Media)[0].outcome, Outcome::Faulted);
    // Where the body has been read already, the end comes instead of an answer.
    sim.script(Op::Api, [Fault::CloseReading(10)]);
    assert_eq!(raw(sim.addr(), get(&format!("/cgi-bin/getcallbackip?access_token={token}"))).await.unwrap(), b"");
}

#[tokio::test]
async fn a_body_in_broken_chunks_is_answered_with_400_and_the_call_is_abandoned() {
    let (sim, _) = started().await;
    let request = "POST /echo HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n";
    assert!(reply(sim.addr(), request).await.0.starts_with("HTTP/1.1 400 "));
    until(|| sim.calls(Op::Echo)[0].outcome == Outcome::Abandoned).await;
}
