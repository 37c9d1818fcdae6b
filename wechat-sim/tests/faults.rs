//! What a client sees when the wire or WeChat fails.

mod common;

use std::io::ErrorKind;
use std::time::Duration;

use common::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wechat_sim::{Fault, Kind, Odd, Op, Outcome, Sim, Times};

async fn with(fault: impl Into<wechat_sim::Plan>) -> Sim {
    let sim = sim().start().await.expect("loopback has a free port");
    sim.fault(Op::Token, fault, Times::Next(1));
    sim
}

#[tokio::test]
async fn a_gateway_error_may_come_before_or_after_the_mint() {
    let sim = sim().start().await.unwrap();
    sim.script(Op::Token, [Fault::Status(502).into(), Fault::Status(504).minting()]);
    for (line, mints) in [("HTTP/1.1 502 Bad Gateway", 0), ("HTTP/1.1 504 Gateway Time-out", 1)] {
        let (head, body) = reply(sim.addr(), &token_request()).await;
        assert!(head.starts_with(line) && head.contains("Content-Type: text/html"), "{head}");
        assert!(body.starts_with(b"<html>"));
        assert_eq!(sim.mints(APP, Kind::Rotating), mints);
    }
    token(sim.addr()).await;
    let minted: Vec<_> = sim.calls(Op::Token).iter().map(|call| (call.minted, call.outcome)).collect();
    assert_eq!(minted, [(false, Outcome::Faulted), (true, Outcome::Faulted), (true, Outcome::Granted)]);
}

