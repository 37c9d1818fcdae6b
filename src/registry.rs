//! Which credentials does this process keep, and what is held of each?
//!
//! A keeper publishes through its [`Publisher`]; everybody else reads from its [`Handle`] in memory and never waits for WeChat
//! or the store (I11). The only way back is a report.

use std::{
    collections::{BTreeMap, HashMap},
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use futures_channel::mpsc;
use tokio::sync::oneshot;

use crate::{
    account::AccountName,
    clock::Timestamp,
    credential::{CredentialId, CredentialKind, Generation, TicketKind, TokenDigest},
    heartbeat::Heartbeat,
    metrics::CredentialMetrics,
    recent::History,
    report::{Grounds, ReportFailure, ReportLimit},
    status::{Lease, Status, StoreTrouble},
};

mod account_token;
mod found;
mod published;
mod waiters;

use found::Found;
use waiters::Waiters;

pub use account_token::AccountToken;
pub use published::{Prepared, Published, SecretBytes};

/// Reports that may wait for a keeper. One that runs takes each at once: so many wait only while it is being started again.
const REPORTS_WAITING: usize = 1024;

/// The credentials of this process. Its map is replaced whole at every change, so that a reader needs no lock and sees no
/// half of a change.
#[derive(Debug, Default)]
pub struct Registry(ArcSwap<Handles>);

/// Every handle at one moment.
#[derive(Debug, Clone, Default)]
pub struct Handles {
    all: BTreeMap<AccountName, BTreeMap<CredentialKind, Arc<Handle>>>,
    /// The access tokens again, for reads: among many accounts a name is found by its hash sooner than in a tree.
    access_tokens: HashMap<AccountName, Arc<Handle>>,
    found: Arc<Found>,
}

impl Registry {
    /// The handles as they are now. A change made later is not seen in them.
    pub fn handles(&self) -> Guard<Arc<Handles>> {
        self.0.load()
    }

    /// Adds these handles, in place of those of the same credentials. All at once: each change copies the map.
    pub fn insert(&self, added: &[Arc<Handle>]) {
        self.change(added, &[]);
    }

    /// Removes the handles of these, where there are any.
    pub fn remove(&self, ids: &[CredentialId]) {
        self.change(&[], ids);
    }

    /// Both at once: no reader sees the one without the other. Who waits for a handle that is removed is woken.
    pub fn change(&self, added: &[Arc<Handle>], removed: &[CredentialId]) {
        let before = self.0.rcu(|handles| {
            let mut all = handles.all.clone();
            for id in removed {
                if let Some(account) = all.get_mut(id.account()) {
                    account.remove(&id.kind());
                }
            }
            for handle in added {
                let account = all.entry(handle.id.account().clone()).or_default();
                account.insert(handle.id.kind(), handle.clone());
            }
            all.retain(|_, account| !account.is_empty());
            handles.with(all)
        });
        let changed = removed.iter().chain(added.iter().map(|handle| &handle.id));
        changed.filter_map(|id| before.get(id)).for_each(|handle| handle.retire());
    }
}

impl Handles {
    fn with(&self, all: BTreeMap<AccountName, BTreeMap<CredentialKind, Arc<Handle>>>) -> Self {
        let access_token = |kinds: &BTreeMap<_, Arc<Handle>>| kinds.get(&CredentialKind::AccessToken).cloned();
        let access_tokens = all.iter().filter_map(|(name, kinds)| Some((name.clone(), access_token(kinds)?))).collect();
        Self { all, access_tokens, found: self.found.clone() }
    }

    fn get(&self, id: &CredentialId) -> Option<&Arc<Handle>> {
        self.all.get(id.account())?.get(&id.kind())
    }

    /// The access token of the account called `account`.
    pub fn access_token(&self, account: &str) -> Option<&Arc<Handle>> {
        self.access_tokens.get(account)
    }

    /// A ticket of the account called `account`.
    pub fn ticket(&self, account: &str, kind: TicketKind) -> Option<&Arc<Handle>> {
        self.all.get(account)?.get(&CredentialKind::Ticket(kind))
    }

    /// The names of all accounts, in their order.
    pub fn accounts(&self) -> impl Iterator<Item = &AccountName> {
        self.all.keys()
    }

    /// The account that `token` was handed out for, if this relay handed it out and its original life has not ended at `now`.
    pub fn handed_out(&self, token: &str, now: Timestamp) -> Option<&Arc<Handle>> {
        let digest = TokenDigest::of(token);
        let is_its = |handle: &&Arc<Handle>| handle.glance().has_handed_out(digest, now);
        let hinted = self.found.hint(digest).and_then(|account| self.access_token(account.as_str()));
        hinted.filter(is_its).or_else(|| {
            let handle = self.access_tokens.values().find(is_its)?;
            self.found.remember(digest, handle.id.account());
            Some(handle)
        })
    }

    /// Whether a token that [`Handles::handed_out`] does not know may all the same have been handed out.
    pub fn unheard_of(&self) -> Unheard {
        let tokens = self.access_tokens.values();
        tokens.map(|handle| handle.glance().status.unheard_of()).max().unwrap_or(Unheard::Nothing)
    }

    /// In the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Handle>> {
        self.all.values().flat_map(BTreeMap::values)
    }

    /// Sets the gauges of every credential to what is published of it, as of `now`.
    pub fn set_gauges(&self, now: Timestamp) {
        self.iter().for_each(|handle| handle.metrics.set_facts(&handle.published().status, now));
    }

    /// The credentials whose keeper is silent at `awake` (see [`crate::clock::Clock::awake`]), and for how long.
    pub fn silent(&self, awake: Duration) -> impl Iterator<Item = (&CredentialId, Duration)> {
        self.iter().filter_map(move |handle| Some((&handle.id, handle.heartbeat.silence(awake)?)))
    }
}

