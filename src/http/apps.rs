//! Which account does an appid or a corpid name, and on which platform is it?

use std::collections::{HashMap, HashSet};

use crate::{
    account::AccountName,
    issuer::{Platform, wechat::Endpoint},
    relay_key::KeyDigest,
};

/// An account as WeChat's own routes know it.
#[derive(Debug, Clone)]
pub struct App {
    /// Its local name.
    pub account: AccountName,
    /// Where its tokens come from, and so which route is its own.
    pub endpoint: Endpoint,
    /// The digest of its AppSecret, where `accept_appsecret` lets clients present that in place of a relay key.
    pub appsecret: Option<KeyDigest>,
}

/// An agent of a WeCom corp as WeCom's own routes know it.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its local name.
    pub account: AccountName,
    /// The digest of its secret, where `accept_appsecret` lets clients present that in place of a relay key.
    pub secret: Option<KeyDigest>,
}

/// The accounts by their appids (one or two each, for an appid is configured at most once per endpoint), and by their corpids (any
/// number). Made whole from the settings, as [`Clients`](super::Clients) are.
#[derive(Debug, Default)]
pub struct Apps {
    by_appid: HashMap<String, Vec<App>>,
    by_corpid: HashMap<String, Vec<Agent>>,
    of_wecom: HashSet<AccountName>,
}

impl Apps {
    /// The accounts, each with its appid.
    pub fn new(apps: impl IntoIterator<Item = (String, App)>) -> Self {
        let mut by_appid: HashMap<_, Vec<_>> = HashMap::new();
        for (appid, app) in apps {
            by_appid.entry(appid).or_default().push(app);
        }
        Self { by_appid, ..Self::default() }
    }

    /// The same, and the accounts of WeCom, each with its corpid.
    #[must_use]
    pub fn with_agents(mut self, agents: impl IntoIterator<Item = (String, Agent)>) -> Self {
        for (corpid, agent) in agents {
            self.of_wecom.insert(agent.account.clone());
            self.by_corpid.entry(corpid).or_default().push(agent);
        }
        self
    }

    /// The platform of an account.
    pub fn platform_of(&self, account: &AccountName) -> Platform {
        if self.of_wecom.contains(account) { Platform::WeCom } else { Platform::WeChat }
    }

    /// The platform of a request that names no account: WeChat, unless all accounts are WeCom's.
    pub fn main_platform(&self) -> Platform {
        let is_wecom = self.by_appid.is_empty() && !self.by_corpid.is_empty();
        if is_wecom { Platform::WeCom } else { Platform::WeChat }
    }

    /// All agents of this corp.
    pub fn of_corpid(&self, corpid: &str) -> &[Agent] {
        self.by_corpid.get(corpid).map_or(&[], Vec::as_slice)
    }

    /// All accounts with this appid.
    pub fn of_appid(&self, appid: &str) -> &[App] {
        self.by_appid.get(appid).map_or(&[], Vec::as_slice)
    }

    /// The account that the route of `endpoint` serves for `appid`: the one with that endpoint, or else the only one.
    pub fn find(&self, appid: &str, endpoint: Endpoint) -> Option<&App> {
        let apps = self.by_appid.get(appid)?;
        apps.iter().find(|app| app.endpoint == endpoint).or_else(|| apps.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(account: &str, endpoint: Endpoint) -> App {
        App { account: account.parse().unwrap(), endpoint, appsecret: None }
    }

    #[test]
    fn each_route_serves_its_own_account_of_two_and_both_serve_the_only_one() {
        let both = [("wx1", "main", Endpoint::Token), ("wx1", "calm", Endpoint::StableToken)];
        let one = [("wx2", "shop", Endpoint::StableToken)];
        let apps = both.into_iter().chain(one).map(|(appid, name, endpoint)| (appid.to_owned(), app(name, endpoint)));
        let apps = Apps::new(apps);
        let found = |appid, endpoint| apps.find(appid, endpoint).map(|app| app.account.as_str());
        assert_eq!(found("wx1", Endpoint::Token), Some("main"));
        assert_eq!(found("wx1", Endpoint::StableToken), Some("calm"));
        assert_eq!(found("wx2", Endpoint::Token), Some("shop"));
        assert_eq!(found("wx2", Endpoint::StableToken), Some("shop"));
        assert_eq!(found("wx3", Endpoint::Token), None);
    }
}
