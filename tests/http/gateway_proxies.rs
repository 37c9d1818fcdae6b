//! Does the gateway reach WeChat through the proxy of the settings, whatever kind it is?

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use test_support::FakeServer;
use token_relay::http::Timeouts;

use crate::{
    fake_relay::LIMITS,
    gateway::{Gate, errcode, settings},
};

/// A gateway to a name that only the proxy knows.
async fn through(proxy: impl FnOnce(SocketAddr) -> (FakeServer, String)) -> (Gate, FakeServer) {
    let long = Duration::from_secs(60);
    let timeouts = Timeouts { silence: long, ..Timeouts::new(long) };
    let mut server = None;
    let gate = Gate::with(timeouts, LIMITS, |sim| {
        let (proxy, url) = proxy(sim.addr());
        server = Some(proxy);
        let mut settings = settings("http://wechat.invalid", None);
        settings.proxy = Some(url.into());
        settings
    })
    .await;
    (gate, server.unwrap())
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn an_http_proxy_makes_a_tunnel_and_gets_its_password_and_nothing_of_the_call() {
    let (seen, heads) = std::sync::mpsc::channel();
    let (gate, _proxy) = through(|target| {
        let server = FakeServer::new(move |mut connection| {
            seen.send(read_head(&mut connection.stream)).unwrap();
            connection.stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            connection.splice(TcpStream::connect(target).unwrap());
        });
        let url = format!("http://user:hunter2@{}", server.address);
        (server, url)
    })
    .await;
    for _ in 0..3 {
        assert_eq!(errcode(&gate.message(&gate.token).await), 0);
    }
    let head = heads.recv().unwrap();
    assert!(head.starts_with("CONNECT wechat.invalid:80 HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpodw50zxiy"), "{head}");
    assert!(!head.contains(&gate.token), "{head}");
    assert!(heads.try_recv().is_err(), "the connection is used again");
}

#[tokio::test]
async fn a_socks5_proxy_resolves_the_name_and_gets_its_password() {
    let (gate, _proxy) = through(|target| {
        let server = FakeServer::new(move |mut connection| {
            let client = &mut connection.stream;
            let mut greeting = [0; 2];
            client.read_exact(&mut greeting).unwrap();
            let mut methods = vec![0; usize::from(greeting[1])];
            client.read_exact(&mut methods).unwrap();
            assert!(methods.contains(&2), "{methods:?}");
            client.write_all(&[5, 2]).unwrap();
            let mut password = [0; 14];
            client.read_exact(&mut password).unwrap();
            assert_eq!(&password, b"\x01\x04user\x07hunter2");
            client.write_all(&[1, 0]).unwrap();
            let mut head = [0; 5];
            client.read_exact(&mut head).unwrap();
            let mut name = vec![0; usize::from(head[4]) + 2];
            client.read_exact(&mut name).unwrap();
            assert!(name.starts_with(b"wechat.invalid"), "{name:?}");
            client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
            connection.splice(TcpStream::connect(target).unwrap());
        });
        let url = format!("socks5h://user:hunter2@{}", server.address);
        (server, url)
    })
    .await;
    assert_eq!(errcode(&gate.message(&gate.token).await), 0);
}
