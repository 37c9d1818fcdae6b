//! How does a reply's body reach the client, and when is it given up?

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep},
};

use super::upload::Upload;
use crate::last_look::LAST_LOOK;

type BoxError = Box<dyn Error + Send + Sync>;

/// A reply's body: what was read of it already, and the rest as it comes.
pub(super) struct Download {
    pub(super) read: Bytes,
    pub(super) rest: Option<Incoming>,
    /// HEAD: the length that the head names is not the body's.
    pub(super) is_head_only: bool,
    pub(super) silence: Silence,
    /// Ends the call, however lively it is.
    pub(super) end: Pin<Box<Sleep>>,
    /// What was sent for it.
    pub(super) upload: Upload,
    /// Counts as a request under way until the last byte.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// How long nothing may come.
pub(super) struct Silence {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// What is left of it when the timer ends; `None` while something comes.
    left: Option<Duration>,
}

impl Silence {
    pub(super) fn of(limit: Duration) -> Self {
        Self { limit, timer: None, left: None }
    }

    /// Pending until nothing has come for the limit. Only while it is polled, which is when the client wants more.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let last_look = LAST_LOOK.min(self.limit);
        let first = self.limit.saturating_sub(last_look);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(first)));
        if self.left.is_none() {
            timer.as_mut().reset(Instant::now() + first);
            self.left = Some(last_look);
        }
        loop {
            ready!(timer.as_mut().poll(context));
            match self.left.replace(Duration::ZERO) {
                None | Some(Duration::ZERO) => return Poll::Ready(()),
                Some(left) => timer.as_mut().reset(Instant::now() + left),
            }
        }
    }
}

impl Drop for Download {
    /// A client that was answered early may never send the rest of its body.
    fn drop(&mut self) {
        self.upload.end_soon();
    }
}

fn too_long<T>() -> Poll<Option<Result<T, BoxError>>> {
    Poll::Ready(Some(Err("the reply took too long".into())))
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.read.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.read)))));
        }
        loop {
            if self.end.as_mut().poll(context).is_ready() {
                return too_long();
            }
            let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
            if let Poll::Ready(frame) = Pin::new(rest).poll_frame(context) {
                self.silence.left = None;
                match frame.transpose()? {
                    None => self.rest = None,
                    Some(frame) => {
                        if let Ok(bytes) = frame.into_data() {
                            return Poll::Ready(Some(Ok(Frame::data(bytes))));
                        }
                    }
                }
                continue;
            }
            ready!(self.silence.poll(context));
            return too_long();
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_head_only {
            return SizeHint::default();
        }
        let read = self.read.len() as u64;
        let rest = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}
