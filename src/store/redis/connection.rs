//! How does one command reach Redis, and how long is its reply waited for?
//!
//! One connection for all accounts, made when it is needed and given up as soon as a reply is late: what comes back on it
//! then belongs to no command.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{Cmd, RedisError, ServerError, Value, aio::MultiplexedConnection};
use tokio::{
    sync::{self, watch},
    time::timeout,
};
use tracing::info;

use super::{
    CONNECT_LIMIT, PAUSE, REPLY_LIMIT, StoreError,
    address::Address,
    availability::{self, Availability},
    confirmation::{self, Confirmation},
    errors,
    locate::{Located, Locator},
    servers::Servers,
};
use crate::clock::{Clock, SystemClock};

/// The connection to the server that has the keys.
pub(super) struct Connection {
    locator: Locator,
    slot: Mutex<Slot>,
    /// Held by the one task that connects.
    connecting: sync::Mutex<()>,
    availability: Availability,
    /// The server of the latest connection, sent with each connection.
    server: watch::Sender<Option<Address>>,
}

#[derive(Default)]
struct Slot {
    live: Option<Live>,
    /// Connections so far: one that is given up late must not take its successor with it.
    made: u64,
    /// When the last attempt ended, on [`Clock::awake`], and what came of it in the end.
    attempt: Option<(Duration, String)>,
}

#[derive(Clone)]
struct Live {
    number: u64,
    address: Address,
    connection: MultiplexedConnection,
    /// Where a write counts only once replicas have it.
    confirmation: Option<Arc<Confirmation>>,
}

/// Why a command has no reply that counts.
enum Failure {
    Refused(ServerError),
    /// It was carried out, and no replica has said that it has it.
    Unconfirmed,
    Lost(RedisError),
}

impl Connection {
    pub(super) fn new(locator: Locator) -> Self {
        let availability = Availability::of(availability::REDIS);
        let (slot, connecting, server) = Default::default();
        Self { locator, slot, connecting, availability, server }
    }

    /// The reply to one command, sent at most once.
    ///
    /// # Errors
    ///
    /// Every other outcome; the command may have been carried out.
    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, StoreError> {
        let live = self.live().await.map_err(|reason| self.error(&reason))?;
        self.reply(live, async |live| live.send(command).await).await
    }

    /// The same for a command that writes: where the server must have replicas, it counts once they have the write.
    ///
    /// # Errors
    ///
    /// As [`Connection::send`].
    pub(super) async fn write(&self, command: &Cmd) -> Result<Value, StoreError> {
        let live = self.live().await.map_err(|reason| self.error(&reason))?;
        self.reply(live, async |live| live.write(command).await).await
    }

    async fn reply(
        &self,
        mut live: Live,
        exchange: impl AsyncFnOnce(&mut Live) -> Result<Value, Failure>,
    ) -> Result<Value, StoreError> {
        let outcome = timeout(REPLY_LIMIT, exchange(&mut live)).await;
        let address = &live.address;
        let (is_answered, is_given_up, reason) = match outcome {
            Ok(Ok(reply)) => {
                self.availability.answered(address.shown());
                return Ok(reply);
            }
            Ok(Err(Failure::Refused(refused))) => {
                (true, errors::is_elsewhere(address.kind(), &refused), errors::refusal(address, &refused))
            }
            Ok(Err(Failure::Unconfirmed)) => (true, address.kind().is_found(), errors::UNCONFIRMED.to_owned()),
            Ok(Err(Failure::Lost(lost))) => (false, true, errors::connection_lost(address, &lost)),
            Err(_) => (false, true, format!("no reply within {}", humantime::format_duration(REPLY_LIMIT))),
        };
        if is_given_up {
            self.discard(live.number, &reason);
        }
        if is_answered {
            self.availability.answered(address.shown());
        } else {
            self.availability.failed(address.shown(), &reason);
        }
        Err(StoreError(format!("{}: {reason}", address.shown())))
    }

    /// The server, for a log line.
    pub(super) fn shown(&self) -> &str {
        self.locator.shown()
    }

    /// See [`Locator::log_in_as`].
    pub(super) fn log_in_as(&self, servers: Servers) -> bool {
        self.locator.log_in_as(servers)
    }

    /// The server of the current connection, which is made if there is none, with the login of now: that of the connection may have
    /// been changed since.
    ///
    /// # Errors
    ///
    /// Why there is none, which was logged.
    pub(super) async fn server(&self) -> Result<Address, String> {
        self.live().await.map(|live| self.locator.again(&live.address))
    }

