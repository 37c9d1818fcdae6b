//! What does the gateway send to WeChat? The client's request, to the host in the settings, without the client's key and with the
//! account's current token where one belongs. The expected request is worked out here from the documentation, not by the relay's code.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Request, Response, Uri, header},
};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use token_relay::{
    http::Gateway,
    issuer::upstream::{HostAddresses, UpstreamError, UpstreamSettings},
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    task::JoinSet,
};

use super::{
    query::{decoded, pairs},
    relay::{ACCOUNTS, APPSECRET, EARLIER, KEY, LIMITED_KEY, MAIN_KEY, Relay},
};

const LOGINS: [&str; 2] = ["/sns/jscode2session", "/sns/oauth2/access_token"];
/// Tokens of third parties. A call that has one is passed on unchanged.
const FOREIGN: [&str; 5] = [
    "component_access_token",
    "authorizer_access_token",
    "cloudbase_access_token",
    "suite_access_token",
    "provider_access_token",
];
/// Headers that concern the relay alone.
const OURS: [&str; 6] = ["authorization", "x-relay-account", "x-forwarded-for", "forwarded", "via", "x-real-ip"];
/// Names that WeChat reads. No other spelling of them may pass.
const NAMES: [&str; 3] = ["access_token", "appid", "secret"];
/// The header in which the host returns the target that it was asked for.
const ECHO: &str = "x-echo";

type Asked = Mutex<Vec<Request<Bytes>>>;

/// Plays WeChat: keeps each request, and answers all of them alike.
struct Host {
    runtime: Runtime,
    address: String,
    asked: Arc<Asked>,
    _serving: JoinSet<()>,
}

