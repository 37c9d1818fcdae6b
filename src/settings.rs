//! Which settings does the relay run with? Defaults, file and environment, parsed into types that cannot be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use crate::account::{AccountName, ClientName};
use crate::credential::TicketKind;

mod account;
mod client;
mod entry;
mod error;
mod file;
mod layers;
mod longest_call;
mod read;
mod readable;
mod resolve;
mod schema;
mod show;
mod source;
mod tls;
mod urls;
mod values;

pub use crate::issuer::{Platform, upstream::HostAddresses, wechat::Endpoint};
pub use crate::logs::AccessLevel;
pub use crate::page_url::PageDomain;
pub use crate::relay_key::KeyDigest;
pub use crate::secret_url::SecretUrl;
pub use crate::store::redis::{Prefix, RedisOptions, SentinelLogin};
pub use crate::tls::{CertificateName, ServerTls, TlsError};
pub use entry::LONGEST;
pub use error::SettingsError;
pub use layers::{CONFIG_VARIABLE, Layers};
pub(crate) use longest_call::CallsTooLong;
pub use source::{Loaded, Source, Watched};
pub use urls::{BaseUrl, ProxyUrl, StateUrl};
pub use values::{AppId, CorpId, Invalid, LogFilter, LogFormat};

/// Everything that an operator can set. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[server]`
    pub server: ServerSettings,
    /// `[wechat]`
    pub wechat: WechatSettings,
    /// `[wecom]`
    pub wecom: WecomSettings,
    /// `[refresh]`
    pub refresh: RefreshSettings,
    /// `[gateway]`
    pub gateway: GatewaySettings,
    /// `[state]`
    pub state: StateSettings,
    /// `[log]`
    pub log: LogSettings,
    /// `[accounts.NAME]`: at least one; no two have the same appid and endpoint, or the same corpid and secret.
    pub accounts: BTreeMap<AccountName, AccountSettings>,
    /// `[clients.NAME]`: at least one; no two have the same key, or a certificate's name in common.
    pub clients: BTreeMap<ClientName, ClientSettings>,
}

/// The relay's own listeners.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where clients connect. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where metrics and status are, if anywhere. Not `listen`.
    pub admin_listen: Option<SocketAddr>,
    /// How long a read waits where there is no token yet: 0 to [`LONGEST`].
    pub first_token_wait: Duration,
    /// How long a stopping relay waits for what is under way: at least `wechat.timeout` + [`GRACE_MARGIN`] (promise I13).
    pub shutdown_grace: Duration,
    /// Connections at once on the public listener: 1 to 1 000 000.
    pub max_connections: usize,
    /// Of these, of one address: 0 (no limit) to 1 000 000.
    pub max_connections_per_source: usize,
    /// How long a connection may take to send a request's head, or stay idle: 1 ms to [`LONGEST`].
    pub header_timeout: Duration,
    /// Whether `GET /token` is answered in front of the HTTP library where it can be.
    pub fast_reads: bool,
    /// `[server.tls]`: TLS on the public listener, if it is spoken there.
    pub tls: Option<ServerTls>,
}

/// The way to WeChat.
#[derive(Debug, Clone)]
pub struct WechatSettings {
    /// WeChat's API.
    pub base_url: BaseUrl,
    /// Tried within the same attempt when `base_url` cannot be connected.
    pub fallback_base_url: Option<BaseUrl>,
    /// What calls go through, if anything.
    pub proxy: Option<ProxyUrl>,
    /// The hosts of these base URLs, and of `wecom.base_url`, whose names are not looked up. Not with a proxy.
    pub resolve: HostAddresses,
    /// Of one connection: 1 ms to [`LONGEST`].
    pub connect_timeout: Duration,
    /// Of a whole call: longer than `connect_timeout`; with a Redis less than the lease of 12 s.
    pub timeout: Duration,
    /// Calls at once over all accounts: 1 to 1000.
    pub max_calls: usize,
}

/// The way to WeCom: its host. Time-outs and proxy are those of [`WechatSettings`].
#[derive(Debug, Clone)]
pub struct WecomSettings {
    /// WeCom's API.
    pub base_url: BaseUrl,
}

