//! How are bytes read again that somebody has read already? hyper-util has the same, for itself alone.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose first bytes were read before. hyper has a reference, so that others may look ahead meanwhile.
pub(super) struct Rewind<S>(Mutex<Stream<S>>);

struct Stream<S> {
    read: Vec<u8>,
    stream: S,
}

impl<S> Rewind<S> {
    pub(super) fn new(read: Vec<u8>, stream: S) -> Self {
        Self(Mutex::new(Stream { read, stream }))
    }

    fn lock(&self) -> MutexGuard<'_, Stream<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + Unpin> Rewind<S> {
    /// Whether the other side sends nothing more. What it sends is read again; while that has not happened, the end is not seen.
    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.lock();
        if !this.read.is_empty() {
            return Poll::Pending;
        }
        let mut byte = [0];
        let mut ahead = ReadBuf::new(&mut byte);
        let is_read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut ahead)).is_ok();
        if is_read && !ahead.filled().is_empty() {
            this.read.extend_from_slice(ahead.filled());
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for &Rewind<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut this = self.lock();
        if this.read.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, to);
        }
        let length = this.read.len().min(to.remaining());
        to.put_slice(&this.read[..length]);
        this.read.drain(..length);
        if this.read.is_empty() {
            this.read = Vec::new(); // its memory is of no more use
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for &Rewind<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.lock().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.lock().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().stream.is_write_vectored()
    }
}
