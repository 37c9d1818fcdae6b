//! How is a token read: at once, by long poll, or after the first one has come?

use std::{future::pending, mem, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{self, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::time::sleep;

use super::{
    AppState,
    auth::{Client, Clients, Presented, Sender},
    client_end::ClientEnd,
    described::{AccountQuery, HeldTag, Refused, TokenRead, Unavailable, WaitQuery},
    limits,
    problem::Problem,
    query,
    reloads::across_reloads,
};
use crate::{
    clock::Timestamp,
    credential::CredentialKind,
    registry::{Handle, Handles, Prepared},
};

/// WeChat advises business servers to cache a token for about a minute.
const CACHE_SECONDS: u64 = 60;
/// Bytes of a 200's head, without the `ETag`: rather more.
const HEAD: usize = 192;

/// The answer to a `GET /token`, if it is 200 and needs no wait.
pub(super) fn at_once<B>(state: &AppState, request: &http::Request<B>) -> Option<Response> {
    offered(
        (state, state.clock.boot_now()),
        |clients| clients.identify(Presented::by(request)),
        request.uri().query(),
        LongPoll::of_request(request),
        |prepared, seconds, _| ok(prepared, seconds),
    )
}

/// The same of this moment, whatever form the head has; `answer` makes it of the token and the seconds, for this client. What the fast
/// path answers and what the service answers is decided here.
pub(super) fn offered<A>(
    (state, now): (&AppState, Timestamp),
    identify: impl FnOnce(&Clients) -> Result<&Arc<Client>, Problem>,
    query: Option<&str>,
    poll: Result<LongPoll, Problem>,
    answer: impl FnOnce(&Prepared, u64, &Arc<Client>) -> A,
) -> Option<A> {
    let (rules, handles) = (state.rules.load(), state.registry.handles());
    let (handle, poll, client) = resolve(identify(&rules.clients), &handles, query, poll).ok()?;
    let published = handle.glance();
    let (prepared, seconds) = published.servable(now)?;
    (!poll.has(&prepared.etag) && limits::passes(client, now)).then(|| answer(prepared, seconds, client))
}

/// `GET /token`, for all that [`at_once`] leaves.
#[utoipa::path(
    get, path = "/token", tag = "relay", operation_id = "readToken", security(("relay_key" = [])),
    summary = "The access token of an account",
    description = "Answered at once. While there is no token and one is being fetched, it waits for up to `server.first_token_wait`.",
    params(AccountQuery, WaitQuery, HeldTag),
    responses(TokenRead, Refused, Unavailable),
)]
pub(super) async fn read(State(state): State<Arc<AppState>>, request: Request) -> Response {
    let asked = admit(&state, &request);
    // hyper uses its read buffer for the next request only when this one is gone.
    drop(request);
    match asked {
        Ok(asked) => wait(&state, asked).await.unwrap_or_else(IntoResponse::into_response),
        Err(problem) => problem.into_response(),
    }
}

/// Who asks for which account: to be looked up again after a wait, in which the settings may have been changed. A key that was
/// taken out opens nothing any more, and the account may be gone, or stand for another app.
pub(super) struct Asking {
    sender: Sender,
    query: Option<String>,
}

impl Asking {
    pub(super) fn of(presented: Presented<'_>, query: Option<&str>) -> Result<Self, Problem> {
        Ok(Self { sender: presented.sender()?, query: query.map(str::to_owned) })
    }

    /// The client that it is by these rules.
    pub(super) fn client<'c>(&self, clients: &'c Clients) -> Result<&'c Arc<Client>, Problem> {
        clients.still(&self.sender)
    }

    /// The access token that it may have now.
    pub(super) fn access_token(&self, state: &AppState) -> Result<Arc<Handle>, Problem> {
        let (rules, handles, poll) = (state.rules.load(), state.registry.handles(), Ok(LongPoll::default()));
        let (handle, ..) = resolve(self.client(&rules.clients), &handles, self.query.as_deref(), poll)?;
        Ok(handle.clone())
    }
}

async fn wait(
    state: &AppState,
    (handle, mut poll, asking): (Arc<Handle>, LongPoll, Asking),
) -> Result<Response, Problem> {
    let longest = state.timeouts().first_token;
    let serve = |handle: Arc<Handle>| {
        // of another credential the client holds nothing
        let poll = mem::take(&mut poll);
        async move { Ok(serve(state, &handle, &poll, longest).await) }
    };
    across_reloads(handle, || asking.access_token(state), serve).await
}