/// Sends a request: the first line of `text` is its method and target, the lines up to an empty one are headers, the rest is its
/// body. Returns whether it was passed on.
///
/// # Panics
/// The property does not hold.
pub fn holds(text: &[u8]) -> bool {
    thread_local!(static HOST: RefCell<(Host, Relay)> = RefCell::new(host_and_relay()));
    let Some((request, body)) = request(text) else { return false };
    HOST.with_borrow(|(host, relay)| {
        let answer = host.runtime.block_on(relay.exchange([&request, b""], false));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let asked = std::mem::take(&mut *host.asked.lock().expect("nobody panics with it"));
        // 502: it was sent to another host
        assert!(!answer.starts_with("HTTP/1.1 500 ") && !answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(asked.len() < 2, "{asked:?}");
        let shown = String::from_utf8_lossy(&request).into_owned();
        if let Some(up) = asked.first() {
            let given = Given::read(&request).expect("only a request is passed on");
            given.agrees_with(up, &host.address, &shown);
            assert!(given.is_chunked || body == up.body(), "{shown}");
            given.gets_no_secret(&answer, &shown);
        }
        !asked.is_empty()
    })
}

/// The request, and its body.
fn request(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let end = text.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((text, &[][..]), |end| (&text[..end], &text[end + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut request = [lines.next()?, b" HTTP/1.1\r\nConnection: close\r\nHost: relay\r\n"].concat();
    for line in lines {
        request.extend([line, b"\r\n"].concat());
    }
    request.extend(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    request.extend(body);
    Some((request, body))
}

fn host_and_relay() -> (Host, Relay) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let asked = Arc::<Asked>::default();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let mut serving = JoinSet::new();
    serving.spawn_on(serve(listener, asked.clone()), runtime.handle());
    let settings = UpstreamSettings {
        base_url: format!("http://{address}").parse().expect("a URL"),
        fallback_base_url: None,
        proxy: None,
        resolve: HostAddresses::default(),
        connect_timeout: Duration::from_secs(2),
        timeout: Duration::from_secs(4),
    };
    let secrets = ACCOUNTS.map(|account| (account.name.parse().expect("a name"), SecretString::from(APPSECRET)));
    let relay = runtime.block_on(async {
        let gateway = Gateway::new(&settings, secrets, 64)?.with_wecom(&settings)?;
        Ok::<_, UpstreamError>(Relay::new(Some(gateway)))
    });
    (Host { runtime, address, asked, _serving: serving }, relay.expect("a client"))
}

async fn serve(listener: TcpListener, asked: Arc<Asked>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let asked = Arc::clone(&asked);
        let answering = service_fn(move |request: Request<Incoming>| answer(request, Arc::clone(&asked)));
        connections.spawn(async move {
            // the relay opens another one
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answering).await;
        });
    }
}

async fn answer(request: Request<Incoming>, asked: Arc<Asked>) -> Result<Response<Body>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let echo = HeaderValue::try_from(head.uri.to_string()).ok();
    asked.lock().expect("nobody panics with it").push(Request::from_parts(head, body));
    let mut response = Response::new(Body::from(r#"{"errcode":0,"errmsg":"ok"}"#));
    response.headers_mut().extend(echo.map(|echo| (header::HeaderName::from_static(ECHO), echo)));
    Ok(response)
}

/// What the client has sent.
struct Given {
    method: String,
    uri: Uri,
    headers: HeaderMap,
    is_chunked: bool,
}

impl Given {
    fn read(request: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut head = httparse::Request::new(&mut headers);
        head.parse(request).ok()?.is_complete().then_some(())?;
        let header = |header: &httparse::Header<'_>| {
            let name = header::HeaderName::from_bytes(header.name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(header.value).ok()?))
        };
        let headers: HeaderMap = head.headers.iter().filter_map(header).collect();
        let is_chunked = headers.contains_key(header::TRANSFER_ENCODING);
        Some(Self { method: head.method?.to_owned(), uri: head.path?.parse().ok()?, headers, is_chunked })
    }

    fn agrees_with(&self, up: &Request<Bytes>, host: &str, shown: &str) {
        assert!(up.method() == self.method.as_str() && up.uri().authority().is_none(), "{shown}{up:?}");
        assert_eq!(up.uri().path(), self.uri.path(), "{shown}");
        assert!(up.headers().get_all(header::HOST).iter().eq([host]), "{shown}{up:?}");
        assert!(!OURS.iter().any(|name| up.headers().contains_key(*name)), "{shown}{up:?}");
        let passed = format!("{} {:?}", up.uri(), up.headers());
        for key in [KEY, MAIN_KEY, LIMITED_KEY] {
            assert!(!passed.contains(key) || self.beside_credentials().contains(key), "{shown}{passed}");
        }
        let (given, passed) = (self.uri.query().unwrap_or_default(), up.uri().query().unwrap_or_default());
        assert!(pairs(passed).all(|(name, _)| has_one_spelling(name)), "{shown}{passed}");
        match self.uri.path() {
            path if LOGINS.contains(&path) => is_a_login(given, passed, shown),
            path if path.starts_with("/sns/") => assert_eq!(given, passed, "{shown}"),
            _ => self.is_a_call(given, passed, shown),
        }
    }

    /// A call has one token: the current one of the account whose token the client gave, or which its key opens. Or it has a third
    /// party's.
    fn is_a_call(&self, given: &str, passed: &str, shown: &str) {
        let old = only(given, "access_token").filter(|token| !token.is_empty());
        let key = self.headers.get(header::AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let has_key = key.is_some_and(|key| [KEY, LIMITED_KEY].iter().any(|right| key.ends_with(right)));
        if old.is_none() && pairs(given).any(|(name, _)| FOREIGN.contains(&name)) {
            assert!(has_key && given == passed, "{shown}{passed}");
            return;
        }
        let new = only(passed, "access_token");
        let account = ACCOUNTS.into_iter().find(|account| new.as_deref() == Some(account.token));
        let account = account.unwrap_or_else(|| panic!("{shown}{passed}"));
        match old.as_deref() {
            Some(old) => assert!(old == account.token || account.name == "main" && old == EARLIER, "{shown}{passed}"),
            None => assert!(
                has_key && self.headers.get("x-relay-account").is_none_or(|name| name == account.name),
                "{shown}"
            ),
        }
        assert_eq!(others(given, "access_token"), others(passed, "access_token"), "{shown}{passed}");
    }

    /// The host has returned the target, with what was put in: it is taken out again.
    fn gets_no_secret(&self, answer: &str, shown: &str) {
        let own = format!("{} {:?}", self.uri, self.headers);
        for secret in
            ACCOUNTS.map(|account| account.token).into_iter().chain([APPSECRET]).filter(|text| !text.is_empty())
        {
            assert!(!answer.contains(secret) || own.contains(secret), "{shown}{answer}");
        }
    }

    /// The head without the places in which a key belongs.
    fn beside_credentials(&self) -> String {
        let is_login = LOGINS.contains(&self.uri.path());
        let query = self.uri.query().unwrap_or_default();
        let query = if is_login { others(query, "secret").join("&") } else { query.to_owned() };
        let mut headers = self.headers.clone();
        headers.remove(header::AUTHORIZATION);
        format!("{} {query} {headers:?}", self.uri.path())
    }
}

/// A login has the AppSecret in place of a key, or of the same AppSecret.
fn is_a_login(given: &str, passed: &str, shown: &str) {
    let secret = only(given, "secret");
    let opens = [KEY, LIMITED_KEY, APPSECRET].into_iter().any(|right| secret.as_deref() == Some(right));
    let is_known = ACCOUNTS.iter().any(|account| only(given, "appid").as_deref() == Some(account.app));
    assert!(opens && is_known, "{shown}");
    assert_eq!(only(passed, "secret").as_deref(), Some(APPSECRET), "{shown}{passed}");
    assert_eq!(others(given, "secret"), others(passed, "secret"), "{shown}");
}

/// The decoded value of the only `name`.
fn only(query: &str, name: &str) -> Option<String> {
    let mut all = pairs(query).filter(|(given, _)| *given == name);
    match (all.next(), all.next()) {
        (Some((_, value)), None) => Some(decoded(value)),
        _ => None,
    }
}

/// Every parameter but `name`, not decoded.
fn others<'q>(query: &'q str, name: &str) -> Vec<&'q str> {
    let is_name = |pair: &str| pair.split_once('=').map_or(pair, |(name, _)| name) == name;
    query.split('&').filter(|pair| !query.is_empty() && !is_name(pair)).collect()
}

/// Whether a reader that decodes names takes it for the same as one that does not.
fn has_one_spelling(name: &str) -> bool {
    NAMES.contains(&name) || !NAMES.contains(&decoded(name).trim())
}
