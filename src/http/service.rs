//! How is one request answered, counted and logged?

use std::{
    future::{Ready, ready},
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, Request},
    http::{Method, StatusCode, header},
    response::Response,
};
use futures_util::future::{BoxFuture, Either};
use tower::Service;
use tracing::debug;

use super::{
    AppState,
    asked::Asked,
    client_end::ClientEnd,
    loops::{self, Loops},
    routes::public_route,
    token,
};
use crate::{
    logs::AccessLevel,
    metrics::{Metrics, Route, Side},
};

/// What one listener answers. Clones share everything.
#[derive(Debug, Clone)]
pub struct HttpService {
    pub(super) side: Side,
    router: Router,
    /// Whose tokens are served in front of the router, if any are.
    pub(super) reads: Option<Arc<AppState>>,
    loops: Arc<Loops>,
    pub(super) metrics: Arc<Metrics>,
}

/// An answer: most are there at once, and small, for hyper moves it about.
type Answering<'s> = Either<Ready<Response>, BoxFuture<'s, Response>>;

impl HttpService {
    /// The answers of `router`, and tokens in front of it.
    pub(super) fn new(side: Side, router: Router, reads: Option<Arc<AppState>>, metrics: Arc<Metrics>) -> Self {
        Self { side, router, reads, loops: Arc::default(), metrics }
    }

    /// Answers one request of `peer`, and counts it.
    pub fn answer<B>(&self, request: axum::http::Request<B>, peer: SocketAddr) -> Answering<'_>
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
    {
        self.answer_while(request, peer, None)
    }

    /// The same, where it can be known whether the client has given up.
    pub(super) fn answer_while<'s, B>(
        &'s self,
        request: axum::http::Request<B>,
        peer: SocketAddr,
        end: Option<&ClientEnd>,
    ) -> Answering<'s>
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
    {
        // An answer at once is 200 and no error: only `All` logs it, so nothing is prepared for it otherwise.
        let asked = self.logged(&request, peer, |level| level == AccessLevel::All);
        if let Some(response) = self.at_once(&request) {
            self.log(asked, &response);
            return Either::Left(ready(response));
        }
        let asked = asked.or_else(|| self.logged(&request, peer, |level| level != AccessLevel::Off));
        let mut request = without_empty_body(request);
        request.extensions_mut().insert(ConnectInfo(peer));
        if let Some(end) = end {
            request.extensions_mut().insert(end.clone());
        }
        Either::Right(Box::pin(self.route_and_count(request, peer, asked)))
    }

    /// What the access log needs of a request, if the level that is set is due.
    fn logged<B>(
        &self,
        request: &axum::http::Request<B>,
        peer: SocketAddr,
        is_due: impl FnOnce(AccessLevel) -> bool,
    ) -> Option<Box<Asked>> {
        let state = self.reads.as_deref().filter(|state| is_due(state.logs.access()))?;
        Some(Box::new(Asked::of(state, self.route(request.uri().path()), request, peer)))
    }

    fn log<B>(&self, asked: Option<Box<Asked>>, response: &Response<B>) {
        if let (Some(asked), Some(state)) = (asked, self.reads.as_deref()) {
            asked.answered(state, response);
        }
    }

    /// The answer to a `GET /token` that needs neither a wait nor a refusal: all others take the router, and so does one
    /// whose answer panicked, to panic there again if it must, and be counted.
    fn at_once<B>(&self, request: &axum::http::Request<B>) -> Option<Response> {
        if request.method() != Method::GET || request.uri().path() != "/token" {
            return None;
        }
        self.read_at_once(|state| token::at_once(state, request))
    }

    /// What `answer` makes of a `GET /token`, counted if it is an answer.
    pub(super) fn read_at_once<A>(&self, answer: impl FnOnce(&AppState) -> Option<A>) -> Option<A> {
        let state = self.reads.as_deref()?;
        let answer = catch_unwind(AssertUnwindSafe(|| answer(state))).ok()??;
        self.metrics.http.answered(Route::Token, StatusCode::OK.as_u16());
        Some(answer)
    }

    async fn route_and_count(&self, request: Request, peer: SocketAddr, asked: Option<Box<Asked>>) -> Response {
        let route = self.route(request.uri().path());
        let mut response = match &self.reads {
            Some(state) if loops::is_of_relay(&request) => self.loops.refuse(state, request, peer, route).await,
            _ => {
                let Ok(response) = self.router.clone().call(request).await;
                response
            }
        };
        let status = response.status();
        self.metrics.http.answered(route, status.as_u16());
        if status != StatusCode::OK {
            // axum gives the length of the body that it sends, but here the header speaks of the one that it does not.
            if status == StatusCode::NOT_MODIFIED {
                response.headers_mut().remove(header::CONTENT_LENGTH);
            }
            debug!(
                listener = self.side.name(),
                route = route.name(),
                status = status.as_u16(),
                "answered, but not with 200"
            );
        }
        self.log(asked, &response);
        response
    }

    /// The label of a path. A path of the other listener is nothing here.
    pub(super) fn route(&self, path: &str) -> Route {
        if let Some(route) = public_route(path).filter(|_| self.side == Side::Public) {
            return route;
        }
        match (self.side, path) {
            (Side::Admin, "/" | "/page.js" | "/page.css") => Route::Page,
            (Side::Admin, "/events") => Route::Events,
            (Side::Admin, "/status") => Route::Status,
            (Side::Admin, "/metrics") => Route::Metrics,
            (Side::Admin, path) if path.starts_with("/accounts/") && path.ends_with("/revoke") => Route::Revoke,
            (_, "/healthz") => Route::Healthz,
            (_, "/readyz") => Route::Readyz,
            _ if self.reads.as_ref().is_some_and(|state| state.rules.load().gateway.is_some()) => Route::Gateway,
            _ => Route::Other,
        }
    }
}

/// axum boxes every body but the empty one.
fn without_empty_body<B>(request: axum::http::Request<B>) -> Request
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::new(body) })
}
