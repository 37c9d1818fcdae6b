//! What does the issuer send, and what does it make of everything that a wire can do? Real sockets, real clock.

#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but clippy does not see that these helpers are theirs"
)]

mod own_ca;

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use secrecy::SecretString;
use token_relay::{
    credential::Token,
    issuer::{
        IssueError, Issuer as _, Verdict,
        upstream::{Upstream, UpstreamError, UpstreamSettings, Url},
        wechat::{ERRORS, Endpoint, WeChat, WeChatAccount},
    },
};
use wechat_sim::{Fault, Kind, Odd, Op, Plan, Sim, Times};

const APPID: &str = "wx0123456789abcdef";
const SECRET: &str = "5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0";
const GOOD: &str = r#"{"access_token":"75_good","expires_in":7200}"#;
const SECOND: Duration = Duration::from_secs(1);
/// Longer than any test needs where the time does not matter.
const LONG: Duration = Duration::from_secs(60);

fn settings(base: &str) -> UpstreamSettings {
    UpstreamSettings {
        base_url: base.parse().unwrap(),
        fallback_base_url: None,
        proxy: None,
        connect_timeout: LONG,
        timeout: LONG,
    }
}

fn issuer(settings: UpstreamSettings, endpoint: Endpoint) -> WeChat {
    let account =
        WeChatAccount { appid: APPID.to_owned(), secret: SecretString::from(SECRET), endpoint, overlap: LONG };
    WeChat::new(Upstream::new(settings).unwrap(), account)
}

