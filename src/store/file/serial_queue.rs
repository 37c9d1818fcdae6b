//! How is blocking work done in order, and what if the disk never answers?

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, OwnedMutexGuard, Semaphore},
    task::spawn_blocking,
    time::timeout,
};

/// Operations under way at once, of all credentials together. The runtime's pool has 512 threads, which look-ups of names need too:
/// where the disk never answers, thousands of credentials must not take them all.
static PLACES: Semaphore = Semaphore::const_new(64);

/// Runs blocking operations one after the other, each on a thread of the runtime's pool, and waits for none longer than
/// its limit. An operation that overruns goes on, and until it ends all others fail at once: a stuck disk costs one
/// thread, not one for each attempt.
#[derive(Debug, Clone, Default)]
pub(super) struct SerialQueue {
    running: Arc<Mutex<()>>,
    stuck: Arc<AtomicBool>,
}

/// Why an operation has no outcome. It may be done all the same, or be done later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stuck {
    #[error("no answer from the disk within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    #[error("the disk still has not answered an earlier operation")]
    Earlier,
    #[error("the operation panicked")]
    Panicked,
    #[error("the runtime is shutting down")]
    Shutdown,
}

impl SerialQueue {
    pub(super) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        operation: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stuck> {
        if self.stuck.load(Ordering::Acquire) {
            return Err(Stuck::Earlier);
        }
        let work = async {
            let turn = Arc::clone(&self.running).lock_owned().await;
            let turn = Turn { stuck: Arc::clone(&self.stuck), running: Some(turn) };
            let place = PLACES.acquire().await;
            spawn_blocking(move || {
                let _held = (turn, place);
                operation()
            })
            .await
        };
        match timeout(limit, work).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(failed)) => Err(if failed.is_panic() { Stuck::Panicked } else { Stuck::Shutdown }),
            Err(_) => {
                self.stuck.store(true, Ordering::Release);
                // The operation may have ended between the time-out and the mark.
                if self.running.try_lock().is_ok() {
                    self.stuck.store(false, Ordering::Release);
                }
                Err(Stuck::TimedOut(limit))
            }
        }
    }
}

/// Held by the one operation that runs; its end, a panic too, lets the next one run and then clears the mark. In the other order a
/// mark that was set in between would stay for ever.
struct Turn {
    stuck: Arc<AtomicBool>,
    running: Option<OwnedMutexGuard<()>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.running = None;
        self.stuck.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_stuck_operation_fails_the_following_at_once_until_it_ends() {
        let queue = SerialQueue::default();
        let (release, stuck_disk) = mpsc::channel::<()>();
        let short = Duration::from_millis(50);
        assert_eq!(queue.run(short, move || stuck_disk.recv()).await, Err(Stuck::TimedOut(short)));
        for _ in 0..1000 {
            assert_eq!(queue.run(LONG, || ()).await, Err(Stuck::Earlier));
        }
        release.send(()).unwrap();
        while queue.run(LONG, || ()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn operations_run_one_after_the_other_in_the_order_in_which_they_came() {
        let (queue, order) = (SerialQueue::default(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let runs = (0..50).map(|number| {
            let order = Arc::clone(&order);
            queue.run(LONG, move || order.lock().unwrap().push(number))
        });
        futures_util::future::join_all(runs).await;
        assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn an_operation_that_panics_lets_the_next_one_run() {
        let queue = SerialQueue::default();
        assert_eq!(queue.run(LONG, || panic!("on purpose")).await, Err::<(), _>(Stuck::Panicked));
        assert_eq!(queue.run(LONG, || 7).await, Ok(7));
    }

    const LONG: Duration = Duration::from_secs(60);
}
