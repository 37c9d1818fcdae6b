//! Which account does an appid name?

use std::collections::HashMap;

use crate::{account::AccountName, issuer::wechat::Endpoint, relay_key::KeyDigest};

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

/// The accounts by their appids: one or two each, for an appid is configured at most once per endpoint. Made whole from the
/// settings, as [`Clients`](super::Clients) are.
#[derive(Debug, Default)]
pub struct Apps(HashMap<String, Vec<App>>);

impl Apps {
    /// The accounts, each with its appid.
    pub fn new(apps: impl IntoIterator<Item = (String, App)>) -> Self {
        let mut by_appid: HashMap<_, Vec<_>> = HashMap::new();
        for (appid, app) in apps {
            by_appid.entry(appid).or_default().push(app);
        }
        Self(by_appid)
    }

    /// All accounts with this appid.
    pub fn of_appid(&self, appid: &str) -> &[App] {
        self.0.get(appid).map_or(&[], Vec::as_slice)
    }

    /// The account that the route of `endpoint` serves for `appid`: the one with that endpoint, or else the only one.
    pub fn find(&self, appid: &str, endpoint: Endpoint) -> Option<&App> {
        let apps = self.0.get(appid)?;
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
