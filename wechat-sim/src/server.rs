//! How does a call come in and its answer go out?

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::api::ApiRequest;
use crate::call_log::{Call, CallId, Outcome};
use crate::control;
use crate::fault::Plan;
use crate::http::{Connection, Reply, Request, Socket};
use crate::shared::Shared;
use crate::token_id::TokenId;
use crate::wire_reply::{ReplyContext, WireReply};

/// Answers the requests of one connection, one after the other.
pub(crate) async fn serve_connection<S: Socket>(shared: Arc<Shared>, socket: S, ip: IpAddr) {
    let mut connection = Connection::new(socket);
    loop {
        let again = match connection.request().await {
            Ok(Some(request)) if control::handles(&request) => command(&shared, connection, &request).await,
            Ok(Some(request)) => Exchange::new(&shared, &request, ip).run(connection).await,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return unreadable(&shared, connection).await,
            Ok(None) | Err(_) => return,
        };
        match again {
            Some(kept) => connection = kept,
            None => return,
        }
    }
}

async fn unreadable<S: Socket>(shared: &Shared, mut connection: Connection<S>) {
    let bytes = Reply::html(400).to_bytes(shared.clock.wall(), false);
    // A client that is gone already needs no answer.
    let _ = connection.send(&bytes).await;
    connection.close().await;
}

async fn command<S: Socket>(
    shared: &Shared,
    mut connection: Connection<S>,
    request: &Request,
) -> Option<Connection<S>> {
    let (reply, after) = control::answer(shared, request);
    connection.send(&reply.to_bytes(shared.clock.wall(), request.keep_alive)).await.ok()?;
    if let Some(refusal) = after {
        shared.port.close_for(refusal);
    }
    finish(connection, request.keep_alive).await
}

async fn finish<S: Socket>(connection: Connection<S>, keep_alive: bool) -> Option<Connection<S>> {
    if keep_alive {
        return Some(connection);
    }
    connection.close().await;
    None
}

/// A path comes from outside and may be of any length.
const ROUTE_SHOWN: usize = 100;

fn token_of(request: &Request) -> Option<TokenId> {
    request.parameter("access_token").filter(|token| !token.is_empty()).map(TokenId::of)
}

/// One call to WeChat, from its request to its end. Dropped early, it counts as abandoned.
struct Exchange<'s> {
    shared: &'s Shared,
    request: ApiRequest,
    plan: Plan,
    id: CallId,
    ip: IpAddr,
    latency: Duration,
    keep_alive: bool,
}

impl<'s> Exchange<'s> {
    fn new(shared: &'s Shared, request: &Request, ip: IpAddr) -> Self {
        let api_request = ApiRequest::read(request);
        let (plan, id, latency) = shared.with(|state, at| {
            let appid = api_request.appid(&state.model, at);
            let (op, forced, outcome) = (api_request.op(), api_request.forced(), Outcome::Pending);
            let (route, token) = (request.path.chars().take(ROUTE_SHOWN).collect(), token_of(request));
            let id = state.calls.open(Call { op, route, token, appid, at, forced, minted: false, outcome });
            (state.faults.take(op), id, state.latency)
        });
        Self { shared, request: api_request, plan, id, ip, latency, keep_alive: request.keep_alive }
    }

    /// Returns the connection when it can carry another request.
    async fn run<S: Socket>(self, mut connection: Connection<S>) -> Option<Connection<S>> {
        let (before, after) = self.plan.delays();
        self.pause(&mut connection, before + self.latency / 2).await;
        let (reply, outcome) = self.answer();
        self.pause(&mut connection, after + self.latency / 2).await;
        self.send(connection, reply, outcome).await
    }

    /// Executes the operation, or not, and prepares what the client gets.
    fn answer(&self) -> (WireReply, Outcome) {
        self.shared.with(|state, now| {
            let minted = state.model.all_mints();
            let result = if self.plan.happens() {
                self.request.execute(&mut state.model, now, self.ip)
            } else {
                Ok(self.request.imagine(&mut state.model))
            };
            if state.model.all_mints() > minted {
                state.calls.minted(self.id);
            }
            let rid = state.model.rid(self.shared.clock.unix_s());
            ReplyContext { rid: &rid, ip: self.ip }.wire_reply(&self.plan.fault, &result)
        })
    }

    /// Waits. When the client leaves meanwhile its call is over, but WeChat still does with the request what it would have done.
    async fn pause<S: Socket>(&self, connection: &mut Connection<S>, delay: Duration) {
        if delay.is_zero() {
            return;
        }
        let end = tokio::time::sleep(delay);
        tokio::pin!(end);
        tokio::select! {
            () = &mut end => return,
            () = connection.client_left() => self.close(Outcome::Abandoned),
        }
        end.await;
    }

    async fn send<S: Socket>(
        self,
        mut connection: Connection<S>,
        reply: WireReply,
        outcome: Outcome,
    ) -> Option<Connection<S>> {
        let (bytes, keep_alive) = match reply {
            WireReply::Hang => {
                connection.client_left().await;
                self.close(Outcome::Abandoned);
                return None;
            }
            WireReply::Reset => {
                self.close(outcome);
                connection.reset();
                return None;
            }
            WireReply::Complete(reply) => (self.bytes(&reply), self.keep_alive),
            WireReply::HalfBody(reply) => {
                let mut bytes = self.bytes(&reply);
                bytes.truncate(bytes.len() - reply.body.len().div_ceil(2));
                (bytes, false)
            }
            WireReply::Raw(bytes) => (bytes, false),
        };
        // Closed first: a client that has its answer finds its call ended.
        self.close(outcome);
        connection.send(&bytes).await.ok()?;
        finish(connection, keep_alive).await
    }

    fn bytes(&self, reply: &Reply) -> Vec<u8> {
        reply.to_bytes(self.shared.clock.wall(), self.keep_alive)
    }

    /// Ends the call and logs it, once.
    fn close(&self, outcome: Outcome) {
        let line = self.shared.with(|state, now| Some(state.calls.close(self.id, outcome)?.log_line(now)));
        if let (Some(line), Some(log)) = (line, &self.shared.log) {
            log(&line);
        }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.close(Outcome::Abandoned);
    }
}
