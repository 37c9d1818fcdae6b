//! How is a token read: at once, by long poll, or after the first one has come?

use std::{io::Write, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tokio::time::sleep;

use super::{Relay, problem::Problem, query};
use crate::{
    accounts::{Account, Offer},
    clock,
};

/// WeChat advises business servers to cache a token for about a minute.
const CACHE_SECONDS: u64 = 60;

/// The answer to a `GET /token`, if it is 200 and needs no wait.
pub(super) fn at_once(relay: &Relay, headers: &HeaderMap, uri: &Uri) -> Option<Response> {
    let (account, held) = asked(relay, headers, uri).ok()?;
    let standing = account.standing();
    let (offer, seconds) = standing.servable(clock::boot_now())?;
    (!held.has(&offer.etag)).then(|| found(offer, seconds))
}

/// `GET /token`, for all that [`at_once`] leaves.
pub(super) async fn read(State(relay): State<Arc<Relay>>, request: Request) -> Response {
    let asked = asked(&relay, request.headers(), request.uri());
    // hyper uses its read buffer for the next request only when this one is gone.
    drop(request);
    match asked {
        Ok((account, held)) => serve(&relay, account, &held, relay.patience.first_token).await,
        Err(problem) => problem.into_response(),
    }
}

/// The account and the poll that a request asks for. The whole query is read before any account is looked for.
fn asked<'r>(relay: &'r Relay, headers: &HeaderMap, uri: &Uri) -> Result<(&'r Arc<Account>, Held), Problem> {
    let client = relay.clients.identify(headers)?;
    let name = query::account(uri.query())?;
    let held = Held::in_request(headers, uri)?;
    Ok((client.choose(&relay.accounts, name.as_deref())?, held))
}

/// What a client holds already, and how long it would wait for something else: the long poll.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The lines of `If-None-Match`, joined by commas.
    tags: Vec<u8>,
    wait: Duration,
}

impl Held {
    /// What the client says. Without `wait`, `If-None-Match` is ignored: a client that never learnt of the long poll must
    /// not be answered without a token because a library of its own sends the header.
    fn in_request(headers: &HeaderMap, uri: &Uri) -> Result<Self, Problem> {
        let Some(wait) = query::wait(uri.query())? else { return Ok(Self::default()) };
        let lines = headers.get_all(header::IF_NONE_MATCH).iter().map(HeaderValue::as_bytes);
        Ok(Self { tags: lines.collect::<Vec<_>>().join(&b','), wait })
    }

    /// Whether the client holds the answer with this tag, by the weak comparison of RFC 9110.
    fn has(&self, etag: &[u8]) -> bool {
        let opaque = |tag: &[u8]| -> bool { tag.strip_prefix(b"W/").unwrap_or(tag) == &etag[b"W/".len()..] };
        let mut tags = self.tags.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        !self.tags.is_empty() && tags.any(|tag| tag == b"*" || opaque(tag))
    }
}

/// What may be served of `account`, at once if the client does not hold it. Where nothing can be served, it waits for at
/// most `patience`, and only while a call is under way or about to begin (I11).
pub(super) async fn serve(relay: &Relay, account: &Account, held: &Held, patience: Duration) -> Response {
    let standing = account.standing();
    match standing.servable(clock::boot_now()) {
        Some((offer, seconds)) if !held.has(&offer.etag) => found(offer, seconds),
        _ => {
            drop(standing);
            wait_and_serve(relay, account, held, patience).await
        }
    }
}

async fn wait_and_serve(relay: &Relay, account: &Account, held: &Held, patience: Duration) -> Response {
    let mut watch = account.watch();
    let held_until = clock::boot_now().plus(held.wait);
    let mut patient_until = None;
    loop {
        let standing = watch.borrow_and_update().clone();
        let now = clock::boot_now();
        let stopping = relay.shutdown.is_cancelled();
        let pause = match standing.servable(now) {
            Some((offer, seconds)) if !held.has(&offer.etag) => return found(offer, seconds),
            Some((offer, seconds)) if stopping || now >= held_until => return unchanged(offer, seconds),
            // No change announces that a promise runs out.
            Some((_, seconds)) => {
                patient_until = None;
                held_until.since(now).min(Duration::from_secs(seconds))
            }
            None => {
                let left = patient_until.get_or_insert(now.plus(patience)).since(now);
                if stopping || left.is_zero() || !standing.is_worth_waiting(now, left) {
                    return Problem::unavailable(&standing, now, "no token can be served").into_response();
                }
                left
            }
        };
        tokio::select! {
            () = changed(&mut watch) => {}
            () = sleep(pause) => {}
            () = relay.shutdown.cancelled() => {}
        }
    }
}

/// Waits for a change. A keeper that is gone changes nothing more: then it waits for ever instead of spinning.
async fn changed<T>(watch: &mut tokio::sync::watch::Receiver<T>) {
    if watch.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// 200 with the token. `seconds` is at least 1.
fn found(offer: &Offer, seconds: u64) -> Response {
    let body = body(&offer.head.0, seconds);
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // hyper would write it as well; but a HEAD, which the router answers, is to have the same headers here already.
    headers.insert(header::CONTENT_LENGTH, length);
    describe(&mut response, offer, seconds);
    response
}

/// 304: the client holds the current token.
fn unchanged(offer: &Offer, seconds: u64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    describe(&mut response, offer, seconds);
    response
}

fn describe(response: &mut Response, offer: &Offer, seconds: u64) {
    let cache = if seconds >= CACHE_SECONDS {
        HeaderValue::from_static("private, max-age=60")
    } else {
        HeaderValue::try_from(format!("private, max-age={seconds}")).expect("digits and letters")
    };
    let etag = HeaderValue::from_maybe_shared(offer.etag.clone()).expect("an account's name and digits");
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert(header::ETAG, etag);
}

/// The head, the seconds and the brace, in one allocation of exactly their size: `Bytes` would make another to keep the
/// size of a larger one.
fn body(head: &[u8], seconds: u64) -> Bytes {
    let digits = seconds.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut body = Vec::with_capacity(head.len() + digits + 1);
    body.extend_from_slice(head);
    write!(body, "{seconds}}}").expect("writing to memory does not fail");
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(tags: &str) -> Held {
        Held { tags: tags.as_bytes().to_vec(), wait: Duration::ZERO }
    }

    #[test]
    fn a_body_is_the_head_and_the_seconds() {
        for seconds in [1, 9, 10, 59, 3541, u64::MAX] {
            assert_eq!(body(b"{\"n\":", seconds), format!("{{\"n\":{seconds}}}"));
        }
    }

    #[test]
    fn tags_are_compared_weakly_in_a_list() {
        let etag = br#"W/"main-7""#;
        for tags in [r#"W/"main-7""#, r#""main-7""#, r#""x" , W/"main-7""#, r#""x,y","main-7",""#, "*"] {
            assert!(held(tags).has(etag), "{tags}");
        }
        for tags in ["", r#"W/"main-8""#, "main-7", r#"w/"main-7""#, r#""main-7"#, r#"W/"main-77""#] {
            assert!(!held(tags).has(etag), "{tags}");
        }
    }
}
