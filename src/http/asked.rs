//! What of a request is in the access log? Names and numbers: no key, no token, and of the query no value.

use std::{borrow::Cow, fmt, io::Write as _, net::SocketAddr, sync::Arc};

use axum::{
    http::{Method, Request, Uri},
    response::Response,
};
use serde::Serialize;

use super::{
    AppState,
    auth::{Client, Presented},
};
use crate::{
    clock::Timestamp,
    logs::{AccessLevel, LineForm},
    metrics::Route,
    printable::printable,
};

/// A part of a path that is longer is not shown, for it may be a secret in the wrong place. WeChat's longest has 35 characters.
const LONGEST_PART: usize = 40;
/// The same of a name in the query, where `?TOKEN` has no value. WeChat's longest has 23; a relay key or an AppSecret has 32.
const LONGEST_NAME: usize = 31;
/// Either, from this length on, may be a secret if it has a digit or a capital letter: an AppSecret has 32 hex digits, a relay key 32
/// characters and more, and WeChat's long parts have neither.
const RANDOM_PART: usize = 24;
/// Names of one query that are shown.
const NAMES: usize = 16;
/// Characters of a path that are shown.
const LONGEST_PATH: usize = 256;

/// A request that will be logged.
#[derive(Debug)]
pub(super) struct Asked {
    began: Timestamp,
    peer: SocketAddr,
    client: Option<Arc<Client>>,
    route: Route,
    method: Method,
    target: Cow<'static, str>,
}

/// In the extensions of an answer: who asked, where only the body of the request says so.
#[derive(Debug, Clone)]
pub(super) struct AskedBy(pub(super) Arc<Client>);

/// In the extensions of an answer: the errcode with which the relay refuses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Errcode(pub(super) i64);

/// One line of the access log. The names and their order are those of `tracing`, which writes the log.
#[derive(Debug, Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    message: &'a str,
    peer: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    route: &'a str,
    method: &'a str,
    path: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    errcode: Option<i64>,
    duration_ms: f64,
}

impl Asked {
    /// The request of `peer`, to `route`.
    pub(super) fn of<B>(state: &AppState, route: Route, request: &Request<B>, peer: SocketAddr) -> Self {
        let client = state.rules.load().clients.sender(Presented::by(request), request.uri()).cloned();
        let (method, target) = (request.method().clone(), Cow::Owned(target(request.uri())));
        Self { began: state.clock.boot_now(), peer, client, route, method, target }
    }

    /// A plain read of a token, whose sender is known later.
    pub(super) fn plain_read(state: &AppState, names_account: bool, peer: SocketAddr) -> Self {
        let target = Cow::Borrowed(if names_account { "/token?account" } else { "/token" });
        Self { began: state.clock.boot_now(), peer, client: None, route: Route::Token, method: Method::GET, target }
    }

    /// The same, sent by `client`.
    pub(super) fn by(self, client: Arc<Client>) -> Self {
        Self { client: Some(client), ..self }
    }

    /// Logs it, if such requests are logged. It took until the head of the answer.
    pub(super) fn answered<B>(self, state: &AppState, response: &Response<B>) {
        let (status, extensions) = (response.status(), response.extensions());
        let errcode = extensions.get::<Errcode>().map(|code| code.0);
        let is_error = errcode.is_some() || status.is_client_error() || status.is_server_error();
        match state.logs.access() {
            AccessLevel::Off => return,
            AccessLevel::Errors if !is_error => return,
            AccessLevel::Errors | AccessLevel::All => {}
        }
        let client = extensions.get::<AskedBy>().map(|by| &by.0).or(self.client.as_ref());
        let now = state.clock.now();
        let took = now.boot.since(self.began);
        let line = Line {
            timestamp: now.wall.to_millisecond(),
            level: "INFO",
            message: "request",
            peer: self.peer,
            client: client.map(|client| client.name()),
            route: self.route.name(),
            method: self.method.as_str(),
            path: &self.target,
            status: status.as_u16(),
            errcode,
            duration_ms: (took.as_secs_f64() * 1e6).round() / 1e3,
        };
        state.logs.write_access(|form, lines| line.write(form, lines));
    }
}