/// Which tokens can have been handed out that the process has not heard of?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unheard {
    /// None.
    Nothing,
    /// One that another relay of the group has just fetched: it is in the store, and heard of with the next poll.
    OfTheGroup,
    /// Any: a record was not read yet, or the group's store is away.
    Anything,
}

/// What the process holds of one credential, in one place of the memory: of many accounts few are in a core's cache.
#[derive(Debug)]
pub struct Handle {
    /// Which one.
    pub id: CredentialId,
    /// What is counted of it.
    pub metrics: Arc<CredentialMetrics>,
    /// Whether its keeper is alive.
    pub heartbeat: Heartbeat,
    /// What happened to it of late.
    pub history: History,
    /// With `waiters` it takes a sixth of the memory of tokio's `watch`, and a reader takes no lock.
    published: ArcSwap<Published>,
    waiters: Waiters,
    is_retired: AtomicBool,
    reports: mpsc::UnboundedSender<Report>,
}

/// The keeper's end of a [`Handle`].
#[derive(Debug)]
pub struct KeeperEnd {
    /// Where it publishes.
    pub publisher: Publisher,
    /// What clients report.
    pub reports: mpsc::UnboundedReceiver<Report>,
}

impl Handle {
    /// A handle of `id`, and its keeper's end.
    pub fn new(id: CredentialId, metrics: Arc<CredentialMetrics>, heartbeat: Heartbeat) -> (Arc<Self>, KeeperEnd) {
        let (reporter, reports) = mpsc::unbounded();
        let handle = Arc::new(Self {
            id,
            metrics,
            heartbeat,
            history: History::default(),
            published: ArcSwap::default(),
            waiters: Waiters::default(),
            is_retired: AtomicBool::default(),
            reports: reporter,
        });
        (handle.clone(), KeeperEnd { publisher: Publisher(handle), reports })
    }

    /// What was published last.
    pub fn published(&self) -> Arc<Published> {
        self.published.load_full()
    }

    /// The same for a look that ends at once: it counts no reference, and so writes to nothing that is not in this core's cache.
    pub fn glance(&self) -> Guard<Arc<Published>> {
        self.published.load()
    }

    /// Waits until something is published after `seen`, or the handle is retired: for the long poll and the first token.
    pub async fn changed_since(&self, seen: &Published) {
        // while it is borrowed, no other one is at its address
        let is_another = || !ptr::eq(seen, &raw const **self.published.load());
        self.waiters.wait(|| self.is_retired() || is_another()).await;
    }

