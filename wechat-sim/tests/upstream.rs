//! What an upstream may do to a gateway.
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod common;

use std::io::Read;
use std::time::Duration;

use common::*;
use flate2::read::GzDecoder;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wechat_sim::{Fault, Kind, MediaKind, Op, Outcome, Sim, Times};

async fn with(fault: impl Into<wechat_sim::Plan>) -> (Sim, String) {
    let sim = sim().start().await.unwrap();
    let token = sim.rotate_outside(APP, Kind::Rotating).access_token;
    sim.fault(Op::Any, fault, Times::Next(1));
    let request = get(&format!("/cgi-bin/getcallbackip?access_token={token}&x=%41"));
    (sim, request)
}

/// Puts the chunks of a body together; panics where it is not one.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
        let chunk = &chunks[end + 2..];
        body.extend_from_slice(&chunk[..size]);
        assert_eq!(&chunk[size..size + 2], b"\r\n");
        chunks = &chunk[size + 2..];
        if size == 0 {
            assert!(chunks.is_empty());
            return body;
        }
    }
}

#[tokio::test]
async fn half_an_answer_and_then_nothing() {
    let (sim, request) = with(Fault::Stall).await;
    let mut socket = TcpStream::connect(sim.addr()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while !text.contains("ip_list") {
        let read = tokio::time::timeout(PATIENCE, socket.read(&mut piece)).await.unwrap().unwrap();
        text += str::from_utf8(&piece[..read]).unwrap();
    }
    assert!(!text.ends_with('}'), "{text}");
    let more = tokio::time::timeout(Duration::from_millis(100), socket.read(&mut piece)).await;
    assert!(more.is_err(), "no byte and no end");
    assert_eq!(sim.calls(Op::Api)[0].outcome, Outcome::Pending);
    drop(socket);
    until(|| sim.calls(Op::Api)[0].outcome == Outcome::Abandoned).await;
}

#[tokio::test]
async fn a_gigabyte_is_streamed_and_its_reader_may_leave() {
    let (sim, request) = with(Fault::Stream(1 << 30)).await;
    let mut socket = TcpStream::connect(sim.addr()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut front = vec![0; 4 << 20];
    socket.read_exact(&mut front).await.unwrap();
    assert!(String::from_utf8_lossy(&front[..500]).contains("\r\nContent-Length: 1073741824\r\n"));
    drop(socket);
    until(|| sim.calls(Op::Api)[0].outcome == Outcome::Abandoned).await;
    sim.fault(Op::Api, Fault::Stream(5_000_000), Times::Next(1));
    let body = reply(sim.addr(), &request).await.1;
    assert!(body.len() == 5_000_000 && body.starts_with(b"\xff\xd8\xff"));
    assert_eq!(sim.calls(Op::Api)[1].outcome, Outcome::Faulted);
}

#[tokio::test]
async fn the_right_answer_in_chunks_and_in_broken_ones() {
    let (sim, request) = with(Fault::Chunked).await;
    let (head, body) = reply(sim.addr(), &request).await;
    assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n") && !head.contains("Content-Length"), "{head}");
    assert!(serde_json::from_slice::<Value>(&joined(&body)).unwrap()["ip_list"].is_array());
    assert_eq!(sim.calls(Op::Api)[0].outcome, Outcome::Granted);
    sim.fault(Op::Api, Fault::BrokenChunk.minting(), Times::Next(1));
    let (_, body) = reply(sim.addr(), &request).await;
    assert!(body.ends_with(b"\r\nno chunk\r\n"), "{}", String::from_utf8_lossy(&body));
    let token = request.split_once("access_token=").unwrap().1.split('&').next().unwrap();
    let id = sim.make_media(APP, MediaKind::Image, "image/jpeg", 200_000);
    sim.fault(Op::Media, Fault::Chunked, Times::Next(1));
    let (_, body) = reply(sim.addr(), get(&format!("/cgi-bin/media/get?access_token={token}&media_id={id}"))).await;
    assert_eq!(joined(&body).len(), 200_000);
}

#[tokio::test]
async fn a_chunked_answer_leaves_the_connection_open() {
    let (sim, request) = with(Fault::Chunked).await;
    let both = request.replace("Connection: close\r\n", "") + &request;
    let text = String::from_utf8(raw(sim.addr(), both).await.unwrap()).unwrap();
    assert_eq!(text.matches("ip_list").count(), 2, "{text}");
}

#[tokio::test]
async fn a_compressed_answer_is_the_right_one() {
    let (sim, request) = with(Fault::Gzip).await;
    let (head, body) = reply(sim.addr(), &request).await;
    assert!(head.contains("\r\nContent-Encoding: gzip"), "{head}");
    let mut text = String::new();
    GzDecoder::new(body.as_slice()).read_to_string(&mut text).unwrap();
    assert!(text.starts_with(r#"{"ip_list":["#), "{text}");
}

#[tokio::test]
async fn a_redirect_has_the_token_in_its_location() {
    let (sim, request) = with(Fault::Redirect).await;
    let (head, _) = reply(sim.addr(), &request).await;
    let target = request.split(' ').nth(1).unwrap();
    assert!(head.starts_with("HTTP/1.1 302 Found\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nLocation: https://elsewhere.invalid{target}")), "{head}");
}

#[tokio::test]
async fn a_refusal_has_the_size_that_was_set() {
    for size in [16_384, 16_385, 1_000_000] {
        let (sim, request) = with(Fault::PaddedErrcode { code: 40001, size }).await;
        let (_, body) = reply(sim.addr(), &request).await;
        assert_eq!(body.len(), size);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["errcode"], 40001);
        assert!(
            body["errmsg"].as_str().unwrap().starts_with("invalid credential, access_token is invalid or not latest")
        );
        assert_eq!(sim.route("/cgi-bin/getcallbackip").refused[&40001], 1);
    }
}

#[tokio::test]
async fn a_status_without_a_body_has_none() {
    for (status, line) in [(204, "HTTP/1.1 204 No Content"), (304, "HTTP/1.1 304 Not Modified"), (429, "HTTP/1.1 429 ")]
    {
        let (sim, request) = with(Fault::Status(status)).await;
        let (head, body) = reply(sim.addr(), &request).await;
        assert!(head.starts_with(line) && body.is_empty() == (status < 400), "{head}");
    }
}
