//! How does the relay treat connections that are idle, slow, too many or cut off, and what becomes of them at shutdown?

use std::{process::Command, time::Duration};

use test_support::eventually;
use token_relay::{
    http::{Limits, ListenerOptions, Timeouts},
    registry::Reported,
    status::Status,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    fake_relay::{FakeRelay, LIMITS, options},
    raw_http::{LONG, SHORT, ask, get, post, read_answer, read_to_end, serving},
};

#[tokio::test]
async fn silent_idle_and_half_sent_connections_are_closed_by_the_header_timeout() {
    // Long enough for a request to be sent, on a busy machine too.
    let (_fake, served) = serving(Limits { header_timeout: Duration::from_secs(3), ..LIMITS }).await;
    let mut silent = served.connect().await;
    let mut idle = ask(&served).await;
    let mut half = served.connect().await;
    half.write_all(b"GET /token HTTP/1.1\r\nHost: re").await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
    assert_eq!(read_to_end(&mut idle).await, "");
    let said = read_to_end(&mut half).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
}

#[tokio::test]
async fn at_the_limit_the_next_connection_waits_for_a_place() {
    let (fake, served) = serving(Limits { max_connections: 2, ..LIMITS }).await;
    let first = ask(&served).await;
    let _second = ask(&served).await;
    let mut third = served.connect().await;
    third.write_all(get("/token", "").as_bytes()).await.unwrap();
    assert!(timeout(SHORT, third.read_u8()).await.is_err());
    shows(&fake, "connections{listener=\"public\"} 2\n").await;
    shows(&fake, "connection_limit_reached_total{listener=\"public\"} 1\n").await;
    drop(first);
    assert!(read_answer(&mut third).await.contains("wire_token"));
}

#[tokio::test]
async fn a_raised_limit_counts_at_once_and_a_lowered_one_as_connections_end() {
    let (fake, options) = (FakeRelay::serving("wire_token"), options(Limits { max_connections: 1, ..LIMITS }));
    let most = |max_connections| {
        let limits = Limits { max_connections, ..LIMITS };
        options.store(ListenerOptions { limits, tls: None, fast_reads: true }.into());
    };
    let served = fake.serve_changing(&options).await;
    let first = ask(&served).await;
    let mut second = served.connect().await;
    second.write_all(get("/token", "").as_bytes()).await.unwrap();
    assert!(timeout(SHORT, second.read_u8()).await.is_err());
    most(2);
    assert!(read_answer(&mut second).await.contains("wire_token"));
    most(1);
    let mut third = served.connect().await;
    third.write_all(get("/token", "").as_bytes()).await.unwrap();
    drop(first);
    assert!(timeout(SHORT * 5, third.read_u8()).await.is_err(), "one is open, and one is allowed");
    drop(second);
    assert!(read_answer(&mut third).await.contains("wire_token"));
}

#[tokio::test]
async fn an_address_with_too_many_connections_gets_no_further_one_until_one_ends() {
    let (fake, served) = serving(Limits { max_per_source: 2, ..LIMITS }).await;
    let first = ask(&served).await;
    let _second = ask(&served).await;
    let mut third = served.connect().await;
    assert_eq!(read_to_end(&mut third).await, "");
    shows(&fake, "connections_refused_total{listener=\"public\"} 1\n").await;
    shows(&fake, "connections{listener=\"public\"} 2\n").await;
    drop(first);
    shows(&fake, "connections{listener=\"public\"} 1\n").await;
    ask(&served).await;
}

