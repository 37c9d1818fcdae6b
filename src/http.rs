//! What do clients and operators see over HTTP?
//!
//! Two listeners: the public one, where clients read tokens, and the admin one, for operators. Each is an [`HttpService`]: a router
//! behind one counter. A token that can be served at once is served in front of the router, for on its way there and back an
//! answer costs more than in the handler; and it logs nothing at the default level.
//!
//! Order of checks, but for the drop-in routes, which have WeChat's: 404 route · 405 · 401 · 400 query · 403 or 404 account ·
//! 413 or 400 body · 429 · 503.

use std::{
    any::Any,
    future::{Ready, ready},
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, Request},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, get, post},
};
use futures_util::future::{BoxFuture, Either};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{debug, error};

mod admin;
mod apps;
mod asked;
mod auth;
mod body;
mod client_end;
mod described;
mod drop_in;
mod fast_path;
mod gateway;
mod getticket;
mod handed_out;
mod health;
mod jssdk;
mod limits;
mod listener;
mod loops;
mod openapi;
mod overview;
mod page;
mod problem;
mod query;
mod quota;
mod report;
mod revoke;
mod ticket;
mod token;

pub use apps::{Agent, App, Apps};
pub use auth::{Access, Client, Clients};
pub use drop_in::{EarlyFetches, Throttle};
pub use gateway::Gateway;
pub use health::RecentReadiness;
pub use jssdk::{AccountPages, Pages};
pub use listener::{Limits, Listener, ListenerOptions};
pub use overview::SettingsStatus;
pub use quota::{ClientLimits, Quota};

use crate::{
    clock::{Clock, Timestamp},
    logs::{AccessLevel, Logs},
    metrics::{Metrics, Route, Side},
    registry::Registry,
};
use asked::Asked;
use client_end::ClientEnd;
use loops::Loops;
use problem::Problem;

/// All that the handlers read. Nothing in it waits for WeChat or a store (I11).
#[derive(Debug)]
pub struct AppState {
    /// What is served.
    pub registry: Arc<Registry>,
    /// What the settings say of requests. Replaced whole, so that no request sees half of a change.
    pub rules: ArcSwap<Rules>,
    /// How the settings are.
    pub settings: ArcSwap<SettingsStatus>,
    /// How it stands, for everybody.
    pub readiness: RecentReadiness,
    /// Who presented wrong keys to WeChat's routes.
    pub throttle: Throttle,
    /// Which token each client of a drop-in route was given last.
    pub early_fetches: EarlyFetches,
    /// Which requests are logged.
    pub logs: Arc<Logs>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Ends the waits of long polls and of reads without a token.
    pub shutdown: CancellationToken,
    /// When the relay was started.
    pub started: Timestamp,
}

/// What the settings say of requests.
#[derive(Debug)]
pub struct Rules {
    /// Who may ask.
    pub clients: Clients,
    /// Which accounts WeChat's own routes know.
    pub apps: Apps,
    /// Which pages may be signed.
    pub pages: Pages,
    /// The way of every other call to WeChat, if there is one.
    pub gateway: Option<Gateway>,
    /// How long requests may take.
    pub timeouts: Timeouts,
}

impl Rules {
    /// The same in the place of `earlier`: the gateway calls that are under way count.
    #[must_use]
    pub fn after(self, earlier: &Self) -> Self {
        let gateway = match (self.gateway, &earlier.gateway) {
            (Some(gateway), Some(earlier)) => Some(gateway.after(earlier)),
            (gateway, _) => gateway,
        };
        Self { gateway, ..self }
    }
}

/// How long a request may wait.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// A read, while nothing can be served and a call is under way or about to begin: `server.first_token_wait`.
    pub first_token: Duration,
    /// A report, from the end of its body: 10 s.
    pub report: Duration,
    /// A drop-in fetch or a gateway call that waits for a verdict on the current token: 4 s, for some SDKs give up after 5 s.
    pub verdict: Duration,
    /// A body: 10 s.
    pub body: Duration,
    /// A gateway call, while nothing moves in either direction: 30 s. SDKs wait 5 s or 10 s, WeChat's slowest calls take some more.
    pub silence: Duration,
}

