//! What hands out the credentials of an account, and how is it reached?

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use secrecy::SecretString;

use crate::{
    credential::CredentialKind,
    issuer::{
        Issuer, Platform,
        ticket::{self, TicketIssuer},
        upstream::{Upstream, UpstreamError, UpstreamSettings},
        wechat::{WeChat, WeChatAccount},
        wecom::{self, WeCom, WeComAgent},
    },
    keeper::record::Identity,
    registry::AccountToken,
    settings::{AccountSettings, AppSettings, Settings},
};

/// What hands out one credential.
pub(super) struct IssuerOf {
    pub(super) issuer: Arc<dyn Issuer>,
    /// By what its record is known.
    pub(super) identity: Arc<Identity>,
    pub(super) calls_per_day: u32,
}

/// The ways to the platforms that have accounts.
pub(super) struct Issuers<'s> {
    settings: &'s Settings,
    upstreams: BTreeMap<Platform, Upstream>,
}

impl<'s> Issuers<'s> {
    /// Of a platform without accounts no client is built, for it may need certificates that are not there.
    pub(super) fn new(settings: &'s Settings) -> Result<Self, UpstreamError> {
        let platforms: BTreeSet<_> = settings.accounts.values().map(|account| account.app.platform()).collect();
        let upstream = |platform| Ok((platform, Upstream::new(upstream_settings(settings, platform))?));
        Ok(Self { settings, upstreams: platforms.into_iter().map(upstream).collect::<Result<_, _>>()? })
    }

    /// What hands out the credential of `kind` of `account`. `token` is the account's access token, for one that needs it.
    pub(super) fn of(
        &self,
        account: &AccountSettings,
        kind: CredentialKind,
        token: impl FnOnce() -> AccountToken,
    ) -> IssuerOf {
        let upstream = self.upstreams[&account.app.platform()].clone();
        let overlap = self.settings.refresh.overlap;
        let (id, secret) = (account.app.id().to_owned(), account.secret.clone());
        let (issuer, endpoint, calls_per_day): (Arc<dyn Issuer>, _, _) = match (kind, &account.app) {
            (CredentialKind::AccessToken, AppSettings::WeChat { endpoint, .. }) => {
                let app = WeChatAccount { appid: id.clone(), secret, endpoint: *endpoint, overlap };
                (Arc::new(WeChat::new(upstream, app)), endpoint_of(&account.app).to_owned(), account.calls_per_day)
            }
            (CredentialKind::AccessToken, AppSettings::WeCom { .. }) => {
                let agent = WeComAgent { corpid: id.clone(), secret };
                (Arc::new(WeCom::new(upstream, agent)), endpoint_of(&account.app).to_owned(), account.calls_per_day)
            }
            (CredentialKind::Ticket(kind), app) => {
                let issuer = TicketIssuer::new(upstream, app.platform(), kind, Arc::new(token()), secret, overlap);
                // whether both kinds of token bring the same ticket nobody has published
                let source = format!("{}.{}", endpoint_of(app), kind.label());
                (Arc::new(issuer), source, ticket::calls_per_day(app.platform()))
            }
        };
        let base_url = match account.app.platform() {
            Platform::WeChat => &self.settings.wechat.base_url,
            Platform::WeCom => &self.settings.wecom.base_url,
        };
        let identity = Identity { base_url: base_url.as_str().to_owned(), appid: id, endpoint };
        IssuerOf { issuer, identity: Arc::new(identity), calls_per_day }
    }
}

/// Which of the token's endpoints an account is kept of.
fn endpoint_of(app: &AppSettings) -> &'static str {
    match app {
        AppSettings::WeChat { endpoint, .. } => endpoint.label(),
        AppSettings::WeCom { .. } => wecom::ENDPOINT,
    }
}

/// How a platform is reached.
pub(crate) fn upstream_settings(settings: &Settings, platform: Platform) -> UpstreamSettings {
    let wechat = &settings.wechat;
    let (base_url, fallback_base_url) = match platform {
        Platform::WeChat => (&wechat.base_url, wechat.fallback_base_url.as_ref()),
        Platform::WeCom => (&settings.wecom.base_url, None),
    };
    UpstreamSettings {
        base_url: base_url.at(""),
        fallback_base_url: fallback_base_url.map(|url| url.at("")),
        proxy: wechat.proxy.as_ref().map(|url| SecretString::from(url.expose())),
        resolve: wechat.resolve.clone(),
        connect_timeout: wechat.connect_timeout,
        timeout: wechat.timeout,
    }
}
