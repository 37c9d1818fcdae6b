//! Which keepers run? They are added, changed and ended one by one while the process lives.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
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
    /// Keepers that end: each finishes the call that it has under way (I13).
    ending: JoinSet<(CredentialId, Timestamp)>,
    /// Whose they are.
    left: BTreeMap<CredentialId, Arc<Identity>>,
    /// To be started when those have ended that call for the same credential, under this name or another one.
    waiting: BTreeMap<CredentialId, WaitingKeeper>,
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

/// A keeper that is about to run.
struct WaitingKeeper {
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

impl fmt::Debug for WaitingKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WaitingKeeper").field(&self.handle.id).finish()
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
    /// New keepers begin with [`Keepers::start`], so that nothing is served of theirs before the rules are those of `parts` too.
    pub fn change(&mut self, parts: Vec<Parts>) -> Changes {
        let mut gone: BTreeSet<_> = self.running.keys().cloned().collect();
        gone.extend(self.waiting.keys().cloned());
        let (mut next, mut replaced) = (Vec::new(), BTreeSet::new());
        for parts in parts {
            gone.remove(&parts.id);
            let running = self.running.get(&parts.id).map(|running| (&running.identity, &running.setups));
            let waiting = || self.waiting.get(&parts.id).map(|ready| (&ready.identity, &ready.setups));
            let before = running.or_else(waiting);
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
        gone.iter().chain(&replaced).for_each(|id| self.end(id));
        self.forget_metrics(&gone);
        let ready: Vec<_> = next.into_iter().map(|parts| self.ready(parts)).collect();
        let handles: Vec<_> = ready.iter().map(|ready| ready.handle.clone()).collect();
        // the keeper of a ticket looks here for its account's access token
        self.registry.change(&handles, &gone);
        self.waiting.extend(ready.into_iter().map(|ready| (ready.handle.id.clone(), ready)));
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
                Some(Ok((id, at))) = self.ending.join_next() => {
                    self.has_ended(id, at);
                    // most end at once: which keepers may start is worked out once for all of them
                    while let Some(Ok((id, at))) = self.ending.try_join_next() {
                        self.has_ended(id, at);
                    }
                    self.start();
                }
                // who waits for its turn is not dead
                _ = beat.tick() => {
                    self.waiting.values().for_each(|WaitingKeeper { handle, clock, .. }| handle.heartbeat.beat(clock.awake()));
                }
            }
        }
    }

    /// A call under way runs to its end (I13); one that waits never starts. Its record stays in the store.
    fn end(&mut self, id: &CredentialId) {
        self.waiting.remove(id);
        let Some(Running { task, identity, clock, .. }) = self.running.remove(id) else { return };
        self.left.insert(id.clone(), identity);
        let id = id.clone();
        self.ending.spawn(task.stop().map(move |()| (id, clock.boot_now())));
    }

    fn has_ended(&mut self, id: CredentialId, at: Timestamp) {
        if let Some(identity) = self.left.remove(&id) {
            self.kept_as.insert(identity, id.clone());
        }
        self.ended_at.insert(id.clone(), at);
        self.forget_metrics(&[id]);
    }

    /// Of those that nobody keeps any more.
    fn forget_metrics(&self, ids: &[CredentialId]) {
        let is_kept = |id: &CredentialId| {
            self.waiting.contains_key(id) || self.running.contains_key(id) || self.left.contains_key(id)
        };
        ids.iter().filter(|id| !is_kept(id)).for_each(|id| self.metrics.remove(id));
    }

    /// Starts the keepers that wait, but for those that wait for another's end: they start in [`Keepers::settle`].
    pub fn start(&mut self) {
        let called_for: HashSet<_> = self.left.values().collect();
        let waits = |(id, ready): &(CredentialId, WaitingKeeper)| {
            self.left.contains_key(id) || called_for.contains(&ready.identity)
        };
        let (waiting, next): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.waiting).into_iter().partition(waits);
        self.waiting = waiting;
        for (id, WaitingKeeper { identity, setups, clock, mut keeper, .. }) in next {
            if self.kept_as.get(&identity).is_some_and(|name| *name != id) {
                keeper.expect_calls(Meanwhile { since: self.ended_at.get(&id).copied(), until: clock.boot_now() });
            }
            let task = self.life.spawn(format!("keeper of {id}"), |stop| keeper.keep(stop));
            self.running.insert(id, Running { task, identity, setups, clock });
        }
    }

    fn ready(&self, parts: Parts) -> WaitingKeeper {
        let (id, clock) = (parts.id.clone(), parts.clock.clone());
        let heartbeat = Heartbeat::starting(clock.awake());
        let (handle, end) = Handle::new(id.clone(), self.metrics.credential(&id), heartbeat);
        let (identity, (setups, changes)) = (parts.identity.clone(), mpsc::unbounded());
        let keeper = Box::new(Keeper::new(parts, end, changes));
        WaitingKeeper { handle, identity, setups, clock, keeper }
    }

    /// How many run.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.running.len()
    }
}
