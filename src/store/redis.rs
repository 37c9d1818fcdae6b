//! One key per credential in Redis (or Valkey): what several relays share.
//!
//! The record of `main` is the string at [`KEY_PREFIX`]`main`, without a TTL: a record that expired would be a second
//! rotation. It is replaced by one Lua script, which compares, sets and publishes on the channel of the same name. Every
//! command names one key, so that proxies that shard by key can route it. The connection speaks RESP2, which they all
//! know. A user of Redis's ACL needs no more than
//!
//! ```text
//! user relay on >PASSWORD resetkeys ~token-relay:v1:* resetchannels &token-relay:v1:* -@all +ping +select +get +set +eval +publish +subscribe +info
//! ```
//!
//! and misses without `publish` and `subscribe` (and the channels) the hints, without `info` the warnings at the start.
//!
//! Nothing is retried here: the keeper asks again. What ends in [`Swap::Unknown`] may also be written *later*: a server
//! that was stopped carries out what waits in its socket when it goes on (5 of 5 trials), if the record is still the
//! expected one. So an old record that is loaded after an unknown swap is no proof that the swap is lost.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt, ready};
use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{Sealed, Store, StoreError, Swap};
use crate::{credential::CredentialId, secret_url::SecretUrl, tls::install_provider};

mod address;
mod availability;
mod connection;
mod errors;
mod hints;
mod preflight;

pub(crate) use address::Address;
use connection::Connection;
use hints::Hints;

/// What comes before the credential's id in its key and in the channel of its hints. `v1` is the version of this layout;
/// the record tells its own.
pub const KEY_PREFIX: &str = "token-relay:v1:";

/// For a connection to be usable: name, TCP, TLS, login and a ping; and the wait for another task that makes one.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// For a reply. With [`CONNECT_LIMIT`] it keeps the trait's promise of 5 s.
const REPLY_LIMIT: Duration = Duration::from_secs(2);

/// Between the end of one attempt to connect and the next: a server that is away or turns everyone out sees no storm.
const PAUSE: Duration = Duration::from_secs(1);

/// Sent whole each time. EVALSHA would save 400 bytes beside records of thousands, and cost a second way of doing it that
/// only runs after the server's restarts.
const SWAP: &str = include_str!("redis/swap.lua");

/// A store that several relays share. Dropping it ends its tasks.
pub struct RedisStore {
    connection: Arc<Connection>,
    hints: Arc<Hints>,
    _end: DropGuard,
}

impl RedisStore {
    /// A store at `url`, with hints for `ids`. It connects when it is first used, so Redis may be away. It must be
    /// called within a runtime, where it listens for hints until it is dropped.
    pub fn new(url: &SecretUrl, ids: impl IntoIterator<Item = CredentialId>) -> Self {
        install_provider();
        let address = Arc::new(Address::parse(url).expect("the settings took this URL, by the same function"));
        let hints = Arc::new(Hints::new(ids));
        let connection = Arc::new(Connection::new(address.clone()));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (listening, listener) = (stop.clone(), hints.clone());
        tasks.spawn(async move { listening.run_until_cancelled(listener.listen(&address)).await });
        let (checking, checked) = (stop.clone(), connection.clone());
        tasks.spawn(async move { checking.run_until_cancelled(preflight::check(&checked)).await });
        Self { connection, hints, _end: stop.drop_guard() }
    }

    async fn read(&self, id: &CredentialId) -> Result<Option<Sealed>, StoreError> {
        match self.connection.send(Cmd::new().arg("GET").arg(key(id))).await? {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => Ok(Some(Sealed::new(bytes))),
            _ => Err(self.connection.odd_reply("GET")),
        }
    }

    async fn compare_and_set(
        &self,
        id: &CredentialId,
        expected: Option<Sealed>,
        next: Sealed,
    ) -> Result<Swap, StoreError> {
        let (presence, expected) = match &expected {
            Some(record) => ("present", record.expose()),
            None => ("absent", &[][..]),
        };
        let mut eval = Cmd::new();
        eval.arg("EVAL").arg(SWAP).arg(1).arg(key(id));
        eval.arg(presence).arg(expected).arg(next.expose()).arg(self.hints.writer());
        let Value::Array(reply) = self.connection.send(&eval).await? else {
            return Err(self.connection.odd_reply("EVAL"));
        };
        match <[Value; 2]>::try_from(reply) {
            Err(won) if won == [Value::Int(1)] => Ok(Swap::Won),
            Ok([Value::Int(0), Value::Nil]) => Ok(Swap::Lost(None)),
            Ok([Value::Int(0), Value::BulkString(bytes)]) => Ok(Swap::Lost(Some(Sealed::new(bytes)))),
            _ => Err(self.connection.odd_reply("EVAL")),
        }
    }
}

fn key(id: &CredentialId) -> String {
    format!("{KEY_PREFIX}{id}")
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisStore({})", self.connection.server())
    }
}

/// Both answer within 4 s: 2 s for a connection and 2 s for a reply; and at once, with the same reason, within a second of
/// an attempt to connect that came to nothing.
impl Store for RedisStore {
    fn load<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<Option<Sealed>, StoreError>> {
        Box::pin(self.read(id))
    }

    fn swap<'a>(&'a self, id: &'a CredentialId, expected: Option<Sealed>, next: Sealed) -> BoxFuture<'a, Swap> {
        Box::pin(async move { self.compare_and_set(id, expected, next).await.unwrap_or_else(Swap::Unknown) })
    }

    /// Always an error: the record may be that of a newer relay, which reads it.
    fn set_aside<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<String, StoreError>> {
        let key = key(id);
        let reason =
            format!("other relays may read it: it stays where it is, at the key {key} (DEL {key} discards it)");
        ready(Err(StoreError(reason))).boxed()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn hints(&self, id: &CredentialId) -> Option<watch::Receiver<u64>> {
        self.hints.of(id)
    }
}
