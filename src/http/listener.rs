//! How are connections taken, served and ended? Bind, then serve: two steps, so that a port that is taken is known before
//! anything else is started.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use super::HttpService;

/// The longest request head, and hyper's buffer for writing. Longer: 431.
const LONGEST_HEAD: usize = 16 * 1024;
/// How long the accept loop sleeps when the system has no file descriptor or memory left: it doubles from the first to
/// the second. Without it the loop would spin, for the connection stays in the queue.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// What a connection gets at shutdown that has never sent a whole request. hyper does not count it as idle.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a listener allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once. At the limit no more is taken: the next ones wait in the system's queue until one ends, and an
    /// idle one ends after `header_timeout`. Rejected: to take and close them, for a burst of honest clients would then
    /// fail at once and come back at once. The admin listener has a limit of its own, so an operator still gets in.
    pub max_connections: usize,
    /// For the head of a request to arrive, counted from the end of the last answer: it also ends idle connections.
    /// So long may a client also leave an answer unread (Linux).
    pub header_timeout: Duration,
    /// For requests in flight to end at shutdown.
    pub grace: Duration,
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

    /// Serves `service` until `shutdown`, and returns when the last connection has ended.
    pub async fn serve(self, service: HttpService, limits: Limits, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        let builder = builder(limits.header_timeout);
        let mut acceptor = Acceptor::new(&service, limits.max_connections);
        while let Some((stream, peer, permit)) = acceptor.next(&self.0, &shutdown).await {
            let open = service.metrics.http.connected(service.side);
            let (builder, service, shutdown) = (builder.clone(), service.clone(), shutdown.clone());
            connections.spawn(async move {
                serve_connection((stream, peer), &builder, &service, limits, &shutdown).await;
                drop((permit, open));
            });
        }
        drop(self);
        connections.close();
        connections.wait().await;
    }
}

fn builder(header_timeout: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Half-closed connections are answered: `printf … | nc` and some health checks close their side after the request.
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(LONGEST_HEAD).half_close(true);
    builder
}

/// Takes connections, one permit each.
struct Acceptor<'f> {
    service: &'f HttpService,
    permits: Arc<Semaphore>,
    /// Whether the last connection had to wait for a permit, so that a full listener is logged once.
    was_full: bool,
    pause: Option<Duration>,
}

impl<'f> Acceptor<'f> {
    fn new(service: &'f HttpService, max_connections: usize) -> Self {
        let permits = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        Self { service, permits, was_full: false, pause: None }
    }

    /// The next connection with its permit; `None` at shutdown.
    async fn next(
        &mut self,
        listener: &TcpListener,
        shutdown: &CancellationToken,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        shutdown
            .run_until_cancelled(async {
                let permit = self.permit().await;
                loop {
                    match listener.accept().await {
                        Ok((stream, peer)) => {
                            self.accepted();
                            return (stream, peer, permit);
                        }
                        Err(error) => self.refused(&error).await,
                    }
                }
            })
            .await
    }

    async fn permit(&mut self) -> OwnedSemaphorePermit {
        let full = self.permits.available_permits() == 0;
        if full && !self.was_full {
            self.service.metrics.http.at_limit(self.service.side);
            warn!(listener = self.service.side.name(), "all connections are taken: new ones wait until one ends");
        }
        self.was_full = full;
        Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed")
    }

    fn accepted(&mut self) {
        if self.pause.take().is_some() {
            info!(listener = self.service.side.name(), "connections can be taken again");
        }
    }

    /// A client that went away before it was accepted needs nothing; anything else means that the system is out of file
    /// descriptors or memory.
    async fn refused(&mut self, error: &io::Error) {
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

/// Serves one connection to its end; after `shutdown` until its request is answered, at most for `grace`.
async fn serve_connection(
    (stream, peer): (TcpStream, SocketAddr),
    builder: &http1::Builder,
    service: &HttpService,
    limits: Limits,
    shutdown: &CancellationToken,
) {
    prepare(&stream, limits.header_timeout);
    let asked = AtomicBool::new(false);
    let answering = service_fn(|request: hyper::Request<Incoming>| {
        asked.store(true, Relaxed);
        service.answer(request, peer).map(Ok::<_, Infallible>)
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answering));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Some(ended),
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let grace = if asked.load(Relaxed) { limits.grace } else { limits.grace.min(LAST_WORDS) };
            timeout(grace, connection).await.ok()
        }
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => debug!(listener = service.side.name(), %error, "connection ended"),
        None => debug!(listener = service.side.name(), "connection was cut off at shutdown"),
    }
}

/// Sets what the system does by itself. It refuses only on a connection that is dead already.
fn prepare(stream: &TcpStream, header_timeout: Duration) {
    // Without it an answer of two packets may wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    // hyper has no timer for writing: a client that asks on and on and never reads would keep its permit for ever.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = rustix::net::sockopt::set_tcp_user_timeout(
        stream,
        u32::try_from(header_timeout.as_millis()).unwrap_or(u32::MAX),
    );
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = header_timeout;
}
