//! Who may call WeChat next, when many accounts want to?

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

/// The relay's upstream slots, `wechat.max_calls` of them. Accounts without a living token go before the others.
#[derive(Debug)]
pub struct Slots {
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    free: usize,
    urgent: VecDeque<oneshot::Sender<Slot>>,
    calm: VecDeque<oneshot::Sender<Slot>>,
}

/// The right to make one call; the next in the queue gets it on drop.
#[derive(Debug)]
pub struct Slot {
    // `None` only while it is handed on
    home: Option<Arc<Slots>>,
}

impl Slots {
    /// `count` slots, all free.
    pub fn new(count: usize) -> Arc<Self> {
        let queue = Queue { free: count, urgent: VecDeque::new(), calm: VecDeque::new() };
        Arc::new(Self { queue: Mutex::new(queue) })
    }

    /// Waits for a slot; `is_urgent` goes before those that are not. Dropping the future gives the place up.
    pub async fn acquire(self: &Arc<Self>, is_urgent: bool) -> Slot {
        let turn = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.free > 0 {
                queue.free -= 1;
                return Slot { home: Some(self.clone()) };
            }
            let (ours, turn) = oneshot::channel();
            let line = if is_urgent { &mut queue.urgent } else { &mut queue.calm };
            line.push_back(ours);
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
            match next.send(Slot { home: Some(self.clone()) }) {
                Ok(()) => return,
                // its waiter has gone: take the slot back without a second hand-on, and ask the next
                Err(mut unwanted) => unwanted.home = None,
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.home.take() {
            slots.hand_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_urgent_go_first_and_a_slot_is_never_lost() {
        let slots = Slots::new(1);
        let first = slots.acquire(false).await;
        let mut calm = Box::pin(slots.acquire(false));
        let mut urgent = Box::pin(slots.acquire(true));
        let mut gone = Box::pin(slots.acquire(true));
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
        assert!(slots.acquire(false).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_waiter_that_leaves_after_its_turn_came_passes_the_slot_on() {
        let slots = Slots::new(1);
        let first = slots.acquire(false).await;
        let mut waiting = Box::pin(slots.acquire(false));
        assert!((&mut waiting).now_or_never().is_none());
        drop(first);
        drop(waiting);
        assert!(slots.acquire(false).now_or_never().is_some());
    }
}
