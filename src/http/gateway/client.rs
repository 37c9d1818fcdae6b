//! How does a gateway request reach WeChat's host? A client with a pool, which changes no byte of what it sends.
//!
//! `issuer/upstream.rs` keeps no idle connection, because there a reused one that closes under the write makes an unknown call.
//! Here such a call is its client's to repeat, and a TLS handshake for each request would cost more than the request.

use std::{
    collections::HashMap,
    error::Error,
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
    vec,
};

use axum::{
    body::Body,
    http::{Request, Response, Uri},
};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::{
        legacy::{
            Client, Error as ClientError,
            connect::{
                HttpConnector,
                dns::Name,
                proxy::{SocksV5, Tunnel},
            },
        },
        proxy::matcher::{Intercept, Matcher},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::ConfigVerifierExt;
use secrecy::ExposeSecret;
use tokio::{net::TcpStream, sync::Semaphore, task::spawn_blocking, time::timeout};
use tower::{ServiceExt, service_fn, util::BoxCloneSyncService};

use crate::{
    issuer::upstream::{HostAddresses, UpstreamError, UpstreamSettings},
    printable::{causes, printable},
};

/// How long an idle connection is kept. Shorter than the idle time of most servers, so that few are closed under a request.
const IDLE: Duration = Duration::from_secs(15);
/// How long WeChat may leave unread what was sent (Linux).
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNREAD: Duration = Duration::from_secs(60);
/// Idle connections that are kept to one host.
const IDLE_CONNECTIONS: usize = 64;
/// Look-ups of one name under way at once. Where DNS says nothing each holds a thread for 10 s and more, of the runtime's 512, which
/// the state store needs too.
const LOOK_UPS: usize = 32;
/// The longest reason that is logged, in characters.
const LONGEST_REASON: usize = 256;

type BoxError = Box<dyn Error + Send + Sync>;
type Tcp = BoxCloneSyncService<Uri, TokioIo<TcpStream>, BoxError>;
type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// The client, and where it sends.
///
/// It follows no redirect, decodes nothing, and takes no proxy from the environment. It sends a request again only where hyper
/// gives it back unsent, because an idle connection had been closed: nothing of it was written, so nothing is done twice.
#[derive(Debug, Clone)]
pub(super) struct GatewayClient {
    client: Client<Connector, Body>,
    /// Without a slash at the end.
    base: String,
    fallback: Option<String>,
}

impl GatewayClient {
    pub(super) fn new(settings: &UpstreamSettings) -> Result<Self, UpstreamError> {
        crate::tls::install_provider();
        let hosts = [Some(&settings.base_url), settings.fallback_base_url.as_ref()];
        let encrypted = hosts.into_iter().flatten().any(|url| url.scheme() == "https");
        let tls = if encrypted {
            let failed = |error: rustls::Error| UpstreamError::Client { reason: error.to_string() };
            ClientConfig::with_platform_verifier().map_err(failed)?
        } else {
            // Plain http (the simulator): a missing bundle of certificates is no error.
            ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        };
        let tcp = tcp(settings)?;
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let tls: Connector = BoxCloneSyncService::new(tls);
        let limit = settings.connect_timeout;
        // Around name, TCP, proxy and TLS together.
        let connector = service_fn(move |host: Uri| {
            let connecting = timeout(limit, tls.clone().oneshot(host));
            async move {
                match connecting.await {
                    Ok(connected) => connected,
                    Err(elapsed) => Err(Box::new(elapsed) as BoxError),
                }
            }
        });
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(BoxCloneSyncService::new(connector));
        let text = |url: &reqwest::Url| url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client, base: text(&settings.base_url), fallback: settings.fallback_base_url.as_ref().map(text) })
    }

    /// The hosts in their order.
    pub(super) fn bases(&self) -> impl Iterator<Item = &str> {
        [Some(self.base.as_str()), self.fallback.as_deref()].into_iter().flatten()
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, ClientError> {
        self.client.request(request).await
    }
}

/// Connections without TLS, through the proxy if there is one.
fn tcp(settings: &UpstreamSettings) -> Result<Tcp, UpstreamError> {
    let addresses = settings.resolve.clone();
    let permits = LookUpPermits::default();
    let mut direct = HttpConnector::new_with_resolver(service_fn(move |name: Name| {
        let (addresses, permits) = (addresses.clone(), permits.of(name.as_str()));
        resolve(addresses, permits, name)
    }));
    direct.enforce_http(false);
    direct.set_nodelay(true);
    // hyper has no timer for writing: a connection to a host that reads no further would stand for ever.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    direct.set_tcp_user_timeout(Some(UNREAD));
    let Some(proxy) = &settings.proxy else { return Ok(boxed(direct)) };
    let matcher = Matcher::builder().all(proxy.expose_secret().to_owned()).build();
    let base = settings.base_url.as_str().parse().map_err(|_| UpstreamError::Proxy)?;
    let proxy: Intercept = matcher.intercept(&base).ok_or(UpstreamError::Proxy)?;
    let address = proxy.uri().clone();
    if address.scheme_str() == Some("http") {
        // A tunnel for plain http too, so that a request looks the same on every way.
        let tunnel = Tunnel::new(address, direct);
        return Ok(match proxy.basic_auth() {
            Some(key) => boxed(tunnel.with_auth(key.clone()).map_request(with_port)),
            None => boxed(tunnel.map_request(with_port)),
        });
    }
    let resolves_here = address.scheme_str() == Some("socks5");
    let socks = SocksV5::new(address, direct).local_dns(resolves_here);
    Ok(match proxy.raw_auth() {
        Some((user, password)) => boxed(socks.with_auth(user.to_owned(), password.to_owned())),
        None => boxed(socks),
    })
}

/// The permits of look-ups, for each of the few names that the settings have: one that is never answered takes none of another's.
#[derive(Clone, Default)]
struct LookUpPermits(Arc<Mutex<HashMap<String, Arc<Semaphore>>>>);

impl LookUpPermits {
    fn of(&self, name: &str) -> Arc<Semaphore> {
        // a map of handles cannot be left half changed
        let mut permits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        permits.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(LOOK_UPS))).clone()
    }
}

/// The addresses of a host: those that are given, or those of a look-up. One that was given up goes on, and keeps its permit.
async fn resolve(given: HostAddresses, permits: Arc<Semaphore>, name: Name) -> io::Result<vec::IntoIter<SocketAddr>> {
    if let Some(addresses) = given.of(name.as_str()) {
        return Ok(Vec::from(addresses).into_iter());
    }
    let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
    let look_up = spawn_blocking(move || {
        let _permit = permit;
        (name.as_str(), 0).to_socket_addrs()
    });
    look_up.await.map_err(io::Error::other)?
}

/// hyper-util's tunnel takes 443 for every host without a port, whatever its scheme.
fn with_port(host: Uri) -> Uri {
    let plain = host.authority().filter(|_| host.scheme_str() == Some("http") && host.port().is_none());
    let Some(authority) = plain else { return host };
    let text = format!("http://{authority}:80/");
    Uri::try_from(text).unwrap_or(host)
}

fn boxed<S>(service: S) -> Tcp
where
    S: tower::Service<Uri, Response = TokioIo<TcpStream>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Error: 'static,
{
    BoxCloneSyncService::new(service.map_err(Into::into))
}

/// What is logged of a failure: its causes, without what was put into the request.
pub(super) fn reason(error: &ClientError, secrets: &[String]) -> String {
    let hidden: Vec<&str> = secrets.iter().map(String::as_str).collect();
    printable(&causes(error), &hidden, LONGEST_REASON)
}
