//! What is the least that an HTTP server in front of these bytes can do? hyper alone: no router, no key, no clock, no timer.

use std::{convert::Infallible, fs, io, path::Path, thread};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Response,
    header::{HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::others::parts;

/// Serves one answer on `address` until standard input ends, which it does with the bench.
pub(crate) fn serve(address: &str, answer: &Path) -> io::Result<()> {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    let (headers, body) = parse(&fs::read(answer)?)?;
    // The same runtime as the relay's.
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = TcpListener::bind(address).await?;
        let connections = TaskTracker::new();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (headers, body) = (headers.clone(), body.clone());
            let service = service_fn(move |_| {
                let mut response = Response::new(Full::new(body.clone()));
                response.headers_mut().clone_from(&headers);
                async { Ok::<_, Infallible>(response) }
            });
            connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    })
}

/// The headers that hyper does not write itself, and the body.
fn parse(answer: &[u8]) -> io::Result<(HeaderMap, Bytes)> {
    let (headers, body) = parts(answer)?;
    let headers = headers.into_iter().map(|(name, value)| {
        let name: HeaderName = name.parse().map_err(io::Error::other)?;
        Ok((name, HeaderValue::try_from(value).map_err(io::Error::other)?))
    });
    Ok((headers.collect::<io::Result<_>>()?, body.into()))
}