#[tokio::test]
async fn a_rotation_reaches_every_poll_whoever_else_hangs_up_or_reads_nothing() {
    let (fake, served) = serving(LIMITS).await;
    let mut polls = Vec::new();
    for number in 0..64 {
        let mut poll = ask(&served).await;
        // one that reads nothing has answers waiting before that of its poll
        let before = if number % 4 == 1 { get("/token", "X: y\r\n").repeat(100) } else { String::new() };
        let polled = before + &long_poll();
        poll.write_all(polled.as_bytes()).await.unwrap();
        polls.push(poll);
    }
    sleep(SHORT).await;
    // half of them leave: some before the rotation, some while the others are answered
    let (mut kept, mut leaving): (Vec<_>, Vec<_>) =
        polls.into_iter().enumerate().partition(|(number, _)| number % 4 < 2);
    leaving.truncate(16);
    fake.offer("main", 8, "next_token", 7000);
    drop(leaving);
    for (number, poll) in kept.iter_mut().filter(|(number, _)| number % 4 == 0) {
        // a poll that was forgotten would be answered too, when its wait is over
        let answer = timeout(LONG / 2, read_answer(poll)).await;
        assert!(answer.is_ok_and(|answer| answer.contains("next_token")), "{number}");
    }
}

/// A long poll for another token than the one that there is.
fn long_poll() -> String {
    get("/token?wait=60", "If-None-Match: W/\"main-7\"\r\n")
}

#[tokio::test]
async fn a_poll_that_its_client_gives_up_makes_room_for_others() {
    let (fake, served) = serving(Limits { max_connections: 2, ..LIMITS }).await;
    for whole_answers in [0, 1] {
        let mut polls = [served.connect().await, served.connect().await];
        for poll in &mut polls {
            poll.write_all((get("/token", "").repeat(whole_answers) + &long_poll()).as_bytes()).await.unwrap();
        }
        let mut next = served.connect().await;
        next.write_all(get("/token", "").as_bytes()).await.unwrap();
        assert!(timeout(SHORT, next.read_u8()).await.is_err(), "both places are taken");
        drop(polls);
        let answer = timeout(LONG / 2, read_answer(&mut next)).await.expect("sooner than their wait is over");
        assert!(answer.contains("wire_token"));
        drop(next);
        shows(&fake, "connections{listener=\"public\"} 0\n").await;
    }
}

#[tokio::test]
async fn a_poll_of_a_half_closed_client_is_answered_at_once_and_what_follows_a_poll_is_not_lost() {
    let (fake, served) = serving(LIMITS).await;
    let mut halves = served.connect().await;
    halves.write_all(long_poll().as_bytes()).await.unwrap();
    sleep(SHORT).await;
    halves.shutdown().await.unwrap();
    let said = timeout(LONG / 2, read_to_end(&mut halves)).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 304"), "{said}");

    let mut busy = served.connect().await;
    busy.write_all(long_poll().as_bytes()).await.unwrap();
    sleep(SHORT).await;
    busy.write_all((get("/nowhere", "") + &get("/token", "")).as_bytes()).await.unwrap();
    assert!(timeout(SHORT, busy.read_u8()).await.is_err(), "it waits on");
    fake.offer("main", 8, "next_token", 7000);
    busy.shutdown().await.unwrap();
    let said = read_to_end(&mut busy).await;
    let statuses: Vec<_> = said.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "404", "200"], "{said}");
}

