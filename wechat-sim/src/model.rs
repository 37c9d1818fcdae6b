//! What would WeChat answer? A pure state machine: `now` is an argument, there is no clock and no I/O.
//!
//! `now` is the time since any fixed moment and must not go backwards. With virtual time years pass in seconds:
//!
//! ```
//! use std::time::Duration;
//! use wechat_sim::model::{Model, Rules};
//!
//! let mut model = Model::new(Rules::default(), 7);
//! model.register("wx0000000000000001", "a secret");
//! let first = model.mint(Duration::ZERO, "wx0000000000000001").unwrap();
//! let second = model.mint(Duration::from_secs(3600), "wx0000000000000001").unwrap();
//! assert!(model.alive(Duration::from_secs(3600 + 299), &first.access_token));
//! assert!(!model.alive(Duration::from_secs(3600 + 300), &first.access_token));
//! assert!(model.alive(Duration::from_secs(3600 + 7199), &second.access_token));
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use app::App;
use lineage::TokenStatus;
use media::MediaStore;
use users::Users;
use wecom::Wecom;

pub use app::Claim;
pub use lineage::Grant;
pub use media::{Media, MediaKind};
pub use platform::Platform;
pub use refusal::Refusal;
pub use rules::Rules;
pub use ticket::TicketKind;
pub use users::{Login, LoginKind, Session, UserGrant};
pub use wecom::WecomTicket;
pub use whitelist::{BadIpRange, IpRange};

mod app;
mod lineage;
mod media;
mod platform;
mod recent;
mod refusal;
mod rules;
mod ticket;
pub(crate) mod token_format;
mod usage;
mod users;
mod wecom;
mod whitelist;

/// The two kinds of access token. They look alike and do not disturb each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Of `/cgi-bin/token`: every call mints.
    Rotating,
    /// Of `/cgi-bin/stable_token`: a call mints when less than the overlap is left, or when forced.
    Sticky,
}

/// What WeChat knows: the apps, their tokens, and what they have spent.
#[derive(Debug)]
pub struct Model {
    rules: Rules,
    apps: BTreeMap<String, App>,
    users: Users,
    media: MediaStore,
    wecom: Wecom,
    rng: Rng,
}

impl Model {
    /// No apps yet. The same seed and the same calls give the same tokens.
    pub fn new(rules: Rules, seed: u64) -> Self {
        let (users, media, wecom) = (Users::default(), MediaStore::default(), Wecom::default());
        Self { rules, apps: BTreeMap::new(), users, media, wecom, rng: Rng::with_seed(seed) }
    }

    /// Adds an app, or gives it another AppSecret: its tokens live on, as after a reset in WeChat's console.
    pub fn register(&mut self, appid: &str, secret: &str) {
        self.apps.entry(appid.to_owned()).or_default().reset_secret(secret);
    }

