//! How is one request sent on a keep-alive connection, and its answer read whole?

use std::{
    io::{self, Error},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than a relay takes for any answer: a report takes up to 10 s.
const LONGEST: Duration = Duration::from_secs(15);
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// An answer with a length.
pub(crate) struct Answer {
    /// The status line and the headers, up to the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn is_ok(&self) -> bool {
        self.head.starts_with("HTTP/1.1 200 ")
    }
}

/// Sends `request` and reads the answer.
pub(crate) async fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<Answer> {
    timeout(LONGEST, stream.write_all(request)).await??;
    receive(stream).await
}

/// Reads the answer to a request that was sent, by its length.
pub(crate) async fn receive(stream: &mut TcpStream) -> io::Result<Answer> {
    timeout(LONGEST, async {
        let mut bytes = Vec::with_capacity(1024);
        let body_at = loop {
            read_more(stream, &mut bytes).await?;
            if let Some(at) = bytes.windows(END_OF_HEAD.len()).position(|four| four == END_OF_HEAD) {
                break at + END_OF_HEAD.len();
            }
        };
        let mut body = bytes.split_off(body_at);
        let head = String::from_utf8(bytes).map_err(Error::other)?.trim_end().to_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            value.parse::<usize>().ok().filter(|_| name.eq_ignore_ascii_case("content-length"))
        });
        let length = length.ok_or_else(|| Error::other("an answer without a length"))?;
        while body.len() < length {
            read_more(stream, &mut body).await?;
        }
        Ok(Answer { head, body })
    })
    .await?
}

async fn read_more(stream: &mut TcpStream, into: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(into).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
