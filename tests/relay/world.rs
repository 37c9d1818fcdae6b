//! What surrounds a relay: a WeChat, a state directory and an environment, which all outlive its restarts.

use std::{
    collections::BTreeMap,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use wechat_sim::{Call, Op, Sim};

use crate::process::{KEY, PATIENCE, Relay};

/// The AppSecret of every account.
pub(crate) const SECRET: &str = "sentinel-appsecret-0123456789abcdef";

pub(crate) struct World {
    pub(crate) sim: Arc<Sim>,
    dir: TempDir,
    pub(crate) env: BTreeMap<String, String>,
    uid: Option<u32>,
}

impl World {
    /// One account, `main`, whose tokens live for `lifetime` and `overlap` seconds, and one client, `orders`.
    pub(crate) async fn new(lifetime: u64, overlap: u64) -> Self {
        let builder = Sim::builder().lifetime(Duration::from_secs(lifetime)).overlap(Duration::from_secs(overlap));
        let mut world = Self::around(builder.start().await.unwrap());
        world.set("refresh.overlap", &format!("{overlap}s"));
        world.account("main", "token");
        world
    }

    /// No account, one client, and WeChat's own times.
    pub(crate) fn around(sim: Sim) -> Self {
        let dir = TempDir::new().unwrap();
        let mut world = Self { env: BTreeMap::new(), dir, sim: Arc::new(sim), uid: None };
        let (base_url, state) = (world.sim.base_url(), format!("file:{}", world.state().display()));
        for (key, value) in [
            ("server.listen", "127.0.0.1:0"),
            ("server.admin_listen", "127.0.0.1:0"),
            ("wechat.base_url", base_url.as_str()),
            ("wechat.fallback_base_url", ""),
            ("state.url", state.as_str()),
            ("log.format", "json"),
            // on a busy machine even the first call takes its time
            ("server.first_token_wait", "30s"),
            ("clients.orders.key", KEY),
        ] {
            world.set(key, value);
        }
        world
    }

    /// Gives the setting `section.key` a value.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let variable = format!("TOKEN_RELAY__{}", key.to_uppercase().replace('.', "__"));
        self.env(&variable, value);
    }

    /// Gives a variable of the relay's environment a value.
    pub(crate) fn env(&mut self, variable: &str, value: &str) {
        self.env.insert(variable.to_owned(), value.to_owned());
    }

    /// Adds an account, to WeChat and to the settings.
    pub(crate) fn account(&mut self, name: &str, endpoint: &str) {
        self.sim.register(&appid(name), SECRET);
        self.set(&format!("accounts.{name}.appid"), &appid(name));
        self.set(&format!("accounts.{name}.secret"), SECRET);
        self.set(&format!("accounts.{name}.endpoint"), endpoint);
    }

    /// The state directory; the relay makes it.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A directory that outlives the relay.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The record of `main`.
    pub(crate) fn record(&self) -> PathBuf {
        self.state().join("main.json")
    }

    /// Lets the relay run as a user to whom permissions mean something.
    pub(crate) fn be_unprivileged(&mut self) {
        const NOBODY: u32 = 65534;
        if rustix::process::geteuid().is_root() {
            chown(self.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            self.uid = Some(NOBODY);
        }
    }

    pub(crate) fn spawn(&self) -> Relay {
        Relay::spawn(&self.env, self.uid)
    }

    /// A relay that serves, though perhaps no token yet.
    pub(crate) async fn start(&self) -> Relay {
        let mut relay = self.spawn();
        relay.serving().await;
        relay
    }

    /// The calls to both token endpoints so far, in their order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let mut calls = [self.sim.calls(Op::Token), self.sim.calls(Op::StableToken)].concat();
        calls.sort_by_key(|call| call.at);
        calls
    }

    pub(crate) fn probes(&self) -> usize {
        self.sim.calls(Op::Api).len()
    }
}

/// The appid of an account.
pub(crate) fn appid(account: &str) -> String {
    format!("wx{account}")
}

/// Waits until `holds`, and panics with `what` when it takes too long.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asked = Instant::now();
    while !holds().await {
        assert!(asked.elapsed() < PATIENCE, "it never happened: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
