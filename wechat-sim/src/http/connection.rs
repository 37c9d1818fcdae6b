//! How is a connection read, written, closed and broken?

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::{Head, unreadable};

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

/// What becomes of a connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It can carry another one.
    Next,
    Close,
    Reset,
}

impl After {
    pub(crate) fn kept(keep_alive: bool) -> Self {
        if keep_alive { Self::Next } else { Self::Close }
    }
}

/// One connection, and what has been read of it but not used.
pub(crate) struct Connection<S> {
    socket: S,
    buffer: Vec<u8>,
}

/// What is read at once.
const PIECE: usize = 16 * 1024;

/// How many bytes of early requests are kept while a call is answered.
const MAX_EARLY: usize = 2 * 1024 * 1024;

impl<S: Socket> Connection<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self { socket, buffer: Vec::new() }
    }

    /// The head of the next request; `None` at the end of the connection. What can't be read is an error of kind `InvalidData`.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(head) = Head::parse(&mut self.buffer).map_err(unreadable)? {
                return Ok(Some(head));
            }
            if self.read_more().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads what has arrived; 0 at the end of the connection.
    pub(super) async fn read_more(&mut self) -> io::Result<usize> {
        self.buffer.reserve(PIECE);
        self.socket.read_buf(&mut self.buffer).await
    }

    pub(super) fn unread(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(super) fn has_nothing_unread(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await?;
        self.socket.flush().await
    }

    /// Returns when the client has closed its side. Early requests are kept for later.
    pub(crate) async fn client_left(&mut self) {
        while self.buffer.len() <= MAX_EARLY {
            if !matches!(self.read_more().await, Ok(1..)) {
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
