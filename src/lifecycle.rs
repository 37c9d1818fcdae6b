//! When does the process end, and with what exit code?
//!
//! Vital tasks (keepers, servers) are spawned here and nowhere else. Each has a stop of its own, a child of the relay's, and
//! holds a guard: if it ends before it was asked to, by return or by panic, the process logs it, stops the others and fails
//! (I12).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
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

/// What the operator may send. Listened to before the settings are read: a container's first process ignores what it does
/// not listen to, so a stop in the first moments would be lost.
#[derive(Debug)]
pub struct Signals {
    /// To stop.
    pub stop: StopSignals,
    /// To read the settings again.
    pub hangup: Signal,
    /// A file that grew over the limit (`ulimit -f`): the write fails, as on a full disk, and the process lives.
    _file_size: Signal,
}

/// Both ask a relay to stop.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Waits for one, and returns its name.
    pub async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            stop: StopSignals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            hangup: signal(SignalKind::hangup())?,
            _file_size: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }
}

/// A vital task that runs.
#[derive(Debug)]
pub struct Task {
    stop: CancellationToken,
    end: JoinHandle<()>,
}

impl Task {
    /// Asks this task alone to stop, at once. The future waits until it has ended.
    pub fn stop(self) -> impl Future<Output = ()> {
        self.stop.cancel();
        self.end.map(|_| ()) // a panic on the way was logged by its guard's owner, and the task has ended all the same
    }
}

/// Held by a vital task for as long as it runs.
struct Guard {
    task: String,
    stop: CancellationToken,
    life: Lifecycle,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
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

    /// Runs `work` as a vital task called `task`. It is given its own stop, which [`Lifecycle::stop`] cancels too, and must
    /// end only after that.
    pub fn spawn<W>(&self, task: impl Into<String>, work: impl FnOnce(CancellationToken) -> W) -> Task
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.child_token();
        let guard = Guard { task: task.into(), stop: stop.clone(), life: self.clone() };
        // Not an async block: it would hold `work` twice, and a keeper is most of what an account takes of memory.
        let end = self.vital.spawn(work(stop.clone()).map(|()| drop(guard)));
        Task { stop, end }
    }

    /// Waits for SIGTERM, SIGINT or the end of a vital task, then up to `grace` for everything under way.
    pub async fn run(self, mut signals: StopSignals, grace: Duration) -> End {
        tokio::select! {
            signal = signals.received() => info!(signal, "stopping"),
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
        life.spawn("short", async |_| {});
        life.stop().cancelled().await;
        assert_eq!(life.finish(Duration::from_secs(1)).await, End::Failed);
    }

    #[tokio::test]
    async fn a_panic_in_a_vital_task_fails_the_relay() {
        let life = Lifecycle::new();
        life.spawn("clumsy", async |_| panic!("on purpose"));
        life.stop().cancelled().await;
        assert_eq!(life.finish(Duration::from_secs(1)).await, End::Failed);
    }

    #[tokio::test]
    async fn a_stop_waits_for_the_tasks() {
        let life = Lifecycle::new();
        life.spawn("tidy", async |stop: CancellationToken| {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        });
        assert_eq!(life.finish(Duration::from_secs(5)).await, End::AsAsked);
    }

    #[tokio::test]
    async fn one_task_that_is_stopped_ends_alone_and_the_relay_goes_on() {
        let life = Lifecycle::new();
        let [one, other] =
            ["one", "other"].map(|name| life.spawn(name, async |stop: CancellationToken| stop.cancelled().await));
        one.stop().await;
        assert!(!life.stop().is_cancelled());
        assert!(!other.end.is_finished());
        assert_eq!(life.finish(Duration::from_secs(5)).await, End::AsAsked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_costs_the_exit_code_not_for_ever() {
        let life = Lifecycle::new();
        life.spawn("stuck", async |_| std::future::pending().await);
        assert_eq!(life.finish(Duration::from_secs(20)).await, End::Failed);
    }
}
