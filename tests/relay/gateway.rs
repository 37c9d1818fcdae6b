//! Does a service that moved all its calls to the relay notice anything of rotations, and does the relay's memory stay flat?

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use test_support::{CLIENT_KEY, Certificate, Relay, SECRET, Setup, client, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use wechat_sim::{Fault, Kind, MediaKind, Op, Sim, Times};

use crate::RELAY;

const SEND: &str = "/cgi-bin/message/custom/send";
const MESSAGE: &str = r#"{"touser":"sentinel-openid","msgtype":"text"}"#;

async fn setup() -> Setup {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("gateway.enabled", "true");
    setup.set("clients.orders.gateway", "true");
    setup.set("log.filter", "trace");
    setup
}

async fn errcode(relay: &Relay, method: &str, target: &str, key: Option<&str>, body: &str) -> i64 {
    let request = client::request(method, target, key, "", body);
    let answer = client::send(relay.public, request.as_bytes()).await.unwrap();
    answer.json()["errcode"].as_i64().unwrap_or_else(|| panic!("{answer:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_sees_neither_a_rotation_from_outside_nor_a_revoked_token() {
    let setup = setup().await;
    let relay = setup.start().await;
    let first = relay.get("/token").await.token();
    let target = format!("{SEND}?access_token={first}");
    assert_eq!(errcode(&relay, "POST", &target, None, MESSAGE).await, 0);

    for _ in 0..2 {
        setup.sim.rotate_outside("wxmain", Kind::Rotating);
    }
    assert!(!setup.sim.token_alive("wxmain", &first));
    assert_eq!(errcode(&relay, "POST", &target, None, MESSAGE).await, 0);
    assert_eq!((setup.calls().len(), setup.sim.route(SEND).calls), (2, 3), "refused, renewed, repeated");

    // Within the cool-down of that report no further one is checked: WeChat's answer is passed on.
    setup.sim.revoke(&relay.get("/token").await.token());
    assert_eq!(errcode(&relay, "POST", SEND, Some(CLIENT_KEY), MESSAGE).await, 40001);
    assert_eq!(relay.metric("token_relay_gateway_healings_total{outcome=\"repeated\"}").await, 1);
    assert_eq!(relay.metric("token_relay_gateway_healings_total{outcome=\"passed_on\"}").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_from_before_a_rotation_and_a_kill_still_stands_for_the_current_one() {
    let setup = setup().await;
    let relay = setup.start().await;
    let first = relay.get("/token").await.token();
    setup.sim.revoke(&first);
    assert_eq!(relay.report(&first).await.status, 200);
    assert_ne!(relay.get("/token").await.token(), first);
    let target = format!("{SEND}?access_token={first}");
    assert_eq!(errcode(&relay, "POST", &target, None, MESSAGE).await, 0);
    relay.kill();
    let relay = setup.start().await;
    assert_eq!(errcode(&relay, "POST", &target, None, MESSAGE).await, 0);
    assert_eq!(errcode(&relay, "POST", &format!("{SEND}?access_token={first}x"), None, MESSAGE).await, 40001);
    assert_eq!((setup.calls().len(), setup.sim.route(SEND).calls), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_log_shows_a_key_a_token_or_an_appsecret_of_a_gateway_call() {
    let setup = setup().await;
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    for fault in [Fault::Pass, Fault::Redirect, Fault::Reset, Fault::Truncated, Fault::Raw(b"?".to_vec()), Fault::Gzip]
    {
        setup.sim.fault(SEND, fault.clone(), Times::Next(1));
        setup.sim.fault("/sns/jscode2session", fault, Times::Next(1));
        let login =
            format!("/sns/jscode2session?appid=wxmain&secret={CLIENT_KEY}&js_code=x&grant_type=authorization_code");
        let message = format!("{SEND}?access_token={token}");
        for (method, target, body) in [("GET", login.as_str(), ""), ("POST", &message, MESSAGE)] {
            // A broken reply has no whole answer.
            let _ = client::send(relay.public, client::request(method, target, None, "", body).as_bytes()).await;
        }
    }
    let refused = format!("{SEND}?access_token={token}&access_token={SECRET}");
    assert_eq!(errcode(&relay, "POST", &refused, None, MESSAGE).await, 40097);
    let event = "gateway: not passed on";
    eventually("the refusal is logged", async || !relay.events(event).is_empty()).await;
    let output = relay.text();
    for secret in [token.as_str(), CLIENT_KEY, SECRET] {
        assert!(!output.contains(secret), "a log shows {secret}");
    }
}

/// Sends a body of `size` bytes in pieces, and reads the answer to its end; returns how much it was.
async fn exchange(at: SocketAddr, head: String, size: usize) -> io::Result<usize> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(head.as_bytes()).await?;
    let piece = vec![b'x'; 64 * 1024];
    let mut left = size;
    while left > 0 {
        let now = left.min(piece.len());
        stream.write_all(&piece[..now]).await?;
        left -= now;
    }
    let (mut buffer, mut read) = (vec![0; 64 * 1024], 0);
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(read),
            more => read += more,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_files_of_10_mib_each_way_at_once_take_little_memory() {
    const SIZE: usize = 10 * 1024 * 1024;
    let mut setup = setup().await;
    setup.set("log.filter", "info");
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    let media = setup.sim.make_media("wxmain", MediaKind::Image, "image/png", SIZE as u64);
    let before = relay.kib("VmHWM");
    let mut exchanges = JoinSet::new();
    for _ in 0..64 {
        let lines = "HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n";
        let up = format!("POST /x/echo?access_token={token} {lines}Content-Length: {SIZE}\r\n\r\n");
        let down = format!("GET /cgi-bin/media/get?access_token={token}&media_id={media} {lines}\r\n");
        let at = relay.public;
        exchanges.spawn(async move { (exchange(at, up, SIZE).await.unwrap(), exchange(at, down, 0).await.unwrap()) });
    }
    while let Some(done) = exchanges.join_next().await {
        let (echo, file) = done.unwrap();
        assert!(echo > 100 && file > SIZE, "{echo} {file}");
    }
    assert_eq!(relay.metric("token_relay_gateway_requests_total{family=\"other\",class=\"2xx\"}").await, 64);
    let grown = relay.kib("VmHWM").saturating_sub(before);
    println!("64 x 10 MiB up and down: {grown} KiB more at the peak");
    assert!(grown < 64 * 1024, "{grown} KiB: the bodies are not streamed");
    assert_eq!(relay.get("/token").await.token(), token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_of_a_gibibyte_comes_whole_and_takes_little_memory() {
    const SIZE: usize = 1 << 30;
    let mut setup = setup().await;
    setup.set("log.filter", "info");
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    let media = setup.sim.make_media("wxmain", MediaKind::Video, "video/mp4", SIZE as u64);
    let before = relay.kib("VmHWM");
    let lines = "HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    let down = format!("GET /cgi-bin/media/get?access_token={token}&media_id={media} {lines}");
    assert!(exchange(relay.public, down, 0).await.unwrap() > SIZE);
    let grown = relay.kib("VmHWM").saturating_sub(before);
    println!("1 GiB down: {grown} KiB more at the peak");
    assert!(grown < 16 * 1024, "{grown} KiB: the body is not streamed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_over_tls_to_a_host_that_is_vouched_for_and_no_proxy_of_the_environment_sees_them() {
    let (right, wrong) = (Certificate::of("localhost"), Certificate::of("localhost"));
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let mut setup = Setup::around(RELAY, Sim::builder().tls(right.identity()).start().await.unwrap());
    setup.account("main", "token");
    setup.set("gateway.enabled", "true");
    setup.set("clients.orders.gateway", "true");
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        setup.env(variable, &format!("http://{}", trap.local_addr().unwrap()));
    }
    let login = format!("/sns/jscode2session?appid=wxmain&secret={CLIENT_KEY}&js_code=x&grant_type=authorization_code");

    setup.env("SSL_CERT_FILE", &wrong.write_ca(setup.path()));
    let relay = setup.start().await;
    // It needs no token, so it would be sent.
    let answer = client::get(relay.public, &login, None).await.unwrap();
    assert_eq!((answer.status, answer.json()["errcode"].as_i64()), (502, Some(-1)), "{answer:?}");
    assert_eq!(setup.sim.calls(Op::Any).len(), 0, "an AppSecret went to a host that nobody vouches for");

    // the same file: who mends the bundle need not start the relay again
    right.write_ca(setup.path());
    eventually("it is sent", async || errcode(&relay, "GET", &login, None, "").await == 40029).await;
    eventually("there is a token", async || relay.get("/token").await.status == 200).await;
    assert_eq!(errcode(&relay, "POST", SEND, Some(CLIENT_KEY), MESSAGE).await, 0);
    assert_eq!(trap.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody called the proxy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_callers_at_once_see_nothing_of_a_dead_token_and_cost_one_probe_and_one_refresh() {
    let mut setup = setup().await;
    setup.set("log.filter", "info");
    let relay = setup.start().await;
    setup.sim.revoke(&relay.get("/token").await.token());
    let (at, mut callers) = (relay.public, JoinSet::new());
    for _ in 0..50 {
        let request = client::request("POST", SEND, Some(CLIENT_KEY), "", MESSAGE);
        callers.spawn(async move { client::send(at, request.as_bytes()).await.unwrap() });
    }
    while let Some(answer) = callers.join_next().await {
        let answer = answer.unwrap();
        assert_eq!(answer.json()["errcode"], 0, "{answer:?}");
    }
    let probes = setup.sim.route("/cgi-bin/get_api_domain_ip").calls;
    assert_eq!((setup.calls().len(), probes), (2, 1));
}
