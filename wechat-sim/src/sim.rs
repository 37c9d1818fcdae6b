//! How does a test hold a running simulator?

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::call_log::{Call, RouteCalls};
use crate::fault::{Plan, Target, Times};
use crate::model::{Grant, IpRange, Kind, Login, Media, MediaKind, Model, Rules, TicketKind};
use crate::operation::Op;
use crate::shared::Shared;

pub use builder::{Builder, StartError};

mod builder;

/// A running simulator. Dropping it ends its connections and frees its port.
pub struct Sim {
    shared: Arc<Shared>,
    addr: SocketAddr,
    scheme: &'static str,
    /// Holds the one task, which holds the tasks of the connections: all end with `self`.
    _tasks: JoinSet<()>,
}

impl Sim {
    /// Defaults: WeChat's own rules, no app, 127.0.0.1 and a free port, no TLS, no latency, a random seed.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `http://127.0.0.1:PORT`, without a slash at its end; `https://localhost:PORT` with TLS on the loopback address.
    pub fn base_url(&self) -> String {
        if self.scheme == "https" && self.addr.ip().is_loopback() {
            return format!("https://localhost:{}", self.addr.port());
        }
        format!("{}://{}", self.scheme, self.addr)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The simulator's clock, since its start: the scale of [`Call::at`].
    pub fn now(&self) -> Duration {
        self.shared.clock.now()
    }

    /// Queues a fault behind those that wait already, for the calls of an [`Op`] or of one path.
    pub fn fault(&self, target: impl Into<Target>, plan: impl Into<Plan>, times: Times) {
        self.shared.with(|state, _| state.faults.push(target.into(), plan.into(), times));
    }

    /// Queues one fault for each of the next calls; [`Fault::Pass`](crate::Fault::Pass) lets one succeed.
    pub fn script<P: Into<Plan>>(&self, target: impl Into<Target>, plans: impl IntoIterator<Item = P>) {
        let target = target.into();
        for plan in plans {
            self.fault(target.clone(), plan, Times::Next(1));
        }
    }

    /// Removes the faults that wait. A call that met its fault already keeps it: a hanging one hangs on.
    pub fn clear_faults(&self) {
        self.shared.with(|state, _| state.faults.clear());
    }

    /// Closes the listener and all connections; returns when a new connection is refused.
    pub async fn refuse_connections(&self) {
        self.shared.port.close().await;
    }

    /// Listens again, on the same port; returns when a new connection is accepted.
    pub async fn accept_connections(&self) {
        self.shared.port.open().await;
    }

    /// Mints as if another server had called. It costs no quota and appears in no call.
    ///
    /// # Panics
    ///
    /// When the app is not registered.
    pub fn rotate_outside(&self, appid: &str, kind: Kind) -> Grant {
        self.model(|model, now| model.rotate(now, appid, kind)).expect("the app is registered")
    }

    /// Kills a token of an app or an agent at once. `false`: it is not among the two newest of its kind, or the agent's current one.
    pub fn revoke(&self, token: &str) -> bool {
        self.model(|model, now| model.revoke(now, token))
    }

    /// Ends a ticket at once: the next call gets another one. `false`: no app, agent or corp has it.
    pub fn revoke_ticket(&self, ticket: &str) -> bool {
        self.model(|model, _| model.revoke_ticket(ticket))
    }

    /// A code as a user's device gets it when the user logs in, for one use.
    ///
    /// # Panics
    ///
    /// When the app is not registered.
    pub fn login_code(&self, appid: &str, login: Login) -> String {
        self.model(|model, now| model.login_code(now, appid, login)).expect("the app is registered")
    }

    /// The file of this id, uploaded or made.
    pub fn media(&self, media_id: &str) -> Option<Media> {
        self.model(|model, _| model.media(media_id).cloned())
    }

    /// A file of so many made-up bytes that can be downloaded. They take no memory.
    ///
    /// # Panics
    ///
    /// When the app is not registered.
    pub fn make_media(&self, appid: &str, kind: MediaKind, content_type: &str, size: u64) -> String {
        self.model(|model, _| model.make_media(appid, kind, content_type, size)).expect("the app is registered")
    }

    /// Leaves so many calls of today's quota; 0 drains it. `false`: unknown appid.
    pub fn leave_quota(&self, appid: &str, kind: Kind, left: u32) -> bool {
        self.model(|model, now| model.leave_quota(now, appid, kind, left))
    }

    /// Changes rules while it runs: `sim.change_rules(|rules| rules.overlap = …)`.
    pub fn change_rules(&self, change: impl FnOnce(&mut Rules)) {
        self.model(|model, _| change(model.rules_mut()));
    }

    /// Adds an app, or resets its AppSecret.
    pub fn register(&self, appid: &str, secret: &str) {
        self.model(|model, _| model.register(appid, secret));
    }

    /// Adds an agent to a corp of WeCom, or gives it another secret: its token lives on. Its label is `CORPID/AGENT`.
    pub fn register_agent(&self, corpid: &str, agent: &str, secret: &str) {
        self.model(|model, _| model.register_agent(corpid, agent, secret));
    }

    /// The token of an agent that works.
    pub fn living_agent(&self, label: &str) -> Option<Grant> {
        self.model(|model, now| model.living_agent(now, label))
    }

    /// Ends an agent's token before its time: the next call gets another one. `false`: no agent, or no token.
    pub fn revoke_agent(&self, label: &str) -> bool {
        self.model(|model, now| model.revoke_agent(now, label))
    }

    /// How many tokens this agent was given.
    pub fn agent_mints(&self, label: &str) -> u64 {
        self.model(|model, _| model.agent_mints(label))
    }

    /// For how long WeCom refuses this caller, because of wrong secrets.
    pub fn banned_for(&self, ip: IpAddr) -> Option<Duration> {
        self.model(|model, now| model.banned_for(now, ip))
    }

    /// Ends all bans and forgets the wrong secrets.
    pub fn lift_bans(&self) {
        self.model(|model, _| model.lift_bans());
    }

    /// Which machines may use the AppSecret; `None` is all of them. `false`: unknown appid.
    pub fn set_whitelist(&self, appid: &str, whitelist: Option<Vec<IpRange>>) -> bool {
        self.model(|model, _| model.set_whitelist(appid, whitelist))
    }

    /// Freezes or unfreezes the AppSecret. `false`: unknown appid.
    pub fn set_frozen(&self, appid: &str, frozen: bool) -> bool {
        self.model(|model, _| model.set_frozen(appid, frozen))
    }

    /// The delay of every answer from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.with(|state, _| state.latency = latency);
    }