impl Timeouts {
    /// With `first_token` as set, and the rest as the design has it.
    pub fn new(first_token: Duration) -> Self {
        let (verdict, report, body) = (Duration::from_secs(4), Duration::from_secs(10), Duration::from_secs(10));
        Self { first_token, report, verdict, body, silence: Duration::from_secs(30) }
    }
}

impl AppState {
    /// A relay that starts now: its settings are as they were read, it logs no requests, and nobody stops it yet.
    pub fn new(registry: Arc<Registry>, rules: Rules, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        Self {
            registry,
            rules: ArcSwap::from_pointee(rules),
            settings: ArcSwap::from_pointee(SettingsStatus::read_at(now.wall)),
            readiness: RecentReadiness::default(),
            throttle: Throttle::default(),
            early_fetches: EarlyFetches::default(),
            logs: Arc::default(),
            metrics,
            clock,
            shutdown: CancellationToken::new(),
            started: now.boot,
        }
    }

    /// What the public listener answers.
    pub fn public(self: &Arc<Self>) -> HttpService {
        let add = |router: Router<Arc<Self>>, (path, handlers)| router.route(path, handlers);
        let router = public_routes().into_iter().fold(Router::new(), add).fallback(gateway::pass);
        HttpService { reads: Some(Arc::clone(self)), ..self.service(Side::Public, router) }
    }

    /// What the admin listener answers: never token material, and without authentication, but for the one route that changes
    /// anything.
    pub fn admin(self: &Arc<Self>) -> HttpService {
        let listeners = page::Listeners::default();
        let follow = |state, query, headers| page::events(state, query, headers, listeners);
        let router = Router::new()
            .route("/", get(page::page))
            .route("/page.js", get(page::script))
            .route("/page.css", get(page::style))
            .route("/events", get(follow))
            .route("/status", get(admin::status))
            .route("/metrics", get(admin::metrics))
            .route("/accounts/{name}/revoke", post(revoke::revoke))
            .route("/healthz", get(health::alive_in_detail))
            .route("/readyz", get(health::ready_in_detail))
            .fallback(nothing_here);
        self.service(Side::Admin, router)
    }

    fn service(self: &Arc<Self>, side: Side, router: Router<Arc<Self>>) -> HttpService {
        let metrics = Arc::clone(&self.metrics);
        let router = router
            .method_not_allowed_fallback(async || Problem::WrongMethod)
            .layer(CatchPanicLayer::custom(move |_: Box<dyn Any + Send>| {
                metrics.http.panicked();
                // Without its message, which may quote anything.
                error!("a handler panicked; the connection and the relay go on");
                Problem::Panicked.into_response()
            }))
            .with_state(Arc::clone(self));
        HttpService { side, router, reads: None, loops: Arc::default(), metrics: Arc::clone(&self.metrics) }
    }

    fn timeouts(&self) -> Timeouts {
        self.rules.load().timeouts
    }

    fn uptime(&self) -> Duration {
        self.clock.boot_now().since(self.started)
    }
}