/// When credentials are replaced.
#[derive(Debug, Clone)]
pub struct RefreshSettings {
    /// A rotating token is replaced when this is left, or half of its life: 1 s to [`LONGEST`].
    pub before_expiry: Duration,
    /// How long WeChat keeps the previous token working: 1 s to [`LONGEST`].
    pub overlap: Duration,
    /// The least time between a probe or rotation and the next probe: 0 to [`LONGEST`].
    pub report_cooldown: Duration,
    /// How often a token is probed of which nobody complains: 0 (never) to [`LONGEST`].
    pub probe_every: Duration,
    /// The first wait after a failure: 1 s (promise I10) to `retry_max`.
    pub retry_min: Duration,
    /// The longest wait after a failure that is worth a retry.
    pub retry_max: Duration,
}

/// The way of every other call to WeChat.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Whether paths that are not the relay's own go to WeChat.
    pub enabled: bool,
}

/// What outlives the process.
#[derive(Debug, Clone)]
pub struct StateSettings {
    /// Where it is.
    pub url: StateUrl,
    /// What else a Redis needs.
    pub redis: RedisOptions,
}

/// Logs.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// How they are written.
    pub format: LogFormat,
    /// Which are written.
    pub filter: LogFilter,
    /// Which requests are.
    pub access: AccessLevel,
}

/// One WeChat app, or one agent of a WeCom corp.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// Which one.
    pub app: AppSettings,
    /// Its AppSecret, or the secret of the agent; not empty, exactly as given.
    pub secret: SecretString,
    /// Calls over a rolling day (promise I6): 1 to 10 000.
    pub calls_per_day: u32,
    /// Whether drop-in routes also take its AppSecret, for it alone.
    pub accept_appsecret: bool,
    /// Which tickets are kept of it.
    pub tickets: BTreeSet<TicketKind>,
    /// Under which names the pages are that JS-SDK signatures are made for. Only with a ticket for pages.
    pub jssdk_domains: Vec<PageDomain>,
}

/// What an account is called by its platform, and where its tokens come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AppSettings {
    /// `platform = "wechat"`, unless another is given.
    WeChat {
        /// Its appid.
        appid: AppId,
        /// How its tokens are fetched.
        endpoint: Endpoint,
    },
    /// `platform = "wecom"`. Which agent of the corp it is, only its secret says.
    WeCom {
        /// The corp's id.
        corpid: CorpId,
    },
}

impl AppSettings {
    /// Which platform it belongs to.
    pub const fn platform(&self) -> Platform {
        match self {
            Self::WeChat { .. } => Platform::WeChat,
            Self::WeCom { .. } => Platform::WeCom,
        }
    }

    /// The appid or corpid.
    pub fn id(&self) -> &str {
        match self {
            Self::WeChat { appid, .. } => appid.as_str(),
            Self::WeCom { corpid } => corpid.as_str(),
        }
    }
}

/// One internal service.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Its keys: several while one replaces another, none only where it has a certificate.
    pub keys: Vec<RelayKey>,
    /// The names in its certificate, each of which stands for it; only with `server.tls.client_ca_file`.
    pub certificates: BTreeSet<CertificateName>,
    /// The accounts that it may read, each of them configured; `None` is all.
    pub accounts: Option<BTreeSet<AccountName>>,
    /// Whether its key opens the gateway.
    pub gateway: bool,
    /// Whether its key revokes tokens.
    pub admin: bool,
    /// Requests a second, 1 to 100 000; `None` is no limit.
    pub max_requests_per_second: Option<NonZeroU32>,
    /// Reports a minute, 1 to 100 000.
    pub max_reports_per_minute: NonZeroU32,
}

/// A key of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayKey {
    /// What is kept of it.
    pub sha256: KeyDigest,
    /// Whether drop-in routes take it; `None` where only the hash is given, which cannot tell.
    pub fits_urls: Option<bool>,
}

/// What `server.shutdown_grace` must leave beside `wechat.timeout`: a call's outcome is still to be stored and answered.
pub const GRACE_MARGIN: Duration = Duration::from_secs(2);

impl Settings {
    /// Reads, merges and validates: defaults, then `file` (else what [`CONFIG_VARIABLE`] names), then `env`.
    ///
    /// # Errors
    /// The first problem, in the order file, environment, sections, accounts, clients.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        Self::from_layers(&Layers::read(file, env)?)
    }
}
