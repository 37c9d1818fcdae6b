//! What do clients and operators see over HTTP?
//!
//! Two listeners: the public one, where clients read tokens, and the admin one, for operators. Each is an [`HttpService`]: a router
//! behind one counter. A token that can be served at once is served in front of the router, for on its way there and back an
//! answer costs more than in the handler; and it logs nothing at the default level.
//!
//! Order of checks, but for the drop-in routes, which have WeChat's: 404 route · 405 · 401 · 400 query · 403 or 404 account ·
//! 413 or 400 body · 429 · 503.

use std::{any::Any, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{
    Router,
    response::IntoResponse,
    routing::{MethodRouter, any, get, post},
};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

mod admin;
mod apps;
mod asked;
mod auth;
mod body;
mod client_end;
mod date;
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
mod reloads;
mod report;
mod revoke;
mod routes;
mod service;
mod ticket;
mod token;

pub use apps::{Agent, App, Apps};
pub use auth::{Access, Client, Clients};
pub use drop_in::{EarlyFetches, Throttle};
pub use gateway::Gateway;
pub use health::RecentHealth;
pub use jssdk::{AccountPages, Pages};
pub use listener::{ADMIN_CONNECTIONS, Limits, Listener, ListenerOptions};
pub use overview::SettingsStatus;
pub use quota::{ClientLimits, Quota};
pub use service::HttpService;

use crate::{
    clock::{Clock, Timestamp},
    logs::Logs,
    metrics::{Metrics, Side},
    registry::Registry,
};
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
    pub health: RecentHealth,
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
            health: RecentHealth::default(),
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
        self.service(Side::Public, router, Some(Arc::clone(self)))
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
        self.service(Side::Admin, router, None)
    }

    fn service(self: &Arc<Self>, side: Side, router: Router<Arc<Self>>, reads: Option<Arc<Self>>) -> HttpService {
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
        HttpService::new(side, router, reads, Arc::clone(&self.metrics))
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
        (routes::WECHAT_TOKEN, any(drop_in::token)),
        (routes::STABLE_TOKEN, any(drop_in::stable_token)),
        (routes::WECHAT_TICKET, any(getticket::of_wechat)),
        (routes::CORP_TICKET, any(getticket::of_corp)),
        (routes::AGENT_TICKET, any(getticket::of_agent)),
        (routes::GETTOKEN, any(drop_in::gettoken)),
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
        (routes::OPENAPI, get(openapi::document)),
    ]
}

async fn nothing_here() -> Problem {
    Problem::NoSuchRoute
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use axum::{body::Body, extract::Request, http::header, response::Response};

    use crate::{clock::FixedClock, credential::CredentialId, heartbeat::Heartbeat, registry::Handle};

    /// Who asks.
    pub(super) const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

    /// The state of a relay whose accounts have no keeper, only a handle.
    pub(super) fn app(accounts: &[&str], clock: Arc<FixedClock>) -> Arc<AppState> {
        let (registry, metrics) = (Registry::default(), Metrics::new());
        let handle = |name: &&str| {
            let id = CredentialId::access_token(name.parse().unwrap());
            Handle::new(id.clone(), metrics.credential(&id), Heartbeat::starting(clock.awake())).0
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
        let service = state.service(Side::Public, router, None);
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
