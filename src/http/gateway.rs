//! Where does every path go that is not the relay's own? To WeChat's API or WeCom's, with the account's current token.
//!
//! What may pass and what is put into it is decided in `decide`; everything else here carries it out. Bodies stream both ways.

use std::{collections::HashMap, net::SocketAddr, pin::Pin, sync::Arc};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{Method, Uri, request::Parts},
    response::{IntoResponse, Response},
};
use secrecy::SecretString;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tracing::{debug, warn};

mod client;
mod decide;
mod download;
mod forward;
mod headers;
mod heal;
mod put_in;
mod refusal;
mod target;
mod upload;

use super::{AppState, Rules, asked, auth::Presented, body::Unread, drop_in, handed_out, limits, problem::Problem};
use crate::{
    account::AccountName,
    credential::log_credential,
    issuer::{
        Platform,
        upstream::{UpstreamError, UpstreamSettings},
    },
    metrics::{ApiFamily, GatewayRefusal, Healing, Refusal},
    registry::Handle,
};
use client::GatewayClient;
use decide::{Asked, Credential, Known};
use download::{Download, Silence};
use forward::{Call, Sending, WHOLE};
use heal::Reply;
use put_in::PutIn;
use upload::Upload;

/// Requests under way at once; with a small `server.max_connections` half of those, so that a WeChat that hangs leaves room
/// for `GET /token`.
const REQUESTS: usize = 2048;
/// Of senders that the relay does not know (a user's own token), so that they take no room from those that it knows.
const STRANGERS: usize = 64;
/// KiB that the copies of all bodies take together. Further bodies are sent without a copy, and so not repeated.
const COPIES_KIB: usize = 32 * 1024;

/// The way of every other call to WeChat, and to WeCom.
#[derive(Debug)]
pub struct Gateway {
    wechat: GatewayClient,
    /// Where there are accounts of WeCom.
    wecom: Option<GatewayClient>,
    secrets: HashMap<AccountName, SecretString>,
    /// How many requests it takes.
    most: usize,
    permits: Arc<CallPermits>,
}

/// What calls under way take, also those that were begun before a reload.
#[derive(Debug)]
struct CallPermits {
    requests: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    copies: Arc<Semaphore>,
}

impl Gateway {
    /// A gateway to the hosts of `settings`, with each account's AppSecret.
    ///
    /// # Errors
    /// When its HTTP client cannot be built.
    pub fn new(
        settings: &UpstreamSettings,
        secrets: impl IntoIterator<Item = (AccountName, SecretString)>,
        max_connections: usize,
    ) -> Result<Self, UpstreamError> {
        let permits = |count| Arc::new(Semaphore::new(count));
        let permits =
            CallPermits { requests: permits(REQUESTS), strangers: permits(STRANGERS), copies: permits(COPIES_KIB) };
        Ok(Self {
            wechat: GatewayClient::new(settings)?,
            wecom: None,
            secrets: secrets.into_iter().collect(),
            most: REQUESTS.min(max_connections.div_ceil(2)),
            permits: Arc::new(permits),
        })
    }

    /// The same in the place of `earlier`, whose calls under way count.
    #[must_use]
    pub(super) fn after(self, earlier: &Self) -> Self {
        Self { permits: earlier.permits.clone(), ..self }
    }

    /// The same, with a way to the WeCom of `settings`.
    ///
    /// # Errors
    /// When its HTTP client cannot be built.
    pub fn with_wecom(self, settings: &UpstreamSettings) -> Result<Self, UpstreamError> {
        Ok(Self { wecom: Some(GatewayClient::new(settings)?), ..self })
    }

    /// `None`: there is no account of that platform, and what is meant for it goes to no other one.
    const fn client(&self, platform: Platform) -> Option<&GatewayClient> {
        match platform {
            Platform::WeChat => Some(&self.wechat),
            Platform::WeCom => self.wecom.as_ref(),
        }
    }

    fn permit(&self, credential: &Credential) -> Result<OwnedSemaphorePermit, GatewayRefusal> {
        let (permits, total) = match credential {
            Credential::User => (&self.permits.strangers, STRANGERS),
            Credential::Token { .. } | Credential::AppSecret { .. } | Credential::Own(_) => {
                (&self.permits.requests, REQUESTS)
            }
        };
        if total - permits.available_permits() >= self.most {
            return Err(GatewayRefusal::TooBusy);
        }
        permits.clone().try_acquire_owned().map_err(|_| GatewayRefusal::TooBusy)
    }
}