    /// Whether it has left the registry: its credential is another one's now, or nobody's. It makes no sense to wait for it.
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Relaxed)
    }

    fn retire(&self) {
        self.is_retired.store(true, Relaxed);
        self.waiters.wake();
    }

    /// Reports to the keeper on these grounds that `generation` is bad, and waits for its answer; the caller bounds the wait. `None`: the keeper
    /// is being started again, which many reports wait for already, or has ended.
    pub async fn report(&self, generation: Generation, grounds: Grounds) -> Option<Reported> {
        self.begin_report(generation, grounds)?.await.ok()
    }

    /// Reports that `generation` is bad, to a keeper that takes it. What comes of it is awaited only if somebody asks.
    fn begin_report(&self, generation: Generation, grounds: Grounds) -> Option<oneshot::Receiver<Reported>> {
        if self.reports.len() >= REPORTS_WAITING {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        self.reports.unbounded_send(Report { generation, grounds, answer }).ok()?;
        Some(answered)
    }
}

impl Status {
    const fn unheard_of(&self) -> Unheard {
        match (self.lease, &self.store_trouble) {
            _ if !self.is_loaded => Unheard::Anything,
            (Lease::Alone, _) => Unheard::Nothing,
            // while it lasts, what the others hand out is not heard of
            (_, Some(StoreTrouble::Store(_) | StoreTrouble::Newer(_))) => Unheard::Anything,
            // no relay fetches for such a record, so no unknown token appears; it may last for days
            (_, None | Some(StoreTrouble::Changed | StoreTrouble::AnothersRecord | StoreTrouble::Foreign)) => {
                Unheard::OfTheGroup
            }
        }
    }
}

/// Where a keeper publishes; there is one for each credential.
#[derive(Debug)]
pub struct Publisher(Arc<Handle>);

impl Publisher {
    /// Lets readers see `status`.
    pub fn publish(&self, status: Status) {
        let Handle { id, published, waiters, .. } = &*self.0;
        let next = published.load().followed_by(id, status);
        published.store(Arc::new(next));
        waiters.wake();
    }

    /// What everybody sees.
    pub const fn handle(&self) -> &Arc<Handle> {
        &self.0
    }
}

/// A report on its way to the keeper.
#[derive(Debug)]
pub struct Report {
    /// The generation that the client says is bad.
    pub generation: Generation,
    /// Why it should be.
    pub grounds: Grounds,
    /// Where the keeper answers.
    pub answer: oneshot::Sender<Reported>,
}

/// The keeper's answer to a report.
#[derive(Debug, Clone)]
pub enum Reported {
    /// Read the status again: the report was stale, WeChat accepts the token, or a new one has come.
    Settled,
    /// Within `refresh.report_cooldown`, or a budget is spent: not before `retry_in`.
    TooMany {
        /// Until a report may be made again.
        retry_in: Duration,
        /// Why.
        limit: ReportLimit,
    },
    /// The probe was inconclusive, or the refresh failed.
    Failed {
        /// Until it makes sense to ask again.
        retry_in: Duration,
        /// Why.
        failure: ReportFailure,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credential::{Promise, Token},
        metrics::Metrics,
        status::{HandedOut, Offer},
        store::StoreError,
    };

    fn handle(id: &CredentialId) -> (Arc<Handle>, KeeperEnd) {
        Handle::new(id.clone(), Metrics::new().credential(id), Heartbeat::starting(Duration::ZERO))
    }