    /// Seen at each connection: its server.
    pub(super) fn servers(&self) -> watch::Receiver<Option<Address>> {
        self.server.subscribe()
    }

    /// The error of a reply that `command` does not have. The reply is not shown: it may hold a record.
    pub(super) fn odd_reply(&self, command: &str) -> StoreError {
        self.error(&format!("its reply to {command} is not one that Redis gives"))
    }

    fn error(&self, reason: &str) -> StoreError {
        StoreError(format!("{}: {reason}", self.shown()))
    }

    async fn live(&self) -> Result<Live, String> {
        if let Some(live) = self.slot().live.clone() {
            return Ok(live);
        }
        let connecting = async {
            let _turn = self.connecting.lock().await;
            if let Some(outcome) = self.latest_outcome() {
                return outcome;
            }
            let made = self.connect().await;
            self.record(made)
        };
        match timeout(CONNECT_LIMIT, connecting).await {
            Ok(outcome) => outcome,
            Err(_) => self.record(Err(self.locator.no_answer())),
        }
    }

    /// A connection that has answered: a stopped server's kernel accepts connections too.
    async fn connect(&self) -> Result<(Located, Option<Confirmation>), String> {
        let mut located = self.locator.locate().await?;
        let info = confirmation::replication(&mut located.connection).await;
        let info = info.map_err(|lost| errors::connection_lost(&located.address, &lost))?;
        Ok((located, info.and_then(|info| Confirmation::needed(&info))))
    }

    /// The outcome of another task that connected while this one waited, or just before.
    fn latest_outcome(&self) -> Option<Result<Live, String>> {
        let slot = self.slot();
        if let Some(live) = &slot.live {
            return Some(Ok(live.clone()));
        }
        let (ended, reason) = slot.attempt.as_ref()?;
        (SystemClock.awake().saturating_sub(*ended) < PAUSE).then(|| Err(reason.clone()))
    }

    fn record(&self, made: Result<(Located, Option<Confirmation>), String>) -> Result<Live, String> {
        let mut slot = self.slot();
        match made {
            Ok((Located { address, connection }, confirmation)) => {
                slot.made += 1;
                let confirmation = confirmation.map(Arc::new);
                let live = Live { number: slot.made, address, connection, confirmation };
                slot.attempt = Some((SystemClock.awake(), "the connection was lost".to_owned()));
                slot.live = Some(live.clone());
                drop(slot);
                self.announce(&live.address);
                Ok(live)
            }
            Err(reason) => {
                slot.attempt = Some((SystemClock.awake(), reason.clone()));
                drop(slot);
                self.availability.failed(self.shown(), &reason);
                Err(reason)
            }
        }
    }

    fn announce(&self, server: &Address) {
        let earlier = self.server.send_replace(Some(server.clone()));
        if let Some(earlier) = earlier.filter(|earlier| earlier.shown() != server.shown()) {
            info!(server = server.shown(), earlier = earlier.shown(), "Redis has another primary");
        }
    }

    /// Takes the connection of this number out of use, if it still is the current one.
    fn discard(&self, number: u64, reason: &str) {
        let mut slot = self.slot();
        if slot.live.as_ref().is_some_and(|live| live.number == number) {
            slot.live = None;
            if let Some((_, latest)) = &mut slot.attempt {
                reason.clone_into(latest);
            }
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // No code under this lock leaves it half changed, so a panic elsewhere poisons nothing.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    async fn send(&mut self, command: &Cmd) -> Result<Value, Failure> {
        match self.connection.send_packed_command(command).await {
            Ok(Value::ServerError(refused)) => Err(Failure::Refused(refused)),
            Ok(reply) => Ok(reply),
            Err(lost) => Err(Failure::Lost(lost)),
        }
    }

    async fn write(&mut self, command: &Cmd) -> Result<Value, Failure> {
        let reply = self.send(command).await?;
        let Some(confirmation) = self.confirmation.clone() else { return Ok(reply) };
        match confirmation.of_all(&mut self.connection).await {
            Ok(true) => Ok(reply),
            Ok(false) => Err(Failure::Unconfirmed),
            Err(error) => Err(ServerError::try_from(error).map_or_else(Failure::Lost, Failure::Refused)),
        }
    }
}