#[tokio::test]
async fn shutdown_answers_what_is_in_flight_and_closes_the_rest() {
    let (fake, served) = serving(LIMITS).await;
    let mut silent = served.connect().await;
    let mut idle = ask(&served).await;
    let mut poll = ask(&served).await;
    poll.write_all(long_poll().as_bytes()).await.unwrap();
    let mut report = ask(&served).await;
    let mut reports = fake.take_reports("main");
    let body = r#"{"access_token":"wire_token"}"#;
    report.write_all((post(body.len(), "") + body).as_bytes()).await.unwrap();
    let heard = reports.recv().await.unwrap();

    fake.relay.shutdown.cancel();
    assert!(read_to_end(&mut poll).await.starts_with("HTTP/1.1 304"));
    assert_eq!(read_to_end(&mut idle).await, "");
    assert_eq!(read_to_end(&mut silent).await, "");
    assert!(!served.serving.is_finished());
    // The port may have gone to a listener of another test by now: nobody new is served here.
    let _stranger = TcpStream::connect(served.address).await;
    sleep(SHORT).await;
    assert!(fake.relay.metrics.render(LONG).contains("connections{listener=\"public\"} 1\n"));
    heard.answer.send(Reported::Settled).unwrap();
    assert!(read_to_end(&mut report).await.starts_with("HTTP/1.1 200"));
    timeout(LONG, served.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_waits_no_longer_than_the_grace() {
    let fake = FakeRelay::patient(&["main"], Timeouts { report: LONG * 10, ..Timeouts::new(Duration::ZERO) });
    fake.publish("main", Status::default());
    let served = fake.serve(Limits { grace: SHORT, ..LIMITS }).await;
    let mut reports = fake.take_reports("main");
    fake.offer("main", 7, "wire_token", 3541);
    let mut stream = served.connect().await;
    let body = r#"{"access_token":"wire_token"}"#;
    stream.write_all((post(body.len(), "") + body).as_bytes()).await.unwrap();
    let _heard = reports.recv().await.unwrap();
    fake.relay.shutdown.cancel();
    timeout(LONG, served.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_no_report() {
    let (fake, served) = serving(LIMITS).await;
    let mut reports = fake.take_reports("main");
    let mut stream = ask(&served).await;
    let body = r#"{"access_token":"wire_token"}"#;
    stream.write_all((post(body.len(), "") + body).as_bytes()).await.unwrap();
    drop(stream);
    let heard = timeout(LONG, reports.recv()).await.unwrap().unwrap();
    assert_eq!(heard.generation.0, 7);
    ask(&served).await;
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_keep_its_place() {
    let (fake, served) = serving(Limits { header_timeout: SHORT * 5, ..LIMITS }).await;
    for target in ["/healthz", "/token"] {
        let mut deaf = served.connect().await;
        let requests = get(target, "").repeat(1000);
        while timeout(SHORT, deaf.write_all(requests.as_bytes())).await.is_ok_and(|sent| sent.is_ok()) {}
        shows(&fake, "connections{listener=\"public\"} 0\n").await;
        drop(deaf);
    }
}

/// Waits until the metrics have this line.
async fn shows(fake: &FakeRelay, line: &str) {
    eventually(line, async || fake.admin("/metrics").await.body.contains(line)).await;
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
    let (fake, served) = serving(Limits { max_connections: count + 10, header_timeout: LONG * 10, ..LIMITS }).await;
    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(served.connect().await);
    }
    timeout(LONG, ask(&served)).await.unwrap();
    fake.relay.shutdown.cancel();
    timeout(LONG, served.serving).await.unwrap().unwrap();
}

/// The other half of the next test, run in a process of its own with few files.
#[tokio::test]
#[ignore = "run by the test that follows, with few files"]
async fn child_with_few_files() {
    let (fake, served) = serving(Limits { header_timeout: LONG * 10, ..LIMITS }).await;
    let mut taken = Vec::new();
    while let Ok(stream) = TcpStream::connect(served.address).await {
        taken.push(stream);
        sleep(Duration::from_millis(1)).await;
    }
    let failures = async || -> u32 {
        let metrics = fake.admin("/metrics").await.body;
        let name = "token_relay_accept_failures_total{listener=\"public\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
    };
    eventually("the files are used up", async || failures().await > 0).await;
    sleep(Duration::from_millis(500)).await;
    let failures = failures().await;
    assert!((1..30).contains(&failures), "{failures}");
    drop(taken);
    timeout(LONG, ask(&served)).await.unwrap();
}

#[test]
fn without_files_the_accept_loop_pauses_and_goes_on_when_there_are_some() {
    let me = std::env::current_exe().unwrap();
    let run = "ulimit -n 40 && exec \"$0\" --exact connections::child_with_few_files --ignored --nocapture";
    let ended = Command::new("sh").args(["-c", run]).arg(me).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    assert!(String::from_utf8_lossy(&ended.stdout).contains("1 passed"));
}
