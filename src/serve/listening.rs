//! How are the listeners served, and what of that follows changed settings?

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tracing::warn;

use crate::{
    clock::WallTime,
    http::{ADMIN_CONNECTIONS, Limits, ListenerOptions},
    metrics::Metrics,
    settings::{ServerSettings, ServerTls},
};

/// Of one address, so that one that stalls leaves places for the probes: more than the status page serves at once, for a proxy may
/// stand in front of it.
const ADMIN_CONNECTIONS_PER_SOURCE: usize = ADMIN_CONNECTIONS * 3 / 4;
/// What an answer on the admin listener gets at shutdown: a status page that is not read must not hold the stop up.
const ADMIN_GRACE: Duration = Duration::from_secs(2);
/// The end of the grace is left for the connections to be closed.
const CLOSING: Duration = Duration::from_millis(500);

/// What both listeners are served with. A change counts for connections that are accepted later.
pub(super) struct Listening {
    pub(super) public: Arc<ArcSwap<ListenerOptions>>,
    pub(super) admin: Arc<ArcSwap<ListenerOptions>>,
    /// As long as at the start: the lifecycle ends the process then.
    grace: Duration,
}

impl Listening {
    pub(super) fn new(server: &ServerSettings) -> Self {
        let grace = server.shutdown_grace.saturating_sub(CLOSING);
        let (public, admin) = options(server, grace);
        Self { public: Arc::new(ArcSwap::from_pointee(public)), admin: Arc::new(ArcSwap::from_pointee(admin)), grace }
    }

    /// From now on by these settings.
    pub(super) fn change_to(&self, server: &ServerSettings) {
        let (public, admin) = options(server, self.grace);
        self.admin.store(Arc::new(admin));
        self.public.store(Arc::new(public));
    }

    /// When the certificate ends, if there is one.
    pub(super) fn certificate_ends_at(&self) -> Option<WallTime> {
        self.public.load().tls.as_ref().map(ServerTls::not_after)
    }

    /// Counts and logs what is to be known of the certificate at `now`.
    pub(super) fn announce_certificate(&self, metrics: &Metrics, now: WallTime) {
        metrics.settings.certificate(self.certificate_ends_at());
        if let Some(tls) = self.public.load().tls.as_ref().filter(|tls| !tls.is_valid_at(now)) {
            warn!(
                not_after = %tls.not_after(),
                "the certificate in server.tls.cert_file has ended, or has not begun: clients that verify it refuse the relay"
            );
        }
    }

    /// Logs that keys and tokens go over a network as they are.
    pub(super) fn announce_plain_http(&self, listen: SocketAddr) {
        if self.public.load().tls.is_none() && !listen.ip().is_loopback() {
            warn!(
                %listen,
                "the public listener speaks plain HTTP beyond this machine: who listens on the way reads keys and tokens, unless a \
                 proxy speaks TLS in front (server.tls.cert_file)"
            );
        }
    }
}

/// Those of the public and of the admin listener.
fn options(server: &ServerSettings, grace: Duration) -> (ListenerOptions, ListenerOptions) {
    let public = Limits {
        max_connections: server.max_connections,
        max_per_source: server.max_connections_per_source,
        header_timeout: server.header_timeout,
        grace,
    };
    let admin = Limits {
        max_connections: ADMIN_CONNECTIONS,
        max_per_source: ADMIN_CONNECTIONS_PER_SOURCE,
        grace: grace.min(ADMIN_GRACE),
        ..public
    };
    let fast_reads = server.fast_reads;
    let public = ListenerOptions { limits: public, tls: server.tls.clone(), fast_reads };
    (public, ListenerOptions { limits: admin, tls: None, fast_reads: false })
}
