//! Can a bad client or a bad WeChat harm anybody else through the gateway? Raw bytes, and no time asserted.

use std::{io, time::Duration};

use test_support::{client, eventually};
use token_relay::http::{Limits, Timeouts};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use wechat_sim::{Fault, Op, Times};

use crate::{
    fake_relay::{KEY, LIMITS},
    gateway::{APPSECRET, Gate, MESSAGE, SEND, errcode, settings},
    raw_http::{SHORT, read_answer, read_to_end},
};

const LONG: Duration = Duration::from_secs(60);

/// Nothing may move for 100 ms.
async fn impatient(limits: Limits) -> Gate {
    let timeouts = Timeouts { silence: SHORT, ..Timeouts::new(Duration::ZERO) };
    Gate::with(timeouts, limits, |sim| settings(&sim.base_url(), None)).await
}

/// Reads are served, and the gateway passes the next call on.
async fn still_serves(gate: &Gate) {
    assert_eq!(client::get(gate.served.address, "/token?account=main", Some(KEY)).await.unwrap().token(), gate.token);
    gate.sim.clear_faults();
    assert_eq!(errcode(&gate.message(&gate.token).await), 0);
}

fn head(method: &str, target: &str, headers: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: relay\r\n{headers}\r\n")
}

#[tokio::test]
async fn long_queries_many_parameters_and_foreign_bytes_end_where_they_begin() {
    let gate = Gate::new().await;
    let long = "x".repeat(100_000);
    let back =
        gate.served.exchange(head("GET", &format!("/x/echo?access_token={}&{long}", gate.token), "").as_bytes()).await;
    assert!(["HTTP/1.1 414", "HTTP/1.1 431"].iter().any(|status| back.starts_with(status)), "{back}");
    let many = "&x=1".repeat(1000);
    let answer = gate.get(&format!("/x/echo?access_token={}{many}", gate.token)).await;
    assert_eq!(answer.json()["query"].as_array().map(Vec::len), Some(1001), "{answer:?}");
    let twice = format!("/x/echo?access_token={}{}", gate.token, "&access_token=x".repeat(1000));
    assert_eq!(errcode(&gate.get(&twice).await), 40097);
    let mut bytes = format!("GET /x/echo?access_token={}&", gate.token).into_bytes();
    bytes.extend([0xff, 0xfe]);
    bytes.extend(b" HTTP/1.1\r\nHost: relay\r\n\r\n");
    assert!(gate.served.exchange(&bytes).await.starts_with("HTTP/1.1 400"));
    assert_eq!(gate.sim.calls(Op::Any).len(), 1);
    still_serves(&gate).await;
}

#[tokio::test]
async fn connect_odd_expectations_and_loops_are_refused_without_a_call() {
    let gate = Gate::new().await;
    let target = format!("/x/echo?access_token={}", gate.token);
    for (request, status) in [
        (head("CONNECT", "evil.example:443", ""), "400"),
        (head("GET", &target, "Expect: cake\r\n"), "400"),
        (head("GET", &target, "Token-Relay-Hop: 1\r\n"), "508"),
        (head("OPTIONS", "*", ""), "400"),
    ] {
        let back = gate.served.exchange(request.as_bytes()).await;
        assert!(back.starts_with(&format!("HTTP/1.1 {status}")), "{request}{back}");
        assert!(!back.contains(&gate.token));
    }
    assert_eq!(gate.sim.calls(Op::Any).len(), 0);
    still_serves(&gate).await;
}

/// Java's `HttpClient` offers HTTP/2 with every request, and nginx's usual lines for websockets say `Connection: upgrade` of all.
#[tokio::test]
async fn an_offer_to_upgrade_is_not_taken_and_the_call_passes() {
    let gate = Gate::new().await;
    let target = format!("/x/echo?access_token={}", gate.token);
    for lines in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n",
        "Connection: upgrade\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    ] {
        let back = gate.served.exchange(head("GET", &target, lines).as_bytes()).await;
        assert!(back.starts_with("HTTP/1.1 200"), "{lines}{back}");
    }
    assert_eq!(gate.sim.route("/x/echo").calls, 3);
}

