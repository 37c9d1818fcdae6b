//! Which keepers run? They are added, changed and ended one by one while the process lives.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_channel::mpsc;
use futures_util::future::join_all;

use crate::{
    credential::CredentialId,
    heartbeat::Heartbeat,
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
        let (mut handles, mut keepers) = (Vec::with_capacity(parts.len()), BTreeMap::new());
        for parts in parts {
            let id = parts.id.clone();
            if self.running.contains_key(&id) || keepers.contains_key(&id) {
                continue;
            }
            let heartbeat = Heartbeat::starting(parts.clock.awake());
            let (handle, end) = Handle::new(id.clone(), self.metrics.credential(&id), heartbeat);
            let (identity, (setups, changes)) = (parts.identity.clone(), mpsc::unbounded());
            keepers.insert(id, (identity, setups, Box::new(Keeper::new(parts, end, changes))));
            handles.push(Arc::new(handle));
        }
        // the keeper of a ticket looks here for its account's access token
        self.registry.insert(&handles);
        for (id, (identity, setups, keeper)) in keepers {
            let task = self.life.spawn(format!("keeper of {id}"), |stop| keeper.keep(stop));
            self.running.insert(id, Running { task, identity, setups });
        }
    }

    /// Makes the keepers those of `parts`, all of the same store and clock as before. One whose record has the same owner as
    /// before goes on with its new setup; where the owner is another one, or none any more, it ends. A credential is served until
    /// its keeper has ended, or has a successor.
    pub async fn change_to(&mut self, parts: Vec<Parts>) -> Changes {
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
        self.add(added);
        let ending = gone.iter().chain(replaced.iter().map(|parts| &parts.id));
        self.stop(ending).await;
        self.forget(&gone);
        self.add(replaced);
        changes
    }

    /// Ends the keeper of `id`: a call under way runs to its end (I13), and until then the credential is served. Its record
    /// stays in the store.
    pub async fn end(&mut self, id: &CredentialId) {
        self.stop([id]).await;
        self.forget(std::slice::from_ref(id));
    }

    /// All at once: each may have to wait for a call.
    async fn stop<'i>(&mut self, ids: impl IntoIterator<Item = &'i CredentialId>) {
        let running = ids.into_iter().filter_map(|id| self.running.remove(id));
        join_all(running.map(|running| running.task.stop())).await;
    }

    fn forget(&self, ids: &[CredentialId]) {
        self.registry.remove(ids);
        for id in ids {
            self.metrics.remove(id);
        }
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.running.len()
    }
}
