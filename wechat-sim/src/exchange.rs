//! How does a call come in and its answer go out?

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::api::{self, ApiRequest, Moment};
use crate::call_log::{Call, CallId, Outcome};
use crate::fault::Plan;
use crate::http::{Connection, Head, Intake, ReadPlan, Reply, Request, Socket};
use crate::model::Model;
use crate::operation::Op;
use crate::shared::Shared;
use crate::token_id::TokenId;
use crate::wire_reply::{ReplyContext, WireReply};

/// A path comes from outside and may be of any length.
const ROUTE_SHOWN: usize = 100;

/// What is gathered before it is sent.
const PIECE: usize = 64 * 1024;

/// Answers one call to WeChat. Returns the connection when it can carry another request.
pub(crate) async fn call<S: Socket>(
    shared: &Shared,
    mut connection: Connection<S>,
    head: Head,
    ip: IpAddr,
) -> Option<Connection<S>> {
    let (op, intake) = api::expected(&head);
    if intake == Intake::Whole {
        let received = match connection.receive(&head, ReadPlan::WHOLE).await {
            Ok(received) => received,
            Err(error) => {
                connection.end_unread(&error, shared.clock.wall()).await;
                return None;
            }
        };
        let request = ApiRequest::read(&Request { head: head.clone(), received });
        let exchange = Exchange::open(shared, op, &head, ip, Some(&request));
        return exchange.run(connection, &request).await;
    }
    // A body of any length may take any time, so the call counts from here on.
    let exchange = Exchange::open(shared, op, &head, ip, None);
    let kept = shared.with(|state, _| state.model.rules().media_kept_bytes);
    let plan = ReadPlan { intake, kept };
    match connection.receive(&head, plan).await {
        Ok(received) => exchange.run(connection, &ApiRequest::read(&Request { head, received })).await,
        Err(error) => {
            exchange.end_unread(connection, &error).await;
            None
        }
    }
}

/// One call to WeChat, from its request to its end. Dropped early, it counts as abandoned.
struct Exchange<'s> {
    shared: &'s Shared,
    plan: Plan,
    id: CallId,
    ip: IpAddr,
    latency: Duration,
    keep_alive: bool,
    /// HEAD: the reply has no body.
    head_only: bool,
}

impl<'s> Exchange<'s> {
    /// `request` is `None` where the body has not been read yet: then the token in the query says whose call it is.
    fn open(shared: &'s Shared, op: Op, head: &Head, ip: IpAddr, request: Option<&ApiRequest>) -> Self {
        let token = head.parameter("access_token").filter(|token| !token.is_empty());
        let appid = |model: &Model, at| match request {
            Some(request) => request.appid(model, at),
            None => token.and_then(|token| model.owner(at, token)).unwrap_or_default().to_owned(),
        };
        let (plan, id, latency) = shared.with(|state, at| {
            let call = Call {
                op,
                route: head.path.chars().take(ROUTE_SHOWN).collect(),
                token: token.map(TokenId::of),
                appid: appid(&state.model, at),
                at,
                forced: request.is_some_and(ApiRequest::forced),
                minted: false,
                outcome: Outcome::Pending,
            };
            (state.faults.take(op), state.calls.open(call), state.latency)
        });
        let (keep_alive, head_only) = (head.keep_alive, head.method == "HEAD");
        Self { shared, plan, id, ip, latency, keep_alive, head_only }
    }

    async fn run<S: Socket>(self, mut connection: Connection<S>, request: &ApiRequest) -> Option<Connection<S>> {
        let (before, after) = self.plan.delays();
        self.pause(&mut connection, before + self.latency / 2).await;
        let (reply, outcome) = self.answer(request);
        self.pause(&mut connection, after + self.latency / 2).await;
        self.send(connection, reply, outcome).await
    }

    /// Executes the operation, or not, and prepares what the client gets.
    fn answer(&self, request: &ApiRequest) -> (WireReply, Outcome) {
        self.shared.with(|state, now| {
            let minted = state.model.all_mints();
            let unix_s = self.shared.clock.unix_s();
            let result = if self.plan.happens() {
                request.execute(&mut state.model, Moment { now, unix_s, ip: self.ip })
            } else {
                Ok(request.imagine(&mut state.model))
            };
            if state.model.all_mints() > minted {
                state.calls.minted(self.id);
            }
            let rid = state.model.rid(unix_s);
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
        match reply {
            WireReply::Complete(reply) => {
                self.write(&mut connection, &reply, reply.body.len(), outcome).await.ok()?;
                connection.finish(self.keep_alive).await
            }
            WireReply::HalfBody(reply) => {
                self.write(&mut connection, &reply, reply.body.len() / 2, outcome).await.ok()?;
                connection.finish(false).await
            }
            WireReply::Raw(bytes) => {
                self.close(outcome);
                connection.send(&bytes).await.ok()?;
                connection.finish(false).await
            }
            WireReply::Hang => {
                connection.client_left().await;
                None
            }
            WireReply::Reset => {
                self.close(outcome);
                connection.reset();
                None
            }
        }
    }

    /// Writes the head and so much of the body. The call ends before the last bytes are sent: a client that has its answer finds
    /// its call ended.
    async fn write<S: Socket>(
        &self,
        connection: &mut Connection<S>,
        reply: &Reply,
        length: u64,
        outcome: Outcome,
    ) -> io::Result<()> {
        let mut bytes = reply.head(self.shared.clock.wall(), self.keep_alive);
        let body = reply.body.part(0..if self.head_only { 0 } else { length });
        for piece in body.pieces() {
            // What was gathered before is not the last.
            if bytes.len() >= PIECE {
                connection.send(&bytes).await?;
                bytes.clear();
            }
            bytes.extend(piece);
        }
        self.close(outcome);
        connection.send(&bytes).await
    }

    /// Ends a call whose body was not read to its end: the client is gone, or what it sent can't be read.
    async fn end_unread<S: Socket>(self, connection: Connection<S>, error: &io::Error) {
        connection.end_unread(error, self.shared.clock.wall()).await;
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
