//! How does one call reach WeChat, and was it sent? The only HTTP client of issuers; the gateway has one of its own, with a pool.

use std::{
    error::Error,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::{
    Client, ClientBuilder, Method, Proxy, Response, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    redirect, retry,
};
use secrecy::{ExposeSecret, SecretString};
use tower::util::{MapRequestLayer, MapResponseLayer};

use super::{Cause, IssueError, cause::LARGEST_REPLY};
use crate::{
    clock::WallTime,
    last_look,
    printable::{causes, printable},
};

mod addresses;

pub use addresses::HostAddresses;
pub use reqwest::Url;

/// Marks what a relay sends: its own calls and those of its gateway. Its own header and not `Via`, which the platforms' servers might
/// act on. A relay whose `wechat.base_url` leads back to a relay would otherwise take its own token for a new one, and its gateway
/// put call into call until nothing is left. The answer to such a request bears it too.
pub(crate) const HOP: &str = "token-relay-hop";

/// The longest reason that an error gives, in characters: enough for two hosts' chains of causes.
const LONGEST_REASON: usize = 512;

const USER_AGENT: &str = concat!("token-relay/", env!("CARGO_PKG_VERSION"));

/// Where WeChat is and how it is reached.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// `wechat.base_url`: http or https, with an optional path prefix; without user, query and fragment.
    pub base_url: Url,
    /// `wechat.fallback_base_url`: tried within the same call when `base_url` cannot be connected.
    pub fallback_base_url: Option<Url>,
    /// `wechat.proxy`: an http, socks5 or socks5h URL. It may hold a password.
    pub proxy: Option<SecretString>,
    /// `wechat.resolve`: hosts whose names are not looked up. A proxy looks names up itself.
    pub resolve: HostAddresses,
    /// `wechat.connect_timeout`: name, TCP, proxy and TLS of one host, together.
    pub connect_timeout: Duration,
    /// `wechat.timeout`: a whole call, with both hosts and the reply's body.
    pub timeout: Duration,
}

/// Why there is no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// A base URL cannot be used.
    #[error("{key} is not an http:// or https:// URL with a host and without user, query and fragment")]
    BaseUrl {
        /// The settings key.
        key: &'static str,
    },
    /// The proxy cannot be used. Its text is not shown: it may hold a password.
    #[error("wechat.proxy is not an http://, https://, socks5:// or socks5h:// URL with a host")]
    Proxy,
    /// There is nothing to verify WeChat's certificate with.
    #[error("no CA certificates found: install the system's ca-certificates, or point SSL_CERT_FILE at a bundle")]
    NoRoots,
    /// Anything else that keeps the client from being built.
    #[error("cannot build the HTTP client: {reason}")]
    Client {
        /// What happened, in words, without a secret.
        reason: String,
    },
}

/// A client for one WeChat, shared by all accounts: a clone is the same client.
///
/// It follows no redirect, sends no Referer, takes no proxy from the environment, speaks HTTP/1.1, never retries and
/// keeps no idle connection: a reused one that closes under the write would make an unknown call.
#[derive(Debug, Clone)]
pub struct Upstream {
    client: Client,
    // shared: every account's issuer has a clone
    base: Arc<Url>,
    fallback: Option<Arc<Url>>,
    timeout: Duration,
}

/// One call, for whichever host takes it.
pub(super) struct Call<'a> {
    /// Path segments below the base URL, as many as the path has.
    pub(super) path: &'a [&'a str],
    /// Query parameters, not yet encoded.
    pub(super) query: &'a [(&'static str, &'a str)],
    /// A JSON body makes it a POST.
    pub(super) json: Option<Vec<u8>>,
}

/// What came back: a whole body of at most [`LARGEST_REPLY`].
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    /// When it was written, by its `Date`.
    pub(super) date: Option<WallTime>,
}

tokio::task_local! {
    /// Whether the call of this task is between the start of a connection and its end. Without a pool the connector runs
    /// in the caller's task; should that change, this stays false and a time-out counts as an unknown call: the safe side.
    static CONNECTING: Arc<AtomicBool>;
}

