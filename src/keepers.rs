//! Which keepers run? They are added and ended one by one while the process lives.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    credential::CredentialId,
    heartbeat::Heartbeat,
    keeper::{Keeper, Parts},
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
    running: BTreeMap<CredentialId, Task>,
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
            keepers.insert(id, Box::new(Keeper::new(parts, end)));
            handles.push(Arc::new(handle));
        }
        // the keeper of a ticket looks here for its account's access token
        self.registry.insert(&handles);
        for (id, keeper) in keepers {
            let task = self.life.spawn(format!("keeper of {id}"), |stop| keeper.keep(stop));
            self.running.insert(id, task);
        }
    }

    /// Ends the keeper of `id`: a call under way runs to its end (I13), and until then the credential is served. Its record
    /// stays in the store.
    pub async fn end(&mut self, id: &CredentialId) {
        let Some(task) = self.running.remove(id) else { return };
        task.stop().await;
        self.registry.remove(id);
        self.metrics.remove(id);
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.running.len()
    }
}
