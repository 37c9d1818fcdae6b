//! How is a connection read, written, closed and broken?

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::Request;
use super::request::{MAX_BODY, Unreadable};

/// A plain or a TLS stream over a TCP socket that can be reset.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// One connection, and what has been read of it but not used.
pub(crate) struct Connection<S> {
    socket: S,
    buffer: Vec<u8>,
}

impl<S: Socket> Connection<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self { socket, buffer: Vec::new() }
    }

    /// The next request; `None` at the end of the connection. What can't be read is an error of kind `InvalidData`.
    pub(crate) async fn request(&mut self) -> io::Result<Option<Request>> {
        let mut continued = false;
        loop {
            if let Some(request) = Request::parse(&mut self.buffer).map_err(unreadable)? {
                return Ok(Some(request));
            }
            if !continued && Request::expects_continue(&self.buffer) {
                continued = true;
                self.socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await?;
        self.socket.flush().await
    }

    /// Returns when the client has closed its side. Early requests are kept for later.
    pub(crate) async fn client_left(&mut self) {
        while self.buffer.len() <= 2 * MAX_BODY {
            if !matches!(self.socket.read_buf(&mut self.buffer).await, Ok(1..)) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Ends the connection in order (TLS's `close_notify`, then FIN).
    pub(crate) async fn close(mut self) {
        // Fails where the client is gone already: then nothing has to be closed.
        let _ = self.socket.shutdown().await;
    }

    /// Breaks the connection (RST): what was not read by the client is lost.
    pub(crate) fn reset(self) {
        // Fails only on a socket that is broken already.
        let _ = self.socket.tcp().set_zero_linger();
    }
}

fn unreadable(why: Unreadable) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
