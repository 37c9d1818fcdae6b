//! Does a caller of the gateway notice that its token has died? WeChat refuses, the test plays the keeper.

use std::{sync::Arc, time::Duration};

use test_support::client::Answer;
use token_relay::{
    http::{Limits, Timeouts},
    registry::Reported,
    report::ReportLimit,
};
use wechat_sim::{Fault, Kind, Plan, Times};

use crate::{
    fake_relay::LIMITS,
    gateway::{Gate, MESSAGE, SEND, errcode, settings},
};

const LONG: Duration = Duration::from_secs(60);

/// The keeper of `main` renews the token when it is reported.
fn renewing(gate: &Gate) -> Arc<std::sync::Mutex<Vec<u64>>> {
    let (reports, fake) = (Arc::<std::sync::Mutex<Vec<u64>>>::default(), gate.fake.clone());
    let new = gate.sim.rotate_outside("wxmain", Kind::Rotating).access_token;
    gate.sim.revoke(&gate.token);
    let counted = reports.clone();
    gate.fake.keeper("main", move |generation| {
        counted.lock().unwrap().push(generation.0);
        fake.offer("main", 8, &new, 3541);
        Reported::Settled
    });
    reports
}

async fn healings(gate: &Gate) -> [String; 2] {
    let series = |outcome: &str| format!("token_relay_gateway_healings_total{{outcome=\"{outcome}\"}}");
    [gate.metric(&series("repeated")).await, gate.metric(&series("passed_on")).await]
}

fn is_ok(answer: &Answer) -> bool {
    answer.status == 200 && errcode(answer) == 0
}

#[tokio::test]
async fn a_dead_token_is_reported_and_the_call_repeated_so_that_its_caller_never_sees_it() {
    let gate = Gate::new().await;
    let reports = renewing(&gate);
    let answer = gate.message(&gate.token).await;
    assert!(is_ok(&answer), "{answer:?}");
    assert_eq!(*reports.lock().unwrap(), [7]);
    assert_eq!(gate.sim.route(SEND).calls, 2);
    assert_eq!(healings(&gate).await, ["1", "0"]);
}

#[tokio::test]
async fn many_calls_at_once_whose_length_is_not_known_are_all_repeated() {
    const CALLS: u32 = 80;
    let timeouts = Timeouts { verdict: LONG, silence: LONG, ..Timeouts::new(LONG) };
    let limits = Limits { max_connections: 1000, ..LIMITS };
    let gate = Arc::new(Gate::with(timeouts, limits, |sim| settings(&sim.base_url(), None)).await);
    renewing(&gate);
    let chunked = format!("{:x}\r\n{MESSAGE}\r\n0\r\n\r\n", MESSAGE.len());
    let request = format!(
        "POST {SEND}?access_token={} HTTP/1.1\r\nHost: relay\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{chunked}",
        gate.token
    );
    // none is answered before all of them were sent
    gate.sim.fault(SEND, Plan::from(Fault::Slow(Duration::from_millis(500))), Times::Next(CALLS));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let (gate, request) = (gate.clone(), request.clone());
        calls.spawn(async move { test_support::client::send(gate.served.address, request.as_bytes()).await.unwrap() });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|answer| is_ok(answer)).count(), 80);
}

#[tokio::test]
async fn a_token_that_was_renewed_meanwhile_is_not_reported_again() {
    let gate = Gate::new().await;
    gate.sim.fault(SEND, Plan::from(Fault::Slow(Duration::from_millis(300))), Times::Next(1));
    let new = gate.sim.rotate_outside("wxmain", Kind::Rotating).access_token;
    gate.sim.revoke(&gate.token);
    let mut reports = gate.fake.take_reports("main");
    let rotating = async {
        test_support::eventually("the call is at WeChat", async || gate.sim.route(SEND).calls == 1).await;
        gate.fake.offer("main", 8, &new, 3541);
    };
    let (answer, ()) = tokio::join!(gate.message(&gate.token), rotating);
    assert!(is_ok(&answer), "{answer:?}");
    assert!(reports.try_recv().is_err(), "nobody reported");
    assert_eq!(healings(&gate).await, ["1", "0"]);
}

