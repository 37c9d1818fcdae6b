//! How is a relay started, and what does it say of itself?

use std::{
    io::{self, Error},
    net::SocketAddr,
    process::Command,
    time::Duration,
};

use token_relay::clock::{Clock, SystemClock};
use tokio::time::{sleep, timeout};

use crate::{
    client::Client,
    cpu_time::cpu_time,
    setup::Setup,
    support::process::{Process, free_address},
};

/// A relay that does not serve all accounts within this time has failed.
const LONGEST_START: Duration = Duration::from_secs(120);
/// The pause between two looks at a relay that starts: this, or a multiple of how long a look takes, which makes the relay walk
/// over all accounts; but a look that had to wait for a busy relay must not lengthen the measured time by much.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const PAUSE_PER_LOOK: u32 = 20;
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// A relay with all its accounts served.
pub(crate) struct Relay {
    pub(crate) process: Process,
    pub(crate) public: SocketAddr,
    /// From before its process was made until it served all accounts.
    pub(crate) served_in: Duration,
    /// What it has used until then.
    pub(crate) start_cpu: Duration,
    admin: SocketAddr,
}

impl Relay {
    /// Starts a relay with the first `accounts` accounts.
    pub(crate) async fn start(setup: &Setup, accounts: usize, state: &str) -> io::Result<Self> {
        let (public, admin) = (free_address()?, free_address()?);
        let mut command = command(setup, accounts, state, public, admin)?;
        let began = SystemClock.boot_now();
        let process = Process::start(&mut command)?;
        let mut relay = Self { process, public, served_in: Duration::ZERO, start_cpu: Duration::ZERO, admin };
        let served = timeout(LONGEST_START, relay.all_served()).await;
        served.map_err(|_| Error::other(format!("a relay does not serve all accounts within {LONGEST_START:?}")))??;
        relay.served_in = SystemClock.boot_now().since(began);
        relay.start_cpu = cpu_time(&relay.process)?;
        Ok(relay)
    }

    async fn all_served(&mut self) -> io::Result<()> {
        let mut client = loop {
            if let Ok(client) = Client::connect(self.public).await {
                break client;
            }
            self.process.still_runs()?;
            sleep(LOOK_AGAIN).await;
        };
        loop {
            let asked = SystemClock.boot_now();
            let answer = client.get("/readyz").await?;
            if answer.is_ok() && answer.body == br#"{"status":"ready"}"# {
                return Ok(());
            }
            self.process.still_runs()?;
            let looked = SystemClock.boot_now().since(asked);
            sleep((looked * PAUSE_PER_LOOK).clamp(LOOK_AGAIN, LONGEST_PAUSE)).await;
        }
    }

    pub(crate) async fn client(&self) -> io::Result<Client> {
        Client::connect(self.public).await
    }

    /// For how many accounts it holds the lease. The answer has every account in it: to be asked rarely.
    pub(crate) async fn leases(&self) -> io::Result<usize> {
        let answer = Client::connect(self.admin).await?.get("/status").await?;
        let status: serde_json::Value = serde_json::from_slice(&answer.body)?;
        let accounts = status["accounts"].as_object().ok_or_else(|| Error::other("no accounts in /status"))?;
        let holds = accounts.values().map(|account| account["holds_lease"].as_bool());
        let holds: Option<Vec<bool>> = holds.collect();
        let holds = holds.ok_or_else(|| Error::other("no holds_lease in /status"))?;
        Ok(holds.into_iter().filter(|holds| *holds).count())
    }
}

/// The relay as it is shipped, with nothing set but the accounts and where things are.
fn command(setup: &Setup, accounts: usize, state: &str, public: SocketAddr, admin: SocketAddr) -> io::Result<Command> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_token-relay"));
    let settings: [(&str, &str); 6] = [
        ("SERVER__LISTEN", &public.to_string()),
        ("SERVER__ADMIN_LISTEN", &admin.to_string()),
        ("WECHAT__BASE_URL", &setup.sim.base_url()),
        ("WECHAT__FALLBACK_BASE_URL", ""),
        ("STATE__URL", state),
        ("LOG__FORMAT", "json"),
    ];
    command.arg("--config").arg(setup.settings(accounts)?).env_clear();
    command.envs(settings.map(|(key, value)| (format!("TOKEN_RELAY__{key}"), value.to_owned())));
    Ok(command)
}