/// What a request asks for, counted as one of its client's.
fn admit(state: &AppState, request: &Request) -> Result<(Arc<Handle>, LongPoll, Asking), Problem> {
    let (rules, handles, query) = (state.rules.load(), state.registry.handles(), request.uri().query());
    let asking = Asking::of(Presented::by(request), query)?;
    let poll = LongPoll::of_request(request);
    let (handle, poll, client) = resolve(asking.client(&rules.clients), &handles, query, poll)?;
    limits::request(state, client).map_err(Problem::too_many_requests)?;
    Ok((handle.clone(), poll, asking))
}

/// The credential and the poll that a request asks for, and who sends it. The whole query is read before any account is looked up.
fn resolve<'h>(
    client: Result<&'h Arc<Client>, Problem>,
    handles: &'h Handles,
    query: Option<&str>,
    poll: Result<LongPoll, Problem>,
) -> Result<(&'h Arc<Handle>, LongPoll, &'h Arc<Client>), Problem> {
    let (client, name, poll) = (client?, query::account(query)?, poll?);
    Ok((client.authorize(handles, name.as_deref())?, poll, client))
}

/// What a client holds already, and how long it would wait for something else: the long poll.
#[derive(Debug, Default)]
pub(super) struct LongPoll {
    /// The lines of `If-None-Match`, joined by commas.
    tags: Vec<u8>,
    wait: Duration,
    /// Where it can be known whether it still waits.
    client: Option<ClientEnd>,
}

impl LongPoll {
    /// What the client says. Without `wait`, `If-None-Match` is ignored: a client that never learnt of the long poll must
    /// not be answered without a token because a library of its own sends the header.
    pub(super) fn of_request<B>(request: &http::Request<B>) -> Result<Self, Problem> {
        let Some(wait) = query::wait(request.uri().query())? else { return Ok(Self::default()) };
        let lines = request.headers().get_all(header::IF_NONE_MATCH).iter().map(HeaderValue::as_bytes);
        let client = request.extensions().get().cloned();
        Ok(Self { tags: lines.collect::<Vec<_>>().join(&b','), wait, client })
    }

    /// Whether the client holds the answer with this tag, by the weak comparison of RFC 9110.
    fn has(&self, etag: &[u8]) -> bool {
        let opaque = |tag: &[u8]| -> bool { tag.strip_prefix(b"W/").unwrap_or(tag) == &etag[b"W/".len()..] };
        let mut tags = self.tags.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        !self.tags.is_empty() && tags.any(|tag| tag == b"*" || opaque(tag))
    }

    /// Returns once the client has closed its side, if that can be known.
    async fn given_up(&self) {
        match &self.client {
            Some(client) => client.closed().await,
            None => pending().await,
        }
    }
}

/// How a read ends.
pub(super) enum Outcome {
    /// The token, and how many seconds are promised of it: at least 1.
    Ok(Prepared, u64),
    /// The same, and the client holds it.
    NotModified(Prepared, u64),
    /// No token can be served.
    Unavailable(Problem),
}

impl Outcome {
    /// The token and its seconds, whether or not the client holds it.
    pub(super) fn token(self) -> Result<(Prepared, u64), Problem> {
        match self {
            Self::Ok(prepared, seconds) | Self::NotModified(prepared, seconds) => Ok((prepared, seconds)),
            Self::Unavailable(problem) => Err(problem),
        }
    }
}

/// The answer to a read that may have to wait: see [`outcome`].
pub(super) async fn serve(state: &AppState, handle: &Handle, poll: &LongPoll, longest: Duration) -> Response {
    respond(outcome(state, handle, poll, longest).await)
}

/// How a read ends, as an answer.
pub(super) fn respond(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Ok(prepared, seconds) => ok(&prepared, seconds),
        Outcome::NotModified(prepared, seconds) => not_modified(&prepared, seconds),
        Outcome::Unavailable(problem) => problem.into_response(),
    }
}

