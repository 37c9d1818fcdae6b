//! What do readers see while all leases of a killed relay are taken over, and when can calls be made again?

use std::{
    io::{self, Error},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use token_relay::clock::{Clock, SystemClock, Timestamp};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use wechat_sim::Kind;

use crate::{
    client::Client,
    many_accounts::{appid, name},
    relay::Relay,
    report,
    setup::Setup,
    support::http_exchange::Answer,
};

/// For so long the readers read before the holder is killed, and after all is over.
const MARGIN: Duration = Duration::from_secs(2);
/// Readers at each relay. Together they walk over all accounts.
const READERS: usize = 2;
/// Between two reads of one reader.
const PACE: Duration = Duration::from_millis(2);
/// No lease moves sooner: a holder counts on its own for longer.
const FIRST_LOOK: Duration = Duration::from_secs(8);
/// The pause between two looks at the leases: a look makes the relays walk over all accounts.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A take-over that takes longer is given up.
const LONGEST: Duration = Duration::from_secs(60);

/// What readers saw.
#[derive(Default)]
pub(crate) struct Reads {
    pub(crate) count: u32,
    /// Without a token that lives for as long as the answer says.
    pub(crate) failed: u32,
    pub(crate) first_failure: Option<String>,
    pub(crate) slowest: Duration,
}

/// How far the leases were taken over, and in what time.
pub(crate) struct Leases {
    pub(crate) held: usize,
    pub(crate) after: Duration,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: u64,
}

/// Kills the holder. What it held must be served by the others throughout.
pub(crate) async fn measure(setup: &Arc<Setup>, holder: Relay, others: &[Relay; 2]) -> io::Result<()> {
    let stop = CancellationToken::new();
    let mut readers = JoinSet::new();
    for relay in others {
        for reader in 0..READERS {
            let first = setup.accounts * reader / READERS;
            readers.spawn(read(setup.clone(), relay.client().await?, first, stop.clone()));
        }
    }
    sleep(MARGIN).await;
    let killed = SystemClock.boot_now();
    drop(holder);
    let leases = watch_leases(setup.accounts, killed, others).await?;
    sleep(MARGIN).await;
    stop.cancel();
    let mut reads = Reads::default();
    while let Some(done) = readers.join_next().await {
        reads.add(done.map_err(Error::other)?);
    }
    report::reads(&reads);
    report::take_over(setup.accounts, &leases);
    report::call_after(replace_a_refused_token(setup, &others[0]).await);
    Ok(())
}

async fn watch_leases(accounts: usize, killed: Timestamp, others: &[Relay; 2]) -> io::Result<Leases> {
    sleep(FIRST_LOOK).await;
    loop {
        let held = others[0].leases().await? + others[1].leases().await?;
        let after = SystemClock.boot_now().since(killed);
        if held >= accounts || after > LONGEST {
            return Ok(Leases { held, after });
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Reads one account after the other.
async fn read(setup: Arc<Setup>, mut client: Client, first: usize, stop: CancellationToken) -> Reads {
    let mut reads = Reads::default();
    for number in (0..setup.accounts).cycle().skip(first) {
        if stop.is_cancelled() {
            break;
        }
        let asked = SystemClock.boot_now();
        let answer = client.get(&format!("/token?account={}", name(number))).await;
        reads.slowest = reads.slowest.max(SystemClock.boot_now().since(asked));
        reads.count += 1;
        let is_broken = answer.is_err();
        if let Err(failure) =
            answer.map_err(|error| error.to_string()).and_then(|answer| judge(&setup, number, &answer))
        {
            reads.failed += 1;
            reads.first_failure.get_or_insert(format!("{}: {failure}", name(number)));
        }
        if is_broken {
            break;
        }
        sleep(PACE).await;
    }
    reads
}

/// The token, if it is one that lives for as long as the answer says.
fn judge(setup: &Setup, number: usize, answer: &Answer) -> Result<Token, String> {
    if !answer.is_ok() {
        return Err(answer.head.lines().next().unwrap_or_default().to_owned());
    }
    let token: Token = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let living = setup.sim.living(&appid(number), Kind::Rotating);
    match living.iter().find(|grant| grant.access_token == token.access_token) {
        None => Err("a dead token".to_owned()),
        Some(grant) if grant.left < Duration::from_secs(token.expires_in) => Err("a promise too long".to_owned()),
        Some(_) => Ok(token),
    }
}

/// Whether the relays call WeChat again: it refuses a token, a client reports it, and there must be a new one.
async fn replace_a_refused_token(setup: &Setup, relay: &Relay) -> Result<(), String> {
    let mut client = relay.client().await.map_err(|error| error.to_string())?;
    let path = |route| format!("{route}?account={}", name(0));
    let answer = client.get(&path("/token")).await.map_err(|error| error.to_string())?;
    let bad = judge(setup, 0, &answer)?.access_token;
    setup.sim.revoke(&bad);
    let body = format!("{{\"access_token\":\"{bad}\"}}");
    let answer = client.post(&path("/token/refresh"), &body).await.map_err(|error| error.to_string())?;
    judge(setup, 0, &answer).map(drop)
}

impl Reads {
    fn add(&mut self, others: Self) {
        self.count += others.count;
        self.failed += others.failed;
        self.first_failure = self.first_failure.take().or(others.first_failure);
        self.slowest = self.slowest.max(others.slowest);
    }
}
