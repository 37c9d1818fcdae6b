//! How is a relay put together from its settings?
//!
//! In this order, so that whatever fails does so before anything is started: state, listeners, accounts, servers.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use secrecy::ExposeSecret;
use tracing::{info, warn};

use crate::{
    account::AccountName,
    clock::{Clock, SystemClock},
    credential::{CredentialId, CredentialKind},
    group::Group,
    http::{
        Access, AccountPages, Agent, App, AppState, Apps, Clients, EarlyFetches, Gateway, Limits, Listener, Pages,
        Throttle, Timeouts,
    },
    issuer::{Platform, Profile, upstream::UpstreamError},
    keeper::{Parts, permits::Permits, record::SecretMark, schedule::Policy},
    keepers::Keepers,
    lifecycle::{End, Lifecycle, Signals},
    registry::{AccountToken, Registry},
    relay_key::KeyDigest,
    settings::{AccountSettings, AppSettings, ServerSettings, Settings, StateUrl},
    store::{
        SharedStore, Store,
        file::{FileStore, OpenError},
        memory::MemoryStore,
        redis::RedisStore,
    },
};

mod issuers;

use issuers::{Issuers, Source, upstream_settings};

/// Connections at once on the admin listener: probes, a scraper and a few people.
const ADMIN_CONNECTIONS: usize = 64;
/// What an answer on the admin listener gets at shutdown: a status page that is not read must not hold the stop up.
const ADMIN_GRACE: Duration = Duration::from_secs(2);

