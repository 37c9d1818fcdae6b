//! What does an internal service send to a relay, and what does it get back? Bytes on a socket: no library mends them.

use std::{io, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than any answer takes, the longest poll of these tests included.
pub(crate) const LATEST: Duration = Duration::from_secs(90);

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// Everything after the head.
    pub body: String,
}

impl Answer {
    pub(crate) fn read(bytes: &[u8]) -> io::Result<Self> {
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "no whole answer");
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(cut)?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
        let answer = Self { status, head, body };
        let announced = answer.header("content-length").and_then(|length| length.parse::<usize>().ok());
        if announced.is_some_and(|length| answer.body.len() < length) { Err(cut()) } else { Ok(answer) }
    }

    /// A header's value, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// The body as JSON, null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The served token, or a panic that shows what came instead.
    pub fn token(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// The served `expires_in`.
    pub fn seconds(&self) -> u64 {
        self.json()["expires_in"].as_u64().unwrap()
    }

    /// The `ETag`, which must be there.
    pub fn etag(&self) -> String {
        self.header("etag").unwrap().to_owned()
    }

    /// The generation in the `ETag`.
    pub fn generation(&self) -> u64 {
        self.etag().trim_end_matches('"').rsplit('-').next().unwrap().parse().unwrap()
    }

    /// The `Retry-After` in seconds.
    pub fn retry_after(&self) -> Option<u64> {
        self.header("retry-after")?.parse().ok()
    }
}

/// Sends these bytes on a connection of their own and reads to its end.
pub async fn send(at: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(request).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        Answer::read(&bytes)
    };
    timeout(LATEST, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// A request's bytes. `headers` are lines with their ends.
pub fn request(method: &str, target: &str, key: Option<&str>, headers: &str, body: &str) -> String {
    let authorization = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!(
        "{method} {target} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{authorization}{headers}{length}\r\n{body}"
    )
}

/// `GET` with a client's key or without one.
pub async fn get(at: SocketAddr, target: &str, key: Option<&str>) -> io::Result<Answer> {
    send(at, request("GET", target, key, "", "").as_bytes()).await
}

/// Waits up to `wait` for another generation than the one with `etag`.
pub async fn poll(at: SocketAddr, key: &str, etag: &str, wait: u64) -> io::Result<Answer> {
    let held = format!("If-None-Match: {etag}\r\n");
    send(at, request("GET", &format!("/token?wait={wait}"), Some(key), &held, "").as_bytes()).await
}

/// Reports that `token` is bad. `query` is empty or begins with a question mark.
pub async fn report(at: SocketAddr, key: &str, query: &str, token: &str) -> io::Result<Answer> {
    let body = serde_json::json!({ "access_token": token }).to_string();
    send(at, request("POST", &format!("/token/refresh{query}"), Some(key), "", &body).as_bytes()).await
}
