//! Which relay do requests come to? One with accounts, tokens and clients, on the clock of its runtime, without keepers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use token_relay::{
    clock::{BootId, Clock, Now, Timestamp, WallTime},
    credential::{CredentialId, Generation, Promise, Sliding, Token, TokenDigest},
    heartbeat::Heartbeat,
    http::{
        Access, Agent, App, AppState, Apps, ClientLimits, Clients, Gateway, HttpService, Limits, ListenerOptions,
        Pages, Quota, Rules, Timeouts,
    },
    issuer::wechat::Endpoint,
    metrics::Metrics,
    registry::{Handle, Registry},
    relay_key::KeyDigest,
    status::{HandedOut, Lease, Offer, Status},
};
use tokio::{
    io::AsyncReadExt,
    runtime::{Builder, Runtime},
    time::Instant,
};

/// Opens everything.
pub(crate) const KEY: &str = "key-of-all-0123456789-0123456789-0";
/// Opens `main`, and not the gateway.
pub(crate) const MAIN_KEY: &str = "key-of-main-0123456789-0123456789";
/// Opens everything, 20 times an hour.
pub(crate) const LIMITED_KEY: &str = "key-with-limit-0123456789-0123456";
/// Of `main`, which takes it in place of a key.
pub(crate) const APPSECRET: &str = "5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0";

/// The accounts, each with its appid or corpid and its current token. `gone` has none.
pub(crate) const ACCOUNTS: [Account; 4] = [
    Account { name: "main", app: "wxmain", token: "75_token_of_main" },
    Account { name: "shop", app: "wxshop", token: "75_token_of_shop" },
    Account { name: "desk", app: "wwdesk", token: "wecom_token_of_desk" },
    Account { name: "gone", app: "wxgone", token: "" },
];
/// The kept ticket of `main`.
pub(crate) const TICKET: &str = "ticket_of_main";
/// What `main` had before its token, and what lives on.
pub(crate) const EARLIER: &str = "75_token_before";

/// Who asks.
pub(crate) const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
const HOUR: Duration = Duration::from_secs(3600);

/// An account of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    /// Its local name.
    pub(crate) name: &'static str,
    /// Its appid or corpid.
    pub(crate) app: &'static str,
    /// Its current token.
    pub(crate) token: &'static str,
}

/// The time of the runtime, so that on a paused one waits take none.
#[derive(Debug)]
struct RuntimeClock(Instant);

impl Clock for RuntimeClock {
    fn now(&self) -> Now {
        // some day in November 2026
        Now { boot: self.boot_now(), wall: WallTime::from_millis(1_795_348_923_000) }
    }

    fn boot_now(&self) -> Timestamp {
        Timestamp::default().plus(self.awake())
    }

    fn awake(&self) -> Duration {
        HOUR + self.0.elapsed()
    }

    fn boot_id(&self) -> BootId {
        BootId::from_text("fuzz")
    }
}

/// A relay that serves.
pub(crate) struct Relay {
    /// Its state.
    pub(crate) state: Arc<AppState>,
    /// What it answers.
    pub(crate) service: HttpService,
}

impl Relay {
    /// With a gateway or without one. The time of the runtime counts on which this is called.
    pub(crate) fn new(gateway: Option<Gateway>) -> Self {
        let state = state(gateway);
        Self { service: state.public(), state }
    }

    /// One without a gateway, on a runtime whose waits take no time.
    pub(crate) fn on_paused_time() -> (Runtime, Self) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let relay = runtime.block_on(async { Self::new(None) });
        (runtime, relay)
    }

    /// What a client is answered whose bytes come in these two pieces, after which it says that no more will come.
    pub(crate) async fn exchange(&self, pieces: [&[u8]; 2], fast_reads: bool) -> Vec<u8> {
        let limits = Limits { max_connections: 1, max_per_source: 0, header_timeout: HOUR, grace: HOUR };
        let options = ListenerOptions { limits, tls: None, fast_reads };
        let mut answers = Vec::new();
        let stream = tokio::io::join(pieces[0].chain(pieces[1]), &mut answers);
        self.service.serve(stream, PEER, &options, &self.state.shutdown).await;
        answers
    }
}

fn state(gateway: Option<Gateway>) -> Arc<AppState> {
    let (registry, metrics, clock) = (Registry::default(), Metrics::new(), Arc::new(RuntimeClock(Instant::now())));
    for Account { name, token, .. } in ACCOUNTS {
        let id = CredentialId::access_token(name.parse().expect("a name"));
        registry.insert(&[kept(&metrics, &clock, &id, token)]);
    }
    registry.insert(&[kept(&metrics, &clock, &"main.jsapi".parse().expect("an id"), TICKET)]);
    let rules = Rules {
        clients: clients(),
        apps: apps(),
        pages: Pages::default(),
        gateway,
        // Nobody waits for anything: there is no keeper.
        timeouts: Timeouts { verdict: Duration::ZERO, report: Duration::ZERO, ..Timeouts::new(Duration::ZERO) },
    };
    Arc::new(AppState::new(Arc::new(registry), rules, Arc::new(metrics), clock))
}

/// The publisher goes, but what it has published stays.
fn kept(metrics: &Metrics, clock: &RuntimeClock, id: &CredentialId, token: &str) -> Arc<Handle> {
    let (handle, end) = Handle::new(id.clone(), metrics.credential(id), Heartbeat::starting(clock.awake()));
    let until = Timestamp::NEVER;
    let sliding = Some(Sliding { window: HOUR, until_at_least: Timestamp::LONG_AGO });
    let offer = Token::try_from(token.to_owned()).ok().map(|token| Offer {
        generation: Generation(7),
        token,
        promise: Promise { until, sliding, verified_until: None },
    });
    let earlier = (id.to_string() == "main").then(|| HandedOut { digest: TokenDigest::of(EARLIER), until });
    let handed_out = earlier.into_iter().collect();
    end.publisher.publish(Status { offer, handed_out, is_loaded: true, lease: Lease::Alone, ..Status::default() });
    handle
}

fn clients() -> Clients {
    let main = ["main".parse().expect("a name")].into();
    let twenty = Quota::new(20.try_into().expect("not 0"), HOUR);
    let limits = Arc::new(ClientLimits { requests: Some(twenty), reports: None });
    let access = [
        (KEY, Access { gateway: true, ..Access::default() }),
        (MAIN_KEY, Access { accounts: Some(main), ..Access::default() }),
        (LIMITED_KEY, Access { gateway: true, limits, ..Access::default() }),
    ];
    Clients::new(access.map(|(key, access)| (key.to_owned(), KeyDigest::of(key.as_bytes()), access)))
}

fn apps() -> Apps {
    let secret = KeyDigest::of(APPSECRET.as_bytes());
    let app = |Account { name, app, .. }: Account| {
        let appsecret = (name == "main").then_some(secret);
        (app.to_owned(), App { account: name.parse().expect("a name"), endpoint: Endpoint::Token, appsecret })
    };
    let is_agent = |account: &Account| account.name == "desk";
    let agent = |Account { name, app, .. }: Account| {
        (app.to_owned(), Agent { account: name.parse().expect("a name"), secret: None })
    };
    let apps = ACCOUNTS.into_iter().filter(|account| !is_agent(account)).map(app);
    Apps::new(apps).with_agents(ACCOUNTS.into_iter().filter(is_agent).map(agent))
}