#[tokio::test]
async fn a_false_refusal_is_passed_on_when_the_keeper_finds_the_token_good() {
    let gate = Gate::new().await;
    gate.fake.keeper("main", |_| Reported::Settled);
    gate.fake.keeper("shop", |_| Reported::TooMany { retry_in: Duration::ZERO, limit: ReportLimit::Cooldown });
    gate.sim.fault(SEND, Fault::FalseRefusal, Times::Next(2));
    assert_eq!(errcode(&gate.message(&gate.token).await), 40001);
    let shop = gate.fake.get("/token?account=shop").await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(errcode(&gate.message(&shop).await), 40001);
    assert_eq!(gate.sim.route(SEND).calls, 2);
    assert_eq!(healings(&gate).await, ["0", "2"]);
    assert!(is_ok(&gate.message(&gate.token).await));
}

#[tokio::test]
async fn only_a_short_reply_with_one_of_three_codes_is_a_report() {
    let gate = Gate::new().await;
    let mut reports = gate.fake.take_reports("main");
    let padded = |code, size| Plan::from(Fault::PaddedErrcode { code, size });
    let body = |text: &str| Plan::from(Fault::Body(text.into()));
    for plan in [
        Fault::errcode(45009).into(),
        Fault::errcode(41001).into(),
        Fault::errcode(42007).into(),
        padded(40001, 16 * 1024 + 1),
        body(" {\"errcode\":40001}"),
        body("[{\"errcode\":40001}]"),
        body("{\"errcode\":\"40001\"}"),
        body("{\"errcode\":40001"),
        Fault::Status(502).into(),
        Fault::Empty.into(),
    ] {
        gate.sim.fault(SEND, plan.clone(), Times::Next(1));
        gate.message(&gate.token).await;
        assert!(reports.try_recv().is_err(), "{plan:?}");
    }
    drop(reports);
    for plan in [padded(40001, 16 * 1024), Fault::errcode(40014).into(), Fault::errcode(42001).into()] {
        let gate = Gate::new().await;
        let reports = renewing(&gate);
        gate.sim.fault(SEND, plan, Times::Next(1));
        assert!(is_ok(&gate.message(&gate.token).await));
        assert_eq!(*reports.lock().unwrap(), [7]);
    }
}

#[tokio::test]
async fn a_body_of_one_mebibyte_is_repeated_whole_and_a_longer_one_only_reported() {
    for (size, calls) in [(1024 * 1024, 2), (1024 * 1024 + 1, 1)] {
        let gate = Gate::new().await;
        let reports = renewing(&gate);
        let path = "/upload/echo";
        let answer = gate.send("POST", &format!("{path}?access_token={}", gate.token), "", &"x".repeat(size)).await;
        if calls == 2 {
            assert_eq!(answer.json()["body"]["size"], size, "{answer:?}");
        } else {
            assert_eq!(errcode(&answer), 40001);
        }
        assert_eq!(*reports.lock().unwrap(), [7]);
        assert_eq!(gate.sim.route(path).calls, calls);
    }
}

#[tokio::test]
async fn a_body_in_chunks_is_repeated_too() {
    let gate = Gate::new().await;
    renewing(&gate);
    let size = MESSAGE.len();
    let request = format!(
        "POST /x/echo?access_token={} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         {size:x}\r\n{MESSAGE}\r\n0\r\n\r\n",
        gate.token
    );
    let answer = test_support::client::send(gate.served.address, request.as_bytes()).await.unwrap();
    assert_eq!(answer.json()["body"]["size"], size, "{answer:?}");
    assert_eq!(healings(&gate).await, ["1", "0"]);
}

#[tokio::test]
async fn a_report_without_a_verdict_does_not_hold_the_caller_up() {
    let timeouts = Timeouts { verdict: Duration::from_millis(50), ..Timeouts::new(Duration::from_secs(60)) };
    let gate = Gate::with(timeouts, LIMITS, |sim| settings(&sim.base_url(), None)).await;
    let mut reports = gate.fake.take_reports("main");
    gate.sim.revoke(&gate.token);
    assert_eq!(errcode(&gate.message(&gate.token).await), 40001);
    assert!(reports.try_recv().is_ok());
    assert_eq!(healings(&gate).await, ["0", "1"]);
}
