//! What is reported to systemd? That the process is ready, reloads or stops, and that its keepers live: `sd_notify(3)`.
//!
//! Without `NOTIFY_SOCKET` every function here does nothing.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The relay serves, or a reload has ended, whatever came of it.
pub fn ready() {
    report(&[NotifyState::Ready]);
}

/// A reload has begun, at `awake` of [`Clock::awake`](crate::clock::Clock::awake). Until [`ready`], `systemctl reload` waits.
pub fn reloading(awake: Duration) {
    let micros = i128::try_from(awake.as_micros()).unwrap_or(i128::MAX);
    report(&[NotifyState::Reloading, NotifyState::MonotonicUsec(micros)]);
}

/// Reports that the relay is ready, feeds the watchdog while `is_alive`, and reports the stop.
pub async fn accompany(is_alive: impl Fn() -> bool, stop: CancellationToken) {
    ready();
    match watchdog_enabled() {
        // systemd's advice: twice in the time that it waits
        Some(limit) => feed_watchdog(limit / 2, is_alive, || report(&[NotifyState::Watchdog]), stop).await,
        None => stop.cancelled().await,
    }
    report(&[NotifyState::Stopping]);
}

async fn feed_watchdog(every: Duration, is_alive: impl Fn() -> bool, beat: impl Fn(), stop: CancellationToken) {
    loop {
        if is_alive() {
            beat();
        }
        tokio::select! {
            () = sleep(every) => {}
            () = stop.cancelled() => return,
        }
    }
}

fn report(state: &[NotifyState<'_>]) {
    if let Err(error) = notify(state) {
        warn!(%error, "systemd could not be told of this process's state");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_hears_of_a_living_relay_and_of_no_other() {
        let (is_alive, beats, stop) = (Cell::new(true), Cell::new(0), CancellationToken::new());
        let beat = || beats.set(beats.get() + 1);
        let beating = feed_watchdog(Duration::from_secs(15), || is_alive.get(), beat, stop.clone());
        let watching = async {
            for (alive, expected) in [(true, 5), (false, 5), (true, 9)] {
                is_alive.set(alive);
                sleep(Duration::from_secs(60) + Duration::from_millis(1)).await;
                assert_eq!(beats.get(), expected);
            }
            stop.cancel();
        };
        tokio::join!(beating, watching);
    }
}
