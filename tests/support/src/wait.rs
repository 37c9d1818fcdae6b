//! How long does a test wait for what must happen?

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longer than a start, a stop or a refresh takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `holds`, and panics with `what` when it takes longer than [`PATIENCE`].
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asked = Instant::now();
    while !holds().await {
        assert!(asked.elapsed() < PATIENCE, "it never happened: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
