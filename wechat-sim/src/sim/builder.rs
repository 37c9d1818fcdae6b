//! What is decided before the simulator starts?

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinSet;

use super::Sim;
use crate::acceptor::accept_forever;
use crate::model::{Model, Rules};
use crate::port::Port;
use crate::shared::{Log, Shared};
use crate::tls::Identity;

/// The settings of a simulator that does not run yet.
#[must_use = "nothing runs before `start`"]
pub struct Builder {
    apps: Vec<(String, SecretString)>,
    agents: Vec<(String, String, SecretString)>,
    rules: Rules,
    listen: SocketAddr,
    identity: Option<Identity>,
    latency: Duration,
    seed: Option<u64>,
    log: Option<Log>,
}

/// The simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not this machine's.
    #[error("can't listen on {addr}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            apps: Vec::new(),
            agents: Vec::new(),
            rules: Rules::default(),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            identity: None,
            latency: Duration::ZERO,
            seed: None,
            log: None,
        }
    }
}

impl Builder {
    /// Registers an app.
    pub fn app(mut self, appid: impl Into<String>, secret: impl Into<String>) -> Self {
        self.apps.push((appid.into(), SecretString::from(secret.into())));
        self
    }

    /// Registers an agent of a corp of WeCom.
    pub fn agent(mut self, corpid: impl Into<String>, agent: impl Into<String>, secret: impl Into<String>) -> Self {
        self.agents.push((corpid.into(), agent.into(), SecretString::from(secret.into())));
        self
    }

    /// The life of a new token, at least a second; replies have whole seconds.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.rules.lifetime = lifetime;
        self
    }

    /// How long the previous token works after a rotation.
    pub fn overlap(mut self, overlap: Duration) -> Self {
        self.rules.overlap = overlap;
        self
    }

    /// Calls of `/cgi-bin/token` a day for each app.
    pub fn quota(mut self, calls_per_day: u32) -> Self {
        self.rules.quota = calls_per_day;
        self
    }

    /// All rules at once; replaces those given before.
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Where to listen; port 0 takes a free one.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = addr;
        self
    }

    /// Serves TLS only.
    pub fn tls(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The delay of every answer; half of it passes before the operation.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// The same seed and the same calls give the same tokens. Without one they differ in each run: a client that kept a token
    /// over a restart of the simulator must not find it alive by chance.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Receives one line for each call to WeChat, without secrets and tokens.
    pub fn log(mut self, log: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.log = Some(Box::new(log));
        self
    }

    /// Binds, and serves until the [`Sim`] is dropped. Needs a tokio runtime with I/O and time.
    #[expect(clippy::unused_async, reason = "`async` keeps a caller outside of a runtime from getting this far")]
    pub async fn start(self) -> Result<Sim, StartError> {
        let failed = |source| StartError::Listen { addr: self.listen, source };
        let port = Port::reserve(self.listen).map_err(failed)?;
        let listener = port.listen().map_err(failed)?;
        let addr = port.addr();
        let mut model = Model::new(self.rules, self.seed.unwrap_or_else(|| fastrand::u64(..)));
        for (appid, secret) in &self.apps {
            model.register(appid, secret.expose_secret());
        }
        for (corpid, agent, secret) in &self.agents {
            model.register_agent(corpid, agent, secret.expose_secret());
        }
        let shared = Arc::new(Shared::new(model, self.latency, self.log));
        let scheme = if self.identity.is_some() { "https" } else { "http" };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept_forever(shared.clone(), port, listener, self.identity.map(Identity::acceptor)));
        Ok(Sim { shared, addr, scheme, _tasks: tasks })
    }
}

/// Names the apps, never their secrets.
impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let appids: Vec<_> = self.apps.iter().map(|(appid, _)| appid).collect();
        f.debug_struct("Builder").field("apps", &appids).field("listen", &self.listen).finish_non_exhaustive()
    }
}
