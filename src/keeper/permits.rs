//! Which keeper may call WeChat next, when many want to?

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::oneshot;

/// The permits of the process, `wechat.max_calls` of them: each lets one call to WeChat be under way. Credentials of which none
/// lives go before the others.
#[derive(Debug)]
pub struct Permits {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// How many there are.
    total: usize,
    in_use: usize,
    /// How many positions were ever given out.
    positions: u64,
    /// In their order; whoever has left is not among them.
    waiting: BTreeMap<QueuePosition, oneshot::Sender<Permit>>,
}

/// Whose turn is next: the least. Within each of the two kinds, whoever came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct QueuePosition {
    is_not_urgent: bool,
    number: u64,
}

/// The permit of a keeper's next call. What is dropped of it is neither waited for nor held any more, and nothing comes of it
/// later: a keeper that owns one reservation never has two permits, nor one that it has given up.
#[derive(Default)]
pub enum Reservation {
    /// None is asked for.
    #[default]
    None,
    /// It is waited for.
    Waiting(BoxFuture<'static, Permit>),
    /// It is there.
    Held(Permit),
}

/// A position in the queue, which is given up on drop.
struct Waiter<'a> {
    permits: &'a Permits,
    position: QueuePosition,
}

/// The right to make one call; the next in the queue gets it on drop.
#[derive(Debug)]
pub struct Permit(Arc<Permits>);

impl Permits {
    /// `count` permits, all free.
    pub fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::new(Queue { total: count, ..Queue::default() }) })
    }

    /// From now on there are `count`. Where more are in use, none is given out until fewer are.
    pub fn resize(self: &Arc<Self>, count: usize) {
        self.queue().total = count;
        self.give_out();
    }

    /// Waits for a permit; `is_urgent` goes before those that are not. Dropping the future gives the position up, and hands a
    /// permit on that had come already.
    pub async fn acquire(self: &Arc<Self>, is_urgent: bool) -> Permit {
        let (ours, turn) = oneshot::channel();
        let _waiter = Waiter { permits: self, position: self.queue().enter(!is_urgent, ours) };
        self.give_out();
        turn.await.expect("only a waiter that has left takes its sender out of the queue unsent")
    }

    /// Gives what is free to those who wait.
    fn give_out(self: &Arc<Self>) {
        while let Some(next) = self.next_turn() {
            next.send(Permit(self.clone())).ok(); // a waiter that has just left hands it on by dropping it
        }
    }

    /// Whose turn it is, if a permit is free, which is in use from now on.
    fn next_turn(&self) -> Option<oneshot::Sender<Permit>> {
        let mut queue = self.queue();
        if queue.in_use >= queue.total {
            return None;
        }
        let (_, next) = queue.waiting.pop_first()?;
        queue.in_use += 1;
        Some(next)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // no code under this lock leaves the queue half changed, so a panic elsewhere poisons nothing
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Everybody waits, also where a permit is free: it may have been given back for one who waits already.
    fn enter(&mut self, is_not_urgent: bool, waiter: oneshot::Sender<Permit>) -> QueuePosition {
        self.positions += 1;
        let position = QueuePosition { is_not_urgent, number: self.positions };
        self.waiting.insert(position, waiter);
        position
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.permits.queue().waiting.remove(&self.position);
    }
}

impl Reservation {
    /// Waits for `turn` once it is polled; see [`Permits::acquire`].
    pub fn begin(turn: impl Future<Output = Permit> + Send + 'static) -> Self {
        Self::Waiting(turn.boxed())
    }

    /// Until the permit that is waited for is there; for ever where none is. Dropping the future loses nothing.
    pub async fn granted(&mut self) {
        match self {
            Self::Waiting(turn) => *self = Self::Held(turn.await),
            Self::Held(_) | Self::None => std::future::pending().await,
        }
    }

    /// The permit, for the call that it was granted for.
    pub fn take(&mut self) -> Permit {
        match std::mem::take(self) {
            Self::Held(permit) => permit,
            Self::Waiting(_) | Self::None => {
                unreachable!("a machine calls only after a grant that it did not give back")
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.queue().in_use -= 1;
        self.0.give_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_urgent_go_first_and_a_permit_is_never_lost() {
        let permits = Permits::new(1);
        let first = permits.acquire(false).await;
        let mut calm = Box::pin(permits.acquire(false));
        let mut urgent = Box::pin(permits.acquire(true));
        let mut gone = Box::pin(permits.acquire(true));
        assert!((&mut calm).now_or_never().is_none());
        assert!((&mut urgent).now_or_never().is_none());
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        drop(first);
        assert!((&mut calm).now_or_never().is_none());
        let second = (&mut urgent).now_or_never().expect("the urgent one is next");
        drop(second);
        let third = (&mut calm).now_or_never().expect("then the calm one, past the one that left");
        drop(third);
        assert!(permits.acquire(false).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_waiter_that_leaves_after_its_turn_came_passes_the_permit_on() {
        let permits = Permits::new(1);
        let first = permits.acquire(false).await;
        let mut waiting = Box::pin(permits.acquire(false));
        assert!((&mut waiting).now_or_never().is_none());
        drop(first);
        drop(waiting);
        assert!(permits.acquire(false).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_waiter_that_leaves_leaves_nothing_in_the_queue() {
        let permits = Permits::new(1);
        let first = permits.acquire(false).await;
        for is_urgent in [false, true] {
            assert!(permits.acquire(is_urgent).now_or_never().is_none());
        }
        assert_eq!(permits.queue().waiting.len(), 0);
        drop(first);
        assert_eq!(permits.queue().in_use, 0);
    }

    #[tokio::test]
    async fn a_limit_that_is_raised_lets_the_waiting_go_and_one_that_is_lowered_lets_none() {
        let permits = Permits::new(1);
        let first = permits.acquire(false).await;
        let mut second = Box::pin(permits.acquire(false));
        assert!((&mut second).now_or_never().is_none());
        permits.resize(2);
        let second = (&mut second).now_or_never().expect("there are two now");
        permits.resize(1);
        drop(first);
        assert!(permits.acquire(false).now_or_never().is_none());
        drop(second);
        assert!(permits.acquire(false).now_or_never().is_some());
    }
}