    /// Would WeChat accept this token now, and is it this app's?
    pub fn token_alive(&self, appid: &str, token: &str) -> bool {
        self.model(|model, now| model.check(now, token) == Ok(appid))
    }

    /// How long the token works if nothing happens; `None` when it does not work.
    pub fn alive_for(&self, token: &str) -> Option<Duration> {
        self.model(|model, now| model.alive_for(now, token))
    }

    /// How long the ticket works if nothing happens; `None` when it does not work.
    pub fn ticket_alive_for(&self, ticket: &str) -> Option<Duration> {
        self.model(|model, now| model.ticket_alive_for(now, ticket))
    }

    /// The tokens of an app that work, newest first: two at most.
    pub fn living(&self, appid: &str, kind: Kind) -> Vec<Grant> {
        self.model(|model, now| model.living(now, appid, kind))
    }

    /// How many tokens were minted, by calls and outside of them.
    pub fn mints(&self, appid: &str, kind: Kind) -> u64 {
        self.model(|model, _| model.mints(appid, kind))
    }

    /// How many tickets were minted.
    pub fn ticket_mints(&self, appid: &str, kind: TicketKind) -> u64 {
        self.model(|model, _| model.ticket_mints(appid, kind))
    }

    /// The last 100,000 calls, in their order. An upload or an echo is a call from its head on; any other request that never arrived
    /// as a whole is no call.
    pub fn calls(&self, op: Op) -> Vec<Call> {
        self.shared.with(|state, _| state.calls.calls(op).cloned().collect())
    }

    /// The calls by this path, how they were refused and with which tokens they came. Unlike [`Sim::calls`] it forgets none.
    pub fn route(&self, path: &str) -> RouteCalls {
        self.shared.with(|state, _| state.calls.routes().get(path).cloned().unwrap_or_default())
    }

    /// How many token calls (not probes) of this app were open at once, at most.
    pub fn most_concurrent(&self, appid: &str) -> usize {
        self.shared.with(|state, _| state.calls.most_concurrent(appid))
    }

    fn model<T>(&self, look: impl FnOnce(&mut Model, Duration) -> T) -> T {
        self.shared.with(|state, now| look(&mut state.model, now))
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("addr", &self.addr).finish_non_exhaustive()
    }
}
