//! How does a call come in and its answer go out?

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::api::{self, ApiRequest, CallContext};
use crate::call_log::{Call, CallId, Outcome};
use crate::fault::{Fault, Plan};
use crate::http::{After, Connection, Head, Intake, ReadLimit, ReadPlan, Reply, Request, Socket};
use crate::model::Model;
use crate::operation::Op;
use crate::shared::Shared;
use crate::token_id::TokenId;
use crate::wire_reply::{ReplyContext, Then, WireReply};

/// A path comes from outside and may be of any length.
const ROUTE_SHOWN: usize = 100;

/// What is gathered before it is sent.
const PIECE: usize = 64 * 1024;

/// Answers one call to WeChat.
pub(crate) async fn call<S: Socket>(
    shared: &Shared,
    connection: &mut Connection<S>,
    head: Head,
    ip: IpAddr,
) -> io::Result<After> {
    let (op, intake) = api::expected(&head);
    if intake == Intake::Whole {
        let received = connection.receive(&head, ReadPlan::WHOLE).await?;
        let request = Request { head, received };
        let api_request = ApiRequest::read(&request);
        let exchange = Exchange::open(shared, op, &request.head, ip, Some(&api_request));
        return exchange.run(connection, &api_request).await;
    }
    // A body of any length may take any time, so the call counts from here on.
    let exchange = Exchange::open(shared, op, &head, ip, None);
    let kept = shared.with(|state, _| state.model.rules().media_kept_bytes);
    let plan = ReadPlan { intake, kept, limit: read_limit(&exchange.plan.fault) };
    match connection.receive(&head, plan).await {
        Ok(received) => exchange.run(connection, &ApiRequest::read(&Request { head, received })).await,
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
            exchange.close(Outcome::Faulted);
            Ok(After::Close)
        }
        Err(error) => Err(error),
    }
}

fn read_limit(fault: &Fault) -> Option<ReadLimit> {
    match fault {
        Fault::StopReading(bytes) => Some(ReadLimit::Wait(*bytes)),
        Fault::CloseReading(bytes) => Some(ReadLimit::Fail(*bytes)),
        _ => None,
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
    /// The path with its query.
    target: String,
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
            (state.faults.take(op, &head.path), state.calls.open(call), state.latency)
        });
        let (keep_alive, head_only) = (head.keep_alive, head.method == "HEAD");
        Self { shared, plan, id, ip, latency, keep_alive, head_only, target: head.target.clone() }
    }

    async fn run<S: Socket>(self, connection: &mut Connection<S>, request: &ApiRequest) -> io::Result<After> {
        let (before, after) = self.plan.delays();
        self.pause(connection, before + self.latency / 2).await;
        let (reply, outcome) = self.answer(request);
        self.pause(connection, after + self.latency / 2).await;
        self.send(connection, reply, outcome).await
    }

    /// Executes the operation, or not, and prepares what the client gets.
    fn answer(&self, request: &ApiRequest) -> (WireReply, Outcome) {
        self.shared.with(|state, now| {
            let minted = state.model.all_mints();
            let at = CallContext { now, unix_s: self.shared.clock.unix_s(), ip: self.ip };
            let result = if self.plan.happens() {
                request.execute(&mut state.model, at)
            } else {
                Ok(request.fake_answer(&mut state.model))
            };
            if state.model.all_mints() > minted {
                state.calls.minted(self.id);
            }
            let format = request.format(&mut state.model, at);
            ReplyContext { format, target: &self.target }.wire_reply(&self.plan.fault, &result)
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
        connection: &mut Connection<S>,
        reply: WireReply,
        outcome: Outcome,
    ) -> io::Result<After> {
        match reply {
            WireReply::Reply { reply, length, then } => self.write(connection, &reply, length, then, outcome).await,
            WireReply::Raw(bytes) => {
                self.close(outcome);
                connection.send(&bytes).await?;
                Ok(After::Close)
            }
            WireReply::Hang => {
                connection.client_left().await;
                Ok(After::Close)
            }
            WireReply::Reset => {
                self.close(outcome);
                Ok(After::Reset)
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
        then: Then,
        outcome: Outcome,
    ) -> io::Result<After> {
        let mut bytes = reply.head(self.shared.clock.wall(), self.keep_alive);
        let body = reply.body.part(0..if self.head_only { 0 } else { length });
        for piece in body.pieces() {
            // What was gathered before is not the last.
            if bytes.len() >= PIECE {
                connection.send(&bytes).await?;
                bytes.clear();
            }
            bytes.extend(reply.framed(piece));
        }
        match then {
            Then::KeepAlive if self.head_only => {}
            Then::KeepAlive => bytes.extend(reply.end()),
            Then::Garbage => bytes.extend(b"no chunk\r\n"),
            Then::Close => {}
            Then::Silence => {
                connection.send(&bytes).await?;
                connection.client_left().await;
                return Ok(After::Close);
            }
        }
        self.close(outcome);
        connection.send(&bytes).await?;
        Ok(After::kept(then == Then::KeepAlive && self.keep_alive))
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
