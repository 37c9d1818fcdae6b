//! How is a relay put together from its settings?
//!
//! In this order, so that whatever fails does so before anything is started: state, listeners, accounts, servers.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use secrecy::ExposeSecret;
use tracing::{info, warn};

use crate::{
    account::AccountName,
    clock::{Clock, SystemClock},
    credential::{CredentialId, CredentialKind},
    group::Group,
    http::{AppState, Listener, SettingsStatus},
    issuer::{Profile, upstream::UpstreamError},
    keeper::{Parts, Setup, permits::Permits, record::SecretMark, schedule::Policy},
    keepers::{Changes, Keepers},
    lifecycle::{End, Lifecycle, Signals},
    logs::Logs,
    metrics::Metrics,
    registry::{AccountToken, Registry},
    settings::{AccountSettings, Settings, Source, StateSettings, StateUrl, Watched},
    store::{
        Store,
        file::{FileStore, OpenError},
        memory::MemoryStore,
        redis::RedisStore,
    },
    systemd,
    telemetry::LogControl,
};

mod descriptors;
mod fixed;
mod issuers;
mod listening;
mod reload;
mod rules;

use fixed::Fixed;
pub(crate) use issuers::upstream_settings;
use issuers::{IssuerOf, Issuers};
use listening::Listening;
pub(crate) use reload::load;
use reload::{Reloader, warn_of_readable};
use rules::rules;

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
}

/// A relay that is bound and ready, and serves nothing yet.
pub struct BoundRelay {
    life: Lifecycle,
    public: Listener,
    admin: Option<Listener>,
    app: Arc<AppState>,
    keepers: Vec<Parts>,
    context: KeeperContext,
    listening: Listening,
}

/// A relay that serves: what of it follows from the settings and can be changed.
struct Live {
    app: Arc<AppState>,
    keepers: Keepers,
    context: KeeperContext,
    listening: Listening,
}

/// Runs a relay with the settings of `source` until it is asked to stop, and follows their changes. `settings` were read of it,
/// from `files`; `signals` were listened to before.
///
/// # Errors
/// When it cannot start. How a run ended is in [`End`].
pub(crate) async fn serve(
    settings: Settings,
    source: Arc<Source>,
    files: Arc<Watched>,
    logs: LogControl,
    signals: Signals,
) -> Result<End, ServeError> {
    let grace = settings.server.shutdown_grace;
    let ready = BoundRelay::logging_to(&settings, logs.logs()).await?;
    warn_of_readable(&files, &Watched::default());
    let fixed = Fixed::of(&settings);
    drop(settings); // what the keepers need of them they have: the rest is a quarter of a KiB for each account
    let (registry, clock) = (ready.registry(), ready.app.clock.clone());
    let (life, relay) = ready.begin();
    let reloader = Reloader { source, files, live: relay, fixed, logs };
    life.spawn("settings", |stop| reloader.run(signals.hangup, stop));
    let is_alive = move || registry.handles().silent(clock.awake()).next().is_none();
    life.spawn("notices to systemd", |stop| systemd::accompany(is_alive, stop));
    let end = life.run(signals.stop, grace).await;
    info!(as_asked = (end == End::AsAsked), "stopped");
    Ok(end)
}

impl BoundRelay {
    /// Opens the state, binds the listeners and makes the keepers.
    ///
    /// # Errors
    /// Whatever of it cannot be had.
    pub async fn new(settings: &Settings) -> Result<Self, ServeError> {
        Self::logging_to(settings, Arc::default()).await
    }

