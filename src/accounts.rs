//! What may a handler read of an account, and how does it say that a token is bad?
//!
//! A keeper publishes a [`Standing`] at every change; handlers read it from memory and never wait for WeChat or the store
//! (I11). The only way back is a report.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    account::AccountName,
    clock::{Timestamp, WallTime},
    credential::{Generation, Promise, Token},
};

/// Every account of this relay, by name. Made once at the start; cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Accounts {
    by_name: BTreeMap<AccountName, Arc<Account>>,
}

impl Accounts {
    /// All accounts, in the order of their names.
    pub fn new(accounts: impl IntoIterator<Item = Account>) -> Self {
        Self { by_name: accounts.into_iter().map(|account| (account.name.clone(), Arc::new(account))).collect() }
    }

    /// The account called `name`.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Account>> {
        self.by_name.get(name)
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.by_name.values()
    }
}

/// One account as handlers see it.
#[derive(Debug)]
pub struct Account {
    /// Its local name.
    pub name: AccountName,
    standing: watch::Receiver<Arc<Standing>>,
    reports: mpsc::Sender<Report>,
}

/// A report on its way to the keeper.
#[derive(Debug)]
pub struct Report {
    /// The generation that the client says is bad.
    pub generation: Generation,
    /// Where the keeper answers.
    pub answer: oneshot::Sender<Reported>,
}

/// The keeper's answer to a report (§4 of the design tells the status of each).
#[derive(Debug, Clone)]
pub enum Reported {
    /// Serve what stands now: the report was stale, WeChat accepts the token, or a new one has come.
    Settled,
    /// Within `refresh.report_cooldown`, or a budget is spent: not before `retry_in`.
    TooMany {
        /// Until a report may be heard again.
        retry_in: Duration,
        /// Why, in words.
        reason: &'static str,
    },
    /// The probe told nothing, or the refresh failed.
    Failed {
        /// Until it makes sense to ask again.
        retry_in: Duration,
        /// Why, in words for a client.
        reason: String,
    },
}

/// How an account stands. Published whole, so that a reader never sees half of a change.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// What may be served, with how long it may be promised; `None` when there is no token or it is known to be dead.
    pub offer: Option<Offer>,
    /// The planned rotation: when the current credential is replaced if all goes well.
    pub rotation_at: Option<Timestamp>,
    /// The earliest moment of the next call to WeChat's token API; `None` while one is under way.
    pub next_attempt_at: Option<Timestamp>,
    /// Calls that failed since the last success.
    pub failures: u32,
    /// The last failure, until a success.
    pub trouble: Option<Arc<Trouble>>,
    /// Why the record could not be stored, until it could.
    pub store_trouble: Option<Arc<str>>,
    /// Whether it is this relay that calls WeChat: always, if it is the only one on its store.
    pub holds_lease: bool,
    /// What is left of the rolling day's budgets.
    pub budget: BudgetLeft,
}

/// Calls that may still be made in the rolling 24 hours (I6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetLeft {
    /// Of `calls_per_day`.
    pub calls: u32,
    /// Of the forced calls.
    pub forced: u32,
    /// Of the probes.
    pub probes: u32,
}

/// A token that may be served, with the bytes that every answer begins with.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Which rotation it came from.
    pub generation: Generation,
    /// The value.
    pub token: Token,
    /// `{"access_token":"…","expires_in":` — only the seconds and a brace are written per request.
    pub head: Secret,
    /// `W/"main-1795348923000"`: the account and the generation, never the token.
    pub etag: Bytes,
    /// How long it may be promised.
    pub promise: Promise,
}

/// Bytes that hold a token: `Debug` shows nothing.
#[derive(Clone)]
pub struct Secret(pub Bytes);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Offer {
    /// An offer of `token`, with its answer prepared.
    pub fn new(account: &AccountName, generation: Generation, token: Token, promise: Promise) -> Self {
        let quoted = serde_json::to_string(token.expose()).expect("a string is JSON");
        let head = Secret(Bytes::from(format!("{{\"access_token\":{quoted},\"expires_in\":")));
        let etag = Bytes::from(format!("W/\"{account}-{generation}\""));
        Self { generation, token, head, etag, promise }
    }

    /// The same token under another promise.
    #[must_use]
    pub fn promised(&self, promise: Promise) -> Self {
        Self { promise, ..self.clone() }
    }
}

/// A failure as the operator should see it. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// WeChat's code, where it gave one.
    pub errcode: Option<i64>,
    /// What happened, in words.
    pub message: String,
    /// What the operator should do, in words.
    pub hint: String,
    /// When the last call failed.
    pub at: WallTime,
}

impl Standing {
    /// The offer and its seconds, if at least one second can be promised at `now`.
    pub fn servable(&self, now: Timestamp) -> Option<(&Offer, u64)> {
        let offer = self.offer.as_ref()?;
        match offer.promise.seconds_left(now) {
            0 => None,
            seconds => Some((offer, seconds)),
        }
    }

    /// How long until the next call to WeChat may have changed something; at least one second, for `Retry-After`.
    pub fn retry_in(&self, now: Timestamp) -> Duration {
        self.next_attempt_at.map_or(Duration::ZERO, |at| at.since(now)).max(Duration::from_secs(1))
    }

    /// Whether a call is under way or begins within `wait`: only then is it worth waiting for a token.
    pub fn is_worth_waiting(&self, now: Timestamp, wait: Duration) -> bool {
        self.next_attempt_at.is_none_or(|at| at.since(now) < wait)
    }
}

impl Account {
    /// The account `name`, read through `standing` and reported to through `reports`.
    pub fn new(name: AccountName, standing: watch::Receiver<Arc<Standing>>, reports: mpsc::Sender<Report>) -> Self {
        Self { name, standing, reports }
    }

    /// How it stands now.
    pub fn standing(&self) -> Arc<Standing> {
        self.standing.borrow().clone()
    }

    /// A view that can wait for changes: for the long poll and the first token.
    pub fn watch(&self) -> watch::Receiver<Arc<Standing>> {
        self.standing.clone()
    }

    /// Tells the keeper that `generation` is bad and waits for its answer; the caller bounds the wait. `None`: the keeper
    /// is being started again.
    pub async fn report(&self, generation: Generation) -> Option<Reported> {
        let (answer, told) = oneshot::channel();
        self.reports.send(Report { generation, answer }).await.ok()?;
        told.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_holds_the_answer_and_shows_no_token() {
        let token = Token::try_from("75_sentinel\"x".to_owned()).unwrap();
        let name: AccountName = "main".parse().unwrap();
        let promise = Promise { until: Timestamp::NEVER, sliding: None, verified_until: None };
        let offer = Offer::new(&name, Generation(7), token, promise);
        assert_eq!(&offer.head.0[..], br#"{"access_token":"75_sentinel\"x","expires_in":"#);
        assert_eq!(&offer.etag[..], br#"W/"main-7""#);
        assert!(!format!("{offer:?}").contains("sentinel"));
    }
}
