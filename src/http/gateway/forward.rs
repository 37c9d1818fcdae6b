//! How is one call made, to whichever host takes it, and when is it given up?

use std::{pin::pin, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, Response, StatusCode, Uri},
};
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::debug;

use super::{
    client::{GatewayClient, reason},
    upload::Upload,
};
use crate::{
    http::asked,
    issuer::Platform,
    last_look::{self, LAST_LOOK},
    metrics::GatewayRefusal,
};

/// How long a call may take with its whole body, both ways.
pub(super) const WHOLE: Duration = Duration::from_secs(600);

/// A call, for whichever host takes it.
#[derive(Clone)]
pub(super) struct Call {
    /// Whose API is called.
    pub(super) platform: Platform,
    pub(super) method: Method,
    pub(super) path: String,
    /// With what was put into it.
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    /// What was put into it, as it may come back in an error or a header.
    pub(super) secrets: Vec<String>,
    /// How long nothing may move, in either direction.
    pub(super) silence: Duration,
}

/// What is sent with a call.
pub(super) enum Sending {
    /// The client's body, as it comes.
    First(Upload),
    /// A copy of it.
    Again(Bytes),
}

/// How a call to one host failed.
enum Failure {
    /// Nothing was sent, so the next host may be tried.
    NotConnected,
    Final(GatewayRefusal),
}

impl Call {
    /// Sends it, and returns the head of the reply.
    pub(super) async fn send(
        &self,
        client: &GatewayClient,
        sending: &Sending,
    ) -> Result<Response<Incoming>, GatewayRefusal> {
        for base in client.bases() {
            match self.send_to(base, client, sending).await {
                Ok(response) => return Ok(response),
                Err(Failure::NotConnected) => {}
                Err(Failure::Final(refusal)) => return Err(refusal),
            }
        }
        Err(GatewayRefusal::NoConnection)
    }

    async fn send_to(
        &self,
        base: &str,
        client: &GatewayClient,
        sending: &Sending,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(sending.body());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri(base).ok_or(Failure::Final(GatewayRefusal::Malformed))?;
        *request.headers_mut() = self.headers.clone();
        let mut reply = pin!(client.send(request));
        let mut silent_since = Instant::now();
        loop {
            let left = self.silence.saturating_sub(silent_since.elapsed());
            match last_look::timeout(left.max(LAST_LOOK), &mut reply).await {
                // what it would switch to nobody has asked for
                Ok(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    return Err(Failure::Final(GatewayRefusal::BadReply));
                }
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    debug!(
                        path = asked::path(&self.path),
                        reason = reason(&error, &self.secrets),
                        "gateway: a call failed"
                    );
                    return Err(if error.is_connect() {
                        Failure::NotConnected
                    } else if sending.is_cut() {
                        Failure::Final(GatewayRefusal::BodyCut)
                    } else {
                        Failure::Final(GatewayRefusal::BadReply)
                    });
                }
                Err(_elapsed) => match (sending.moved_at().filter(|at| *at > silent_since), sending.is_waiting()) {
                    (Some(at), true) => silent_since = at,
                    // what came of the client may still be on its way to WeChat
                    (Some(_), false) => silent_since = Instant::now(),
                    (None, true) => return Err(Failure::Final(GatewayRefusal::BodyStalled)),
                    (None, false) => return Err(Failure::Final(GatewayRefusal::NoReply)),
                },
            }
        }
    }

    /// Only from the settings: whatever host the request named is not looked at.
    fn uri(&self, base: &str) -> Option<Uri> {
        let query = self.query.as_deref().map(|query| ["?", query].concat()).unwrap_or_default();
        Uri::try_from([base, &self.path, &query].concat()).ok()
    }
}

impl Sending {
    fn body(&self) -> Body {
        match self {
            Self::First(upload) => Body::new(upload.clone()),
            Self::Again(bytes) => Body::from(bytes.clone()),
        }
    }

    fn moved_at(&self) -> Option<Instant> {
        match self {
            Self::First(upload) => upload.moved_at(),
            Self::Again(_) => None,
        }
    }

    fn is_waiting(&self) -> bool {
        matches!(self, Self::First(upload) if upload.is_waiting())
    }

    fn is_cut(&self) -> bool {
        matches!(self, Self::First(upload) if upload.is_cut())
    }
}