/// Why a relay does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The state store cannot be opened.
    #[error("{0}")]
    State(#[from] OpenError),
    /// An address cannot be listened on.
    #[error("{key}: cannot listen on {address}: {source}")]
    Listen {
        /// The settings key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The HTTP client cannot be made.
    #[error("{0}")]
    Upstream(#[from] UpstreamError),
    /// The signals cannot be listened to.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

/// A relay that is bound and ready, and serves nothing yet.
pub struct Ready {
    life: Lifecycle,
    public: Listener,
    admin: Option<Listener>,
    app: Arc<AppState>,
    keepers: Vec<Parts>,
    group: Option<Arc<Group>>,
    server: ServerSettings,
}

/// Runs a relay until it is asked to stop.
///
/// # Errors
/// When it cannot start. How a run ended is in [`End`].
pub async fn serve(settings: Settings) -> Result<End, ServeError> {
    let grace = settings.server.shutdown_grace;
    let signals = Signals::listen().map_err(ServeError::Signals)?;
    let ready = Ready::new(&settings).await?;
    drop(settings); // what the keepers need of them they have: the rest is a quarter of a KiB for each account
    let end = ready.start().run(signals, grace).await;
    info!(as_asked = (end == End::AsAsked), "stopped");
    Ok(end)
}

impl Ready {
    /// Opens the state, binds the listeners and makes the keepers.
    ///
    /// # Errors
    /// Whatever of it cannot be had.
    pub async fn new(settings: &Settings) -> Result<Self, ServeError> {
        let life = Lifecycle::new();
        allow_descriptors(settings.server.max_connections);
        let (store, shared) = open_store(settings)?;
        let server = settings.server.clone();
        let public = bind("server.listen", server.listen).await?;
        let admin = match server.admin_listen {
            Some(address) => Some(bind("server.admin_listen", address).await?),
            None => None,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let group = shared.map(|shared| Group::new(shared, clock.clone()));
        let registry = Arc::<Registry>::default();
        let place = Place { store, group: group.clone(), clock: clock.clone() };
        let keepers = keepers(settings, &place, &registry)?;
        let app = Arc::new(AppState {
            registry,
            clients: clients(settings),
            apps: apps(settings),
            pages: pages(settings),
            gateway: gateway(settings)?,
            throttle: Throttle::default(),
            early_fetches: EarlyFetches::default(),
            metrics: Arc::default(),
            timeouts: Timeouts::new(server.first_token_wait),
            shutdown: life.stop(),
            started: clock.boot_now(),
            clock,
        });
        Ok(Self { life, public, admin, app, keepers, group, server })
    }

    /// Where clients connect, with the port that the system chose.
    pub fn public_addr(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// Where operators connect, with the port that the system chose.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The credentials, to watch from inside the process. They are there once it is started.
    pub fn registry(&self) -> Arc<Registry> {
        self.app.registry.clone()
    }

    /// Starts the keepers and the servers.
    pub fn start(self) -> Lifecycle {
        let listen = self.public_addr().map(|address| address.to_string()).unwrap_or_default();
        let admin_listen = self.admin_addr().map(|address| address.to_string());
        let life = self.life;
        info!(
            version = env!("CARGO_PKG_VERSION"),
            listen,
            admin_listen,
            accounts = self.keepers.iter().filter(|parts| parts.id.kind() == CredentialKind::AccessToken).count(),
            "token-relay serves"
        );
        if let Some(group) = self.group {
            life.spawn("poll of the state store", |stop| group.poll(stop));
        }
        Keepers::new(life.clone(), self.app.registry.clone(), self.app.metrics.clone()).add(self.keepers);
        let limits = Limits {
            max_connections: self.server.max_connections,
            header_timeout: self.server.header_timeout,
            grace: self.server.shutdown_grace.saturating_sub(Duration::from_millis(500)),
        };
        life.spawn("public listener", |stop| self.public.serve(self.app.public(), limits, stop));
        if let Some(admin) = self.admin {
            let grace = limits.grace.min(ADMIN_GRACE);
            let limits = Limits { max_connections: ADMIN_CONNECTIONS, grace, ..limits };
            life.spawn("admin listener", |stop| admin.serve(self.app.admin(), limits, stop));
        }
        life
    }
}

/// Files and upstream connections beside the clients'.
const OTHER_DESCRIPTORS: usize = 256;

/// Raises the soft limit of open files, often 1024, to the hard one: every connection needs one.
fn allow_descriptors(max_connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let allowed = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    let needed = u64::try_from(max_connections.saturating_add(OTHER_DESCRIPTORS)).unwrap_or(u64::MAX);
    if let Some(allowed) = allowed.filter(|allowed| *allowed < needed) {
        warn!(allowed, needed, "the limit of open files (ulimit -n) is below server.max_connections");
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<Listener, ServeError> {
    Listener::bind(address).await.map_err(|source| ServeError::Listen { key, address, source })
}

type Opened = (Arc<dyn Store>, Option<Arc<dyn SharedStore>>);

/// Where the records are kept, and the same as a store of several relays, if it is one.
fn open_store(settings: &Settings) -> Result<Opened, ServeError> {
    match &settings.state.url {
        StateUrl::File(dir) => Ok((open_directory(dir)?, None)),
        StateUrl::Memory => {
            warn!("state.url is memory: — every restart makes a call to WeChat");
            Ok((Arc::new(MemoryStore::new()), None))
        }
        StateUrl::Redis(url) => {
            let store = Arc::new(RedisStore::new(url));
            Ok((store.clone(), Some(store)))
        }
    }
}

/// A directory that another relay holds is an error; one that cannot be used now costs durability, not service.
fn open_directory(dir: &Path) -> Result<Arc<dyn Store>, ServeError> {
    match FileStore::open(dir) {
        Ok(store) => Ok(Arc::new(store)),
        Err(error @ OpenError::InUse { .. }) => Err(error.into()),
        Err(error @ OpenError::Unusable { .. }) => {
            warn!(%error, "serving from memory: without a record, the first call to WeChat waits 60 s");
            Ok(Arc::new(FileStore::opened_later(dir)))
        }
    }
}

/// Who may ask, with a word about those whose key drop-in routes do not take: their SDKs would get 40125.
fn clients(settings: &Settings) -> Clients {
    for (client, _) in settings.clients.iter().filter(|(_, client)| client.key_fits_urls == Some(false)) {
        warn!(%client, "drop-in routes do not take this client's key: it has other characters than A-Z a-z 0-9 _ -");
    }
    Clients::new(settings.clients.iter().map(|(name, client)| {
        let access = Access { accounts: client.accounts.clone(), gateway: client.gateway, admin: client.admin };
        (name.to_string(), client.key_sha256, access)
    }))
}

fn apps(settings: &Settings) -> Apps {
    let (mut apps, mut agents) = (Vec::new(), Vec::new());
    for (name, settings) in &settings.accounts {
        let account = name.clone();
        let appsecret = settings.accept_appsecret.then(|| KeyDigest::of(settings.secret.expose_secret().as_bytes()));
        match &settings.app {
            AppSettings::WeChat { appid, endpoint } => {
                apps.push((appid.as_str().to_owned(), App { account, endpoint: *endpoint, appsecret }));
            }
            AppSettings::WeCom { corpid } => {
                agents.push((corpid.as_str().to_owned(), Agent { account, secret: appsecret }));
            }
        }
    }
    Apps::new(apps).with_agents(agents)
}

fn pages(settings: &Settings) -> Pages {
    let pages = |(name, account): (&AccountName, &AccountSettings)| {
        let (appid, domains) = (account.app.id().to_owned(), account.jssdk_domains.clone());
        (name.clone(), AccountPages { appid, domains })
    };
    Pages::new(settings.accounts.iter().map(pages))
}

/// The gateway, if there is one.
fn gateway(settings: &Settings) -> Result<Option<Gateway>, UpstreamError> {
    if !settings.gateway.enabled {
        return Ok(None);
    }
    let secrets = settings.accounts.iter().map(|(name, account)| (name.clone(), account.secret.clone()));
    let wechat = upstream_settings(settings, Platform::WeChat);
    let gateway = Gateway::new(&wechat, secrets, settings.server.max_connections)?;
    let has_wecom = settings.accounts.values().any(|account| account.app.platform() == Platform::WeCom);
    let gateway = if has_wecom { gateway.with_wecom(&upstream_settings(settings, Platform::WeCom))? } else { gateway };
    Ok(Some(gateway))
}

/// What the keepers of a process have in common, whatever they keep.
struct Place {
    store: Arc<dyn Store>,
    group: Option<Arc<Group>>,
    clock: Arc<dyn Clock>,
}

fn keepers(settings: &Settings, place: &Place, registry: &Arc<Registry>) -> Result<Vec<Parts>, ServeError> {
    let issuers = Issuers::new(settings)?;
    let permits = Permits::new(settings.wechat.max_calls);
    let parts = |name: &AccountName, kind, account: &AccountSettings| {
        let token = || AccountToken::new(name.clone(), registry.clone(), place.clock.clone());
        let Source { issuer, identity, calls_per_day } = issuers.of(account, kind, token);
        Parts {
            id: CredentialId::new(name.clone(), kind),
            policy: policy(settings, calls_per_day, issuer.profile()),
            identity,
            secret_mark: SecretMark::of(account.app.id(), account.secret.expose_secret()),
            store: place.store.clone(),
            group: place.group.clone(),
            issuer,
            permits: permits.clone(),
            clock: place.clock.clone(),
        }
    };
    let of_account = |(name, account): (_, &AccountSettings)| {
        let tickets = account.tickets.iter().copied().map(CredentialKind::Ticket);
        let kinds = [CredentialKind::AccessToken].into_iter().chain(tickets);
        kinds.map(|kind| parts(name, kind, account)).collect::<Vec<_>>()
    };
    Ok(settings.accounts.iter().flat_map(of_account).collect())
}

fn policy(settings: &Settings, calls_per_day: u32, issuer: Profile) -> Policy {
    Policy {
        issuer,
        before_expiry: settings.refresh.before_expiry,
        report_cooldown: settings.refresh.report_cooldown,
        probe_every: settings.refresh.probe_every,
        retry_min: settings.refresh.retry_min,
        retry_max: settings.refresh.retry_max,
        calls_per_day,
        longest_call: settings.wechat.timeout,
    }
}
