//! How are connections taken, served and ended? Bind, then serve: two steps, so that a port that is taken is known before
//! anything else is started.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::HttpService;
use crate::tls::ServerTls;

mod acceptor;
mod connection;
mod rewind;
mod sources;

use acceptor::{Accepted, Acceptor};
use connection::{serve_connection, serve_stream};

/// Connections at once on the admin listener: probes, a scraper and a few people.
pub const ADMIN_CONNECTIONS: usize = 64;

/// What a listener allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once. At the limit no more is taken: the next ones wait in the system's queue until one ends, and an
    /// idle one ends after `header_timeout`. Rejected: to take and close them, for a burst of honest clients would then
    /// fail at once and come back at once. The admin listener has a limit of its own, so an operator still gets in.
    pub max_connections: usize,
    /// Connections at once of one source address; 0: no limit. Further ones are closed at once: they come from somebody who has
    /// more than enough, and waiting they would keep the others out.
    pub max_per_source: usize,
    /// For the head of a request to arrive, counted from the end of the last answer: it also ends idle connections.
    /// So long may a client also leave an answer unread (Linux). A TLS handshake gets as long, 10 s at most.
    pub header_timeout: Duration,
    /// For requests in flight to end at shutdown.
    pub grace: Duration,
}

/// How connections are served. Replaced whole: a connection keeps those that it was accepted with.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// What is allowed.
    pub limits: Limits,
    /// TLS, if it is spoken.
    pub tls: Option<ServerTls>,
    /// Whether `GET /token` is answered in front of hyper where it can be.
    pub fast_reads: bool,
}

/// A bound socket that takes no connection yet.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Takes the address.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self)
    }

    /// The address, with the port that the system chose where 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves `service` until `shutdown`, and returns when the last connection has ended. Changed `options` count for
    /// connections that are accepted from then on.
    pub async fn serve(
        self,
        service: HttpService,
        options: Arc<ArcSwap<ListenerOptions>>,
        shutdown: CancellationToken,
    ) {
        let connections = TaskTracker::new();
        let mut acceptor = Acceptor::new(&service, &options);
        while let Some(Accepted { stream, peer, held }) = acceptor.next(&self.0, &shutdown).await {
            let open = service.metrics.http.connected(service.side);
            let (options, service, shutdown) = (options.load_full(), service.clone(), shutdown.clone());
            connections.spawn(async move {
                serve_connection((stream, peer), &service, &options, &shutdown).await;
                drop((held, open));
            });
        }
        drop(self);
        connections.close();
        connections.wait().await;
    }
}

impl HttpService {
    /// Serves one connection of `peer` over any stream to its end, as a [`Listener`] does over a socket; without TLS and without
    /// the limits on how many there are. After `shutdown` until its request is answered.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        peer: SocketAddr,
        options: &ListenerOptions,
        shutdown: &CancellationToken,
    ) {
        serve_stream((stream, peer), None, self, options, shutdown).await;
    }
}