#[tokio::test]
async fn of_two_framings_only_one_goes_on_and_the_connection_ends() {
    let gate = Gate::new().await;
    let smuggled = "GET /x/echo HTTP/1.1\r\nHost: relay\r\n\r\n";
    for lines in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"]
    {
        let request = head("POST", &format!("/x/echo?access_token={}", gate.token), lines);
        let back = gate.served.exchange(format!("{request}2\r\n{{}}\r\n0\r\n\r\n{smuggled}").as_bytes()).await;
        assert_eq!(back.matches("HTTP/1.1 ").count(), 1, "{back}");
        assert!(back.contains("\"size\":2") && !back.contains("content-length\",\"4"), "{back}");
    }
    assert_eq!(gate.sim.route("/x/echo").calls, 2);
}

#[tokio::test]
async fn an_expectation_is_answered_here_and_not_passed_on() {
    let gate = Gate::new().await;
    let mut stream = gate.served.connect().await;
    let lines = "Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n";
    let request = head("POST", &format!("/x/echo?access_token={}", gate.token), lines);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut leave = [0; 25];
    stream.read_exact(&mut leave).await.unwrap();
    assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").await.unwrap();
    let back = read_to_end(&mut stream).await;
    assert!(back.starts_with("HTTP/1.1 200") && !back.contains("expect"), "{back}");
}

#[tokio::test]
async fn a_client_that_stalls_and_a_wechat_that_stalls_end_in_time() {
    let gate = impatient(LIMITS).await;
    let target = format!("/x/echo?access_token={}", gate.token);
    let mut stream = gate.served.connect().await;
    stream.write_all(format!("{}half", head("POST", &target, "Content-Length: 9\r\n")).as_bytes()).await.unwrap();
    let back = read_to_end(&mut stream).await;
    assert!(back.starts_with("HTTP/1.1 408"), "{back}");

    gate.sim.fault(SEND, Fault::Hang, Times::Next(1));
    let answer = gate.message(&gate.token).await;
    assert_eq!((answer.status, errcode(&answer)), (504, -1));

    // A long reply that stops is cut, so that it is not taken for a whole one.
    let media = gate.sim.make_media("wxmain", wechat_sim::MediaKind::Image, "image/png", 100_000);
    gate.sim.fault("/cgi-bin/media/get", Fault::Stall, Times::Next(1));
    let target = format!("/cgi-bin/media/get?access_token={}&media_id={media}", gate.token);
    let back = gate.served.exchange(head("GET", &target, "").as_bytes()).await;
    assert!(back.starts_with("HTTP/1.1 200") && back.len() < 100_000, "{}", back.len());

    // WeChat takes only a part of an upload.
    gate.sim.fault("/x/echo", Fault::StopReading(1000), Times::Next(1));
    let big = "x".repeat(20 * 1024 * 1024);
    let answer = gate
        .served
        .exchange(
            (head(
                "POST",
                &format!("/x/echo?access_token={}", gate.token),
                &format!("Content-Length: {}\r\n", big.len()),
            ) + &big)
                .as_bytes(),
        )
        .await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 504"), "{answer}");
    still_serves(&gate).await;
}