/// Asks once, and makes sure that the outcome tells nothing that it must not.
async fn ask(settings: UpstreamSettings, endpoint: Endpoint) -> Result<(String, u64), IssueError> {
    let outcome = issuer(settings, endpoint).issue(false).await;
    if let Err(error) = &outcome {
        let shown = format!("{error} {error:?} {}", ERRORS.hint(error));
        for hidden in [SECRET, APPID, "access_token=", "secret=", "hunter2"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
    outcome.map(|issued| (issued.token.expose().to_owned(), issued.life.as_secs()))
}

async fn ask_token(settings: UpstreamSettings) -> Result<(String, u64), IssueError> {
    ask(settings, Endpoint::Token).await
}

/// A server that gives each connection to `serve`, and keeps the heads and bodies of the requests that it reads.
struct Wire {
    addr: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Wire {
    fn new(serve: impl Fn(TcpStream, &dyn Fn(&mut TcpStream) -> String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (serve, kept) = (Arc::new(serve), Arc::clone(&heard));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (serve, kept) = (Arc::clone(&serve), Arc::clone(&kept));
                thread::spawn(move || {
                    serve(stream, &|stream| {
                        let request = read_request(stream).unwrap_or_default();
                        kept.lock().unwrap().push(request.clone());
                        request
                    });
                });
            }
        });
        Self { addr, heard }
    }

    /// Reads one request and answers it with these bytes.
    fn answering(reply: impl Into<Vec<u8>>) -> Self {
        let reply = reply.into();
        Self::new(move |mut stream, read| {
            read(&mut stream);
            let _ = stream.write_all(&reply);
            // Closing with unread bytes would reset the connection; there are none.
        })
    }

    /// Accepts, and never says a word.
    fn silent() -> Self {
        Self::new(|mut stream, _| drop(stream.read_to_end(&mut Vec::new())))
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.addr)
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn read_request(stream: &mut TcpStream) -> io::Result<String> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    while reader.read_line(&mut request)? > 2 {}
    let lower = request.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(request + &String::from_utf8_lossy(&body))
}

fn reply(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A port on which nobody listens. The socket is bound and stays, so that no other test gets the port.
fn refusing() -> (tokio::net::TcpSocket, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

fn not_sent(outcome: Result<(String, u64), IssueError>) -> String {
    match outcome {
        Err(IssueError::NotSent { cause }) => cause.to_string(),
        other => panic!("not a call that was not sent: {other:?}"),
    }
}

fn unknown(outcome: Result<(String, u64), IssueError>) -> String {
    match outcome {
        Err(IssueError::Unknown { cause }) => cause.to_string(),
        other => panic!("not an unknown call: {other:?}"),
    }
}

#[tokio::test]
async fn a_token_call_is_one_plain_get_with_its_values_encoded() {
    let wire = Wire::answering(reply("200 OK", GOOD));
    let account = WeChatAccount {
        appid: "wx&appid=1 2".to_owned(),
        secret: SecretString::from("a+b/c=d%20é#?"),
        endpoint: Endpoint::Token,
        overlap: LONG,
    };
    let upstream = Upstream::new(settings(&wire.url("http"))).unwrap();
    assert_eq!(WeChat::new(upstream, account).issue(true).await.unwrap().life, Duration::from_secs(7200));
    let heard = wire.heard();
    assert_eq!(heard.len(), 1);
    let line = "GET /cgi-bin/token?grant_type=client_credential&appid=wx%26appid%3D1+2&secret=a%2Bb%2Fc%3Dd%2520%C3%A9%23%3F \
                HTTP/1.1\r\n";
    assert!(heard[0].starts_with(line), "{heard:?}");
    let lower = heard[0].to_ascii_lowercase();
    assert!(lower.contains(concat!("user-agent: token-relay/", env!("CARGO_PKG_VERSION"), "\r\n")), "{lower}");
    assert!(lower.contains("connection: close\r\n") && !lower.contains("referer"), "{lower}");
}

#[tokio::test]
async fn a_stable_token_call_is_one_json_post_below_the_path_of_the_base_url() {
    for (force, base) in [(false, "/prefix"), (true, "/prefix/")] {
        let wire = Wire::answering(reply("200 OK", GOOD));
        let wechat = issuer(settings(&(wire.url("http") + base)), Endpoint::StableToken);
        wechat.issue(force).await.unwrap();
        let heard = wire.heard();
        assert_eq!(heard.len(), 1);
        assert!(heard[0].starts_with("POST /prefix/cgi-bin/stable_token HTTP/1.1\r\n"), "{heard:?}");
        assert!(heard[0].to_ascii_lowercase().contains("content-type: application/json\r\n"));
        let body: serde_json::Value = serde_json::from_str(heard[0].split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let expected = serde_json::json!({
            "grant_type": "client_credential", "appid": APPID, "secret": SECRET, "force_refresh": force,
        });
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn no_connection_is_used_twice() {
    // The server offers to keep the connection, and reads a second request from it.
    let wire = Wire::new(|mut stream, read| {
        while !read(&mut stream).is_empty() {
            let _ = stream.write_all(reply("200 OK\r\nConnection: keep-alive", GOOD).as_bytes());
        }
    });
    let wechat = issuer(settings(&wire.url("http")), Endpoint::Token);
    for _ in 0..3 {
        wechat.issue(false).await.unwrap();
    }
    let requests = || wire.heard().iter().filter(|request| !request.is_empty()).count();
    let ends = || wire.heard().iter().filter(|request| request.is_empty()).count();
    let all_ended = async {
        while ends() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, all_ended).await.expect("every connection ends after its request");
    assert_eq!((requests(), ends()), (3, 3), "three connections, one request on each");
}

#[tokio::test]
async fn a_success_counts_whatever_status_and_content_type_say() {
    for head in [
        "200 OK\r\nContent-Type: text/plain",
        "502 Bad Gateway\r\nContent-Type: text/html",
        "404 Not Found",
        "302 Found\r\nLocation: /elsewhere",
        "299 Whatever\r\nContent-Type: application/json; encoding=utf-8",
    ] {
        let wire = Wire::answering(reply(head, &format!("\u{feff}{GOOD}\n")));
        assert_eq!(ask_token(settings(&wire.url("http"))).await, Ok(("75_good".to_owned(), 7200)), "{head}");
    }
    // Without a length the body ends with the connection, and in chunks it may be told in any pieces.
    let chunks = GOOD.chars().fold(String::new(), |chunks, c| chunks + "1\r\n" + c.encode_utf8(&mut [0; 4]) + "\r\n");
    for whole in [
        format!("HTTP/1.0 200 OK\r\n\r\n{GOOD}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
    ] {
        assert!(ask_token(settings(&Wire::answering(whole).url("http"))).await.is_ok());
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_secret_goes_nowhere_else() {
    let elsewhere = Wire::answering(reply("200 OK", GOOD));
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let head = format!("{status}\r\nLocation: {}/cgi-bin/token", elsewhere.url("http"));
        let wire = Wire::answering(reply(&head, "<html>moved</html>"));
        for endpoint in Endpoint::ALL {
            let reason = unknown(ask(settings(&wire.url("http")), endpoint).await);
            assert!(reason.starts_with("HTTP 30"), "{reason}");
        }
        assert_eq!(wire.heard().len(), 2);
    }
    assert!(elsewhere.heard().is_empty());
}

#[tokio::test]
async fn a_reply_over_64_kib_or_none_at_all_is_an_unknown_call() {
    let padded =
        |length: usize| format!(r#"{{"access_token":"75_good","expires_in":7200,"x":"{}"}}"#, "x".repeat(length));
    let largest = 65_536 - padded(0).len();
    let exact = Wire::answering(reply("200 OK", &padded(largest)));
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
        unknown(ask_token(settings(&Wire::answering(bytes).url("http"))).await);
    }
}

/// What WeChat says of a token, asked again where a busy machine took the 3 s of a probe.
async fn verdict(wechat: &WeChat, token: &Token) -> Verdict {
    let mut told = wechat.probe(token).await;
    for _ in 0..5 {
        if !matches!(told, Verdict::Inconclusive { .. }) {
            break;
        }
        told = wechat.probe(token).await;
    }
    told
}

async fn sim() -> Sim {
    Sim::builder().app(APPID, SECRET).start().await.unwrap()
}

#[tokio::test]
async fn both_endpoints_hand_out_tokens_that_wechat_accepts_until_they_are_dead() {
    let sim = sim().await;
    for endpoint in Endpoint::ALL {
        let wechat = issuer(settings(&sim.base_url()), endpoint);
        let issued = wechat.issue(false).await.unwrap();
        assert_eq!(issued.life, Duration::from_secs(7200));
        assert!(sim.token_alive(APPID, issued.token.expose()));
        assert_eq!(verdict(&wechat, &issued.token).await, Verdict::Accepted);
        sim.revoke(issued.token.expose());
        let refused = verdict(&wechat, &issued.token).await;
        assert!(matches!(refused, Verdict::Refused { errcode: 40001 | 40014 | 42001 }));
    }
    assert_eq!((sim.mints(APPID, Kind::Rotating), sim.mints(APPID, Kind::Sticky)), (1, 1));
}

#[tokio::test]
async fn a_sticky_issuer_gets_the_same_token_until_it_forces() {
    let sim = sim().await;
    let wechat = issuer(settings(&sim.base_url()), Endpoint::StableToken);
    let first = wechat.issue(false).await.unwrap().token;
    assert_eq!(wechat.issue(false).await.unwrap().token, first);
    assert_ne!(wechat.issue(true).await.unwrap().token, first);
    let forced: Vec<bool> = sim.calls(Op::StableToken).iter().map(|call| call.forced).collect();
    assert_eq!(forced, [false, false, true]);
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
    let drip = Wire::new(|mut stream, read| {
        read(&mut stream);
        for byte in reply("200 OK", GOOD).bytes() {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
    assert_eq!(unknown(ask_token(short(drip.url("http"))).await), "no whole reply within 2s");
    let silent = Wire::silent();
    assert_eq!(unknown(ask_token(short(silent.url("http"))).await), "no whole reply within 2s");
}

#[tokio::test]
async fn what_fails_before_the_first_byte_was_not_sent() {
    let (_held, refused) = refusing();
    assert!(not_sent(ask_token(settings(&refused)).await).contains("refused"));
    assert!(not_sent(ask_token(settings("http://wechat.invalid")).await).contains("dns error"));
    let plain = Wire::answering(reply("400 Bad Request", "no TLS here"));
    not_sent(ask_token(settings(&plain.url("https"))).await);
    let closing = Wire::new(|stream, _| drop(stream));
    not_sent(ask_token(settings(&closing.url("https"))).await);
}

#[tokio::test]
async fn a_connection_that_is_never_made_was_not_sent_whichever_time_runs_out() {
    // TCP connects and TLS never answers: the request has not begun.
    let silent = Wire::silent().url("https");
    let connect = UpstreamSettings { connect_timeout: Duration::from_millis(200), ..settings(&silent) };
    assert!(not_sent(ask_token(connect).await).contains("timed out"));
    let whole = UpstreamSettings { timeout: Duration::from_millis(200), ..settings(&silent) };
    assert_eq!(not_sent(ask_token(whole).await), "no connection within 200ms");
    let both = UpstreamSettings {
        connect_timeout: Duration::from_millis(200),
        timeout: Duration::from_millis(300),
        fallback_base_url: Some(silent.parse().unwrap()),
        ..settings(&silent)
    };
    assert_eq!(not_sent(ask_token(both).await), "no connection within 300ms", "the rest of the time is the fallback's");
}

fn with_fallback(base: &str, fallback: &str) -> UpstreamSettings {
    UpstreamSettings { fallback_base_url: Some(fallback.parse().unwrap()), ..settings(base) }
}

#[tokio::test]
async fn the_fallback_host_is_asked_within_the_same_call_when_the_first_cannot_be_connected() {
    let (sim, (_held, refused)) = (sim().await, refusing());
    for endpoint in Endpoint::ALL {
        assert!(ask(with_fallback(&refused, &sim.base_url()), endpoint).await.is_ok());
    }
    assert!(ask_token(with_fallback("http://wechat.invalid", &sim.base_url())).await.is_ok());
    let token = Token::try_from("75_unknown".to_owned()).unwrap();
    let wechat = issuer(with_fallback(&refused, &sim.base_url()), Endpoint::Token);
    assert!(matches!(verdict(&wechat, &token).await, Verdict::Refused { .. }));
    let reason = not_sent(ask_token(with_fallback(&refused, "http://wechat.invalid")).await);
    assert!(reason.contains("127.0.0.1: ") && reason.contains("; wechat.invalid: "), "{reason}");
}

#[tokio::test]
async fn the_fallback_host_is_not_asked_when_the_first_may_have_heard() {
    let (sim, fallback) = (sim().await, Wire::answering(reply("200 OK", GOOD)));
    sim.script(Op::Token, [Fault::Status(502), Fault::Reset, Fault::Close, Fault::Truncated, Fault::Empty]);
    for _ in 0..5 {
        unknown(ask_token(with_fallback(&sim.base_url(), &fallback.url("http"))).await);
    }
    sim.fault(Op::Token, Fault::errcode(-1), Times::Next(1));
    assert!(matches!(
        ask_token(with_fallback(&sim.base_url(), &fallback.url("http"))).await,
        Err(IssueError::Refused { errcode: -1, .. })
    ));
    assert!(fallback.heard().is_empty());
}

#[tokio::test]
async fn a_probe_that_is_not_answered_within_3_s_or_not_clearly_says_nothing() {
    let sim = sim().await;
    let wechat = issuer(settings(&sim.base_url()), Endpoint::Token);
    let token = wechat.issue(false).await.unwrap().token;
    for fault in [
        Fault::Hang,
        Fault::Reset,
        Fault::Status(502),
        Fault::Empty,
        Fault::Truncated,
        Fault::errcode(-1),
        Fault::errcode(45009),
        Fault::errcode(48001),
        Fault::errcode(41001),
    ] {
        sim.fault(Op::Api, fault.clone(), Times::Next(1));
        let verdict = tokio::time::timeout(LONG, wechat.probe(&token)).await.expect("3 s, not the call's 60");
        let Verdict::Inconclusive { cause } = verdict else { panic!("{fault:?}: {verdict:?}") };
        let reason = cause.to_string();
        assert!(!reason.contains(token.expose()) && !reason.contains("access_token"), "{reason}");
    }
    sim.fault(Op::Api, Fault::FalseRefusal, Times::Always);
    assert_eq!(verdict(&wechat, &token).await, Verdict::Refused { errcode: 40001 });
    sim.clear_faults();
    assert_eq!(verdict(&wechat, &token).await, Verdict::Accepted);
}

#[test]
fn an_unusable_setting_is_refused_by_its_key_and_never_shown() {
    let refusal = |settings| Upstream::new(settings).map(drop).unwrap_err();
    for base in ["ftp://host", "http://user:hunter2@host", "http://host/?a=hunter2", "http://host/#x", "data:hunter2"] {
        let error = refusal(settings(base));
        assert_eq!(error, UpstreamError::BaseUrl { key: "wechat.base_url" });
        assert!(!error.to_string().contains("hunter2"));
        let error = refusal(with_fallback("http://host", base));
        assert_eq!(error, UpstreamError::BaseUrl { key: "wechat.fallback_base_url" });
    }
    for proxy in ["hunter2", "ftp://hunter2@host", "http://", "socks4://host:1", "://hunter2"] {
        let error = refusal(UpstreamSettings { proxy: Some(SecretString::from(proxy)), ..settings("http://host") });
        assert_eq!(error, UpstreamError::Proxy);
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn nothing_that_is_printed_for_debugging_holds_a_secret() {
    for proxy in ["http://user:hunter2@127.0.0.1:1", "socks5h://user:hunter2@127.0.0.1:1"] {
        let settings = UpstreamSettings { proxy: Some(SecretString::from(proxy)), ..settings("http://host") };
        let shown = format!("{settings:?} {:?}", issuer(settings.clone(), Endpoint::Token));
        // user:hunter2 in base64, as a proxy header has it
        for hidden in ["hunter2", "dXNlcjpodW50ZXIy", SECRET] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}

fn through(proxy: &str, base: &str) -> UpstreamSettings {
    UpstreamSettings { proxy: Some(SecretString::from(proxy)), ..settings(base) }
}

/// Copies bytes both ways until either side ends.
fn splice(client: TcpStream, server: TcpStream) {
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    let _ = io::copy(&mut from_server, &mut to_client);
    let _ = to_client.shutdown(std::net::Shutdown::Both);
}

#[tokio::test]
async fn a_plain_call_goes_through_an_http_proxy_in_absolute_form_with_the_proxy_s_password() {
    let proxy = Wire::answering(reply("200 OK", GOOD));
    let url = format!("http://user:hunter2@{}", proxy.addr);
    assert!(ask_token(through(&url, "http://wechat.invalid:8080")).await.is_ok());
    let heard = proxy.heard();
    assert!(heard[0].starts_with("GET http://wechat.invalid:8080/cgi-bin/token?"), "{heard:?}");
    assert!(heard[0].to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpodw50zxiy"), "{heard:?}");
    // From here on the proxy has the request, so whatever it answers is not WeChat's word.
    let failing = Wire::answering(reply("502 Bad Gateway", "<html>"));
    unknown(ask_token(through(&failing.url("http"), "http://wechat.invalid")).await);
}

#[tokio::test]
async fn a_proxy_that_is_away_refuses_or_says_nothing_has_sent_nothing() {
    let (_held, away) = refusing();
    not_sent(ask_token(through(&away, "http://wechat.invalid")).await);
    not_sent(ask_token(through(&away, "https://wechat.invalid")).await);
    for head in ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway"] {
        let refusing = Wire::answering(reply(head, "user:hunter2"));
        let url = format!("http://user:hunter2@{}", refusing.addr);
        not_sent(ask_token(through(&url, "https://wechat.invalid")).await);
        let heard = refusing.heard();
        assert!(heard[0].starts_with("CONNECT wechat.invalid:443 HTTP/1.1\r\n") && !heard[0].contains(SECRET));
    }
    let silent = Wire::silent();
    let settings =
        UpstreamSettings { connect_timeout: SECOND, ..through(&silent.url("http"), "https://wechat.invalid") };
    assert!(not_sent(ask_token(settings).await).contains("timed out"));
}

#[tokio::test]
async fn a_socks5_proxy_carries_the_call_or_has_sent_nothing() {
    let sim = sim().await;
    let target = sim.addr();
    let socks = Wire::new(move |mut client, _| {
        let mut greeting = [0; 3];
        client.read_exact(&mut greeting).unwrap();
        client.write_all(&[5, 0]).unwrap();
        // Version, connect, reserved, the name's type, its length, the name, the port.
        let mut head = [0; 5];
        client.read_exact(&mut head).unwrap();
        let mut name = vec![0; usize::from(head[4]) + 2];
        client.read_exact(&mut name).unwrap();
        let known = name.starts_with(b"wechat.invalid");
        client.write_all(&[5, if known { 0 } else { 4 }, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        if known {
            splice(client, TcpStream::connect(target).unwrap());
        }
    });
    assert!(ask_token(through(&socks.url("socks5h"), "http://wechat.invalid")).await.is_ok());
    not_sent(ask_token(through(&socks.url("socks5h"), "http://other.invalid")).await);
    assert_eq!(sim.calls(Op::Token).len(), 1);
}

mod children {
    //! What depends on the environment, which only a process of its own can have.

    use std::path::Path;

    use wechat_sim::Identity;

    use super::*;

    const URL: &str = "ISSUER_WIRE_URL";
    const PROXY: &str = "ISSUER_WIRE_PROXY";

    /// Not a test: what a child does. It prints the outcome in one line.
    #[tokio::test]
    #[ignore = "runs in a child process of the tests below"]
    async fn ask_as_the_environment_says() {
        let mut settings = settings(&std::env::var(URL).unwrap());
        settings.proxy = std::env::var(PROXY).ok().map(SecretString::from);
        match Upstream::new(settings.clone()) {
            Err(error) => println!("\noutcome: {error}"),
            Ok(_) => match ask_token(settings).await {
                Ok((token, _)) => println!("\noutcome: issued {token}"),
                Err(error) => println!("\noutcome: {error}; hint: {}", ERRORS.hint(&error)),
            },
        }
    }

    /// Runs the child without this process's certificates and proxies.
    async fn outcome(url: &str, environment: &[(&str, &str)]) -> String {
        let environment = [environment, &[(URL, url)]].concat();
        own_ca::outcome("children::ask_as_the_environment_says", &environment).await
    }

    /// A CA, written to `dir`, and a server's identity under it.
    fn identity(dir: &Path, name: &str) -> (String, Identity) {
        let signed = own_ca::sign(dir, name);
        let identity = Identity::from_pem(signed.certificate, signed.key).unwrap();
        (signed.ca_file.to_str().unwrap().to_owned(), identity)
    }

    async fn encrypted(identity: Identity) -> Sim {
        Sim::builder().app(APPID, SECRET).tls(identity).start().await.unwrap()
    }

    #[tokio::test]
    async fn certificates_are_verified_by_the_bundle_that_ssl_cert_file_names() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, good) = identity(dir.path(), "localhost");
        let (other_ca, misnamed) = identity(dir.path(), "elsewhere.invalid");
        let sim = encrypted(good).await;
        let told = outcome(&sim.base_url(), &[("SSL_CERT_FILE", &ca)]).await;
        assert!(told.starts_with("issued "), "{told}");
        let hint = format!("; hint: {}", ERRORS.certificate);
        let told = outcome(&sim.base_url(), &[("SSL_CERT_FILE", &other_ca)]).await;
        assert!(told.starts_with("not sent: ") && told.contains("UnknownIssuer"), "{told}");
        assert!(told.ends_with(&hint), "{told}");
        let told = outcome(&encrypted(misnamed).await.base_url(), &[("SSL_CERT_FILE", &other_ca)]).await;
        assert!(told.starts_with("not sent: ") && told.contains("not valid for name"), "{told}");
        assert!(told.ends_with(&hint), "{told}");
        assert_eq!(sim.calls(Op::Token).len(), 1);
    }

    #[tokio::test]
    async fn a_missing_bundle_is_told_and_plain_http_needs_none() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        for bundle in [empty.to_str().unwrap(), "/nonexistent/bundle.pem"] {
            let told = outcome("https://localhost:1", &[("SSL_CERT_FILE", bundle)]).await;
            assert!(told.starts_with("no CA certificates found: "), "{told}");
            let told = outcome(&sim().await.base_url(), &[("SSL_CERT_FILE", bundle)]).await;
            assert!(told.starts_with("issued "), "{told}");
        }
    }

    #[tokio::test]
    async fn a_proxy_in_the_environment_is_not_used_and_one_in_the_settings_tunnels_tls() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, identity) = identity(dir.path(), "localhost");
        let (_held, away) = refusing();
        let none: Vec<(&str, &str)> =
            ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
                .map(|key| (key, &*away))
                .into();
        let told = outcome(&sim().await.base_url(), &none).await;
        assert!(told.starts_with("issued "), "{told}");
        let sim = encrypted(identity).await;
        let target = sim.addr();
        let proxy = Wire::new(move |mut client, read| {
            read(&mut client);
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            splice(client, TcpStream::connect(target).unwrap());
        });
        let told = outcome(&sim.base_url(), &[(PROXY, &proxy.url("http")), ("SSL_CERT_FILE", &ca)]).await;
        assert!(told.starts_with("issued "), "{told}");
        let heard = proxy.heard();
        assert!(
            heard.len() == 1 && heard[0].starts_with("CONNECT localhost:") && !heard[0].contains(SECRET),
            "{heard:?}"
        );
    }
}

#[test]
fn the_url_type_is_the_client_s_own() {
    assert!("https://api.weixin.qq.com".parse::<Url>().is_ok());
}
