//! What goes through a proxy, and what has the proxy heard when it fails?

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use secrecy::SecretString;
use test_support::{ClosedPort, FakeServer};
use token_relay::issuer::upstream::UpstreamSettings;
use wechat_sim::Op;

use crate::call::{GOOD, SECOND, SECRET, ask_token, not_sent, reply, settings, sim, unknown};

fn through(proxy: &str, base: &str) -> UpstreamSettings {
    UpstreamSettings { proxy: Some(SecretString::from(proxy)), ..settings(base) }
}

#[tokio::test]
async fn a_plain_call_goes_through_an_http_proxy_in_absolute_form_with_the_proxy_s_password() {
    let proxy = FakeServer::replying(reply("200 OK", GOOD));
    let url = format!("http://user:hunter2@{}", proxy.address);
    assert!(ask_token(through(&url, "http://wechat.invalid:8080")).await.is_ok());
    let requests = proxy.requests();
    assert!(requests[0].starts_with("GET http://wechat.invalid:8080/cgi-bin/token?"), "{requests:?}");
    assert!(requests[0].to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpodw50zxiy"), "{requests:?}");
    // From here on the proxy has the request, so whatever it answers is not WeChat's word.
    let failing = FakeServer::replying(reply("502 Bad Gateway", "<html>"));
    unknown(ask_token(through(&failing.url("http"), "http://wechat.invalid")).await);
}

#[tokio::test]
async fn a_proxy_that_is_away_refuses_or_says_nothing_has_sent_nothing() {
    let closed = ClosedPort::bind();
    let away = closed.url();
    not_sent(ask_token(through(&away, "http://wechat.invalid")).await);
    not_sent(ask_token(through(&away, "https://wechat.invalid")).await);
    for head in ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway"] {
        let refusing = FakeServer::replying(reply(head, "user:hunter2"));
        let url = format!("http://user:hunter2@{}", refusing.address);
        not_sent(ask_token(through(&url, "https://wechat.invalid")).await);
        let requests = refusing.requests();
        assert!(requests[0].starts_with("CONNECT wechat.invalid:443 HTTP/1.1\r\n") && !requests[0].contains(SECRET));
    }
    let silent = FakeServer::silent();
    let settings =
        UpstreamSettings { connect_timeout: SECOND, ..through(&silent.url("http"), "https://wechat.invalid") };
    assert!(not_sent(ask_token(settings).await).contains("timed out"));
}

#[tokio::test]
async fn a_socks5_proxy_carries_the_call_or_has_sent_nothing() {
    let sim = sim().await;
    let target = sim.addr();
    let socks = FakeServer::new(move |mut connection| {
        let client = &mut connection.stream;
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
            connection.splice(TcpStream::connect(target).unwrap());
        }
    });
    assert!(ask_token(through(&socks.url("socks5h"), "http://wechat.invalid")).await.is_ok());
    not_sent(ask_token(through(&socks.url("socks5h"), "http://other.invalid")).await);
    assert_eq!(sim.calls(Op::Token).len(), 1);
}
