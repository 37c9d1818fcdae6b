//! How is a ticket read? As a token is, from memory.

use std::{borrow::Borrow, mem, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use super::{
    AppState,
    auth::{Client, Presented},
    described::{AccountQuery, HeldTag, Refused, TicketQuery, TicketRead, Unavailable, WaitQuery},
    limits,
    problem::Problem,
    query,
    reloads::across_reloads,
    token::{self, Asking, LongPoll, Outcome},
};
use crate::{
    credential::TicketKind,
    registry::{Handle, Handles},
};

/// A ticket of an account, and the token that it is fetched with.
pub(super) struct Ticket {
    pub(super) handle: Arc<Handle>,
    access_token: Arc<Handle>,
}

impl Borrow<Arc<Handle>> for Ticket {
    fn borrow(&self) -> &Arc<Handle> {
        &self.handle
    }
}

impl Ticket {
    /// The ticket of this kind that `asking` may have now.
    pub(super) fn find(state: &AppState, asking: &Asking, kind: TicketKind) -> Result<Self, Problem> {
        let access_token = asking.access_token(state)?;
        Self::of(&state.registry.handles(), &access_token, kind)
    }

    /// The ticket of this kind that `client` asks for, of the account that it names. It counts the request.
    pub(super) fn authorize(
        state: &AppState,
        client: &Client,
        account: Option<&str>,
        kind: TicketKind,
    ) -> Result<Self, Problem> {
        let handles = state.registry.handles();
        let ticket = Self::of(&handles, client.authorize(&handles, account)?, kind)?;
        limits::request(state, client).map_err(Problem::too_many_requests)?;
        Ok(ticket)
    }

    fn of(handles: &Handles, access_token: &Arc<Handle>, kind: TicketKind) -> Result<Self, Problem> {
        let handle = handles.ticket(access_token.id.account().as_str(), kind).ok_or(Problem::NoSuchTicket)?;
        Ok(Self { handle: handle.clone(), access_token: access_token.clone() })
    }

    /// What may be served of it, at once or after a wait: see [`token::outcome`].
    pub(super) async fn outcome(&self, state: &AppState, poll: &LongPoll) -> Outcome {
        match token::outcome(state, &self.handle, poll, self.longest(state)).await {
            Outcome::Unavailable(_) if self.lacks_access_token(state) => {
                let (status, now) = (&self.access_token.published().status, state.clock.boot_now());
                let reason = "no ticket can be served, and the account has no access token to fetch one with";
                Outcome::Unavailable(Problem::unavailable(status, now, reason))
            }
            outcome => outcome,
        }
    }

    /// How long to wait for a first one: not at all where no access token comes that it could be fetched with.
    fn longest(&self, state: &AppState) -> Duration {
        let (longest, now) = (state.timeouts().first_token, state.clock.boot_now());
        let is_hopeless = !self.access_token.published().status.is_worth_waiting(now, longest);
        if is_hopeless && self.lacks_access_token(state) { Duration::ZERO } else { longest }
    }

    fn lacks_access_token(&self, state: &AppState) -> bool {
        self.access_token.published().servable(state.clock.boot_now()).is_none()
    }
}

/// `GET /ticket`
#[utoipa::path(
    get, path = "/ticket", tag = "relay", operation_id = "readTicket", security(("relay_key" = [])),
    summary = "A ticket that the relay keeps of an account",
    description = "Of those in `accounts.NAME.tickets`. Answered as `/token` is.",
    params(AccountQuery, TicketQuery, WaitQuery, HeldTag),
    responses(TicketRead, Refused, Unavailable),
)]
pub(super) async fn read(State(state): State<Arc<AppState>>, request: Request) -> Response {
    let resolved = resolve(&state, &request);
    // hyper uses its read buffer for the next request only when this one is gone.
    drop(request);
    match resolved {
        Ok(asked) => wait(&state, asked).await.unwrap_or_else(IntoResponse::into_response),
        Err(problem) => problem.into_response(),
    }
}

async fn wait(
    state: &AppState,
    (ticket, kind, mut poll, asking): (Ticket, TicketKind, LongPoll, Asking),
) -> Result<Response, Problem> {
    let serve = |ticket: Ticket| {
        // of another credential the client holds nothing
        let poll = mem::take(&mut poll);
        async move { Ok(token::respond(ticket.outcome(state, &poll).await)) }
    };
    across_reloads(ticket, || Ticket::find(state, &asking, kind), serve).await
}

fn resolve(state: &AppState, request: &Request) -> Result<(Ticket, TicketKind, LongPoll, Asking), Problem> {
    let (rules, query) = (state.rules.load(), request.uri().query());
    let asking = Asking::of(Presented::by(request), query)?;
    let client = asking.client(&rules.clients)?;
    let (account, kind) = (query::account(query)?, query::ticket_kind(query)?);
    let poll = LongPoll::of_request(request)?;
    let ticket = Ticket::authorize(state, client, account.as_deref(), kind)?;
    Ok((ticket, kind, poll, asking))
}
