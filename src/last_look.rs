//! Did what is waited for come while the process stood still?

use std::{pin::pin, time::Duration};

use tokio::time::error::Elapsed;

/// The end of every wait for a socket. When a frozen process goes on, its timers end before the tasks of its connections have read
/// what lies in the sockets.
pub(crate) const LAST_LOOK: Duration = Duration::from_millis(50);

/// As tokio's `timeout`, but the last [`LAST_LOOK`] of `limit` is a timer of its own, started only when the process runs.
pub(crate) async fn timeout<F: Future>(limit: Duration, waited_for: F) -> Result<F::Output, Elapsed> {
    let mut waited_for = pin!(waited_for);
    let last_look = LAST_LOOK.min(limit);
    match tokio::time::timeout(limit.saturating_sub(last_look), &mut waited_for).await {
        Ok(outcome) => Ok(outcome),
        Err(_elapsed) => tokio::time::timeout(last_look, waited_for).await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        sync::oneshot,
        time::{advance, sleep},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn what_is_there_after_a_freeze_is_taken_and_what_is_not_there_ends_in_time() {
        let (sender, receiver) = oneshot::channel();
        let frozen = async {
            advance(LIMIT * 2).await;
            sleep(LAST_LOOK / 2).await;
            sender.send(7).unwrap();
        };
        let (waited, ()) = tokio::join!(timeout(LIMIT, receiver), frozen);
        assert_eq!(waited.unwrap(), Ok(7));

        let began = tokio::time::Instant::now();
        timeout(LIMIT, std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(began.elapsed(), LIMIT);
    }
}
