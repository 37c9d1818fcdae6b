//! How do the keepers of one process follow what other relays write? One task polls for all of them.
//!
//! Once a second, and at a hint, it shows the relay's presence and asks in one round trip what has changed; it reads those
//! records and hands each to its keeper. Many are read in batches with polls between them, for the leases hang on the presence.
//! A keeper whose record is still to be read is shown a view ([`Peers`]) that counts on no poll which named it: whatever its
//! view counts on, it has been given.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, Timestamp},
    credential::CredentialId,
    presence::ReplicaId,
    store::{Sealed, SharedStore, StoreError},
};

pub mod peers;
pub mod poller;
#[cfg(test)]
mod tests;

use peers::Peers;
use poller::{Poller, Reading};

/// Between two polls at least: hints of a take-over come by the thousand.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// A record as it was found by a read that began at `asked_at`.
#[derive(Debug)]
pub struct Found {
    /// The record, if there is one.
    pub record: Option<Sealed>,
    /// When the read began.
    pub asked_at: Timestamp,
}

/// What this process knows of the other relays, for all its keepers.
pub struct Group {
    store: Arc<dyn SharedStore>,
    clock: Arc<dyn Clock>,
    view: ArcSwap<Peers>,
    members: Mutex<Members>,
    /// Somebody wants to know at once.
    wanted: Notify,
    /// Somebody has left.
    left: Notify,
}

#[derive(Default)]
struct Members {
    /// More than one of a credential while a keeper begins and the last one waits for the end of its call.
    mail: HashMap<CredentialId, Vec<Arc<Mailbox>>>,
    joined: Vec<CredentialId>,
    left: Vec<CredentialId>,
    wanted: Vec<CredentialId>,
}

#[derive(Default)]
struct Mailbox {
    mail: Mutex<Mail>,
    news: Notify,
}

#[derive(Default)]
struct Mail {
    found: Option<Found>,
    counts: Counts,
}

/// On which polls a keeper may count.
#[derive(Default)]
enum Counts {
    /// On all.
    #[default]
    Latest,
    /// On those up to here. Later ones named its record, which is still to be read.
    UpTo(Option<Timestamp>),
}

/// One keeper's end of the group. Dropping it leaves the group.
pub struct Member {
    id: CredentialId,
    group: Arc<Group>,
    mailbox: Arc<Mailbox>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("peers", &self.view.load()).finish_non_exhaustive()
    }
}

impl Group {
    /// The group of the relays on `store`. It polls once [`Group::poll`] runs.
    pub fn new(store: Arc<dyn SharedStore>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let peers = Peers::new(ReplicaId(fastrand::u64(1..)), clock.boot_id());
        let (members, wanted, left) = Default::default();
        Arc::new(Self { store, clock, view: ArcSwap::from_pointee(peers), members, wanted, left })
    }

    /// From now on the record of `id` is followed.
    pub fn join(self: &Arc<Self>, id: CredentialId) -> Member {
        let mailbox = Arc::<Mailbox>::default();
        let mut members = lock(&self.members);
        members.mail.entry(id.clone()).or_default().push(mailbox.clone());
        members.joined.push(id.clone());
        drop(members);
        self.wanted.notify_one();
        Member { id, group: self.clone(), mailbox }
    }

    /// Polls until `stop`, and then until every keeper has left: one that waits for its last call still counts on its lease.
    pub async fn poll(self: Arc<Self>, stop: CancellationToken) {
        let is_over = async {
            stop.cancelled().await;
            while !lock(&self.members).mail.is_empty() {
                self.left.notified().await;
            }
        };
        tokio::select! {
            () = self.poll_for_ever() => {}
            () = is_over => {}
        }
    }

    async fn poll_for_ever(&self) {
        let mut poller = Poller::new(self.view.load().me(), self.clock.boot_id());
        let mut hint = self.store.hint();
        loop {
            let began_at = Instant::now();
            self.poll_once(&mut poller).await;
            // the clocks of several relays are bounded the better the more their polls shift against one another
            let pace = poller.pace(self.clock.boot_now()).mul_f64(0.9 + 0.1 * fastrand::f64());
            let due_at = began_at + pace;
            while Instant::now() < due_at && self.read_more(&mut poller).await {}
            sleep(PAUSE).await;
            let sooner = async {
                tokio::select! {
                    Ok(()) = hint.changed() => {}
                    () = self.wanted.notified() => {}
                    else => std::future::pending().await,
                }
            };
            timeout_at(due_at, sooner).await.ok();
        }
    }