impl Upstream {
    /// Builds the client; the system's CA certificates (or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`) are read now,
    /// unless every URL is plain http.
    pub fn new(settings: UpstreamSettings) -> Result<Self, UpstreamError> {
        let UpstreamSettings { base_url, fallback_base_url, proxy, resolve, connect_timeout, timeout } = settings;
        usable(&base_url, "wechat.base_url")?;
        if let Some(fallback) = &fallback_base_url {
            usable(fallback, "wechat.fallback_base_url")?;
        }
        crate::tls::install_provider();
        let mut builder = plain_client(connect_timeout);
        for (host, addresses) in resolve.iter() {
            builder = builder.resolve_to_addrs(host, addresses);
        }
        let mut encrypted = [Some(&base_url), fallback_base_url.as_ref()].into_iter().flatten().any(is_https);
        if let Some(proxy) = &proxy {
            let url = Url::parse(proxy.expose_secret()).ok().filter(is_proxy).ok_or(UpstreamError::Proxy)?;
            encrypted |= is_https(&url);
            builder = builder.proxy(Proxy::all(url).map_err(|_| UpstreamError::Proxy)?);
        }
        if !encrypted {
            // Plain http (the simulator): no certificates are needed, so a missing bundle is no error.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| {
            let reason = flattened(error);
            if reason.contains("No CA certificates") {
                UpstreamError::NoRoots
            } else {
                UpstreamError::Client { reason }
            }
        })?;
        Ok(Self { client, base: Arc::new(base_url), fallback: fallback_base_url.map(Arc::new), timeout })
    }

    /// How long a whole call may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Makes one call within `limit`. Every error is an [`IssueError::NotSent`] or an [`IssueError::Unknown`].
    pub(super) async fn call(&self, call: &Call<'_>, limit: Duration) -> Result<Reply, IssueError> {
        let connecting = Arc::new(AtomicBool::new(false));
        let hosts = self.first_or_fallback(call, limit, &connecting);
        let hosts = CONNECTING.scope(Arc::clone(&connecting), hosts);
        let Ok(outcome) = last_look::timeout(limit, hosts).await else {
            return Err(if connecting.load(Ordering::Relaxed) {
                IssueError::NotSent { cause: Cause::NoConnection(limit) }
            } else {
                IssueError::Unknown { cause: Cause::NoReply(limit) }
            });
        };
        outcome
    }

    /// Where there is a second host, the first one must leave it time: a connection that takes half of the limit is given up.
    async fn first_host(&self, call: &Call<'_>, limit: Duration, connecting: &AtomicBool) -> Result<Reply, IssueError> {
        let mut first = pin!(self.send(&self.base, call));
        if self.fallback.is_some() {
            match tokio::time::timeout(limit / 2, &mut first).await {
                Ok(outcome) => return outcome,
                Err(_) if connecting.load(Ordering::Relaxed) => {
                    return Err(IssueError::NotSent { cause: Cause::NoConnection(limit / 2) });
                }
                Err(_) => {}
            }
        }
        first.await
    }

    async fn first_or_fallback(
        &self,
        call: &Call<'_>,
        limit: Duration,
        connecting: &AtomicBool,
    ) -> Result<Reply, IssueError> {
        let outcome = self.first_host(call, limit, connecting).await;
        let Some(fallback) = &self.fallback else { return outcome };
        let Err(IssueError::NotSent { cause: first }) = outcome else { return outcome };
        match self.send(fallback, call).await {
            Err(IssueError::NotSent { cause: second }) => {
                let cause = Cause::BothHosts { first: Box::new(first), fallback: Box::new(second) };
                Err(IssueError::NotSent { cause })
            }
            other => other,
        }
    }

    async fn send(&self, base: &Url, call: &Call<'_>) -> Result<Reply, IssueError> {
        let host = base.host_str().unwrap_or_default();
        let mut request = self.client.request(Method::GET, call.url(base));
        if let Some(json) = &call.json {
            request = self.client.request(Method::POST, call.url(base));
            request = request.header(header::CONTENT_TYPE, "application/json").body(json.clone());
        }
        let mut response = request.send().await.map_err(|error| failure(host, error))?;
        if is_of_relay(&response) {
            return Err(IssueError::NotSent { cause: Cause::Relay });
        }
        let status = response.status();
        let date = response.headers().get(header::DATE).and_then(|date| WallTime::from_http_date(date.to_str().ok()?));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(host, error))? {
            if body.len() + chunk.len() > LARGEST_REPLY {
                let cause = Cause::TooLarge { host: host.to_owned(), status: status.as_u16() };
                return Err(IssueError::Unknown { cause });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, body, date })
    }
}

