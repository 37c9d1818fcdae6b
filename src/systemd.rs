//! What is systemd told of this process? That it is ready, reloads, stops, and that its keepers live: `sd_notify(3)`.
//!
//! Where `NOTIFY_SOCKET` is not set, nobody waits for it, and every function here does nothing.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The relay serves, or a reload has ended, whatever came of it.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload has begun, at `awake` of [`Clock::awake`](crate::clock::Clock::awake). Until [`ready`], `systemctl reload` waits.
pub fn reloading(awake: Duration) {
    let micros = i128::try_from(awake.as_micros()).unwrap_or(i128::MAX);
    tell(&[NotifyState::Reloading, NotifyState::MonotonicUsec(micros)]);
}

/// Tells that the relay is ready, keeps the watchdog quiet for as long as `is_alive`, and tells of the stop.
pub async fn accompany(is_alive: impl Fn() -> bool, stop: CancellationToken) {
    ready();
    match watchdog_enabled() {
        // systemd's advice: twice in the time that it waits
        Some(limit) => keep_watchdog_quiet(limit / 2, is_alive, || tell(&[NotifyState::Watchdog]), stop).await,
        None => stop.cancelled().await,
    }
    tell(&[NotifyState::Stopping]);
}

async fn keep_watchdog_quiet(every: Duration, is_alive: impl Fn() -> bool, beat: impl Fn(), stop: CancellationToken) {
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

fn tell(state: &[NotifyState<'_>]) {
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
        let beating = keep_watchdog_quiet(Duration::from_secs(15), || is_alive.get(), beat, stop.clone());
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