/// Sends `head` and a large body, which takes longer than a second.
async fn upload(stream: &mut TcpStream, target: &str) -> io::Result<()> {
    let piece = vec![b'x'; 250_000];
    stream.write_all(head("POST", target, "Content-Length: 2000000\r\n").as_bytes()).await?;
    for _ in 0..8 {
        sleep(Duration::from_millis(150)).await;
        stream.write_all(&piece).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_large_upload_that_is_refused_is_sent_to_its_end_and_its_connection_is_used_again() {
    let gate = Gate::new().await;
    let mut stream = gate.served.connect().await;
    upload(&mut stream, "/cgi-bin/media/upload?access_token=nobodys").await.unwrap();
    let refused = read_answer(&mut stream).await;
    assert!(refused.starts_with("HTTP/1.1 200") && refused.contains("\"errcode\":40001"), "{refused}");
    stream.write_all(head("GET", &format!("/x/echo?access_token={}", gate.token), "").as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    gate.sim.refuse_connections().await;
    upload(&mut stream, &format!("/cgi-bin/media/upload?access_token={}", gate.token)).await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 502"));
}

#[tokio::test]
async fn who_was_given_leave_to_send_may_send_all_though_wechat_reads_no_further() {
    let gate = impatient(LIMITS).await;
    gate.sim.fault("/x/echo", Fault::StopReading(1000), Times::Next(1));
    let mut stream = gate.served.connect().await;
    let lines = "Expect: 100-continue\r\nContent-Length: 20000000\r\n";
    let request = head("POST", &format!("/x/echo?access_token={}", gate.token), lines);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 25]).await.unwrap();
    let piece = vec![b'x'; 1_000_000];
    for _ in 0..20 {
        sleep(SHORT / 4).await;
        stream.write_all(&piece).await.unwrap();
    }
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 504"));
    still_serves(&gate).await;
}

#[tokio::test]
async fn an_upload_that_is_slow_but_moves_is_waited_for() {
    let gate = impatient(LIMITS).await;
    let mut stream = gate.served.connect().await;
    let target = format!("/x/echo?access_token={}", gate.token);
    stream.write_all(head("POST", &target, "Content-Length: 8\r\nConnection: close\r\n").as_bytes()).await.unwrap();
    for byte in b"8 bytes." {
        tokio::time::sleep(SHORT / 4).await;
        stream.write_all(&[*byte]).await.unwrap();
    }
    let back = read_to_end(&mut stream).await;
    assert!(back.starts_with("HTTP/1.1 200"), "{back}");
    still_serves(&gate).await;
}

#[tokio::test]
async fn a_reply_that_breaks_is_broken_for_its_caller_and_for_nobody_else() {
    let gate = Gate::new().await;
    for fault in [Fault::Reset, Fault::Close, Fault::Truncated, Fault::BrokenChunk, Fault::Raw(b"not HTTP".to_vec())] {
        gate.sim.fault(SEND, fault.clone(), Times::Next(1));
        let answer = gate.message(&gate.token).await;
        assert_eq!((answer.status, errcode(&answer)), (502, -1), "{fault:?}");
    }
    let media = gate.sim.make_media("wxmain", wechat_sim::MediaKind::Image, "image/png", 1_000_000);
    gate.sim.fault("/cgi-bin/media/get", Fault::BrokenChunk, Times::Next(1));
    let target = format!("/cgi-bin/media/get?access_token={}&media_id={media}", gate.token);
    let back = gate.served.exchange(head("GET", &target, "").as_bytes()).await;
    assert!(!back.ends_with("0\r\n\r\n"), "a broken reply must not look whole");
    still_serves(&gate).await;
}

/// The chunks count (RFC 9112, 6.3): with the length passed on, what was longer was the answer to the client's next request.
#[tokio::test]
async fn of_two_framings_of_a_reply_only_one_comes_back() {
    let gate = Gate::new().await;
    for (body, length) in [(r#"{"errcode":0,"x":1}"#, 3), (r#"{"errcode":0,"x":1}"#, 300), ("plain text", 3)] {
        let raw = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        gate.sim.fault(SEND, Fault::Raw(raw.into_bytes()), Times::Next(1));
        let answer = gate.message(&gate.token).await;
        assert!(answer.status == 200 && answer.body.contains(body), "{length}: {answer:?}");
        let said = answer.header("content-length").map(str::to_owned);
        assert!(said.is_none_or(|said| said == body.len().to_string()), "{answer:?}");
    }
    still_serves(&gate).await;
}

#[tokio::test]
async fn a_protocol_that_wechat_switches_to_unasked_is_a_bad_reply() {
    let gate = Gate::new().await;
    let raw = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n".to_vec();
    gate.sim.fault(SEND, Fault::Raw(raw), Times::Next(1));
    let answer = gate.message(&gate.token).await;
    assert_eq!((answer.status, errcode(&answer)), (502, -1));
    still_serves(&gate).await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_call_with_it() {
    let gate = Gate::new().await;
    gate.sim.fault("/x/down", Fault::Stream(1 << 40), Times::Next(1));
    let mut stream = gate.served.connect().await;
    stream.write_all(head("GET", &format!("/x/down?access_token={}", gate.token), "").as_bytes()).await.unwrap();
    let mut some = vec![0; 8 * 1024 * 1024];
    stream.read_exact(&mut some).await.unwrap();
    drop(stream);
    let ended = || async { gate.sim.calls(Op::Any).iter().all(|call| call.outcome != wechat_sim::Outcome::Pending) };
    eventually("the endless reply ends", ended).await;

    let mut stream = gate.served.connect().await;
    let request = head("POST", &format!("/x/echo?access_token={}", gate.token), "Content-Length: 1000000\r\n");
    stream.write_all((request + "half").as_bytes()).await.unwrap();
    eventually("the upload is at WeChat", async || gate.sim.route("/x/echo").calls == 1).await;
    drop(stream);
    eventually("the upload ends", ended).await;
    still_serves(&gate).await;
}

#[tokio::test]
async fn an_upload_whose_answer_has_come_already_holds_no_connection() {
    let hasty = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", hasty.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = hasty.accept().await.unwrap();
            stream.read_u8().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"errcode\":40004}").await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
    });
    let gate = Gate::with(Timeouts::new(LONG), LIMITS, |_| settings(&base_url, None)).await;
    let mut stream = gate.served.connect().await;
    let request = head("POST", &format!("/x/echo?access_token={}", gate.token), "Content-Length: 1000000\r\n");
    stream.write_all((request.clone() + "half").as_bytes()).await.unwrap();
    assert!(read_to_end(&mut stream).await.contains("40004"), "and the connection ends, though the rest never comes");
    // who sends all before it reads is not cut off
    let mut stream = gate.served.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    for _ in 0..10 {
        stream.write_all(&vec![b'x'; 100_000]).await.unwrap();
        sleep(SHORT).await;
    }
    assert!(read_answer(&mut stream).await.contains("40004"));
    drop(stream);
    answering.await.unwrap();
}

