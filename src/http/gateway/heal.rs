//! Does a reply say that the relay's token is bad, and is there a better one?

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderValue, Response, header, response::Parts},
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    credential::Generation,
    http::{
        AppState,
        token::{self, LongPoll},
    },
    issuer::Platform,
    last_look,
    metrics::{GatewayRefusal, ReportOutcome},
    registry::Handle,
    report::Grounds,
    status::Offer,
};

/// The longest reply that is looked at. An error has a few hundred bytes.
const LONGEST_ERROR: usize = 16 * 1024;

/// A reply of which the beginning may have been read.
pub(super) struct Reply {
    pub(super) head: Parts,
    pub(super) read: Bytes,
    /// What was not read; `None` after the end.
    pub(super) rest: Option<Incoming>,
}

#[derive(Deserialize)]
struct Error {
    errcode: i64,
}

impl Reply {
    pub(super) fn unread(response: Response<Incoming>) -> Self {
        let (mut head, body) = response.into_parts();
        if head.headers.contains_key(header::TRANSFER_ENCODING) {
            // where the body ends the chunks say, and not the length (RFC 9112, 6.3)
            head.headers.remove(header::CONTENT_LENGTH);
        }
        Self { head, read: Bytes::new(), rest: Some(body) }
    }

    /// Reads as much of it as may be an error: all of a short one that begins with a brace, else little.
    pub(super) async fn peek(&mut self, silence: Duration) -> Result<(), GatewayRefusal> {
        let announced = self.head.headers.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
        let length = announced.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > LONGEST_ERROR) {
            return Ok(());
        }
        let mut read = Vec::new();
        while let Some(rest) = &mut self.rest {
            match last_look::timeout(silence, rest.frame()).await {
                Err(_elapsed) => return Err(GatewayRefusal::NoReply),
                Ok(Some(Err(_))) => return Err(GatewayRefusal::BadReply),
                Ok(Some(Ok(frame))) => read.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes)),
                Ok(None) => self.rest = None,
            }
            if read.len() > LONGEST_ERROR || read.first().is_some_and(|first| *first != b'{') {
                break;
            }
        }
        self.read = read.into();
        Ok(())
    }

    /// Whether it says, in the platform's own codes, that the token of the call is bad.
    pub(super) fn names_bad_token(&self, platform: Platform) -> bool {
        let is_error = self.rest.is_none() && self.read.len() <= LONGEST_ERROR && self.read.starts_with(b"{");
        let codes = platform.bad_token();
        is_error && serde_json::from_slice(&self.read).is_ok_and(|Error { errcode }| codes.contains(&errcode))
    }
}

/// Reports `bad`, as `POST /token/refresh` does, and waits for another token. The keeper goes on when the time is over: whoever
/// comes next joins what is under way (I13).
pub(super) async fn renewed(state: &AppState, handle: &Handle, bad: Generation) -> Option<Offer> {
    let renewal = async {
        let current = handle.published().status.offer.as_ref().map(|offer| offer.generation);
        if current == Some(bad) {
            handle.report(bad, Grounds::Report).await?;
        } else {
            handle.metrics.report(Grounds::Report, ReportOutcome::Stale);
        }
        living(state, handle, state.timeouts().verdict).await
    };
    timeout(state.timeouts().verdict, renewal).await.ok().flatten().filter(|offer| offer.generation != bad)
}

/// What may be served of `handle`, after at most `longest`.
pub(super) async fn living(state: &AppState, handle: &Handle, longest: Duration) -> Option<Offer> {
    let servable = || handle.published().status.servable(state.clock.boot_now()).map(|(offer, _)| offer.clone());
    if let Some(offer) = servable() {
        return Some(offer);
    }
    // Only the wait is of interest: what is there after it is read once more, for an answer has no token beside its bytes.
    token::outcome(state, handle, &LongPoll::default(), longest).await;
    servable()
}
