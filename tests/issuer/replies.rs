//! What does the issuer make of a reply: a token, a refusal or an unknown call?

use std::{io::Write as _, thread, time::Duration};

use test_support::FakeServer;
use token_relay::issuer::{
    IssueError,
    upstream::UpstreamSettings,
    wechat::{ERRORS, Endpoint},
};
use wechat_sim::{Fault, Odd, Op, Plan, Sim, Times};

use crate::call::{APPID, GOOD, LONG, SECOND, SECRET, ask, ask_token, reply, settings, sim, unknown};

#[tokio::test]
async fn a_success_counts_whatever_status_and_content_type_say() {
    for head in [
        "200 OK\r\nContent-Type: text/plain",
        "502 Bad Gateway\r\nContent-Type: text/html",
        "404 Not Found",
        "302 Found\r\nLocation: /elsewhere",
        "299 Whatever\r\nContent-Type: application/json; encoding=utf-8",
    ] {
        let server = FakeServer::replying(reply(head, &format!("\u{feff}{GOOD}\n")));
        assert_eq!(ask_token(settings(&server.url("http"))).await, Ok(("75_good".to_owned(), 7200)), "{head}");
    }
    // Without a length the body ends with the connection, and in chunks it may be told in any pieces.
    let chunks = GOOD.chars().fold(String::new(), |chunks, c| chunks + "1\r\n" + c.encode_utf8(&mut [0; 4]) + "\r\n");
    for whole in [
        format!("HTTP/1.0 200 OK\r\n\r\n{GOOD}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
    ] {
        assert!(ask_token(settings(&FakeServer::replying(whole).url("http"))).await.is_ok());
    }
}

#[tokio::test]
async fn a_reply_over_64_kib_or_none_at_all_is_an_unknown_call() {
    let padded =
        |length: usize| format!(r#"{{"access_token":"75_good","expires_in":7200,"x":"{}"}}"#, "x".repeat(length));
    let largest = 65_536 - padded(0).len();
    let exact = FakeServer::replying(reply("200 OK", &padded(largest)));
    assert!(ask_token(settings(&exact.url("http"))).await.is_ok(), "64 KiB are read");
    for bytes in [
        reply("200 OK", &padded(largest + 1)),
        format!("HTTP/1.1 200 OK\r\n\r\n{}", padded(1_000_000)),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n{GOOD}"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{GOOD}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{GOOD}"),
        "HTTP/1.1 200 OK\r\nContent-Le".to_owned(),
        "SSH-2.0-OpenSSH_9.6\r\n".to_owned(),
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Padding: x\r\n".repeat(200)),
        String::new(),
    ] {
        unknown(ask_token(settings(&FakeServer::replying(bytes).url("http"))).await);
    }
}

/// What an outcome must be.
#[derive(Debug, PartialEq)]
enum Told {
    Issued(u64),
    Refused(i64),
    Unknown,
}

#[tokio::test]
async fn every_fault_of_a_reply_is_told_for_what_it_is_and_never_retried() {
    let odd = |value: serde_json::Value| Fault::Odd(Odd::ExpiresIn(value)).into();
    let cases: Vec<(Plan, Told)> = vec![
        (Fault::Pass.into(), Told::Issued(7200)),
        (Fault::Odd(Odd::ErrcodeZero).into(), Told::Issued(7200)),
        (odd("7200".into()), Told::Issued(7200)),
        (odd(7200.0.into()), Told::Issued(7200)),
        (odd(86400.into()), Told::Issued(7200)),
        (odd(1.into()), Told::Issued(1)),
        (odd(0.into()), Told::Unknown),
        (odd((-7200).into()), Told::Unknown),
        (odd(serde_json::Value::Null), Told::Unknown),
        (odd("soon".into()), Told::Unknown),
        (Fault::Odd(Odd::NoExpiresIn).into(), Told::Unknown),
        (Fault::Odd(Odd::ControlCharacters).into(), Told::Unknown),
        (Fault::Odd(Odd::EmptyToken).into(), Told::Unknown),
        (Fault::Odd(Odd::NullToken).into(), Told::Unknown),
        (Fault::Odd(Odd::NoToken).into(), Told::Unknown),
        (Fault::Odd(Odd::SystemError).into(), Told::Refused(-1000)),
        (Fault::errcode(-1).into(), Told::Refused(-1)),
        (Fault::errcode(45009).into(), Told::Refused(45009)),
        (Fault::errcode(40164).into(), Told::Refused(40164)),
        (Fault::Status(500).into(), Told::Unknown),
        (Fault::Status(502).minting(), Told::Unknown),
        (Fault::Status(504).into(), Told::Unknown),
        (Fault::Reset.into(), Told::Unknown),
        (Fault::Reset.minting(), Told::Unknown),
        (Fault::Close.minting(), Told::Unknown),
        (Fault::Truncated.minting(), Told::Unknown),
        (Fault::Empty.into(), Told::Unknown),
        (Fault::Body(vec![0xff, 0xfe, 0x00]).into(), Told::Unknown),
        (Fault::Raw(b"\x15\x03\x01\x00\x02\x02\x46".to_vec()).into(), Told::Unknown),
        (Fault::Huge(70_000).minting(), Told::Unknown),
    ];
    for (endpoint, op) in [(Endpoint::Token, Op::Token), (Endpoint::StableToken, Op::StableToken)] {
        let sim = sim().await;
        for (number, (plan, expected)) in cases.iter().enumerate() {
            sim.fault(op, plan.clone(), Times::Next(1));
            let told = match ask(settings(&sim.base_url()), endpoint).await {
                // A sticky token has aged since its first reply.
                Ok((_, life)) => Told::Issued(if life > 7000 { 7200 } else { life }),
                Err(IssueError::Refused { errcode, .. }) => Told::Refused(errcode),
                Err(IssueError::Unknown { .. }) => Told::Unknown,
                Err(not_sent) => panic!("{plan:?}: {not_sent}"),
            };
            assert_eq!(told, *expected, "{plan:?}");
            assert_eq!(sim.calls(op).len(), number + 1, "{plan:?}: one call, whatever happens");
        }
    }
}

#[tokio::test]
async fn a_refused_call_names_what_the_operator_must_do() {
    let sim = Sim::builder().app(APPID, "another secret").start().await.unwrap();
    let error = ask_token(settings(&sim.base_url())).await.unwrap_err();
    assert!(ERRORS.hint(&error).contains("AppSecret"), "{error}");
    sim.fault(Op::Token, Fault::errcode(40164), Times::Always);
    let error = ask_token(settings(&sim.base_url())).await.unwrap_err();
    assert!(ERRORS.hint(&error).starts_with("127.0.0.1 is not on the IP whitelist"), "{}", ERRORS.hint(&error));
    let echo = format!("your secret {SECRET} of {APPID} is wrong");
    sim.clear_faults();
    sim.fault(Op::Token, Fault::Errcode { code: 40125, message: Some(echo) }, Times::Always);
    let error = ask_token(settings(&sim.base_url())).await.unwrap_err();
    assert!(error.to_string().contains("your secret [redacted] of [redacted] is wrong"), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_or_drips_is_given_up_after_the_whole_call_time_as_an_unknown_call() {
    // Long enough for a connection to be made, on a busy machine too.
    let short = |base: String| UpstreamSettings { timeout: 2 * SECOND, ..settings(&base) };
    let sim = sim().await;
    for fault in [Fault::Hang, Fault::Slow(LONG)] {
        sim.fault(Op::Any, fault, Times::Next(2));
        let calls = Endpoint::ALL.map(|endpoint| ask(short(sim.base_url()), endpoint));
        for outcome in futures_util::future::join_all(calls).await {
            assert_eq!(unknown(outcome), "no whole reply within 2s");
        }
    }
    let drip = FakeServer::new(|mut connection| {
        connection.read_request();
        for byte in reply("200 OK", GOOD).bytes() {
            if connection.stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
    assert_eq!(unknown(ask_token(short(drip.url("http"))).await), "no whole reply within 2s");
    let silent = FakeServer::silent();
    assert_eq!(unknown(ask_token(short(silent.url("http"))).await), "no whole reply within 2s");
}
