//! How does a call come in and its answer go out?

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::ask::Ask;
use crate::clock::Clock;
use crate::control;
use crate::delivery::{Delivery, Envelope};
use crate::door::Door;
use crate::fault::{Plan, Queue};
use crate::http::{Connection, Reply, Request, Socket};
use crate::journal::{Call, CallId, Journal, Outcome};
use crate::model::Model;

/// Receives one line for each call, without secrets and tokens.
pub(crate) type Log = Box<dyn Fn(&str) + Send + Sync>;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) door: Door,
    state: Mutex<State>,
    log: Option<Log>,
}

/// WeChat, what was told to go wrong, and what happened.
pub(crate) struct State {
    pub(crate) model: Model,
    pub(crate) faults: Queue,
    pub(crate) journal: Journal,
    /// Of every call; half of it passes before the operation.
    pub(crate) latency: Duration,
}

impl Shared {
    pub(crate) fn new(model: Model, latency: Duration, log: Option<Log>) -> Self {
        let state = State { model, faults: Queue::default(), journal: Journal::default(), latency };
        Self { clock: Clock::start(), door: Door::default(), state: Mutex::new(state), log }
    }

    /// The state, and the moment at which it is looked at: moments come in the order of the looks.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State, Duration) -> T) -> T {
        // A panic elsewhere leaves the state as good as it was: no change is made in two steps.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        look(&mut state, now)
    }
}

/// Answers the requests of one connection, one after the other.
pub(crate) async fn converse<S: Socket>(shared: Arc<Shared>, socket: S, ip: IpAddr) {
    let mut connection = Connection::new(socket);
    loop {
        let again = match connection.request().await {
            Ok(Some(request)) if control::owns(&request) => command(&shared, connection, &request).await,
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
        shared.door.close_for(refusal);
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

/// One call to WeChat, from its request to its end. Dropped early, it counts as abandoned.
struct Exchange<'s> {
    shared: &'s Shared,
    ask: Ask,
    plan: Plan,
    id: CallId,
    ip: IpAddr,
    latency: Duration,
    keep_alive: bool,
}

impl<'s> Exchange<'s> {
    fn new(shared: &'s Shared, request: &Request, ip: IpAddr) -> Self {
        let ask = Ask::read(request);
        let (plan, id, latency) = shared.with(|state, at| {
            let appid = ask.appid(&state.model, at);
            let (op, forced, outcome) = (ask.op, ask.forced(), Outcome::Pending);
            let id = state.journal.open(Call { op, appid, at, forced, minted: false, outcome });
            (state.faults.take(op), id, state.latency)
        });
        Self { shared, ask, plan, id, ip, latency, keep_alive: request.keep_alive }
    }

    /// Returns the connection when it can carry another request.
    async fn run<S: Socket>(self, mut connection: Connection<S>) -> Option<Connection<S>> {
        let (before, after) = self.plan.delays();
        self.pause(&mut connection, before + self.latency / 2).await;
        let (delivery, outcome) = self.answer();
        self.pause(&mut connection, after + self.latency / 2).await;
        self.hand_over(connection, delivery, outcome).await
    }

    /// Lets the operation happen, or not, and prepares what the client gets.
    fn answer(&self) -> (Delivery, Outcome) {
        self.shared.with(|state, now| {
            let minted = state.model.all_mints();
            let result = if self.plan.happens() {
                self.ask.put(&mut state.model, now, self.ip)
            } else {
                Ok(self.ask.pretend(&mut state.model))
            };
            if state.model.all_mints() > minted {
                state.journal.minted(self.id);
            }
            let rid = state.model.rid(self.shared.clock.unix_s());
            Envelope { rid: &rid, ip: self.ip }.deliver(&self.plan.fault, &result)
        })
    }

    /// Waits. When the client leaves meanwhile its call is over, but what WeChat does with the request takes its course.
    async fn pause<S: Socket>(&self, connection: &mut Connection<S>, delay: Duration) {
        if delay.is_zero() {
            return;
        }
        let end = tokio::time::sleep(delay);
        tokio::pin!(end);
        tokio::select! {
            () = &mut end => return,
            () = connection.left() => self.close(Outcome::Abandoned),
        }
        end.await;
    }

    async fn hand_over<S: Socket>(
        self,
        mut connection: Connection<S>,
        delivery: Delivery,
        outcome: Outcome,
    ) -> Option<Connection<S>> {
        let (bytes, keep_alive) = match delivery {
            Delivery::Hang => {
                connection.left().await;
                self.close(Outcome::Abandoned);
                return None;
            }
            Delivery::Reset => {
                self.close(outcome);
                connection.reset();
                return None;
            }
            Delivery::Whole(reply) => (self.bytes(&reply), self.keep_alive),
            Delivery::Half(reply) => {
                let mut bytes = self.bytes(&reply);
                bytes.truncate(bytes.len() - reply.body.len().div_ceil(2));
                (bytes, false)
            }
            Delivery::Raw(bytes) => (bytes, false),
        };
        // Closed first: a client that has its answer finds its call ended.
        self.close(outcome);
        connection.send(&bytes).await.ok()?;
        finish(connection, keep_alive).await
    }

    fn bytes(&self, reply: &Reply) -> Vec<u8> {
        reply.to_bytes(self.shared.clock.wall(), self.keep_alive)
    }

    /// Ends the call in the journal and logs it, once.
    fn close(&self, outcome: Outcome) {
        let line = self.shared.with(|state, now| Some(state.journal.close(self.id, outcome)?.line(now)));
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
