//! How does a test serve HTTP without a keeper? A relay whose keepers are played by the test.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use futures_channel::mpsc;
use http_body_util::BodyExt;
use token_relay::{
    clock::{Clock, SystemClock, Timestamp, WallTime},
    credential::{CredentialId, Generation, Promise, Sliding, Token},
    heartbeat::Heartbeat,
    http::{
        Access, App, AppState, Apps, Clients, Gateway, HttpService, Limits, Listener, ListenerOptions, Pages, Rules,
        Timeouts,
    },
    issuer::{
        IssueError,
        wechat::{ERRORS, Endpoint},
    },
    metrics::Metrics,
    registry::{Handle, Publisher, Registry, Report, Reported},
    relay_key::KeyDigest,
    report::{ReportFailure, ReportLimit},
    status::{Failure, Lease, Offer, Status},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

/// May use every account.
pub(crate) const KEY: &str = "a-key-of-thirty-two-characters-1";
/// May use `main` only.
pub(crate) const MAIN_KEY: &str = "a-key-of-thirty-two-characters-2";
/// May use `main` and `shop`.
pub(crate) const BOTH_KEY: &str = "a-key-of-thirty-two-characters-3";

/// May use every account, and has characters that mean something in a URL.
pub(crate) const ODD_KEY: &str = "a-key/of+thirty-two~characters=4";

pub(crate) struct FakeRelay {
    pub(crate) relay: Arc<AppState>,
    publishers: BTreeMap<String, Publisher>,
    reports: Mutex<BTreeMap<String, mpsc::UnboundedReceiver<Report>>>,
}

/// An answer with its body read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    pub(crate) fn assert_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("cache-control"), "no-store");
        let json = self.json();
        assert_eq!(json["status"], status);
        assert!(json["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert!(json["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        assert_eq!(self.headers.contains_key("retry-after"), matches!(status, 429 | 503), "{self:?}");
        assert_eq!(self.headers.contains_key("allow"), status == 405, "{self:?}");
        assert_eq!(self.headers.contains_key("www-authenticate"), status == 401, "{self:?}");
    }
}

impl FakeRelay {
    pub(crate) fn of(names: &[&str]) -> Self {
        let long = Duration::from_secs(60);
        Self::patient(names, Timeouts { report: long, ..Timeouts::new(long) })
    }

    /// One account, `main`, with generation 7 of this token.
    pub(crate) fn serving(token: &str) -> Self {
        let fake = Self::of(&["main"]);
        fake.offer("main", 7, token, 3541);
        fake
    }

    /// The account NAME has the appid `wxNAME` and the endpoint `token`; `NAME.jsapi` is its ticket.
    pub(crate) fn patient(names: &[&str], timeouts: Timeouts) -> Self {
        let accounts = names.iter().filter(|name| !name.contains('.'));
        let apps = accounts.map(|name| (format!("wx{name}"), app(name, Endpoint::Token)));
        Self::with_apps(names, timeouts, Apps::new(apps))
    }

    pub(crate) fn with_apps(names: &[&str], timeouts: Timeouts, apps: Apps) -> Self {
        Self::with_gateway(names, timeouts, apps, None)
    }

    /// The same, with pages that may be signed.
    pub(crate) fn with_pages(self, pages: Pages) -> Self {
        let rules = self.take_out_all_clients();
        let rules = Arc::into_inner(rules).expect("nobody reads them yet");
        self.relay.rules.store(Arc::new(Rules { pages, ..rules }));
        self
    }

    /// As a reload does; the rules that there were.
    pub(crate) fn take_out_all_clients(&self) -> Arc<Rules> {
        self.relay.rules.swap(Arc::new(Rules {
            clients: Clients::new([]),
            apps: Apps::default(),
            pages: Pages::default(),
            gateway: None,
            timeouts: Timeouts::new(Duration::ZERO),
        }))
    }

    pub(crate) fn with_gateway(names: &[&str], timeouts: Timeouts, apps: Apps, gateway: Option<Gateway>) -> Self {
        let (registry, metrics) = (Registry::default(), Metrics::new());
        let (mut publishers, mut reports) = (BTreeMap::new(), BTreeMap::new());
        for name in names {
            let id: CredentialId = name.parse().unwrap();
            // as if a keeper beat for as long as a test may last
            let heartbeat = Heartbeat::starting(SystemClock.awake() + Duration::from_secs(3600));
            let (handle, end) = Handle::new(id.clone(), metrics.credential(&id), heartbeat);
            registry.insert(&[handle]);
            end.publisher.publish(idle());
            publishers.insert((*name).to_owned(), end.publisher);
            reports.insert((*name).to_owned(), end.reports);
        }
        let rules = rules(timeouts, apps, gateway);
        let relay = Arc::new(AppState::new(Arc::new(registry), rules, Arc::new(metrics), Arc::new(SystemClock)));
        Self { relay, publishers, reports: Mutex::new(reports) }
    }

    /// Takes changed settings, as a reload does.
    pub(crate) fn reload(&self, timeouts: Timeouts, apps: Apps, gateway: Option<Gateway>) {
        let rules = rules(timeouts, apps, gateway).after(&self.relay.rules.load());
        self.relay.rules.store(Arc::new(rules));
    }

    pub(crate) fn publish(&self, name: &str, status: Status) {
        self.publishers[name].publish(status);
    }

    /// Publishes a token that is promised for `seconds` whenever it is asked for.
    pub(crate) fn offer(&self, name: &str, generation: u64, token: &str, seconds: u64) {
        self.publish(name, offering(generation, token, seconds));
    }

    /// Answers every report to `name` with what `answer` says.
    pub(crate) fn keeper(&self, name: &str, mut answer: impl FnMut(Generation) -> Reported + Send + 'static) {
        let mut reports = self.reports.lock().unwrap().remove(name).unwrap();
        tokio::spawn(async move {
            while let Ok(report) = reports.recv().await {
                let _ = report.answer.send(answer(report.generation));
            }
        });
    }

    /// Answers the reports to `name` in every way, in turn.
    pub(crate) fn keeper_of_all_answers(&self, name: &str) {
        let mut turn = 0;
        self.keeper(name, move |_| {
            turn += 1;
            match turn % 3 {
                0 => Reported::Settled,
                1 => Reported::TooMany { retry_in: Duration::ZERO, limit: ReportLimit::Cooldown },
                _ => Reported::Failed { retry_in: Duration::MAX, failure: ReportFailure::NotStored },
            }
        });
    }

    /// Takes what is reported to `name`.
    pub(crate) fn take_reports(&self, name: &str) -> mpsc::UnboundedReceiver<Report> {
        self.reports.lock().unwrap().remove(name).unwrap()
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.get_as(KEY, target).await
    }

    pub(crate) async fn get_as(&self, key: &str, target: &str) -> Answer {
        self.send(Request::get(target).header("authorization", bearer(key))).await
    }

    pub(crate) async fn send(&self, request: axum::http::request::Builder) -> Answer {
        answer(&self.relay.public(), request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn report(&self, body: impl Into<Body>) -> Answer {
        let request = Request::post("/token/refresh").header("authorization", bearer(KEY)).body(body.into()).unwrap();
        answer(&self.relay.public(), request).await
    }

    pub(crate) fn handle(&self, name: &str) -> Arc<Handle> {
        self.publishers[name].handle().clone()
    }

    pub(crate) async fn admin(&self, target: &str) -> Answer {
        answer(&self.relay.admin(), Request::get(target).body(Body::empty()).unwrap()).await
    }

    /// Serves the public face on a socket.
    pub(crate) async fn serve(&self, limits: Limits) -> Served {
        self.serve_on(([127, 0, 0, 1], 0).into(), self.relay.public(), limits).await
    }

    /// Serves the admin face on a socket.
    pub(crate) async fn serve_admin(&self) -> Served {
        self.serve_admin_at(([127, 0, 0, 1], 0).into()).await
    }

    /// The same where another relay was served before.
    pub(crate) async fn serve_admin_at(&self, address: SocketAddr) -> Served {
        self.serve_on(address, self.relay.admin(), LIMITS).await
    }

    async fn serve_on(&self, address: SocketAddr, service: HttpService, limits: Limits) -> Served {
        self.serve_with(address, service, options(limits)).await
    }

    /// Serves the public face with options that may change.
    pub(crate) async fn serve_changing(&self, options: &Arc<ArcSwap<ListenerOptions>>) -> Served {
        self.serve_with(([127, 0, 0, 1], 0).into(), self.relay.public(), options.clone()).await
    }

    async fn serve_with(
        &self,
        address: SocketAddr,
        service: HttpService,
        options: Arc<ArcSwap<ListenerOptions>>,
    ) -> Served {
        let listener = Listener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(listener.serve(service, options, self.relay.shutdown.clone()));
        Served { address, serving }
    }
}

/// How a listener without TLS is served.
pub(crate) fn options(limits: Limits) -> Arc<ArcSwap<ListenerOptions>> {
    Arc::new(ArcSwap::from_pointee(ListenerOptions { limits, tls: None, fast_reads: true }))
}

/// A relay that is served on a socket.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) serving: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `bytes`, says that no more will come, and reads what comes back until the end.
    pub(crate) async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The relay may hang up in the middle of what is too long.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut back = Vec::new();
        let _ = stream.read_to_end(&mut back).await;
        String::from_utf8_lossy(&back).into_owned()
    }
}

pub(crate) const LIMITS: Limits = Limits {
    max_connections: 100,
    max_per_source: 0,
    header_timeout: Duration::from_secs(120),
    grace: Duration::from_secs(60),
};

pub(crate) async fn answer(service: &HttpService, request: Request<Body>) -> Answer {
    let (parts, body) = service.answer(request, ([127, 0, 0, 1], 1).into()).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

/// The account as WeChat's own routes know it, without its AppSecret.
pub(crate) fn app(account: &str, endpoint: Endpoint) -> App {
    App { account: account.parse().unwrap(), endpoint, appsecret: None }
}

pub(crate) fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// Nothing to serve, and no call before an hour: nothing worth waiting for.
pub(crate) fn idle() -> Status {
    Status {
        next_attempt_at: Some(SystemClock.boot_now().plus(Duration::from_secs(3600))),
        trouble: Some(Arc::new(trouble())),
        failures: 4,
        is_loaded: true,
        lease: Lease::Alone,
        ..Status::default()
    }
}

pub(crate) fn trouble() -> Failure {
    Failure {
        error: IssueError::Refused { errcode: 40164, errmsg: "invalid ip 1.2.3.4".to_owned() },
        errors: &ERRORS,
        at: WallTime::from_millis(1_795_348_923_000),
        repeated: 4,
    }
}

pub(crate) fn offering(generation: u64, token: &str, seconds: u64) -> Status {
    let now = SystemClock.boot_now();
    // The same from any moment, so that a slow machine sees the same whole seconds.
    let sliding = Sliding { window: Duration::from_secs(seconds), until_at_least: Timestamp::LONG_AGO };
    let promise = Promise { until: Timestamp::NEVER, sliding: Some(sliding), verified_until: None };
    let token = Token::try_from(token.to_owned()).unwrap();
    Status {
        offer: Some(Offer { generation: Generation(generation), token, promise }),
        rotation_at: Some(now.plus(Duration::from_secs(1800))),
        next_attempt_at: Some(now.plus(Duration::from_secs(1800))),
        is_loaded: true,
        lease: Lease::Alone,
        ..Status::default()
    }
}

/// What the settings say of requests, with the keys above.
fn rules(timeouts: Timeouts, apps: Apps, gateway: Option<Gateway>) -> Rules {
    let client = |name: &str, key: &str, accounts: Option<&[&str]>, gateway: bool| {
        let accounts = accounts.map(|names| names.iter().map(|name| name.parse().unwrap()).collect());
        (
            name.to_owned(),
            KeyDigest::of(key.as_bytes()),
            Access { accounts, gateway, admin: name == "all", ..Access::default() },
        )
    };
    Rules {
        clients: Clients::new([
            client("all", KEY, None, true),
            client("one", MAIN_KEY, Some(&["main"]), false),
            client("two", BOTH_KEY, Some(&["main", "shop"]), true),
            client("odd", ODD_KEY, None, true),
        ]),
        apps,
        pages: Pages::default(),
        gateway,
        timeouts,
    }
}