#[tokio::test]
async fn calls_under_way_count_after_a_reload_too() {
    let timeouts = Timeouts { silence: LONG, ..Timeouts::new(LONG) };
    let limits = Limits { max_connections: 2, ..LIMITS };
    let gate = Gate::with(timeouts, limits, |sim| settings(&sim.base_url(), None)).await;
    gate.sim.fault(SEND, Fault::Hang, Times::Next(1));
    let mut hanging = gate.served.connect().await;
    let lines = format!("Content-Length: {}\r\n", MESSAGE.len());
    let request = head("POST", &format!("{SEND}?access_token={}", gate.token), &lines) + MESSAGE;
    hanging.write_all(request.as_bytes()).await.unwrap();
    eventually("the call hangs", async || gate.sim.route(SEND).calls == 1).await;
    gate.reload(limits.max_connections);
    assert_eq!(gate.message(&gate.token).await.status, 503);
    gate.reload(4);
    assert_eq!(gate.message(&gate.token).await.status, 200, "there is another place");
}

#[tokio::test]
async fn a_wechat_that_hangs_leaves_room_for_get_token_and_turns_further_calls_away() {
    let timeouts = Timeouts { silence: LONG, ..Timeouts::new(LONG) };
    let limits = Limits { max_connections: 8, ..LIMITS };
    let gate = Gate::with(timeouts, limits, |sim| settings(&sim.base_url(), None)).await;
    gate.sim.fault(Op::Any, Fault::Hang, Times::Next(4));
    let mut hanging = Vec::new();
    for count in 1..=4 {
        let mut stream = gate.served.connect().await;
        let lines = format!("Content-Length: {}\r\n", MESSAGE.len());
        let request = head("POST", &format!("{SEND}?access_token={}", gate.token), &lines) + MESSAGE;
        stream.write_all(request.as_bytes()).await.unwrap();
        eventually("the call hangs", async || gate.sim.route(SEND).calls == count).await;
        hanging.push(stream);
    }
    let answer = gate.message(&gate.token).await;
    assert_eq!((answer.status, errcode(&answer), answer.retry_after()), (503, -1, Some(1)));
    assert_eq!(gate.metric("token_relay_gateway_refusals_total{reason=\"too_busy\"}").await, "1");
    let read = client::get(gate.served.address, "/token?account=main", Some(KEY)).await.unwrap();
    assert_eq!(read.token(), gate.token);
    gate.sim.refuse_connections().await;
    for mut stream in hanging {
        assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 502"));
    }
    gate.sim.accept_connections().await;
    still_serves(&gate).await;
}

#[tokio::test]
async fn no_answer_and_no_metric_shows_a_secret() {
    let gate = Gate::new().await;
    let secrets = [APPSECRET, KEY, gate.token.as_str()];
    gate.sim.script("/sns/jscode2session", [Fault::Redirect, Fault::Reset, Fault::errcode(40125)]);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = gate.get(&format!("/sns/jscode2session?appid=wxmain&secret={KEY}&js_code=x&grant_type=x")).await;
        seen.push(format!("{answer:?}"));
    }
    for target in [format!("/sns/x?secret={APPSECRET}"), format!("/cgi-bin/%61?access_token={}", gate.token)] {
        seen.push(format!("{:?}", gate.get(&target).await));
    }
    seen.push(gate.fake.admin("/metrics").await.body);
    seen.push(format!("{:?}", gate.fake.relay));
    for secret in secrets {
        assert!(!seen.iter().any(|text| text.contains(secret)), "{seen:?}");
    }
}