/// What may be served of `handle`, at once if the client does not hold it. Where nothing can be served, it waits for at most
/// `longest`, and only while a call is under way or about to begin (I11).
pub(super) async fn outcome(state: &AppState, handle: &Handle, poll: &LongPoll, longest: Duration) -> Outcome {
    let mut poll_until = state.clock.boot_now().plus(poll.wait);
    let mut wait_until = None;
    loop {
        let published = handle.published();
        let now = state.clock.boot_now();
        let stopping = state.shutdown.is_cancelled() || handle.is_retired();
        let pause = match published.servable(now) {
            Some((prepared, seconds)) if !poll.has(&prepared.etag) => return Outcome::Ok(prepared.clone(), seconds),
            Some((prepared, seconds)) if stopping || now >= poll_until => {
                return Outcome::NotModified(prepared.clone(), seconds);
            }
            // No change announces that a promise runs out.
            Some((_, seconds)) => {
                wait_until = None;
                poll_until.since(now).min(Duration::from_secs(seconds))
            }
            None => {
                let left = wait_until.get_or_insert(now.plus(longest)).since(now);
                if stopping || left.is_zero() || !published.status.is_worth_waiting(now, left) {
                    let reason = match handle.id.kind() {
                        CredentialKind::AccessToken => "no token can be served",
                        CredentialKind::Ticket(_) => "no ticket can be served",
                    };
                    return Outcome::Unavailable(Problem::unavailable(&published.status, now, reason));
                }
                left
            }
        };
        tokio::select! {
            () = handle.changed_since(&published) => {}
            () = sleep(pause) => {}
            () = state.shutdown.cancelled() => {}
            // it may have closed only its own side, and reads on: its poll is over, and what there is is said
            () = poll.given_up(), if now < poll_until => poll_until = now,
        }
    }
}

/// 200 with the token. `seconds` is at least 1.
fn ok(prepared: &Prepared, seconds: u64) -> Response {
    let body = body(&prepared.head.0, seconds);
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // hyper would write it as well; but a HEAD, which the router answers, is to have the same headers here already.
    headers.insert(header::CONTENT_LENGTH, length);
    describe(&mut response, prepared, seconds);
    response
}

/// Appends the same as hyper writes it, with this date.
pub(super) fn write_ok(to: &mut Vec<u8>, prepared: &Prepared, seconds: u64, date: &[u8]) {
    let (body, cached) = (&prepared.head.0, cached_for(seconds));
    let length = body_length(body, seconds);
    to.reserve(HEAD + prepared.etag.len() + length);
    let (mut length_digits, mut cached_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
    for part in [
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ",
        length_digits.format(length).as_bytes(),
        b"\r\ncache-control: private, max-age=",
        cached_digits.format(cached).as_bytes(),
        b"\r\netag: ",
        &prepared.etag,
        b"\r\ndate: ",
        date,
        b"\r\n\r\n",
    ] {
        to.extend_from_slice(part);
    }
    write_body(to, body, seconds);
}

/// 304: the client holds the current token.
fn not_modified(prepared: &Prepared, seconds: u64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    describe(&mut response, prepared, seconds);
    response
}

fn describe(response: &mut Response, prepared: &Prepared, seconds: u64) {
    let cache = match cached_for(seconds) {
        CACHE_SECONDS => HeaderValue::from_static("private, max-age=60"),
        less => HeaderValue::try_from(format!("private, max-age={less}")).expect("digits and letters"),
    };
    let etag = HeaderValue::from_maybe_shared(prepared.etag.clone()).expect("a name and digits");
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert(header::ETAG, etag);
}

/// How many seconds a client may keep a token of which `seconds` are promised.
fn cached_for(seconds: u64) -> u64 {
    seconds.min(CACHE_SECONDS)
}

/// The head, the seconds and the brace, in one allocation of exactly their size: `Bytes` would make another to keep the
/// size of a larger one.
pub(super) fn body(head: &[u8], seconds: u64) -> Bytes {
    let mut body = Vec::with_capacity(body_length(head, seconds));
    write_body(&mut body, head, seconds);
    body.into()
}

/// How long a body is.
fn body_length(head: &[u8], seconds: u64) -> usize {
    head.len() + seconds.checked_ilog10().unwrap_or(0) as usize + 1 + b"}".len()
}

/// Appends the body to `to`.
fn write_body(to: &mut Vec<u8>, head: &[u8], seconds: u64) {
    for part in [head, itoa::Buffer::new().format(seconds).as_bytes(), b"}"] {
        to.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(tags: &str) -> LongPoll {
        LongPoll { tags: tags.as_bytes().to_vec(), ..LongPoll::default() }
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
            assert!(poll(tags).has(etag), "{tags}");
        }
        for tags in ["", r#"W/"main-8""#, "main-7", r#"w/"main-7""#, r#""main-7"#, r#"W/"main-77""#] {
            assert!(!poll(tags).has(etag), "{tags}");
        }
    }
}