#[tokio::test]
async fn a_reset_is_a_reset_before_and_after_the_mint() {
    let sim = sim().start().await.unwrap();
    sim.script(Op::Token, [Fault::Reset.into(), Fault::Reset.minting()]);
    for mints in [0, 1] {
        assert_eq!(raw(sim.addr(), &token_request()).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(sim.mints(APP, Kind::Rotating), mints);
    }
}

#[tokio::test]
async fn a_hanging_call_is_never_answered_and_ends_when_the_client_leaves() {
    let sim = with(Fault::Hang.minting()).await;
    let mut socket = TcpStream::connect(sim.addr()).await.unwrap();
    socket.write_all(token_request().as_bytes()).await.unwrap();
    until(|| sim.mints(APP, Kind::Rotating) == 1).await;
    let wait = tokio::time::timeout(Duration::from_millis(100), socket.read_u8()).await;
    assert!(wait.is_err(), "no byte and no end");
    assert_eq!(sim.calls(Op::Token)[0].outcome, Outcome::Pending);
    drop(socket);
    until(|| sim.calls(Op::Token)[0].outcome == Outcome::Abandoned).await;
}

#[tokio::test]
async fn a_slow_call_mints_at_the_end_even_for_a_client_that_left() {
    let sim = with(Fault::Slow(Duration::from_secs(6))).await;
    let mut socket = TcpStream::connect(sim.addr()).await.unwrap();
    socket.write_all(token_request().as_bytes()).await.unwrap();
    until(|| sim.calls(Op::Token).len() == 1).await;
    drop(socket);
    until(|| sim.calls(Op::Token)[0].outcome == Outcome::Abandoned).await;
    until(|| sim.mints(APP, Kind::Rotating) == 1).await;
    assert_eq!(sim.calls(Op::Token)[0].outcome, Outcome::Abandoned);
}

#[tokio::test]
async fn a_slow_call_is_answered_in_the_end() {
    let sim = with(Fault::Slow(Duration::from_millis(50)).minting()).await;
    assert!(sim.token_alive(APP, &token(sim.addr()).await));
}

#[tokio::test]
async fn a_truncated_reply_announces_more_than_it_sends() {
    let sim = with(Fault::Truncated.minting()).await;
    let (head, body) = reply(sim.addr(), &token_request()).await;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    assert!(body.len() < length.parse().unwrap());
    assert!(body.starts_with(br#"{"access_token":"75_"#));
    assert_eq!(sim.mints(APP, Kind::Rotating), 1);
}

#[tokio::test]
async fn a_body_is_what_the_fault_says() {
    let sim = sim().start().await.unwrap();
    let bytes = b"\xff\xfe not json".to_vec();
    sim.script(Op::Token, [Fault::Empty, Fault::Body(bytes.clone()), Fault::Huge(100_000)]);
    assert!(reply(sim.addr(), &token_request()).await.1.is_empty());
    assert_eq!(reply(sim.addr(), &token_request()).await.1, bytes);
    let huge = reply(sim.addr(), &token_request()).await.1;
    assert_eq!(huge.len(), 100_000);
    let huge: Value = serde_json::from_slice(&huge).unwrap();
    assert!(!sim.token_alive(APP, huge["access_token"].as_str().unwrap()), "nothing was minted");
}

#[tokio::test]
async fn raw_bytes_and_a_silent_end_are_sent_as_they_are() {
    let sim = sim().start().await.unwrap();
    sim.script(Op::Any, [Fault::Raw(b"SSH-2.0-x\r\n".to_vec()), Fault::Close]);
    assert_eq!(raw(sim.addr(), &token_request()).await.unwrap(), b"SSH-2.0-x\r\n");
    assert_eq!(raw(sim.addr(), &token_request()).await.unwrap(), b"");
}

#[tokio::test]
async fn an_odd_success_carries_a_living_token_or_none() {
    let sim = sim().start().await.unwrap();
    let odds = [
        (Odd::EmptyToken, json!(""), json!(7200)),
        (Odd::NullToken, Value::Null, json!(7200)),
        (Odd::NoToken, Value::Null, json!(7200)),
        (Odd::SystemError, Value::Null, json!(0)),
    ];
    for (odd, token, expires_in) in odds {
        sim.fault(Op::Token, Fault::Odd(odd), Times::Next(1));
        let body = json(sim.addr(), &token_request()).await;
        assert_eq!((&body["access_token"], &body["expires_in"]), (&token, &expires_in));
    }
    assert_eq!(sim.mints(APP, Kind::Rotating), 0);
    let values = [json!(0), json!(-1), json!("7200"), json!(99_999_999_999_u64), Value::Null];
    for value in values {
        sim.fault(Op::Token, Fault::Odd(Odd::ExpiresIn(value.clone())), Times::Next(1));
        let body = json(sim.addr(), &token_request()).await;
        assert_eq!(body["expires_in"], value);
        assert!(sim.token_alive(APP, body["access_token"].as_str().unwrap()));
    }
    sim.script(Op::Token, [Odd::NoExpiresIn, Odd::ErrcodeZero, Odd::ControlCharacters].map(Fault::Odd));
    assert!(json(sim.addr(), &token_request()).await.get("expires_in").is_none());
    assert_eq!(json(sim.addr(), &token_request()).await["errcode"], 0);
    let body = json(sim.addr(), &token_request()).await;
    assert!(body["access_token"].as_str().unwrap().contains(char::is_control));
}

#[tokio::test]
async fn an_errcode_has_the_documented_text_or_the_callers() {
    let sim = sim().start().await.unwrap();
    let own = Fault::Errcode { code: 45009, message: Some("mine".into()) };
    sim.script(Op::Token, [Fault::errcode(-1), Fault::errcode(40164), own]);
    for (code, text) in [(-1, "system error rid: "), (40164, "invalid ip 127.0.0.1 "), (45009, "mine rid: ")] {
        let body = json(sim.addr(), &token_request()).await;
        assert_eq!(body["errcode"], code);
        assert!(body["errmsg"].as_str().unwrap().starts_with(text), "{body}");
    }
}

#[tokio::test]
async fn a_good_token_is_at_times_refused_and_stays_good() {
    let sim = sim().start().await.unwrap();
    let token = token(sim.addr()).await;
    sim.fault(Op::Api, Fault::FalseRefusal, Times::Next(1));
    assert_eq!(probe(sim.addr(), &token).await["errcode"], 40001);
    assert!(sim.token_alive(APP, &token));
    assert!(probe(sim.addr(), &token).await["ip_list"].is_array());
}

#[tokio::test]
async fn a_fault_for_a_path_meets_no_probe() {
    let sim = sim().start().await.unwrap();
    let token = token(sim.addr()).await;
    let path = "/cgi-bin/message/custom/send";
    sim.fault(path, Fault::FalseRefusal, Times::Next(1));
    let by_command = json!({"path": path, "fault": {"status": 502}});
    assert_eq!(json(sim.addr(), post("/_control/faults", &by_command.to_string())).await["queued"], 2);
    assert!(probe(sim.addr(), &token).await["ip_list"].is_array());
    let send = post(&format!("{path}?access_token={token}"), r#"{"touser":"o"}"#);
    assert_eq!(json(sim.addr(), &send).await["errcode"], 40001);
    assert!(reply(sim.addr(), &send).await.0.starts_with("HTTP/1.1 502"));
    assert_eq!(json(sim.addr(), &send).await["errcode"], 0);
}

#[tokio::test]
async fn a_fault_for_ever_lasts_until_it_is_cleared() {
    let sim = sim().start().await.unwrap();
    sim.fault(Op::Any, Fault::Status(503), Times::Always);
    for _ in 0..3 {
        assert!(reply(sim.addr(), &token_request()).await.0.starts_with("HTTP/1.1 503"));
    }
    sim.clear_faults();
    token(sim.addr()).await;
}

#[tokio::test]
async fn a_closed_port_refuses_and_opens_again() {
    let sim = sim().start().await.unwrap();
    let mut idle = TcpStream::connect(sim.addr()).await.unwrap();
    for _ in 0..3 {
        sim.refuse_connections().await;
        let refused = TcpStream::connect(sim.addr()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        sim.accept_connections().await;
        token(sim.addr()).await;
    }
    assert!(matches!(idle.read(&mut [0]).await, Ok(0) | Err(_)), "the old connection ended");
}

#[tokio::test]
async fn a_dropped_simulator_frees_its_port() {
    let sim = sim().start().await.unwrap();
    let addr = sim.addr();
    drop(sim);
    until(|| std::net::TcpListener::bind(addr).is_ok()).await;
}

#[tokio::test]
async fn calls_at_once_are_counted_for_each_app() {
    let sim = sim().start().await.unwrap();
    sim.fault(Op::Token, Fault::Hang, Times::Next(2));
    let mut sockets = [TcpStream::connect(sim.addr()).await.unwrap(), TcpStream::connect(sim.addr()).await.unwrap()];
    for socket in &mut sockets {
        socket.write_all(token_request().as_bytes()).await.unwrap();
    }
    until(|| sim.most_concurrent(APP) == 2).await;
    drop(sockets);
    until(|| sim.calls(Op::Token).iter().all(|call| call.outcome == Outcome::Abandoned)).await;
    token(sim.addr()).await;
    assert_eq!((sim.most_concurrent(APP), sim.most_concurrent("nobody")), (2, 0));
}

#[tokio::test]
async fn latency_delays_an_answer_and_changes_nothing_else() {
    let sim = sim().latency(Duration::from_millis(40)).start().await.unwrap();
    let sent = sim.now();
    assert!(sim.token_alive(APP, &token(sim.addr()).await));
    assert!(sim.now() >= sent + Duration::from_millis(40));
    assert_eq!(sim.calls(Op::Token)[0].outcome, Outcome::Granted);
}
