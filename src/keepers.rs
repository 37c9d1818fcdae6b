//! Which keepers run? They are added, changed and ended one by one while the process lives.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use futures_channel::mpsc;
use futures_util::FutureExt;
use tokio::{task::JoinSet, time::interval};

use crate::{
    clock::{Clock, Timestamp},
    credential::CredentialId,
    heartbeat::{BEAT, Heartbeat},
    keeper::{Keeper, Parts, Setup, machine::Meanwhile, record::Identity},
    lifecycle::{Lifecycle, Task},
    metrics::Metrics,
    registry::{Handle, Registry},
};

/// The keepers of this process, with all that others see of them. Each credential has at most one, and none begins while one under
/// another name still calls for the same: that is half of I1.
#[derive(Debug)]
pub struct Keepers {
    life: Lifecycle,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    running: BTreeMap<CredentialId, Running>,
    /// Those that were told to end, each after the call that it has under way (I13).
    ending: JoinSet<(Ended, Timestamp)>,
    /// Whose they are.
    left: Vec<Ended>,
    /// To be started when those have ended that call for the same credential, under this name or another one.
    waiting: Vec<Ready>,
    /// Under which name each was kept last whose keeper has ended,
    kept_as: HashMap<Arc<Identity>, CredentialId>,
    /// and when the last keeper under each name ended.
    ended_at: HashMap<CredentialId, Timestamp>,
}

/// A keeper that runs.
#[derive(Debug)]
struct Running {
    task: Task,
    identity: Arc<Identity>,
    setups: mpsc::UnboundedSender<Box<Setup>>,
    clock: Arc<dyn Clock>,
}

/// A keeper that ends, or has ended.
type Ended = (CredentialId, Arc<Identity>);

/// A keeper that is about to run.
struct Ready {
    handle: Arc<Handle>,
    identity: Arc<Identity>,
    setups: mpsc::UnboundedSender<Box<Setup>>,
    clock: Arc<dyn Clock>,
    keeper: Box<Keeper>,
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

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ready").field(&self.handle.id).finish()
    }
}

impl Keepers {
    /// None yet. Those that are added run for as long as `life` does, unless they are ended before.
    pub fn new(life: Lifecycle, registry: Arc<Registry>, metrics: Arc<Metrics>) -> Self {
        let (running, ending, left, waiting, kept_as, ended_at) = Default::default();
        Self { life, registry, metrics, running, ending, left, waiting, kept_as, ended_at }
    }

    /// Makes the keepers those of `parts`, all of the same store and clock as before. One whose record has the same owner as before
    /// goes on with its new setup; where the owner is another one, or none any more, it ends. From now on readers see the
    /// credentials of `parts` and no others: an account that stands for another app must not be served with the token of the last.
    /// Whoever has to wait for another's end starts in [`Keepers::settle`].
    pub fn change(&mut self, parts: Vec<Parts>) -> Changes {
        let mut gone: BTreeSet<_> = self.running.keys().cloned().collect();
        gone.extend(self.waiting.iter().map(|ready| ready.handle.id.clone()));
        let (mut next, mut replaced) = (Vec::new(), BTreeSet::new());
        for parts in parts {
            gone.remove(&parts.id);
            let running = self.running.get(&parts.id).map(|running| (&running.identity, &running.setups));
            let waiting = || self.waiting.iter().find(|ready| ready.handle.id == parts.id);
            let before = running.or_else(|| waiting().map(|ready| (&ready.identity, &ready.setups)));
            match before {
                // one that has ended takes its relay with it
                Some((identity, setups)) if *identity == parts.identity => {
                    drop(setups.unbounded_send(Box::new(parts.setup)));
                    continue;
                }
                Some(_) => drop(replaced.insert(parts.id.clone())),
                None => {}
            }
            next.push(parts);
        }
        let gone: Vec<_> = gone.into_iter().collect();
        let changes = Changes { added: next.len() - replaced.len(), removed: gone.len(), replaced: replaced.len() };
        self.waiting.retain(|ready| !gone.contains(&ready.handle.id) && !replaced.contains(&ready.handle.id));
        gone.iter().chain(&replaced).for_each(|id| self.end(id));
        self.forget_metrics(&gone);
        let ready: Vec<_> = next.into_iter().map(|parts| self.ready(parts)).collect();
        let handles: Vec<_> = ready.iter().map(|ready| ready.handle.clone()).collect();
        // the keeper of a ticket looks here for its account's access token
        self.registry.change(&handles, &gone);
        self.waiting.extend(ready);
        self.start_those_that_may();
        changes
    }

    /// Whether all have ended that shall, and their successors run.
    pub fn is_settled(&self) -> bool {
        self.left.is_empty()
    }

    /// Waits for that, and starts the successors. Dropping the future loses nothing.
    pub async fn settle(&mut self) {
        let mut beat = interval(BEAT);
        while !self.is_settled() {
            tokio::select! {
                Some(Ok(((id, identity), at))) = self.ending.join_next() => {
                    self.left.retain(|(left, of)| (left, of) != (&id, &identity));
                    self.kept_as.insert(identity, id.clone());
                    self.ended_at.insert(id.clone(), at);
                    self.forget_metrics(&[id]);
                    self.start_those_that_may();
                }
                // who waits for its turn is not dead
                _ = beat.tick() => {
                    self.waiting.iter().for_each(|Ready { handle, clock, .. }| handle.heartbeat.beat(clock.awake()));
                }
            }
        }
    }

    /// A call under way runs to its end (I13). Its record stays in the store.
    fn end(&mut self, id: &CredentialId) {
        let Some(Running { task, identity, clock, .. }) = self.running.remove(id) else { return };
        let ended = (id.clone(), identity);
        self.left.push(ended.clone());
        self.ending.spawn(task.stop().map(move |()| (ended, clock.boot_now())));
    }

    /// Of those that nobody keeps any more.
    fn forget_metrics(&self, ids: &[CredentialId]) {
        let is_kept = |id: &CredentialId| {
            let waits = self.waiting.iter().any(|ready| ready.handle.id == *id);
            waits || self.running.contains_key(id) || self.left.iter().any(|(left, _)| left == id)
        };
        ids.iter().filter(|id| !is_kept(id)).for_each(|id| self.metrics.remove(id));
    }

    fn start_those_that_may(&mut self) {
        let waits = |ready: &Ready| {
            let is_in_the_way = |(id, identity): &Ended| *id == ready.handle.id || *identity == ready.identity;
            self.left.iter().any(is_in_the_way)
        };
        let (waiting, next): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().partition(waits);
        self.waiting = waiting;
        for Ready { handle, identity, setups, clock, mut keeper } in next {
            let id = handle.id.clone();
            if self.kept_as.get(&identity).is_some_and(|name| *name != id) {
                keeper.expect_calls(Meanwhile { since: self.ended_at.get(&id).copied(), until: clock.boot_now() });
            }
            let task = self.life.spawn(format!("keeper of {id}"), |stop| keeper.keep(stop));
            self.running.insert(id, Running { task, identity, setups, clock });
        }
    }

    fn ready(&self, parts: Parts) -> Ready {
        let (id, clock) = (parts.id.clone(), parts.clock.clone());
        let heartbeat = Heartbeat::starting(clock.awake());
        let (handle, end) = Handle::new(id.clone(), self.metrics.credential(&id), heartbeat);
        let (identity, (setups, changes)) = (parts.identity.clone(), mpsc::unbounded());
        let keeper = Box::new(Keeper::new(parts, end, changes));
        Ready { handle, identity, setups, clock, keeper }
    }

    /// How many run.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.running.len()
    }
}
