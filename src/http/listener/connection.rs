//! How is one connection served, from its handshake to its end?

use std::{
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    super::{
        HttpService,
        client_end::ClientEnd,
        fast_path::{self, HandedOver, Times},
    },
    Limits, ListenerOptions,
    rewind::Rewind,
};
use crate::tls::{CertificateNames, ServerTls, names_of_client};

/// The longest request head, and hyper's buffer for writing. Longer: 431.
const LONGEST_HEAD: usize = 16 * 1024;
/// What a connection gets at shutdown that has never sent a whole request. hyper does not count it as idle.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// For a TLS handshake, if `header_timeout` is not shorter.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves one connection to its end; after `shutdown` until its request is answered, at most for `grace`.
pub(super) async fn serve_connection(
    (stream, peer): (TcpStream, SocketAddr),
    service: &HttpService,
    options: &ListenerOptions,
    shutdown: &CancellationToken,
) {
    let limits = options.limits;
    prepare(&stream, limits.header_timeout);
    match &options.tls {
        None => serve_stream((stream, peer), None, service, options, shutdown).await,
        // boxed, so that a connection without TLS does not pay for it
        Some(tls) => Box::pin(serve_tls((stream, peer), tls, service, options, shutdown)).await,
    }
}

/// The handshake is a part of the connection: one that stalls holds nobody up, and ends by itself.
async fn serve_tls(
    (stream, peer): (TcpStream, SocketAddr),
    tls: &ServerTls,
    service: &HttpService,
    options: &ListenerOptions,
    shutdown: &CancellationToken,
) {
    let limit = options.limits.header_timeout.min(HANDSHAKE);
    let Some(shaken) = shutdown.run_until_cancelled(timeout(limit, tls.accept(stream))).await else { return };
    let error = match shaken {
        Ok(Ok(stream)) => {
            // once per connection: whose they are is looked up with each request, for the settings may change
            let names = names_of_client(&stream);
            return serve_stream((stream, peer), names, service, options, shutdown).await;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "it took too long".to_owned(),
    };
    service.metrics.http.handshake_failed();
    debug!(listener = service.side.name(), error, "no TLS handshake");
}

/// By the fast path, if it is on, as long as it can; then by hyper.
pub(super) async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin>(
    (stream, peer): (S, SocketAddr),
    names: Option<CertificateNames>,
    service: &HttpService,
    options: &ListenerOptions,
    shutdown: &CancellationToken,
) {
    let limits = options.limits;
    let times = Times { idle: limits.header_timeout, grace: limits.grace };
    let handed_over = match service.reads.as_deref().filter(|_| options.fast_reads) {
        Some(state) => fast_path::serve((stream, peer), service, state, times, shutdown).await,
        None => Ok(Some(HandedOver { stream, read: Vec::new(), head_within: times.idle })),
    };
    match handed_over {
        // boxed, so that a connection on the fast path does not pay for it
        Ok(Some(connection)) => Box::pin(serve_by_hyper((connection, peer), names, service, limits, shutdown)).await,
        Ok(None) => {}
        Err(error) => debug!(listener = service.side.name(), %error, "connection ended"),
    }
}

async fn serve_by_hyper<S: AsyncRead + AsyncWrite + Unpin>(
    (connection, peer): (HandedOver<S>, SocketAddr),
    names: Option<CertificateNames>,
    service: &HttpService,
    limits: Limits,
    shutdown: &CancellationToken,
) {
    let HandedOver { stream, read, head_within } = connection;
    let (stream, end) = (Rewind::new(read, stream), ClientEnd::default());
    let asked = AtomicBool::new(false);
    let answering = service_fn(|mut request: hyper::Request<Incoming>| {
        asked.store(true, Relaxed);
        if let Some(names) = &names {
            request.extensions_mut().insert(names.clone());
        }
        service.answer_while(request, peer, Some(&end)).map(Ok::<_, Infallible>)
    });
    let mut connection = pin!(builder(limits.header_timeout).serve_connection(TokioIo::new(&stream), answering));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Some(ended),
        () = end.watch(|cx| stream.poll_end(cx)) => return,
        // hyper has a time for heads too, but it began when the connection was handed over
        () = late(head_within, &asked), if head_within < limits.header_timeout => {
            return debug!(listener = service.side.name(), "connection ended: no head in time");
        }
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

/// Ends when the first head has taken too long.
async fn late(head_within: Duration, asked: &AtomicBool) {
    sleep(head_within).await;
    if asked.load(Relaxed) {
        pending::<()>().await;
    }
}

fn builder(header_timeout: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Half-closed connections are answered: `printf … | nc` and some health checks close their side after the request.
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(LONGEST_HEAD).half_close(true);
    builder
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

#[cfg(test)]
mod tests;
