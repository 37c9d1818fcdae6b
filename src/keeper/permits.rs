//! Which keeper may call WeChat next, when many want to?

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

/// The permits of the process, `wechat.max_calls` of them: each lets one call to WeChat be under way. Credentials of which none
/// lives go before the others.
#[derive(Debug)]
pub struct Permits {
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    free: usize,
    urgent: VecDeque<oneshot::Sender<Permit>>,
    calm: VecDeque<oneshot::Sender<Permit>>,
}

/// The right to make one call; the next in the queue gets it on drop.
#[derive(Debug)]
pub struct Permit {
    // `None` only while it is handed on
    permits: Option<Arc<Permits>>,
}

impl Permits {
    /// `count` permits, all free.
    pub fn new(count: usize) -> Arc<Self> {
        let queue = Queue { free: count, urgent: VecDeque::new(), calm: VecDeque::new() };
        Arc::new(Self { queue: Mutex::new(queue) })
    }

    /// Waits for a permit; `is_urgent` goes before those that are not. Dropping the future gives the place up.
    pub async fn acquire(self: &Arc<Self>, is_urgent: bool) -> Permit {
        let turn = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.free > 0 {
                queue.free -= 1;
                return Permit { permits: Some(self.clone()) };
            }
            let (ours, turn) = oneshot::channel();
            let queue_of = if is_urgent { &mut queue.urgent } else { &mut queue.calm };
            queue_of.push_back(ours);
            turn
        };
        turn.await.expect("the queue outlives its waiters and drops no sender unsent")
    }

    fn hand_on(self: Arc<Self>) {
        loop {
            let next = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                let next = queue.urgent.pop_front().or_else(|| queue.calm.pop_front());
                if next.is_none() {
                    queue.free += 1;
                    return;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Permit { permits: Some(self.clone()) }) {
                Ok(()) => return,
                // its waiter has gone: take the permit back without a second hand-on, and ask the next
                Err(mut unwanted) => unwanted.permits = None,
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(permits) = self.permits.take() {
            permits.hand_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

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
}
