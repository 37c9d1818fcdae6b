//! A client that shows what is on the wire.
#![allow(dead_code, reason = "each test binary uses its share")]
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wechat_sim::{Builder, Sim};

pub(crate) const APP: &str = "wx0000000000000001";
pub(crate) const SECRET: &str = "sentinel-secret-0123456789abcdef";

/// Far longer than anything here takes, and shorter than a reader's patience.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn sim() -> Builder {
    Sim::builder().app(APP, SECRET)
}

pub(crate) fn token_request() -> String {
    get(&format!("/cgi-bin/token?grant_type=client_credential&appid={APP}&secret={SECRET}"))
}

pub(crate) fn stable_request(force: bool) -> String {
    let body =
        serde_json::json!({"grant_type": "client_credential", "appid": APP, "secret": SECRET, "force_refresh": force});
    post("/cgi-bin/stable_token", &body.to_string())
}

pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n")
}

pub(crate) fn post(target: &str, body: &str) -> String {
    request("POST", target, body)
}

pub(crate) fn request(method: &str, target: &str, body: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A POST of a form with one file.
pub(crate) fn upload(target: &str, content_type: &str, file: &[u8]) -> Vec<u8> {
    let front = format!(
        "--limit\r\nContent-Disposition: form-data; name=\"media\"; filename=\"a.png\"\r\nContent-Type: {content_type}\r\n\r\n"
    );
    let form = [front.as_bytes(), file, b"\r\n--limit--\r\n"].concat();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=limit\r\n\
         Content-Length: {}\r\n\r\n",
        form.len()
    );
    [head.into_bytes(), form].concat()
}

/// All bytes up to the end of the connection.
pub(crate) async fn raw(addr: SocketAddr, request: impl AsRef<[u8]>) -> io::Result<Vec<u8>> {
    let exchange = async {
        let mut socket = TcpStream::connect(addr).await?;
        socket.write_all(request.as_ref()).await?;
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await?;
        Ok(bytes)
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("an answer or an end within patience")
}

/// Head and body of a reply that has both.
pub(crate) async fn reply(addr: SocketAddr, request: impl AsRef<[u8]>) -> (String, Vec<u8>) {
    let bytes = raw(addr, request).await.unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    (String::from_utf8(bytes[..end].to_vec()).unwrap(), bytes[end + 4..].to_vec())
}

pub(crate) async fn json(addr: SocketAddr, request: impl AsRef<[u8]>) -> Value {
    serde_json::from_slice(&reply(addr, request).await.1).unwrap()
}

/// The token of a call that must succeed.
pub(crate) async fn token(addr: SocketAddr) -> String {
    json(addr, &token_request()).await["access_token"].as_str().unwrap().to_owned()
}

pub(crate) async fn probe(addr: SocketAddr, token: &str) -> Value {
    json(addr, &get(&format!("/cgi-bin/get_api_domain_ip?access_token={token}"))).await
}

/// Waits for what must come, without a guess at how long it takes.
pub(crate) async fn until(mut come: impl FnMut() -> bool) {
    let wait = async {
        while !come() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it comes within patience");
}
