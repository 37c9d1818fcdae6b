//! Which keepers run? They are added, changed and ended one by one while the process lives.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_channel::mpsc;
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::interval;

use crate::{
    clock::Clock,
    credential::CredentialId,
    heartbeat::{BEAT, Heartbeat},
    keeper::{Keeper, Parts, Setup, record::Identity},
    lifecycle::{Lifecycle, Task},
    metrics::Metrics,
    registry::{Handle, Registry},
};

/// The keepers of this process, with all that others see of them. Each credential has at most one: that is half of I1.
#[derive(Debug)]
pub struct Keepers {
    life: Lifecycle,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    running: BTreeMap<CredentialId, Running>,
}

/// A keeper that runs.
#[derive(Debug)]
struct Running {
    task: Task,
    identity: Arc<Identity>,
    setups: mpsc::UnboundedSender<Box<Setup>>,
}

/// A keeper that is about to run.
struct Ready {
    handle: Arc<Handle>,
    identity: Arc<Identity>,
    setups: mpsc::UnboundedSender<Box<Setup>>,
    clock: Arc<dyn Clock>,
    keeper: Box<Keeper>,
}

/// A change that readers see, and that the keepers have to follow.
#[must_use]
pub struct Change {
    gone: Vec<CredentialId>,
    /// Each keeper that ends, and the next one of its credential.
    ending: Vec<(Task, Option<Ready>)>,
    changes: Changes,
}

/// How many keepers a change of the settings touched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Of new credentials.
    pub added: usize,
    /// Ended.
    pub removed: usize,
    /// Ended and begun anew, because another credential has their name now.
    pub replaced: usize,
}

impl Keepers {
    /// None yet. Those that are added run for as long as `life` does, unless they are ended before.
    pub fn new(life: Lifecycle, registry: Arc<Registry>, metrics: Arc<Metrics>) -> Self {
        Self { life, registry, metrics, running: BTreeMap::new() }
    }

    /// Starts a keeper for each of `parts`. A credential that has one already gets none beside it: end that one first.
    pub fn add(&mut self, parts: Vec<Parts>) {
        let parts = parts.into_iter().filter(|parts| !self.running.contains_key(&parts.id));
        let (handles, ready) = self.ready(parts.collect());
        // the keeper of a ticket looks here for its account's access token
        self.registry.insert(&handles);
        self.start(ready);
    }

    /// Begins to make the keepers those of `parts`, all of the same store and clock as before. One whose record has the same owner
    /// as before goes on with its new setup; where the owner is another one, or none any more, it ends. From now on readers see the
    /// credentials of `parts` and no others: an account that stands for another app must not be served with the token of the last.
    pub fn begin_change(&mut self, parts: Vec<Parts>) -> Change {
        let mut gone: BTreeSet<_> = self.running.keys().cloned().collect();
        let (mut added, mut replaced) = (Vec::new(), Vec::new());
        for parts in parts {
            gone.remove(&parts.id);
            match self.running.get(&parts.id) {
                None => added.push(parts),
                Some(running) if running.identity != parts.identity => replaced.push(parts),
                // one that has ended takes its relay with it
                Some(running) => drop(running.setups.unbounded_send(Box::new(parts.setup))),
            }
        }
        let gone: Vec<_> = gone.into_iter().collect();
        let changes = Changes { added: added.len(), removed: gone.len(), replaced: replaced.len() };
        let ((mut handles, added), (others, replacing)) = (self.ready(added), self.ready(replaced));
        handles.extend(others);
        self.registry.change(&handles, &gone);
        self.start(added);
        let next = replacing.into_iter().map(|ready| (ready.handle.id.clone(), Some(ready)));
        let ending = gone.iter().map(|id| (id.clone(), None)).chain(next);
        let ending = ending.filter_map(|(id, next)| Some((self.running.remove(&id)?.task, next))).collect();
        Change { gone, ending, changes }
    }

    /// Waits until the keepers have ended that shall, each after the call that it has under way (I13), and starts their successors.
    pub async fn finish_change(&mut self, change: Change) -> Changes {
        let Change { gone, ending, changes } = change;
        let waiting = ending.iter().filter_map(|(_, next)| next.as_ref());
        let waiting: Vec<_> = waiting.map(|next| (next.handle.clone(), next.clock.clone())).collect();
        let end = async |(task, next): (Task, Option<Ready>)| {
            task.stop().await;
            next
        };
        let (mut ended, mut beat) = (ending.into_iter().map(end).collect::<FuturesUnordered<_>>(), interval(BEAT));
        loop {
            tokio::select! {
                next = ended.next() => match next {
                    Some(next) => self.start(next),
                    None => break,
                },
                // who waits for its turn is not dead
                _ = beat.tick() => waiting.iter().for_each(|(handle, clock)| handle.heartbeat.beat(clock.awake())),
            }
        }
        self.forget(&gone);
        changes
    }

    /// Ends the keeper of `id`: a call under way runs to its end (I13), and until then the credential is served. Its record
    /// stays in the store.
    pub async fn end(&mut self, id: &CredentialId) {
        if let Some(running) = self.running.remove(id) {
            running.task.stop().await;
        }
        let id = std::slice::from_ref(id);
        self.registry.remove(id);
        self.forget(id);
    }

    /// What readers see of these, and the keepers to be started.
    fn ready(&self, parts: Vec<Parts>) -> (Vec<Arc<Handle>>, Vec<Ready>) {
        let ready = |parts: Parts| {
            let (id, clock) = (parts.id.clone(), parts.clock.clone());
            let heartbeat = Heartbeat::starting(clock.awake());
            let (handle, end) = Handle::new(id.clone(), self.metrics.credential(&id), heartbeat);
            let (identity, (setups, changes)) = (parts.identity.clone(), mpsc::unbounded());
            let keeper = Box::new(Keeper::new(parts, end, changes));
            (handle.clone(), Ready { handle, identity, setups, clock, keeper })
        };
        parts.into_iter().map(ready).unzip()
    }

    fn start(&mut self, ready: impl IntoIterator<Item = Ready>) {
        for Ready { handle, identity, setups, keeper, .. } in ready {
            let id = handle.id.clone();
            let task = self.life.spawn(format!("keeper of {id}"), |stop| keeper.keep(stop));
            self.running.insert(id, Running { task, identity, setups });
        }
    }

    fn forget(&self, ids: &[CredentialId]) {
        for id in ids {
            self.metrics.remove(id);
        }
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.running.len()
    }
}
