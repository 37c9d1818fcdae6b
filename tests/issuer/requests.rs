//! What does the issuer send, byte by byte, and on which connection?

use std::{io::Write as _, time::Duration};

use secrecy::SecretString;
use test_support::{FakeServer, eventually};
use token_relay::issuer::{
    Issuer as _, Verdict,
    upstream::Upstream,
    wechat::{Endpoint, WeChat, WeChatAccount},
};
use wechat_sim::{Kind, Op};

use crate::{
    call::{APPID, GOOD, LONG, SECRET, ask, issuer, reply, settings, sim, unknown},
    probe::verdict,
};

#[tokio::test]
async fn a_token_call_is_one_plain_get_with_its_values_encoded() {
    let server = FakeServer::replying(reply("200 OK", GOOD));
    let account = WeChatAccount {
        appid: "wx&appid=1 2".to_owned(),
        secret: SecretString::from("a+b/c=d%20é#?"),
        endpoint: Endpoint::Token,
        overlap: LONG,
    };
    let upstream = Upstream::new(settings(&server.url("http"))).unwrap();
    assert_eq!(WeChat::new(upstream, account).issue(true).await.unwrap().life, Duration::from_secs(7200));
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    let line = "GET /cgi-bin/token?grant_type=client_credential&appid=wx%26appid%3D1+2&secret=a%2Bb%2Fc%3Dd%2520%C3%A9%23%3F \
                HTTP/1.1\r\n";
    assert!(requests[0].starts_with(line), "{requests:?}");
    let lower = requests[0].to_ascii_lowercase();
    assert!(lower.contains(concat!("user-agent: token-relay/", env!("CARGO_PKG_VERSION"), "\r\n")), "{lower}");
    assert!(lower.contains("connection: close\r\n") && !lower.contains("referer"), "{lower}");
}

#[tokio::test]
async fn a_stable_token_call_is_one_json_post_below_the_path_of_the_base_url() {
    for (force, base) in [(false, "/prefix"), (true, "/prefix/")] {
        let server = FakeServer::replying(reply("200 OK", GOOD));
        let wechat = issuer(settings(&(server.url("http") + base)), Endpoint::StableToken);
        wechat.issue(force).await.unwrap();
        let requests = server.requests();
        assert_eq!(requests.len(), 1);
        assert!(requests[0].starts_with("POST /prefix/cgi-bin/stable_token HTTP/1.1\r\n"), "{requests:?}");
        assert!(requests[0].to_ascii_lowercase().contains("content-type: application/json\r\n"));
        let body: serde_json::Value = serde_json::from_str(requests[0].split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let expected = serde_json::json!({
            "grant_type": "client_credential", "appid": APPID, "secret": SECRET, "force_refresh": force,
        });
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn no_connection_is_used_twice() {
    // The server offers to keep the connection, and reads a second request from it.
    let server = FakeServer::new(|mut connection| {
        while !connection.read_request().is_empty() {
            let _ = connection.stream.write_all(reply("200 OK\r\nConnection: keep-alive", GOOD).as_bytes());
        }
    });
    let wechat = issuer(settings(&server.url("http")), Endpoint::Token);
    for _ in 0..3 {
        wechat.issue(false).await.unwrap();
    }
    let whole = || server.requests().iter().filter(|request| !request.is_empty()).count();
    let ends = || server.requests().iter().filter(|request| request.is_empty()).count();
    eventually("every connection ends after its request", async || ends() >= 3).await;
    assert_eq!((whole(), ends()), (3, 3), "three connections, one request on each");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_secret_goes_nowhere_else() {
    let elsewhere = FakeServer::replying(reply("200 OK", GOOD));
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let head = format!("{status}\r\nLocation: {}/cgi-bin/token", elsewhere.url("http"));
        let server = FakeServer::replying(reply(&head, "<html>moved</html>"));
        for endpoint in Endpoint::ALL {
            let reason = unknown(ask(settings(&server.url("http")), endpoint).await);
            assert!(reason.starts_with("HTTP 30"), "{reason}");
        }
        assert_eq!(server.requests().len(), 2);
    }
    assert!(elsewhere.requests().is_empty());
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