    async fn poll_once(&self, poller: &mut Poller) {
        self.take_members(poller);
        let asked_at = self.clock.boot_now();
        let (presence, cursor) = poller.begin(asked_at);
        let me = poller.peers().me();
        match self.store.poll(me, presence, cursor).await {
            Err(error) => {
                let is_news = poller.failed(None, error);
                self.publish(poller, is_news);
            }
            Ok(poll) => {
                let reading = poller.answered(asked_at, self.clock.boot_now(), poll);
                // before the view counts on this poll
                self.hold_back(poller);
                self.publish(poller, false);
                self.read(poller, reading).await;
            }
        }
        let gone = poller.long_gone(self.clock.boot_now());
        // while the store is away nobody can show itself
        if !gone.is_empty() && poller.peers().trouble().is_none() {
            self.store.forget(&gone).await.ok(); // the next poll shows them again
        }
    }

    fn take_members(&self, poller: &mut Poller) {
        let mut members = lock(&self.members);
        for id in std::mem::take(&mut members.joined) {
            poller.add(id);
        }
        // one that left and joined again between two polls is there
        for id in std::mem::take(&mut members.left) {
            if !members.mail.contains_key(&id) {
                poller.remove(&id);
            }
        }
        for id in std::mem::take(&mut members.wanted) {
            poller.want(id);
        }
    }

    /// Reads what the last poll left over. Whether there was something, and it could be read.
    async fn read_more(&self, poller: &mut Poller) -> bool {
        match poller.more() {
            Some(reading) => self.read(poller, reading).await,
            None => false,
        }
    }

    async fn read(&self, poller: &mut Poller, reading: Reading) -> bool {
        let outcome = if reading.ids.is_empty() { Ok(()) } else { self.deliver(&reading.ids).await };
        let is_read = outcome.is_ok();
        let is_news = match outcome {
            Ok(()) => poller.read(&reading),
            Err(error) => poller.failed(Some(reading), error),
        };
        self.publish(poller, is_news);
        is_read
    }

    async fn deliver(&self, ids: &[CredentialId]) -> Result<(), StoreError> {
        let asked_at = self.clock.boot_now();
        let records = self.store.read(ids).await?;
        let members = lock(&self.members);
        for (id, record) in ids.iter().zip(records) {
            for mailbox in members.mail.get(id).into_iter().flatten() {
                let found = Some(Found { record: record.clone(), asked_at });
                *lock(&mailbox.mail) = Mail { found, counts: Counts::Latest };
                mailbox.news.notify_one();
            }
        }
        Ok(())
    }

    /// Keepers whose records are still to be read count on no poll that named them.
    fn hold_back(&self, poller: &Poller) {
        let members = lock(&self.members);
        for (id, contact_at) in poller.behind() {
            for mailbox in members.mail.get(id).into_iter().flatten() {
                lock(&mailbox.mail).counts = Counts::UpTo(contact_at);
            }
        }
    }

    fn publish(&self, poller: &Poller, is_news: bool) {
        self.view.store(Arc::new(poller.peers().clone()));
        if is_news {
            lock(&self.members).mail.values().flatten().for_each(|mailbox| mailbox.news.notify_one());
        }
    }
}

impl Member {
    /// What is known of the others, and then what was found of this record since the last time.
    pub fn news(&self) -> (Arc<Peers>, Option<Found>) {
        let peers = self.peers();
        // after the view: one that counts on a poll came after what that poll named was held back
        let mut mail = lock(&self.mailbox.mail);
        let peers = match mail.counts {
            Counts::Latest => peers,
            Counts::UpTo(contact_at) => Arc::new(peers.up_to(contact_at)),
        };
        (peers, mail.found.take())
    }

    /// What is known of the others, whatever was read of this record.
    pub fn peers(&self) -> Arc<Peers> {
        self.group.view.load_full()
    }

    /// Until there may be news.
    pub async fn changed(&self) {
        self.mailbox.news.notified().await;
    }

    /// The record is to be read, soon.
    pub fn want(&self) {
        lock(&self.group.members).wanted.push(self.id.clone());
        self.group.wanted.notify_one();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut members = lock(&self.group.members);
        let Some(mailboxes) = members.mail.get_mut(&self.id) else { return };
        mailboxes.retain(|mailbox| !Arc::ptr_eq(mailbox, &self.mailbox));
        if mailboxes.is_empty() {
            members.mail.remove(&self.id);
            members.left.push(self.id.clone());
            self.group.left.notify_one();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // no code under these locks leaves anything half changed, so a panic elsewhere poisons nothing
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