impl Line<'_> {
    /// Writing to memory does not fail.
    fn write(&self, form: LineForm, to: &mut Vec<u8>) {
        let _ = match form {
            LineForm::Json => serde_json::to_writer(&mut *to, self).map_err(Into::into),
            LineForm::Text => write!(to, "{self}"),
        };
        to.push(b'\n');
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {} {} peer={}", self.timestamp, self.level, self.message, self.peer)?;
        if let Some(client) = self.client {
            write!(f, " client={client:?}")?;
        }
        write!(f, " route={:?} method={} path={:?} status={}", self.route, self.method, self.path, self.status)?;
        if let Some(errcode) = self.errcode {
            write!(f, " errcode={errcode}")?;
        }
        write!(f, " duration_ms={}", self.duration_ms)
    }
}

/// The path, and the names in the query.
fn target(uri: &Uri) -> String {
    let path = path(uri.path());
    // without a value it may be no name, but a part of a key that has an `&` in it
    let name = |pair: &str| pair.split_once('=').map_or_else(|| "…".to_owned(), |(name, _)| part(name, LONGEST_NAME));
    let names: Vec<_> = uri
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(|pair| !pair.is_empty())
        .take(NAMES)
        .map(name)
        .collect();
    if names.is_empty() { path } else { format!("{path}?{}", names.join("&")) }
}

/// A path as logs may have it.
pub(super) fn path(path: &str) -> String {
    let parts: Vec<_> = path.split('/').map(|of_path| part(of_path, LONGEST_PART)).collect();
    printable(&parts.join("/"), &[], LONGEST_PATH)
}

fn part(part: &str, longest: usize) -> String {
    let is_random = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let may_be_secret = part.len() > longest || part.len() >= RANDOM_PART && part.bytes().any(is_random);
    if may_be_secret { "…".to_owned() } else { printable(part, &[], longest) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;

    #[test]
    fn a_line_is_written_as_tracing_writes_those_of_the_log() {
        let write = |form, client, errcode| {
            let line = Line {
                timestamp: WallTime::from_millis(1_795_348_923_042).to_millisecond(),
                level: "INFO",
                message: "request",
                peer: SocketAddr::from(([127, 0, 0, 1], 4711)),
                client,
                route: "token",
                method: "GET",
                path: "/token?account",
                status: 200,
                errcode,
                duration_ms: 0.012,
            };
            let mut lines = Vec::new();
            line.write(form, &mut lines);
            String::from_utf8(lines).unwrap()
        };
        let text = "2026-11-22T12:02:03.042Z  INFO request peer=127.0.0.1:4711";
        assert_eq!(
            write(LineForm::Text, Some("orders"), None),
            format!(
                "{text} client=\"orders\" route=\"token\" method=GET path=\"/token?account\" status=200 duration_ms=0.012\n"
            )
        );
        assert_eq!(
            write(LineForm::Text, None, Some(40_125)),
            format!(
                "{text} route=\"token\" method=GET path=\"/token?account\" status=200 errcode=40125 duration_ms=0.012\n"
            )
        );
        let json: serde_json::Value = serde_json::from_str(&write(LineForm::Json, None, Some(40_125))).unwrap();
        assert_eq!((&json["timestamp"], &json["errcode"]), (&"2026-11-22T12:02:03.042Z".into(), &40_125.into()));
        assert_eq!(json.as_object().unwrap().len(), 10, "{json}");
    }

    #[test]
    fn a_target_is_shown_with_its_names_and_without_values_or_what_may_be_a_secret() {
        let long = "0123456789abcdef0123456789abcdef";
        for (given, expected) in [
            ("/token", "/token".to_owned()),
            ("/cgi-bin/token?appid=wx1&secret=s3&grant_type=x", "/cgi-bin/token?appid&secret&grant_type".to_owned()),
            (&format!("/token?{long}"), "/token?…".to_owned()),
            (&format!("/token?{long}=1&a"), "/token?…&…".to_owned()),
            (
                "/cgi-bin/token?appid=wx1&secret=MyKey&second-part-of-key&x=1",
                "/cgi-bin/token?appid&secret&…&x".to_owned(),
            ),
            (&format!("/{long}{long}/x"), "/…/x".to_owned()),
            (&format!("/{long}/cgi-bin/clear_quota/v2"), "/…/cgi-bin/clear_quota/v2".to_owned()),
            (
                "/cgi-bin/express/business/test_update_order_x",
                "/cgi-bin/express/business/test_update_order_x".to_owned(),
            ),
            (&format!("/x?{}", "a=1&".repeat(99)), format!("/x?{}", ["a"; NAMES].join("&"))),
            (&"/ab".repeat(999), "/ab".repeat(999)[..LONGEST_PATH].to_owned()),
        ] {
            assert_eq!(target(&given.parse().unwrap()), expected, "{given}");
        }
    }
}