    #[test]
    fn an_answer_is_prepared_once_per_rotation_and_shows_no_token() {
        let (handle, end) = handle(&CredentialId::access_token("main".parse().unwrap()));
        let publish = |generation, token: &str| {
            let promise = Promise { until: Timestamp::NEVER, sliding: None, verified_until: None };
            let token = Token::try_from(token.to_owned()).unwrap();
            let offer = Some(Offer { generation: Generation(generation), token, promise });
            end.publisher.publish(Status { offer, ..Status::default() });
            handle.published()
        };
        let first = publish(7, "75_sentinel\"x");
        assert!(!format!("{first:?}").contains("sentinel"));
        let (prepared, _) = first.servable(Timestamp::default()).unwrap();
        assert_eq!(&prepared.head.0[..], br#"{"access_token":"75_sentinel\"x","expires_in":"#);
        assert_eq!(&prepared.etag[..], br#"W/"main-7""#);
        let again = publish(7, "75_sentinel\"x");
        assert_eq!(again.prepared.as_ref().unwrap().head.0.as_ptr(), prepared.head.0.as_ptr());
        assert_eq!(&publish(8, "other").prepared.as_ref().unwrap().etag[..], br#"W/"main-8""#);
    }

    #[test]
    fn the_answer_with_a_ticket_names_the_ticket() {
        let (handle, end) = handle(&CredentialId::ticket("main".parse().unwrap(), TicketKind::WxCard));
        let promise = Promise { until: Timestamp::NEVER, sliding: None, verified_until: None };
        let token = Token::try_from("a-ticket".to_owned()).unwrap();
        end.publisher
            .publish(Status { offer: Some(Offer { generation: Generation(7), token, promise }), ..Status::default() });
        let published = handle.published();
        let (prepared, _) = published.servable(Timestamp::default()).unwrap();
        assert_eq!(&prepared.head.0[..], br#"{"ticket":"a-ticket","expires_in":"#);
        assert_eq!(&prepared.etag[..], br#"W/"main.wx_card-7""#);
    }

    #[test]
    fn a_token_that_was_handed_out_names_its_account_until_it_ends() {
        let registry = Registry::default();
        let (token, end) = handle(&CredentialId::access_token("main".parse().unwrap()));
        registry.insert(&[handle(&CredentialId::access_token("other".parse().unwrap())).0, token.clone()]);
        let at = |seconds| Timestamp::default().plus(Duration::from_secs(seconds));
        let promise = Promise { until: at(7200), sliding: None, verified_until: None };
        let current = Token::try_from("current".to_owned()).unwrap();
        let offer = Some(Offer { generation: Generation(2), token: current, promise });
        let handed_out = vec![HandedOut { digest: TokenDigest::of("earlier"), until: at(60) }];
        end.publisher.publish(Status { offer, handed_out, ..Status::default() });
        let handles = registry.handles();
        let found = |text, now| handles.handed_out(text, now).map(|handle| handle.id.to_string());
        for _ in 0..2 {
            assert_eq!(found("current", at(0)).as_deref(), Some("main"));
        }
        assert_eq!(found("earlier", at(59)).as_deref(), Some("main"));
        assert_eq!(found("earlier", at(60)), None);
        assert_eq!(found("never", at(0)), None);
        registry.remove(&[CredentialId::access_token("main".parse().unwrap())]);
        assert!(registry.handles().handed_out("current", at(0)).is_none(), "what was found before is a hint");
    }

    #[test]
    fn one_record_that_is_no_record_keeps_no_token_of_another_account_in_doubt() {
        let registry = Registry::default();
        let (one, end) = handle(&CredentialId::access_token("one".parse().unwrap()));
        registry.insert(&[one]);
        let unheard_of = |store_trouble| {
            end.publisher.publish(Status { is_loaded: true, store_trouble, ..Status::default() });
            registry.handles().unheard_of()
        };
        assert_eq!(unheard_of(None), Unheard::OfTheGroup);
        assert_eq!(unheard_of(Some(StoreError("away".to_owned()).into())), Unheard::Anything);
        assert_eq!(unheard_of(Some(StoreTrouble::Newer(9))), Unheard::Anything);
        assert_eq!(unheard_of(Some(StoreTrouble::Foreign)), Unheard::OfTheGroup);
        assert_eq!(unheard_of(Some(StoreTrouble::AnothersRecord)), Unheard::OfTheGroup);
    }

    #[test]
    fn a_credential_is_added_replaced_and_removed_and_who_reads_keeps_what_it_read() {
        let registry = Registry::default();
        let main = CredentialId::access_token("main".parse().unwrap());
        let ticket = CredentialId::ticket("main".parse().unwrap(), TicketKind::Jsapi);
        let (token, _end) = handle(&main);
        registry.insert(&[token.clone(), handle(&ticket).0]);
        let before = registry.handles();
        assert!(Arc::ptr_eq(before.access_token("main").unwrap(), &token));
        assert_eq!(before.iter().map(|handle| handle.id.to_string()).collect::<Vec<_>>(), ["main", "main.jsapi"]);
        registry.insert(&[handle(&main).0]);
        assert!(!Arc::ptr_eq(registry.handles().access_token("main").unwrap(), &token));
        registry.remove(std::slice::from_ref(&main));
        assert!(registry.handles().access_token("main").is_none());
        assert_eq!(registry.handles().accounts().count(), 1);
        registry.remove(&[ticket.clone(), ticket]);
        assert_eq!(registry.handles().accounts().count(), 0);
        assert!(Arc::ptr_eq(before.access_token("main").unwrap(), &token));
    }
}