/// The fallback of the public router.
pub(super) async fn pass(
    State(state): State<Arc<AppState>>,
    peer: ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    if state.rules.load().gateway.is_none() {
        Unread::split(request).1.discard().await;
        return Problem::NoSuchRoute.into_response();
    }
    let (uri, family) = (request.uri().clone(), ApiFamily::of(request.uri().path()));
    let response = match forward(&state, request).await {
        Ok(response) => response,
        Err(refusal) => refuse(&state, peer.0, &uri, refusal),
    };
    state.metrics.gateway.answered(family, response.status().as_u16());
    response
}

/// The access token that a request would be passed on with, if it may pass and is to carry one.
pub(super) fn account(state: &AppState, head: &Parts) -> Option<Arc<Handle>> {
    let rules = state.rules.load();
    rules.gateway.as_ref()?;
    match decide(state, &rules, head) {
        Ok(Credential::Token { handle, .. }) => Some(handle),
        Ok(Credential::AppSecret { .. } | Credential::Own(_) | Credential::User) | Err(_) => None,
    }
}

/// Counts and logs a refusal, and answers with it. Of the request only the path is logged, for any part of a query may be a
/// secret.
fn refuse(state: &AppState, peer: SocketAddr, uri: &Uri, mut refusal: GatewayRefusal) -> Response {
    let (now, address) = (state.clock.now(), peer.ip());
    let rid = drop_in::rid(now.wall);
    if matches!(refusal, GatewayRefusal::WrongKey | GatewayRefusal::UnknownKey) {
        let wrong_key = state.throttle.wrong_key(address, now.boot);
        if wrong_key.refusal == Refusal::TooManyWrongKeys {
            refusal = GatewayRefusal::TooManyWrongKeys;
        }
        if wrong_key.is_news {
            warn!(%address, rid, "gateway: wrong key; further ones are logged at DEBUG");
        }
    }
    state.metrics.gateway.refused(refusal);
    debug!(%address, path = asked::path(uri.path()), refusal = refusal.name(), rid, "gateway: not passed on");
    refusal::reply(state.rules.load().apps.main_platform(), refusal, &rid)
}

async fn forward(state: &AppState, request: Request) -> Result<Response, GatewayRefusal> {
    let (head, mut body) = Unread::split(request);
    let Prepared { rules, platform, put_in, permit } = match prepare(state, &head).await {
        Ok(prepared) => prepared,
        Err(refusal) => {
            body.discard().await;
            return Err(refusal);
        }
    };
    let mut call = Call {
        platform,
        method: head.method,
        path: head.uri.path().to_owned(),
        query: None,
        headers: headers::upwards(&head.headers),
        secrets: Vec::new(),
        silence: rules.timeouts.silence,
    };
    put_in.put(head.uri.query(), &mut call);
    let gateway = of(&rules)?;
    let mut end = Box::pin(sleep(WHOLE));
    let upload = Upload::new(body.stream());
    let reply = tokio::select! {
        reply = exchange(state, gateway, &mut call, put_in, head.uri.query(), &upload) => reply,
        () = &mut end => Err(GatewayRefusal::NoReply),
    };
    match reply {
        Ok(reply) => Ok(answer(reply, &call, upload, end, permit)),
        Err(refusal) => {
            drop(permit);
            let (rest, begun) = upload.give_up();
            // a client that stalls or has left sends no more of it
            if !matches!(refusal, GatewayRefusal::BodyStalled | GatewayRefusal::BodyCut) {
                body.discard_rest(rest, begun).await;
            }
            Err(refusal)
        }
    }
}

/// It may have been turned off a moment ago.
fn of(rules: &Rules) -> Result<&Gateway, GatewayRefusal> {
    rules.gateway.as_ref().ok_or(GatewayRefusal::Forbidden)
}

/// A call that may be made, by these rules.
struct Prepared {
    rules: Arc<Rules>,
    platform: Platform,
    put_in: PutIn,
    permit: OwnedSemaphorePermit,
}