impl Call<'_> {
    fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        url.path_segments_mut().expect("an http URL with a host has a path").pop_if_empty().extend(self.path);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(self.query);
        }
        url
    }
}

/// Everything that the client does *not* do, in one place.
#[expect(clippy::disallowed_methods, reason = "the one place that builds a client")]
fn plain_client(connect_timeout: Duration) -> ClientBuilder {
    let mark = |connecting: bool| {
        // Outside a call there is nothing to mark.
        let _ = CONNECTING.try_with(|now| now.store(connecting, Ordering::Relaxed));
    };
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("close")),
        (HeaderName::from_static(HOP), HeaderValue::from_static("1")),
    ];
    Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(HeaderMap::from_iter(headers))
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(retry::never())
        .no_proxy()
        .http1_only()
        .pool_max_idle_per_host(0)
        .connect_timeout(connect_timeout)
        .connector_layer(MapRequestLayer::new(move |target| {
            mark(true);
            target
        }))
        .connector_layer(MapResponseLayer::new(move |connection| {
            mark(false);
            connection
        }))
}

/// Whether a relay refused the request as one of a relay: it called nothing for it.
fn is_of_relay(response: &Response) -> bool {
    response.status() == StatusCode::LOOP_DETECTED && response.headers().contains_key(HOP)
}

fn is_https(url: &Url) -> bool {
    url.scheme() == "https"
}

fn is_proxy(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") && url.has_host()
}

fn usable(url: &Url, key: &'static str) -> Result<(), UpstreamError> {
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(()) } else { Err(UpstreamError::BaseUrl { key }) }
}

/// What a failed call was: `is_connect()` covers name, TCP, proxy and TLS, all of which end before the request's first
/// byte. Anything later may have been sent.
fn failure(host: &str, error: reqwest::Error) -> IssueError {
    let is_not_sent = error.is_connect() || error.is_builder();
    let is_certificate = is_not_sent && is_certificate(&error);
    let (host, detail) = (host.to_owned(), flattened(error));
    let cause = if is_certificate { Cause::Certificate { host, detail } } else { Cause::Network { host, detail } };
    if is_not_sent { IssueError::NotSent { cause } } else { IssueError::Unknown { cause } }
}

/// Whether the host's certificate was found wanting. An `io::Error` does not name what it wraps as its source, and the TLS
/// library's error is wrapped in two of them.
fn is_certificate(error: &(dyn Error + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref() {
        return matches!(tls, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented);
    }
    match error.downcast_ref().and_then(io::Error::get_ref) {
        Some(wrapped) => is_certificate(wrapped),
        None => error.source().is_some_and(is_certificate),
    }
}

/// A reqwest error as text, without its URL, which holds the AppSecret. Where it has causes only those are given: reqwest's own text
/// says no more than "error sending request".
fn flattened(error: reqwest::Error) -> String {
    let error = error.without_url();
    printable(&causes(error.source().unwrap_or(&error)), &[], LONGEST_REASON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_s_path_has_any_number_of_segments_and_each_is_encoded() {
        for (base, path, expected) in [
            ("http://h", &["ticket"][..], "http://h/ticket"),
            ("http://h/", &["cgi-bin", "token"], "http://h/cgi-bin/token"),
            ("http://h/a/b/", &["cgi-bin", "ticket", "getticket"], "http://h/a/b/cgi-bin/ticket/getticket"),
            ("http://h", &["a b", "c/d", "e?f", "é"], "http://h/a%20b/c%2Fd/e%3Ff/%C3%A9"),
        ] {
            let call = Call { path, query: &[], json: None };
            assert_eq!(call.url(&base.parse().unwrap()).as_str(), expected);
        }
    }
}
