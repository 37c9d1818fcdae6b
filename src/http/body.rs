//! How is a small body read, and what becomes of one that nobody wants?

use std::{mem, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{header, request::Parts},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::last_look;

/// The longest body: twice the longest token.
const LONGEST: usize = 4096;
/// How much of a body that nobody wants is read, and for how long, so that the client reads the answer instead of a reset connection:
/// more than the largest upload that WeChat takes, and as long as a body may take that is wanted.
const DISCARDED: usize = 64 * 1024 * 1024;
const DISCARDED_FOR: Duration = Duration::from_secs(10);

/// The body of a request, of which nothing was read yet.
pub(super) struct Unread {
    body: Body,
    /// Whether the client asked for leave to send it: such a client gets the answer in its place.
    waits_for_leave: bool,
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// Longer than 4 KiB.
    TooLarge,
    /// It ended before it was complete.
    Cut,
    /// It did not arrive in time. The connection has to be closed: what would follow is not the next request.
    TooSlow,
}

impl Unread {
    /// The head of a request, and its body.
    pub(super) fn split(request: Request) -> (Parts, Self) {
        let (head, body) = request.into_parts();
        let waits_for_leave = head.headers.contains_key(header::EXPECT);
        (head, Self { body, waits_for_leave })
    }

    /// As it is, to be streamed; what is left of it in the end may come back to [`Unread::discard_rest`].
    pub(super) fn stream(&mut self) -> Body {
        mem::take(&mut self.body)
    }

    /// The same as [`Unread::discard`], of what was not streamed. Where streaming has `begun`, the client has leave to send.
    pub(super) async fn discard_rest(self, body: Body, begun: bool) {
        Self { body, waits_for_leave: self.waits_for_leave && !begun }.discard().await;
    }

    /// The whole body, if it comes within `within`.
    pub(super) async fn read(mut self, within: Duration) -> Result<Bytes, BodyFault> {
        let fault = if self.body.size_hint().lower() > LONGEST as u64 {
            BodyFault::TooLarge
        } else {
            self.waits_for_leave = false; // hyper gives leave at the first look
            match last_look::timeout(within, Limited::new(&mut self.body, LONGEST).collect()).await {
                Ok(Ok(whole)) => return Ok(whole.to_bytes()),
                Ok(Err(error)) if error.is::<LengthLimitError>() => BodyFault::TooLarge,
                Ok(Err(_)) => BodyFault::Cut,
                Err(_elapsed) => return Err(BodyFault::TooSlow),
            }
        };
        self.discard().await;
        Err(fault)
    }

    /// Reads some of what nobody wants, unless the client waits for leave to send it.
    pub(super) async fn discard(mut self) {
        let all = async {
            let mut size = 0;
            while let Some(Ok(frame)) = self.body.frame().await
                && size <= DISCARDED
            {
                size += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        if !self.waits_for_leave {
            // Whether it came to its end does not matter: the answer is the same.
            let _ = timeout(DISCARDED_FOR, all).await;
        }
    }
}
