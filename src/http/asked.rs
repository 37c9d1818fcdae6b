//! What of a request is in the access log? Names and numbers: no key, no token, and of the query no value.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    http::{Method, Request, Uri},
    response::Response,
};
use tracing::info;

use super::{
    AppState,
    auth::{Client, Presented},
    query,
};
use crate::{clock::Timestamp, logs::AccessLevel, metrics::Route, printable::printable};

/// A part of a path that is longer is not shown, for it may be a secret in the wrong place. WeChat's longest has 35 characters.
const LONGEST_PART: usize = 40;
/// The same of a name in the query, where `?TOKEN` has no value. WeChat's longest has 23; a relay key or an AppSecret has 32.
const LONGEST_NAME: usize = 31;
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
    target: String,
}

/// In the extensions of an answer: who asked, where only the body of the request says so.
#[derive(Debug, Clone)]
pub(super) struct AskedBy(pub(super) Arc<Client>);

/// In the extensions of an answer: the errcode with which the relay refuses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Errcode(pub(super) i64);

impl Asked {
    /// The request of `peer`, to `route`.
    pub(super) fn of<B>(state: &AppState, route: Route, request: &Request<B>, peer: SocketAddr) -> Self {
        let client = state.rules.load().clients.sender(Presented::by(request), request.uri()).cloned();
        let (method, target) = (request.method().clone(), target(request.uri()));
        Self { began: state.clock.boot_now(), peer, client, route, method, target }
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
        let took = state.clock.boot_now().since(self.began);
        state.logs.write_access(|| {
            info!(
                peer = %self.peer,
                client = client.map(|client| client.name()),
                route = self.route.name(),
                method = %self.method,
                path = self.target,
                status = status.as_u16(),
                errcode,
                duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3,
                "request"
            );
        });
    }
}

/// The path, and the names in the query.
fn target(uri: &Uri) -> String {
    let shown =
        |part: &str, longest| if part.len() > longest { "…".to_owned() } else { printable(part, &[], longest) };
    let parts: Vec<_> = uri.path().split('/').map(|part| shown(part, LONGEST_PART)).collect();
    let path = printable(&parts.join("/"), &[], LONGEST_PATH);
    let names = uri.query().into_iter().flat_map(query::pairs).take(NAMES);
    let names: Vec<_> = names.map(|(name, _)| shown(name, LONGEST_NAME)).collect();
    if names.is_empty() { path } else { format!("{path}?{}", names.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_shown_with_its_names_and_without_values_or_what_may_be_a_secret() {
        let long = "0123456789abcdef0123456789abcdef";
        for (given, expected) in [
            ("/token", "/token".to_owned()),
            ("/cgi-bin/token?appid=wx1&secret=s3&grant_type=x", "/cgi-bin/token?appid&secret&grant_type".to_owned()),
            (&format!("/token?{long}"), "/token?…".to_owned()),
            (&format!("/token?{long}=1&a"), "/token?…&a".to_owned()),
            (&format!("/{long}{long}/x"), "/…/x".to_owned()),
            (&format!("/x?{}", "a=1&".repeat(99)), format!("/x?{}", ["a"; NAMES].join("&"))),
            (&"/ab".repeat(999), "/ab".repeat(999)[..LONGEST_PATH].to_owned()),
        ] {
            assert_eq!(target(&given.parse().unwrap()), expected, "{given}");
        }
    }
}