/// Where the settings were changed while it waited for a token, it is decided anew: the account may be on another platform by now.
async fn prepare(state: &AppState, head: &Parts) -> Result<Prepared, GatewayRefusal> {
    loop {
        let rules = state.rules.load_full();
        let prepared = prepare_by(state, rules.clone(), head).await;
        if Arc::ptr_eq(&rules, &state.rules.load()) {
            return prepared;
        }
    }
}

async fn prepare_by(state: &AppState, rules: Arc<Rules>, head: &Parts) -> Result<Prepared, GatewayRefusal> {
    let gateway = of(&rules)?;
    let (credential, permit) = admit(state, &rules, gateway, head).await?;
    let platform = credential.platform(&rules.apps);
    let put_in = PutIn::of(state, gateway, &credential).await?;
    Ok(Prepared { rules, platform, put_in, permit })
}

/// Whether a request may pass, and a place among those that are under way.
async fn admit(
    state: &AppState,
    rules: &Rules,
    gateway: &Gateway,
    head: &Parts,
) -> Result<(Credential, OwnedSemaphorePermit), GatewayRefusal> {
    let (unknown, untold) = (GatewayRefusal::UnknownToken, GatewayRefusal::NoLivingToken);
    let credential = handed_out::heard_of(state, head, || decide(state, rules, head), unknown, untold).await?;
    let within_limit = limits::request_of_sender(state, rules, head);
    within_limit.map_err(|_| GatewayRefusal::TooManyRequests)?;
    let permit = gateway.permit(&credential)?;
    Ok((credential, permit))
}

fn decide(state: &AppState, rules: &Rules, head: &Parts) -> Result<Credential, GatewayRefusal> {
    let asked = Asked { method: &head.method, uri: &head.uri, presented: Presented::in_head(head) };
    let (handles, now) = (state.registry.handles(), state.clock.boot_now());
    decide::decide(asked, Known { handles: &handles, clients: &rules.clients, apps: &rules.apps, now })
}

/// Makes the call, and once more where WeChat refused the token that the relay had put in and there is a new one: WeChat
/// refuses before it acts, so nothing is done twice.
async fn exchange(
    state: &AppState,
    gateway: &Gateway,
    call: &mut Call,
    put_in: PutIn,
    given: Option<&str>,
    upload: &Upload,
) -> Result<Reply, GatewayRefusal> {
    let Some((handle, generation)) = put_in.token else {
        return send(state, gateway, call, Sending::First(upload.clone())).await;
    };
    upload.keep_copy(&gateway.permits.copies);
    let mut reply = send(state, gateway, call, Sending::First(upload.clone())).await?;
    if call.method != Method::HEAD {
        reply.peek(call.silence).await?;
    }
    if !reply.names_bad_token(call.platform) {
        upload.forget_copy();
        return Ok(reply);
    }
    let (renewed, copy) = (heal::renewed(state, &handle, generation).await, upload.copy());
    let (Some(offer), Some(copy), Some((place, _))) = (renewed, copy, put_in.value) else {
        state.metrics.gateway.healed(Healing::PassedOn);
        upload.forget_copy();
        return Ok(reply);
    };
    state.metrics.gateway.healed(Healing::Repeated);
    log_credential!(
        debug,
        &handle.id,
        path = asked::path(&call.path),
        "gateway: the token was refused, the call is repeated with a new one"
    );
    PutIn::token(&handle, place, &offer).put(given, call);
    send(state, gateway, call, Sending::Again(copy)).await
}

async fn send(state: &AppState, gateway: &Gateway, call: &Call, sending: Sending) -> Result<Reply, GatewayRefusal> {
    let client = gateway.client(call.platform).ok_or(GatewayRefusal::Forbidden)?;
    let sent = state.clock.boot_now();
    let response = call.send(client, &sending).await?;
    state.metrics.gateway.replied(state.clock.boot_now().since(sent));
    Ok(Reply::unread(response))
}

/// The reply as the client gets it.
fn answer(reply: Reply, call: &Call, upload: Upload, end: Pin<Box<Sleep>>, permit: OwnedSemaphorePermit) -> Response {
    let Reply { head, read, rest } = reply;
    let body = Download {
        read,
        rest,
        is_head_only: call.method == Method::HEAD,
        silence: Silence::of(call.silence),
        end,
        upload,
        _permit: permit,
    };
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = head.status;
    *response.headers_mut() = headers::downwards(&head.headers, &call.secrets);
    response
}
