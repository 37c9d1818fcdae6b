//! What do the settings say of requests: who may ask for what, and where does the gateway lead?

use std::{sync::Arc, time::Duration};

use secrecy::ExposeSecret;
use tracing::warn;

use super::issuers::upstream_settings;
use crate::{
    account::AccountName,
    http::{Access, AccountPages, Agent, App, Apps, ClientLimits, Clients, Gateway, Pages, Quota, Rules, Timeouts},
    issuer::{Platform, upstream::UpstreamError},
    relay_key::KeyDigest,
    settings::{AccountSettings, AppSettings, ClientSettings, Settings},
};

pub(super) fn rules(settings: &Settings) -> Result<Rules, UpstreamError> {
    Ok(Rules {
        clients: clients(settings),
        apps: apps(settings),
        pages: pages(settings),
        gateway: gateway(settings)?,
        timeouts: Timeouts::new(settings.server.first_token_wait),
    })
}

/// Who may ask, with a word about those whose key drop-in routes do not take: their SDKs would get 40125.
fn clients(settings: &Settings) -> Clients {
    let has_odd_key = |client: &ClientSettings| client.keys.iter().any(|key| key.fits_urls == Some(false));
    for (client, _) in settings.clients.iter().filter(|(_, client)| has_odd_key(client)) {
        warn!(%client, "drop-in routes do not take this client's key: it has other characters than A-Z a-z 0-9 _ -");
    }
    let access = settings.clients.iter().map(|(name, client)| (name.to_string(), client, access(client)));
    let access: Vec<_> = access.collect();
    let keys = access
        .iter()
        .flat_map(|(name, client, access)| client.keys.iter().map(|key| (name.clone(), key.sha256, access.clone())));
    let certificates =
        access.iter().map(|(name, client, access)| (name.clone(), client.certificates.clone(), access.clone()));
    Clients::new(keys).with_certificates(certificates)
}

/// What all keys and certificates of a client open, within one limit.
fn access(client: &ClientSettings) -> Access {
    let (gateway, admin, limits) = (client.gateway, client.admin, Arc::new(limits(client)));
    Access { accounts: client.accounts.clone(), gateway, admin, limits }
}

fn limits(client: &ClientSettings) -> ClientLimits {
    let per = |time| move |count| Quota::new(count, time);
    ClientLimits {
        requests: client.max_requests_per_second.map(per(Duration::from_secs(1))),
        reports: Some(per(Duration::from_secs(60))(client.max_reports_per_minute)),
    }
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
