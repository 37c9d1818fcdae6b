//! How does one command reach Redis, and how long is its reply waited for?
//!
//! One connection for all accounts, made when it is needed and given up as soon as a reply is late: what comes back on it
//! then belongs to no command.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{AsyncConnectionConfig, Cmd, Value, aio::MultiplexedConnection};
use secrecy::ExposeSecret;
use tokio::{
    sync::{self, Notify},
    time::timeout,
};

use super::{CONNECT_LIMIT, PAUSE, REPLY_LIMIT, StoreError, address::Address, availability::Availability, errors};
use crate::clock::{Clock, SystemClock};

/// The connection to one server.
pub(super) struct Connection {
    address: Arc<Address>,
    slot: Mutex<Slot>,
    /// Held by the one task that connects.
    connecting: sync::Mutex<()>,
    availability: Availability,
    /// Notified of each new connection.
    pub(super) connected: Notify,
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
    connection: MultiplexedConnection,
}

impl Connection {
    pub(super) fn new(address: Arc<Address>) -> Self {
        let (slot, connecting, availability, connected) = Default::default();
        Self { address, slot, connecting, availability, connected }
    }

    /// The reply to one command, sent at most once.
    ///
    /// # Errors
    ///
    /// Every other outcome; the command may have been carried out.
    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, StoreError> {
        let Live { number, mut connection } = self.live().await.map_err(|reason| self.error(&reason))?;
        let reason = match timeout(REPLY_LIMIT, connection.send_packed_command(command)).await {
            Ok(Ok(Value::ServerError(refused))) => {
                self.availability.answered(&self.address);
                let reason = errors::refusal(&self.address, &refused);
                if let Some("READONLY" | "NOAUTH") = errors::kind(&refused) {
                    // The name in the URL may lead to another server by now.
                    self.discard(number, &reason);
                }
                return Err(self.error(&reason));
            }
            Ok(Ok(reply)) => {
                self.availability.answered(&self.address);
                return Ok(reply);
            }
            Ok(Err(lost)) => errors::connection_lost(&self.address, &lost),
            Err(_) => format!("no reply within {}", humantime::format_duration(REPLY_LIMIT)),
        };
        self.discard(number, &reason);
        self.availability.failed(&self.address, &reason);
        Err(self.error(&reason))
    }

    /// The server, for a log line.
    pub(super) fn server(&self) -> &str {
        self.address.shown()
    }

    /// The error of a reply that `command` does not have. The reply is not shown: it may hold a record.
    pub(super) fn odd_reply(&self, command: &str) -> StoreError {
        self.error(&format!("its reply to {command} is not one that Redis gives"))
    }

    fn error(&self, reason: &str) -> StoreError {
        StoreError(format!("{}: {reason}", self.address.shown()))
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
            Err(_) => self.record(Err(errors::no_answer(&self.address))),
        }
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

    fn record(&self, made: Result<MultiplexedConnection, String>) -> Result<Live, String> {
        let mut slot = self.slot();
        match made {
            Ok(connection) => {
                slot.made += 1;
                let live = Live { number: slot.made, connection };
                slot.attempt = Some((SystemClock.awake(), "the connection was lost".to_owned()));
                slot.live = Some(live.clone());
                self.connected.notify_one();
                Ok(live)
            }
            Err(reason) => {
                slot.attempt = Some((SystemClock.awake(), reason.clone()));
                drop(slot);
                self.availability.failed(&self.address, &reason);
                Err(reason)
            }
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

    /// A connection that has answered: a stopped server's kernel accepts connections too.
    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connection = self.address.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connection.map_err(|error| errors::no_connection(&self.address, &error))?;
        if let Some(login) = &self.address.login {
            let mut auth = Cmd::new();
            auth.arg("AUTH").arg(login.user.as_deref()).arg(login.password.expose_secret());
            self.set_up(&mut connection, &auth).await?;
        }
        if self.address.database != 0 {
            self.set_up(&mut connection, Cmd::new().arg("SELECT").arg(self.address.database)).await?;
        }
        self.set_up(&mut connection, Cmd::new().arg("PING")).await?;
        Ok(connection)
    }

    async fn set_up(&self, connection: &mut MultiplexedConnection, command: &Cmd) -> Result<(), String> {
        match connection.send_packed_command(command).await {
            Ok(Value::ServerError(refused)) => Err(errors::refusal(&self.address, &refused)),
            Ok(_) => Ok(()),
            Err(lost) => Err(errors::connection_lost(&self.address, &lost)),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // No code under this lock leaves it half changed, so a panic elsewhere poisons nothing.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
