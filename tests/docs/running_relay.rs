//! How does a test get a relay to run the examples of the pages against?

use std::{fs, path::Path, process::Stdio, time::Duration};

use tempfile::TempDir;
use tokio::process::{Child, Command};
use wechat_sim::Sim;

pub(crate) const APPID: &str = "wx0000000000000001";
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const KEY: &str = "trk_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A simulated WeChat and a relay in front of it.
pub(crate) struct RunningRelay {
    pub(crate) sim: Sim,
    pub(crate) url: String,
    relay: Child,
    _state: TempDir,
}

impl RunningRelay {
    /// A relay that serves its first token.
    pub(crate) async fn start() -> Self {
        let sim = Sim::builder().app(APPID, SECRET).lifetime(Duration::from_secs(600)).start().await.unwrap();
        let state = TempDir::new().unwrap();
        let log = state.path().join("log");
        let relay = Command::new(env!("CARGO_BIN_EXE_token-relay"))
            .env_clear()
            .env("TOKEN_RELAY__SERVER__LISTEN", "127.0.0.1:0")
            .env("TOKEN_RELAY__SERVER__ADMIN_LISTEN", "")
            .env("TOKEN_RELAY__WECHAT__BASE_URL", sim.base_url())
            .env("TOKEN_RELAY__WECHAT__FALLBACK_BASE_URL", "")
            .env("TOKEN_RELAY__REFRESH__OVERLAP", "10s")
            .env("TOKEN_RELAY__STATE__URL", format!("file:{}", state.path().join("state").display()))
            .env("TOKEN_RELAY__LOG__FORMAT", "json")
            .env("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", APPID)
            .env("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", SECRET)
            .env("TOKEN_RELAY__ACCOUNTS__MAIN__TICKETS", "jsapi")
            .env("TOKEN_RELAY__ACCOUNTS__MAIN__JSSDK_DOMAINS", "shop.example.com")
            .env("TOKEN_RELAY__CLIENTS__ORDERS__KEY", KEY)
            .env("TOKEN_RELAY__CLIENTS__ORDERS__GATEWAY", "true")
            .env("TOKEN_RELAY__GATEWAY__ENABLED", "true")
            .stderr(fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let url = Self::url_in(&log).await;
        Self { sim, url, relay, _state: state }
    }

    /// Reads the log up to the first token; the first line holds the address.
    async fn url_in(log: &Path) -> String {
        for _ in 0..3000 {
            let text = fs::read_to_string(log).unwrap();
            let whole = text.lines().take(text.matches('\n').count());
            let events: Vec<serde_json::Value> = whole.map(|line| serde_json::from_str(line).unwrap()).collect();
            let event = |message: &str| events.iter().find(|event| event["message"] == message);
            if let (Some(start), Some(_)) = (event("token-relay serves"), event("fetched")) {
                return format!("http://{}", start["listen"].as_str().unwrap());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no token within a minute: {}", fs::read_to_string(log).unwrap());
    }

    /// A program that finds the relay and WeChat by its environment.
    pub(crate) fn program(&self, words: &[&str], directory: &Path) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
        command
            .env("APPID", APPID)
            .env("RELAY_URL", &self.url)
            .env("RELAY_KEY", KEY)
            .env("WECHAT_URL", self.sim.base_url());
        command.env("no_proxy", "*").env("NO_PROXY", "*");
        command
    }

    pub(crate) async fn stop(mut self) {
        self.relay.kill().await.unwrap();
    }
}
