//! When does the process end, and with what exit code?
//!
//! Vital tasks (keepers, servers) are spawned here and nowhere else. Each holds a guard: if one ends before the relay was
//! asked to stop, by return or by panic, the process says so, stops the others and fails (I12).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

/// How a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As asked, and everything under way was finished.
    AsAsked,
    /// A vital task ended by itself, or the grace ran out.
    Failed,
}

/// The life of one relay.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    stop: CancellationToken,
    vital: TaskTracker,
    has_failed: Arc<AtomicBool>,
}

/// What the operator may send. Listened to before anything is started: a container's first process ignores what it does
/// not listen to, so a stop in the first moments would be lost.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
}

/// Held by a vital task for as long as it runs.
struct Guard {
    task: String,
    life: Lifecycle,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.life.stop.is_cancelled() {
            error!(task = self.task, "a vital task ended: the relay stops");
            self.life.has_failed.store(true, Ordering::Relaxed);
            self.life.stop.cancel();
        }
    }
}

impl Lifecycle {
    /// A life that nothing has ended yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the relay is to stop.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs `work` as a vital task called `task`; it must end only after [`Lifecycle::stop`].
    pub fn spawn(&self, task: impl Into<String>, work: impl Future<Output = ()> + Send + 'static) {
        let guard = Guard { task: task.into(), life: self.clone() };
        self.vital.spawn(async move {
            let _guard = guard;
            work.await;
        });
    }

    /// Waits for SIGTERM, SIGINT or the end of a vital task, then up to `grace` for everything under way.
    pub async fn run(self, mut signals: Signals, grace: Duration) -> End {
        tokio::select! {
            _ = signals.terminate.recv() => info!(signal = "SIGTERM", "stopping"),
            _ = signals.interrupt.recv() => info!(signal = "SIGINT", "stopping"),
            () = self.stop.cancelled() => {}
        }
        self.finish(grace).await
    }

    /// Stops, and waits up to `grace` for everything under way.
    pub async fn finish(self, grace: Duration) -> End {
        self.stop.cancel();
        self.vital.close();
        if tokio::time::timeout(grace, self.vital.wait()).await.is_err() {
            warn!(?grace, unfinished = self.vital.len(), "the grace ran out");
            return End::Failed;
        }
        if self.has_failed.load(Ordering::Relaxed) { End::Failed } else { End::AsAsked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_vital_task_that_ends_by_itself_fails_the_relay() {
        let life = Lifecycle::new();
        life.spawn("short", async {});
        let stop = life.stop();
        stop.cancelled().await;
        assert_eq!(life.finish(Duration::from_secs(1)).await, End::Failed);
    }

    #[tokio::test]
    async fn a_panic_in_a_vital_task_fails_the_relay() {
        let life = Lifecycle::new();
        life.spawn("clumsy", async { panic!("on purpose") });
        life.stop().cancelled().await;
        assert_eq!(life.finish(Duration::from_secs(1)).await, End::Failed);
    }

    #[tokio::test]
    async fn a_stop_waits_for_the_tasks() {
        let life = Lifecycle::new();
        let stop = life.stop();
        life.spawn("tidy", async move {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        });
        assert_eq!(life.finish(Duration::from_secs(5)).await, End::AsAsked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_costs_the_exit_code_not_for_ever() {
        let life = Lifecycle::new();
        life.spawn("stuck", std::future::pending());
        assert_eq!(life.finish(Duration::from_secs(20)).await, End::Failed);
    }
}