    /// The appids, in order.
    pub fn appids(&self) -> impl Iterator<Item = &str> {
        self.apps.keys().map(String::as_str)
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The rules, to be changed: tokens that were handed out keep their ends.
    pub fn rules_mut(&mut self) -> &mut Rules {
        &mut self.rules
    }

    /// `GET /cgi-bin/token`: checks the caller, counts the call, mints.
    pub fn token(&mut self, now: Duration, ip: IpAddr, claim: &Claim<'_>) -> Result<Grant, Refusal> {
        let app = claim.authenticate(&mut self.apps, "client_credential", ip)?;
        app.rotating.usage.charge(now, self.rules.rotating_limits())?;
        Ok(app.rotating.mint(now, &self.rules, &mut self.rng))
    }

    /// `POST /cgi-bin/stable_token`: checks the caller, counts the call, mints when due or forced.
    pub fn stable_token(
        &mut self,
        now: Duration,
        ip: IpAddr,
        claim: &Claim<'_>,
        force: bool,
    ) -> Result<Grant, Refusal> {
        let app = claim.authenticate(&mut self.apps, "client_credential", ip)?;
        app.sticky.usage.charge(now, self.rules.sticky_limits())?;
        Ok(app.sticky.hold(now, &self.rules, force, &mut self.rng))
    }

    /// A rotating token without credentials and quota, as if another server had called. `None`: unknown appid.
    pub fn mint(&mut self, now: Duration, appid: &str) -> Option<Grant> {
        self.rotate(now, appid, Kind::Rotating)
    }

    /// The sticky answer without credentials and quota. `None`: unknown appid.
    pub fn hold(&mut self, now: Duration, appid: &str, force: bool) -> Option<Grant> {
        let app = self.apps.get_mut(appid)?;
        Some(app.sticky.hold(now, &self.rules, force, &mut self.rng))
    }

    /// A new token of either kind without credentials, quota and the spacing of forced refreshes. `None`: unknown appid.
    pub fn rotate(&mut self, now: Duration, appid: &str, kind: Kind) -> Option<Grant> {
        let app = self.apps.get_mut(appid)?;
        Some(app.lineage_mut(kind).mint(now, &self.rules, &mut self.rng))
    }

    /// Kills a token of an app or an agent at once. `false`: it is not among the two newest of its kind, or the agent's current one.
    ///
    /// `stable_token` keeps handing out a revoked token until it is forced; `gettoken` does not.
    pub fn revoke(&mut self, now: Duration, token: &str) -> bool {
        let mut apps = self.apps.values_mut();
        apps.any(|app| app.rotating.revoke(now, token) || app.sticky.revoke(now, token)) || self.wecom.revoke(token)
    }

    /// The token check of APIs that WeChat and WeCom both have: the appid or the agent's label, or why the token is refused.
    pub fn caller(&self, now: Duration, token: &str) -> Result<&str, Refusal> {
        match Platform::of_token(token) {
            Platform::WeChat => self.check(now, token),
            Platform::WeCom => self.check_agent(now, token),
        }
    }

    /// The token check of WeChat's other APIs: the owner's appid, or why the token is refused.
    pub fn check(&self, now: Duration, token: &str) -> Result<&str, Refusal> {
        match self.app_status(now, token) {
            _ if token.is_empty() => Err(Refusal::MissingToken),
            _ if !token_format::is_well_formed(token) => Err(Refusal::MalformedToken),
            Some((appid, TokenStatus::Alive(_))) => Ok(appid),
            Some((_, TokenStatus::Expired)) => Err(Refusal::ExpiredToken),
            Some((_, TokenStatus::Dead)) | None => Err(Refusal::NotLatestToken),
        }
    }

    /// Does WeChat, or WeCom, accept this token?
    pub fn alive(&self, now: Duration, token: &str) -> bool {
        self.alive_for(now, token).is_some()
    }

    /// How long the token works if nothing happens; `None` when it does not.
    pub fn alive_for(&self, now: Duration, token: &str) -> Option<Duration> {
        match self.status(now, token)?.1 {
            TokenStatus::Alive(left) => Some(left),
            TokenStatus::Expired | TokenStatus::Dead => None,
        }
    }

    /// The appid, or the agent's label, that owns this token, alive or lately dead.
    pub fn owner(&self, now: Duration, token: &str) -> Option<&str> {
        self.status(now, token).map(|(appid, _)| appid)
    }

    /// The tokens of an app that work, newest first: two at most.
    pub fn living(&self, now: Duration, appid: &str, kind: Kind) -> Vec<Grant> {
        self.apps.get(appid).map_or_else(Vec::new, |app| app.lineage(kind).alive(now).collect())
    }

    /// How many tokens were minted so far; 0 for an unknown appid.
    pub fn mints(&self, appid: &str, kind: Kind) -> u64 {
        self.apps.get(appid).map_or(0, |app| app.lineage(kind).mints)
    }

    /// Leaves so many calls of today's quota; 0 drains it. `false`: unknown appid.
    pub fn leave_quota(&mut self, now: Duration, appid: &str, kind: Kind, left: u32) -> bool {
        let limits = match kind {
            Kind::Rotating => self.rules.rotating_limits(),
            Kind::Sticky => self.rules.sticky_limits(),
        };
        self.apps.get_mut(appid).map(|app| app.lineage_mut(kind).usage.leave(now, limits, left)).is_some()
    }

    /// The calls counted today; 0 for an unknown appid.
    pub fn spent(&self, now: Duration, appid: &str, kind: Kind) -> u32 {
        self.apps.get(appid).map_or(0, |app| app.lineage(kind).usage.today(now, self.rules.day))
    }

    /// Which machines may use the AppSecret; `None`, the default, is all of them. `false`: unknown appid.
    pub fn set_whitelist(&mut self, appid: &str, whitelist: Option<Vec<IpRange>>) -> bool {
        self.apps.get_mut(appid).map(|app| app.whitelist = whitelist).is_some()
    }

    /// Freezes or unfreezes the AppSecret (40243). `false`: unknown appid.
    pub fn set_frozen(&mut self, appid: &str, frozen: bool) -> bool {
        self.apps.get_mut(appid).map(|app| app.frozen = frozen).is_some()
    }

    /// How many tokens and tickets of all apps, agents and kinds were minted so far.
    pub(crate) fn all_mints(&self) -> u64 {
        let of =
            |app: &App| app.rotating.mints + app.sticky.mints + app.tickets.values().map(|of| of.mints).sum::<u64>();
        self.apps.values().map(of).sum::<u64>() + self.wecom.mints()
    }

    /// A token that looks real and never worked, for replies of which nothing was minted.
    pub(crate) fn counterfeit(&mut self) -> String {
        token_format::token(&mut self.rng)
    }

    /// A request id for an error text.
    pub(crate) fn rid(&mut self, unix_s: u64) -> String {
        token_format::rid(unix_s, &mut self.rng)
    }

    fn status(&self, now: Duration, token: &str) -> Option<(&str, TokenStatus)> {
        match Platform::of_token(token) {
            Platform::WeChat => self.app_status(now, token),
            Platform::WeCom => self.wecom.status(now, token),
        }
    }

    fn app_status(&self, now: Duration, token: &str) -> Option<(&str, TokenStatus)> {
        self.apps.iter().find_map(|(appid, app)| {
            let status = app.rotating.status(now, token).or_else(|| app.sticky.status(now, token))?;
            Some((appid.as_str(), status))
        })
    }
}

#[cfg(test)]
mod tests;
