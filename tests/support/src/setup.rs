//! What is set up around a relay? A simulated WeChat, a state directory and an environment, which all outlive its restarts.

use std::{
    collections::BTreeMap,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use wechat_sim::{Call, Op, Sim};

use crate::relay_process::{CLIENT_KEY, Relay};

/// The AppSecret of every account.
pub const SECRET: &str = "sentinel-appsecret-0123456789abcdef";

/// Where relays of one configuration are started.
#[derive(Debug)]
pub struct Setup {
    /// Its last word is the binary.
    command: Vec<String>,
    /// The WeChat that they call.
    pub sim: Arc<Sim>,
    dir: TempDir,
    /// Their environment.
    pub env: BTreeMap<String, String>,
    uid: Option<u32>,
}

impl Setup {
    /// Relays from `binary` with one account, `main`, and one client, `orders`. Its tokens live for `lifetime` and `overlap`
    /// seconds.
    pub async fn new(binary: &'static str, lifetime: u64, overlap: u64) -> Self {
        let builder = Sim::builder().lifetime(Duration::from_secs(lifetime)).overlap(Duration::from_secs(overlap));
        let mut setup = Self::around(binary, builder.start().await.unwrap());
        setup.set("refresh.overlap", &format!("{overlap}s"));
        setup.account("main", "token");
        setup
    }

    /// No account, one client, and WeChat's own times.
    pub fn around(binary: &'static str, sim: Sim) -> Self {
        let dir = TempDir::new().unwrap();
        let command = vec![binary.to_owned()];
        let mut setup = Self { command, env: BTreeMap::new(), dir, sim: Arc::new(sim), uid: None };
        let (base_url, state) = (setup.sim.base_url(), format!("file:{}", setup.state().display()));
        for (key, value) in [
            ("server.listen", "127.0.0.1:0"),
            ("server.admin_listen", "127.0.0.1:0"),
            ("wechat.base_url", base_url.as_str()),
            ("wechat.fallback_base_url", ""),
            ("state.url", state.as_str()),
            ("log.format", "json"),
            // on a busy machine even the first call takes its time
            ("server.first_token_wait", "30s"),
            ("clients.orders.key", CLIENT_KEY),
        ] {
            setup.set(key, value);
        }
        setup
    }

    /// Gives the setting `section.key` a value.
    pub fn set(&mut self, key: &str, value: &str) {
        let variable = format!("TOKEN_RELAY__{}", key.to_uppercase().replace('.', "__"));
        self.env(&variable, value);
    }

    /// Gives a variable of the relay's environment a value.
    pub fn env(&mut self, variable: &str, value: &str) {
        self.env.insert(variable.to_owned(), value.to_owned());
    }

    /// Adds an account, to WeChat and to the settings.
    pub fn account(&mut self, name: &str, endpoint: &str) {
        self.sim.register(&appid(name), SECRET);
        self.set(&format!("accounts.{name}.appid"), &appid(name));
        self.set(&format!("accounts.{name}.secret"), SECRET);
        self.set(&format!("accounts.{name}.endpoint"), endpoint);
    }

    /// The state directory; the relay makes it.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A directory that outlives the relay.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The record of `main`.
    pub fn record(&self) -> PathBuf {
        self.state().join("main.json")
    }

    /// Lets the relay run as a user to whom permissions mean something.
    pub fn be_unprivileged(&mut self) {
        const NOBODY: u32 = 65534;
        if rustix::process::geteuid().is_root() {
            chown(self.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            self.uid = Some(NOBODY);
        }
    }

    /// Lets the relay run by this command, whose last argument is its binary.
    pub fn run_within(&mut self, command: Vec<String>) {
        self.command.splice(..0, command);
    }

    /// Starts a relay, which may refuse to serve.
    pub fn spawn(&self) -> Relay {
        Relay::spawn(&self.command, &self.env, self.uid)
    }

    /// Starts a relay that serves, though perhaps no token yet.
    pub async fn start(&self) -> Relay {
        let mut relay = self.spawn();
        relay.serving().await;
        relay
    }

    /// The calls to both token endpoints so far, in their order.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls = [self.sim.calls(Op::Token), self.sim.calls(Op::StableToken)].concat();
        calls.sort_by_key(|call| call.at);
        calls
    }

    /// How many probes WeChat has received.
    pub fn probes(&self) -> usize {
        self.sim.calls(Op::Api).len()
    }
}

/// The appid of an account.
pub fn appid(account: &str) -> String {
    format!("wx{account}")
}
