//! Does the client still wait? hyper does not say while it answers, for a client that has closed its side may read on.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use tokio_util::sync::CancellationToken;

/// The client's end of one connection, in the extensions of its requests. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct ClientEnd(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// The connection is read while this is asked for, and at no other time: what comes then belongs to the next request.
    is_asked: AtomicBool,
    closed: CancellationToken,
}

/// Ends the question when it is dropped.
struct Asking<'s>(&'s AtomicBool);

impl ClientEnd {
    /// Returns once the client has closed its side: it has given up, or sends nothing more and reads on.
    pub(super) async fn closed(&self) {
        self.0.is_asked.store(true, Relaxed);
        let _asking = Asking(&self.0.is_asked);
        self.0.closed.cancelled().await;
    }

    /// Looks with `poll_end` whenever somebody asks. It never returns: to be polled after what answers, in the same task.
    pub(super) async fn watch(&self, mut poll_end: impl FnMut(&mut Context<'_>) -> Poll<()>) {
        poll_fn::<(), _>(|cx| {
            if self.0.is_asked.load(Relaxed) && !self.0.closed.is_cancelled() && poll_end(cx).is_ready() {
                self.0.closed.cancel();
            }
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}