    async fn logging_to(settings: &Settings, logs: Arc<Logs>) -> Result<Self, ServeError> {
        let life = Lifecycle::new();
        let settings = &descriptors::fitted(settings);
        let (store, redis) = open_store(settings)?;
        let server = &settings.server;
        let public = bind("server.listen", server.listen).await?;
        let admin = match server.admin_listen {
            Some(address) => Some(bind("server.admin_listen", address).await?),
            None => None,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let group = redis.clone().map(|shared| Group::new(shared, clock.clone()));
        let permits = Permits::new(settings.wechat.max_calls);
        let (registry, metrics) = (Arc::<Registry>::default(), Arc::<Metrics>::default());
        let context = KeeperContext { store, redis, group, permits, clock: clock.clone(), metrics: metrics.clone() };
        let keepers = keepers(settings, &context, &registry)?;
        let now = clock.now();
        let listening = Listening::new(server);
        let certificate_ends_at = listening.certificate_ends_at();
        let status = SettingsStatus { certificate_ends_at, ..SettingsStatus::read_at(now.wall) };
        let app = Arc::new(AppState {
            settings: ArcSwap::from_pointee(status),
            logs,
            shutdown: life.stop(),
            ..AppState::new(registry, rules(settings)?, metrics, clock)
        });
        app.metrics.settings.started(now.wall);
        listening.announce_certificate(&app.metrics, now.wall);
        listening.announce_plain_http(server.listen);
        Ok(Self { life, public, admin, app, keepers, context, listening })
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

    /// Starts the keepers and the servers, which keep the settings that they were made with.
    pub fn start(self) -> Lifecycle {
        self.begin().0
    }

    fn begin(self) -> (Lifecycle, Live) {
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
        if let Some(group) = self.context.group.clone() {
            life.spawn("poll of the state store", |stop| group.poll(stop));
        }
        let mut keepers = Keepers::new(life.clone(), self.app.registry.clone(), self.app.metrics.clone());
        keepers.change(self.keepers);
        keepers.start();
        let listening = self.listening;
        let options = listening.public.clone();
        life.spawn("public listener", |stop| self.public.serve(self.app.public(), options, stop));
        if let Some(admin) = self.admin {
            let options = listening.admin.clone();
            life.spawn("admin listener", |stop| admin.serve(self.app.admin(), options, stop));
        }
        (life, Live { app: self.app, keepers, context: self.context, listening })
    }
}

impl Live {
    /// Whether the store is the same and takes other passwords.
    fn takes_login(&self, state: &StateSettings) -> bool {
        let StateUrl::Redis(url) = &state.url else { return false };
        self.context.redis.as_ref().is_some_and(|redis| redis.log_in_as(url, state.redis.sentinel_login.as_ref()))
    }

    /// Everything that may fail comes first: nothing is changed by half.
    fn change_to(&mut self, settings: &Settings) -> Result<Changes, ServeError> {
        let settings = &descriptors::fitted(settings);
        let rules = rules(settings)?.after(&self.app.rules.load());
        let keepers = keepers(settings, &self.context, &self.app.registry)?;
        self.context.permits.resize(settings.wechat.max_calls);
        // In this order, and a request reads the rules before the credentials: what it finds by the old rules among the new credentials
        // has no token before the rules are new, for which it looks again (`http::reloads`).
        let changes = self.keepers.change(keepers);
        self.app.rules.store(Arc::new(rules));
        self.keepers.start();
        self.listening.change_to(&settings.server);
        self.listening.announce_certificate(&self.app.metrics, self.app.clock.now().wall);
        Ok(changes)
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<Listener, ServeError> {
    Listener::bind(address).await.map_err(|source| ServeError::Listen { key, address, source })
}

/// Where the records are kept, and the same if it is a Redis.
type Opened = (Arc<dyn Store>, Option<Arc<RedisStore>>);

fn open_store(settings: &Settings) -> Result<Opened, ServeError> {
    match &settings.state.url {
        StateUrl::File(dir) => Ok((open_directory(dir)?, None)),
        StateUrl::Memory => {
            warn!("state.url is memory: — every restart makes a call to WeChat");
            Ok((Arc::new(MemoryStore::new()), None))
        }
        StateUrl::Redis(url) => {
            let store = Arc::new(RedisStore::new(url, &settings.state.redis));
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

/// What the keepers of a process have in common, whatever they keep.
struct KeeperContext {
    store: Arc<dyn Store>,
    /// The same, if it is a Redis.
    redis: Option<Arc<RedisStore>>,
    group: Option<Arc<Group>>,
    permits: Arc<Permits>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

fn keepers(settings: &Settings, context: &KeeperContext, registry: &Arc<Registry>) -> Result<Vec<Parts>, ServeError> {
    let issuers = Issuers::new(settings)?;
    let parts = |name: &AccountName, kind, account: &AccountSettings| {
        let token = || AccountToken::new(name.clone(), registry.clone(), context.clock.clone());
        let IssuerOf { issuer, identity, calls_per_day } = issuers.of(account, kind, token);
        let policy = policy(settings, calls_per_day, issuer.profile());
        let secret_mark = SecretMark::of(account.app.id(), account.secret.expose_secret());
        Parts {
            id: CredentialId::new(name.clone(), kind),
            identity,
            setup: Setup { policy, secret_mark, issuer },
            store: context.store.clone(),
            group: context.group.clone(),
            timer: context.metrics.call_timer(account.app.platform(), kind),
            permits: context.permits.clone(),
            clock: context.clock.clone(),
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
