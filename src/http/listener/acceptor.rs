//! Which connection is taken next, and which is not?

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    super::HttpService,
    Limits, ListenerOptions,
    sources::{Admission, Admitted, Sources},
};

/// How long the accept loop sleeps when the system has no file descriptor or memory left: it doubles from the first to
/// the second. Without it the loop would spin, for the connection stays in the queue.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How often a full listener looks whether its limit was raised.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A connection, and what it holds while it is open.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) held: (OwnedSemaphorePermit, Admitted),
}

/// Takes connections, one permit each.
pub(super) struct Acceptor<'f> {
    service: &'f HttpService,
    options: &'f ArcSwap<ListenerOptions>,
    permits: Arc<Semaphore>,
    /// How many permits there are, free and taken.
    total: usize,
    sources: Sources,
    /// Whether the last connection had to wait for a permit, so that a full listener is logged once.
    was_full: bool,
    pause: Option<Duration>,
}

impl<'f> Acceptor<'f> {
    pub(super) fn new(service: &'f HttpService, options: &'f ArcSwap<ListenerOptions>) -> Self {
        let (permits, sources) = (Arc::new(Semaphore::new(0)), Sources::default());
        Self { service, options, permits, total: 0, sources, was_full: false, pause: None }
    }

    /// The next connection; `None` at shutdown.
    pub(super) async fn next(&mut self, listener: &TcpListener, shutdown: &CancellationToken) -> Option<Accepted> {
        shutdown
            .run_until_cancelled(async {
                let permit = self.permit().await;
                loop {
                    match listener.accept().await {
                        Ok((stream, peer)) => {
                            self.accepted();
                            // on `[::]` an IPv4 address comes as one of IPv6
                            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                            if let Some(admitted) = self.admit(peer) {
                                return Accepted { stream, peer, held: (permit, admitted) };
                            }
                        }
                        Err(error) => self.failed(&error).await,
                    }
                }
            })
            .await
    }

    fn limits(&self) -> Limits {
        self.options.load().limits
    }

    /// A permit. When the limit was lowered, those that become free are given up.
    async fn permit(&mut self) -> OwnedSemaphorePermit {
        self.add_permits_up_to_the_limit();
        self.look_whether_full();
        loop {
            if let Ok(permit) = timeout(LOOK_EVERY, Arc::clone(&self.permits).acquire_owned()).await {
                let permit = permit.expect("the semaphore is never closed");
                if self.total <= self.most() {
                    return permit;
                }
                permit.forget();
                self.total -= 1;
            }
            self.add_permits_up_to_the_limit();
        }
    }

    fn most(&self) -> usize {
        self.limits().max_connections.clamp(1, Semaphore::MAX_PERMITS)
    }

    /// Adds the permits that the limit allows.
    fn add_permits_up_to_the_limit(&mut self) {
        let more = self.most().saturating_sub(self.total);
        self.permits.add_permits(more);
        self.total += more;
    }

    fn look_whether_full(&mut self) {
        let full = self.permits.available_permits() == 0;
        if full && !self.was_full {
            self.service.metrics.http.at_limit(self.service.side);
            warn!(listener = self.service.side.name(), "all connections are taken: new ones wait until one ends");
        }
        self.was_full = full;
    }

    /// `None`: the connection is closed.
    fn admit(&self, peer: SocketAddr) -> Option<Admitted> {
        let limit = self.limits().max_per_source;
        let is_first = match self.sources.admit(peer.ip(), limit) {
            Admission::Admitted(admitted) => return Some(admitted),
            Admission::Refused { is_first } => is_first,
        };
        self.service.metrics.http.source_at_limit(self.service.side);
        if is_first {
            let (listener, source) = (self.service.side.name(), peer.ip());
            warn!(listener, %source, limit, "an address has all the connections that one may have: its further ones are closed");
        }
        None
    }

    fn accepted(&mut self) {
        if self.pause.take().is_some() {
            info!(listener = self.service.side.name(), "connections can be taken again");
        }
    }

    /// A client that went away before it was accepted needs nothing; anything else means that the system is out of file
    /// descriptors or memory.
    async fn failed(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
            return;
        }
        self.service.metrics.http.accept_failed(self.service.side);
        let (first, longest) = PAUSES;
        let pause = self.pause.map_or(first, |last| longest.min(last * 2));
        if self.pause.replace(pause).is_none() {
            warn!(listener = self.service.side.name(), %error, "no connection can be taken");
        } else {
            debug!(listener = self.service.side.name(), %error, "still no connection can be taken");
        }
        sleep(pause).await;
    }
}
