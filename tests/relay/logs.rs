//! What is logged of requests, and what if nobody reads the logs any more?

use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use test_support::{CLIENT_KEY, Relay, Setup, client, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::RELAY;

/// Many times what a pipe holds, at the level TRACE.
const REQUESTS: usize = 400;

/// Starts a relay that logs all it can, and reads its log up to the line that says where it serves.
fn start(setup: &Setup) -> (Child, BufReader<ChildStderr>, SocketAddr) {
    let (child, log, event) = start_and_read(setup);
    (child, log, address(&event, "listen"))
}

fn address(event: &Value, listener: &str) -> SocketAddr {
    event[listener].as_str().unwrap().parse().unwrap()
}

fn start_and_read(setup: &Setup) -> (Child, BufReader<ChildStderr>, Value) {
    let mut command = Command::new(RELAY);
    command.env_clear().envs(&setup.env).env("TOKEN_RELAY__LOG__FILTER", "trace").stdin(Stdio::null());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("token-relay serves") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended");
    }
    (child, log, serde_json::from_str(&line).unwrap())
}

async fn serves_on_and_stops(mut child: Child, public: SocketAddr) {
    for _ in 0..REQUESTS {
        let answer = client::get(public, "/token", Some(CLIENT_KEY)).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_reader_that_goes_away_takes_nobody_with_it() {
    let setup = Setup::new(RELAY, 600, 60).await;
    let (child, log, public) = start(&setup);
    drop(log);
    serves_on_and_stops(child, public).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_reader_that_stops_reading_holds_nobody_up() {
    let setup = Setup::new(RELAY, 600, 60).await;
    let (child, log, public) = start(&setup);
    serves_on_and_stops(child, public).await;
    drop(log);
}

/// What the access log has of `relay`, without what differs every time.
fn requests(relay: &Relay) -> Vec<Value> {
    let mut events = relay.events("request");
    for event in &mut events {
        let event = event.as_object_mut().unwrap();
        assert!(event["duration_ms"].as_f64().unwrap() >= 0.0 && event["level"] == "INFO");
        assert!(event["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
        event.retain(|name, _| !["timestamp", "level", "message", "peer", "duration_ms"].contains(&name.as_str()));
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_one_line_with_names_and_without_a_secret() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("log.access", "all");
    setup.set("gateway.enabled", "true");
    setup.set("clients.orders.gateway", "true");
    let relay = setup.start().await;
    let token = relay.get("/token?account=main").await.token();
    let fetch = |secret: &str| format!("/cgi-bin/token?grant_type=client_credential&appid=wxmain&secret={secret}");
    let body = json!({"grant_type": "client_credential", "appid": "wxmain", "secret": CLIENT_KEY}).to_string();
    let stable = client::request("POST", "/cgi-bin/stable_token", None, "", &body);
    client::get(relay.public, &fetch(CLIENT_KEY), None).await.unwrap().token();
    client::get(relay.public, &fetch("sentinel-a-wrong-key"), None).await.unwrap();
    client::send(relay.public, stable.as_bytes()).await.unwrap().token();
    let refused =
        client::request("POST", "/cgi-bin/stable_token", None, "", &body.replace("client_cred", "another_cred"));
    client::send(relay.public, refused.as_bytes()).await.unwrap();
    let api = format!("/cgi-bin/get_api_domain_ip?access_token={token}");
    assert_eq!(client::get(relay.public, &api, None).await.unwrap().status, 200);
    assert_eq!(client::get(relay.public, &format!("/token?{CLIENT_KEY}"), None).await.unwrap().status, 401);
    relay.look("/status").await;
    eventually("all are logged", async || relay.events("request").len() >= 7).await;
    let fetched = "/cgi-bin/token?grant_type&appid&secret";
    let expected = [
        json!({"client": "orders", "route": "token", "method": "GET", "path": "/token?account", "status": 200}),
        json!({"client": "orders", "route": "drop_in_token", "method": "GET", "path": fetched, "status": 200}),
        json!({"route": "drop_in_token", "method": "GET", "path": fetched, "status": 200, "errcode": 40125}),
        json!({"client": "orders", "route": "drop_in_stable_token", "method": "POST", "path": "/cgi-bin/stable_token", "status": 200}),
        json!({"client": "orders", "route": "drop_in_stable_token", "method": "POST", "path": "/cgi-bin/stable_token", "status": 200, "errcode": 40002}),
        json!({"route": "gateway", "method": "GET", "path": "/cgi-bin/get_api_domain_ip?access_token", "status": 200}),
        json!({"route": "token", "method": "GET", "path": "/token?…", "status": 401}),
    ];
    assert_eq!(requests(&relay), expected);
    assert!(!relay.text().contains(&token), "a token is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ipv4_address_is_written_as_one_though_the_relay_listens_on_ipv6_too() {
    if std::net::TcpListener::bind("[::]:0").is_err() {
        println!("skipped: this machine has no IPv6");
        return;
    }
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("log.access", "all");
    setup.set("server.listen", "[::]:0");
    let relay = setup.start().await;
    client::get((Ipv4Addr::LOCALHOST, relay.public.port()).into(), "/token", None).await.unwrap();
    eventually("it is logged", async || !relay.events("request").is_empty()).await;
    assert_eq!(requests(&relay).len(), 1);
}

/// Asks for what is not there, so many times on one connection, in batches: each is a line of either log.
async fn ask_again_and_again(at: SocketAddr, batches: usize, batch: usize) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET /nothing HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {CLIENT_KEY}\r\n\r\n");
    let mut bytes = vec![0; 64 * 1024];
    for _ in 0..batches {
        stream.write_all(request.repeat(batch).as_bytes()).await.unwrap();
        let mut answers = 0;
        let mut text = String::new();
        while answers < batch {
            let length = timeout(Duration::from_secs(10), stream.read(&mut bytes)).await.expect("held up").unwrap();
            assert_ne!(length, 0, "closed");
            text.push_str(&String::from_utf8_lossy(&bytes[..length]));
            answers = text.matches("HTTP/1.1 404 ").count();
        }
    }
}

/// More than the queues of both logs hold: some 20,000 lines of the access log, and 32,768 of the log.
const UNREAD: usize = 40_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_access_log_that_stops_holds_no_request_up_and_what_is_lost_is_counted() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("log.access", "all");
    let (child, log, event) = start_and_read(&setup);
    let (public, admin) = (address(&event, "listen"), address(&event, "admin_listen"));
    assert_eq!(client::get(public, "/token", Some(CLIENT_KEY)).await.unwrap().status, 200);
    ask_again_and_again(public, UNREAD / 100, 100).await;
    let page = client::get(admin, "/metrics", None).await.unwrap().body;
    for series in ["token_relay_access_log_dropped_total ", "token_relay_log_lines_dropped_total "] {
        let lost: usize = page.lines().find_map(|line| line.strip_prefix(series)).unwrap().parse().unwrap();
        println!("{series}{lost}");
        assert!(lost > 0, "{series}{lost}");
    }
    serves_on_and_stops(child, public).await;
    drop(log);
}