/// The routes of the public listener, each of which the OpenAPI document describes.
fn public_routes() -> [(&'static str, MethodRouter<Arc<AppState>>); 13] {
    [
        ("/token", get(token::read)),
        ("/token/refresh", post(report::report)),
        ("/ticket", get(ticket::read)),
        ("/jssdk/config", get(jssdk::config)),
        (drop_in::TOKEN, any(drop_in::token)),
        (drop_in::STABLE_TOKEN, any(drop_in::stable_token)),
        (getticket::OF_WECHAT, any(getticket::of_wechat)),
        (getticket::OF_CORP, any(getticket::of_corp)),
        (getticket::OF_AGENT, any(getticket::of_agent)),
        (drop_in::GETTOKEN, any(drop_in::gettoken)),
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
        (openapi::PATH, get(openapi::document)),
    ]
}

/// What one listener answers. Clones share everything.
#[derive(Debug, Clone)]
pub struct HttpService {
    side: Side,
    router: Router,
    /// Whose tokens are served in front of the router, if any are.
    reads: Option<Arc<AppState>>,
    loops: Arc<Loops>,
    metrics: Arc<Metrics>,
}

/// An answer: most are there at once, and small, for hyper moves it about.
type Answering<'s> = Either<Ready<Response>, BoxFuture<'s, Response>>;

impl HttpService {
    /// Answers one request of `peer`, and counts it.
    pub fn answer<B>(&self, request: axum::http::Request<B>, peer: SocketAddr) -> Answering<'_>
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
    {
        self.answer_while(request, peer, None)
    }

    /// The same, where it can be known whether the client has given up.
    fn answer_while<'s, B>(
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
    fn read_at_once<A>(&self, answer: impl FnOnce(&AppState) -> Option<A>) -> Option<A> {
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
    fn route(&self, path: &str) -> Route {
        match (self.side, path) {
            (Side::Public, "/token") => Route::Token,
            (Side::Public, "/token/refresh") => Route::Report,
            (Side::Public, drop_in::TOKEN) => Route::DropInToken,
            (Side::Public, "/ticket") => Route::Ticket,
            (Side::Public, "/jssdk/config") => Route::JsSdkConfig,
            (Side::Public, drop_in::STABLE_TOKEN) => Route::DropInStableToken,
            (Side::Public, getticket::OF_WECHAT) => Route::DropInTicket,
            (Side::Public, getticket::OF_CORP | getticket::OF_AGENT) => Route::DropInWecomTicket,
            (Side::Public, drop_in::GETTOKEN) => Route::DropInGettoken,
            (Side::Public, openapi::PATH) => Route::OpenApi,
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

async fn nothing_here() -> Problem {
    Problem::NoSuchRoute
}

/// axum boxes every body but the empty one.
fn without_empty_body<B>(request: axum::http::Request<B>) -> Request
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::new(body) })
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::{IpAddr, Ipv4Addr};

    use crate::{clock::FixedClock, credential::CredentialId, heartbeat::Heartbeat, registry::Handle};

    /// Who asks.
    pub(super) const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

    /// The state of a relay whose accounts have no keeper, only a handle.
    pub(super) fn app(accounts: &[&str], clock: Arc<FixedClock>) -> Arc<AppState> {
        let (registry, metrics) = (Registry::default(), Metrics::new());
        let handle = |name: &&str| {
            let id = CredentialId::access_token(name.parse().unwrap());
            Arc::new(Handle::new(id.clone(), metrics.credential(&id), Heartbeat::starting(clock.awake())).0)
        };
        registry.insert(&accounts.iter().map(handle).collect::<Vec<_>>());
        let rules = Rules {
            clients: Clients::new([]),
            apps: Apps::default(),
            pages: Pages::default(),
            gateway: None,
            timeouts: Timeouts::new(Duration::ZERO),
        };
        Arc::new(AppState::new(Arc::new(registry), rules, Arc::new(metrics), clock))
    }

    #[tokio::test]
    async fn a_handler_that_panics_answers_500_is_counted_and_takes_nobody_with_it() {
        let state = app(&[], Arc::default());
        let router = Router::new().route("/token", get(async || -> Response { panic!("sentinel") }));
        let service = state.service(Side::Public, router);
        for _ in 0..2 {
            let response = service.answer(Request::get("/token").body(Body::empty()).unwrap(), PEER).await;
            assert_eq!(response.status(), 500);
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        }
        let page = state.metrics.render(state.uptime());
        assert!(page.contains("token_relay_handler_panics_total 2\n"));
        assert!(page.contains("requests_total{route=\"token\",status=\"500\"} 2\n"));
    }

    #[tokio::test]
    async fn a_relay_without_accounts_is_alive_and_not_ready() {
        let state = app(&[], Arc::default());
        let ask = |path: &str| Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(state.public().answer(ask("/healthz"), PEER).await.status(), 200);
        assert_eq!(state.public().answer(ask("/readyz"), PEER).await.status(), 503);
    }
}
