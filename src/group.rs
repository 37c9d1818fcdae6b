//! How do the keepers of one process follow what other relays write? One task polls for all of them.
//!
//! Once a second, and at a hint, it shows the relay's presence and asks in one round trip what has changed; it reads those
//! records and hands each to its keeper. Only then does it publish that the relay is up to date: a keeper that takes its
//! view ([`Peers`]) before its mail has seen every record that the view counts on.

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

/// A record as it was found by a read that began after `asked_at`.
#[derive(Debug)]
pub struct Found {
    /// The record, if there is one.
    pub record: Option<Sealed>,
    /// When the poll was answered that made the relay read it.
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
    mail: HashMap<CredentialId, Arc<Mailbox>>,
    joined: Vec<CredentialId>,
    left: Vec<CredentialId>,
    wanted: Vec<CredentialId>,
}

#[derive(Default)]
struct Mailbox {
    found: Mutex<Option<Found>>,
    news: Notify,
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
        members.mail.insert(id.clone(), mailbox.clone());
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
            sleep(PAUSE).await;
            let sooner = async {
                tokio::select! {
                    Ok(()) = hint.changed() => {}
                    () = self.wanted.notified() => {}
                    else => std::future::pending().await,
                }
            };
            // the clocks of several relays are bounded the better the more their polls shift against one another
            let pace = poller.pace(self.clock.boot_now()).mul_f64(0.9 + 0.1 * fastrand::f64());
            timeout_at(began_at + pace, sooner).await.ok();
        }
    }

    async fn poll_once(&self, poller: &mut Poller) {
        self.take_members(poller);
        let asked_at = self.clock.boot_now();
        let (presence, cursor) = poller.begin(asked_at);
        let me = poller.peers().me();
        let is_news = match self.store.poll(me, presence, cursor).await {
            Err(error) => poller.failed(None, error),
            Ok(poll) => {
                let reading = poller.answered(asked_at, self.clock.boot_now(), poll);
                match self.read(&reading).await {
                    Ok(()) => poller.read(&reading),
                    Err(error) => poller.failed(Some(reading), error),
                }
            }
        };
        self.view.store(Arc::new(poller.peers().clone()));
        if is_news {
            lock(&self.members).mail.values().for_each(|mailbox| mailbox.news.notify_one());
        }
        let gone = poller.long_gone(self.clock.boot_now());
        // while the store is away nobody can show itself
        if !gone.is_empty() && poller.peers().trouble().is_none() {
            self.store.forget(&gone).await.ok(); // the next poll shows them again
        }
    }

    fn take_members(&self, poller: &mut Poller) {
        let mut members = lock(&self.members);
        // one that left and joined again between two polls is there
        for id in std::mem::take(&mut members.left) {
            if !members.mail.contains_key(&id) {
                poller.remove(&id);
            }
        }
        for id in std::mem::take(&mut members.joined) {
            poller.add(id);
        }
        for id in std::mem::take(&mut members.wanted) {
            poller.want(id);
        }
    }

    async fn read(&self, reading: &Reading) -> Result<(), StoreError> {
        if reading.ids.is_empty() {
            return Ok(());
        }
        let asked_at = reading.answered_at;
        let records = self.store.read(&reading.ids).await?;
        let members = lock(&self.members);
        for (id, record) in reading.ids.iter().zip(records) {
            if let Some(mailbox) = members.mail.get(id) {
                *lock(&mailbox.found) = Some(Found { record, asked_at });
                mailbox.news.notify_one();
            }
        }
        Ok(())
    }
}

impl Member {
    /// What is known of the others, and then what was found of this record since the last time.
    pub fn news(&self) -> (Arc<Peers>, Option<Found>) {
        let peers = self.peers();
        (peers, lock(&self.mailbox.found).take())
    }

    /// What is known of the others.
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
        if members.mail.get(&self.id).is_some_and(|mailbox| Arc::ptr_eq(mailbox, &self.mailbox)) {
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
