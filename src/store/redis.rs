//! The records of all credentials in one Redis (or Valkey): what several relays share.
//!
//! All relays on one database with one prefix are a group; all its keys begin with `{token-relay}:v2:`, and none has a TTL: a
//! record that expired would be a second rotation. The record of `main` is the string at `…record:main`. It is replaced by one Lua
//! script, which compares, counts the write (`…group`), notes the id under its number (`…changes`), sets, and publishes on
//! the channel `…hints`. A poll is a script too: it shows a presence (`…relays`) and asks which ids were noted since. The
//! connection speaks RESP2, which all proxies know. A user of Redis's ACL needs no more than
//!
//! ```text
//! user relay on >PASSWORD resetkeys ~{token-relay}:v2:* resetchannels &{token-relay}:v2:* -@all +ping +select +get +mget +set +hmget +hgetall +hset +hincrby +hdel +zadd +zrangebyscore +zremrangebyrank +eval +publish +subscribe +info +role +wait
//! ```
//!
//! and misses without `publish` and `subscribe` (and the channels) the hints, without `info` the warnings at the start. `role` is
//! asked of what a sentinel names, `wait` where the server must have replicas (see `confirmation`).
//!
//! Which server has the keys is asked at each connect (`locate`): the one of the URL, or what sentinels or the nodes of a
//! cluster name. A connection that is lost, or that a refusal shows to lead to the wrong server, is given up and the search begins
//! anew.
//!
//! Nothing is retried here: the keeper asks again. What ends in [`Swap::Unknown`] may also be written *later*: a server
//! that was stopped carries out what waits in its socket when it goes on (5 of 5 trials), if the record is still the
//! expected one. So an old record that is loaded after an unknown swap is no proof that the swap is lost.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt, ready};
use redis::{Cmd, Value};
use tokio::sync::Semaphore;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{Sealed, Store, StoreError, Swap};
use crate::{credential::CredentialId, secret_url::SecretUrl, tls::install_provider};

mod address;
mod availability;
mod confirmation;
mod connection;
mod errors;
mod hints;
mod history;
mod keys;
mod locate;
mod preflight;
mod servers;
mod session;
mod shared;

use connection::Connection;
use hints::Hints;
use history::History;
use keys::Keys;
pub use keys::Prefix;
use locate::Locator;
pub use servers::SentinelLogin;
pub(crate) use servers::{SCHEMES, Servers};

/// For a connection to be usable: name, TCP, TLS, login and a ping; and the wait for another task that makes one.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// For a reply. With [`CONNECT_LIMIT`] it keeps the trait's promise of 5 s.
const REPLY_LIMIT: Duration = Duration::from_secs(2);

/// Between the end of one attempt to connect and the next: a server that is away or turns everyone out sees no storm.
const PAUSE: Duration = Duration::from_secs(1);

/// How many swaps are under way at once; the others wait, without a limit, until one of these ends. A swap has [`REPLY_LIMIT`]
/// from when it is sent. After an outage ten thousand credentials have something to write at once: a server too slow to answer
/// all of them within the limit would answer few in time, and be sent the rest again and again. Of 128 each may take 15 ms, and
/// over a round trip of 10 ms they are still 12,800 a second. Polls and reads do not wait: they are few, and leases need them.
const SWAPS: usize = 128;

/// Sent whole each time. EVALSHA would save 2 KB beside records of as many, and cost a second way of doing it that only runs
/// after the server's restarts.
const SWAP: &str = concat!(include_str!("redis/group.lua"), include_str!("redis/swap.lua"));

/// What a store on Redis needs beside its URL.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// Names the group of relays.
    pub prefix: Prefix,
    /// With which user the relay logs in at the sentinels, if they want one.
    pub sentinel_login: Option<SentinelLogin>,
}

/// A store that several relays share. Dropping it ends its tasks.
pub struct RedisStore {
    keys: Keys,
    connection: Arc<Connection>,
    swaps: Semaphore,
    history: History,
    hints: Arc<Hints>,
    _end: DropGuard,
}

impl RedisStore {
    /// A store at `url`. It connects when it is first used, so Redis may be away. It must be called within a runtime, where it
    /// listens for hints until it is dropped.
    pub fn new(url: &SecretUrl, options: &RedisOptions) -> Self {
        install_provider();
        let servers = Servers::parse(url, options.sentinel_login.as_ref());
        let servers = servers.expect("the settings took this URL, by the same function");
        let keys = Keys::of(&options.prefix);
        let hints = Arc::new(Hints::on(keys.hints.clone()));
        let connection = Arc::new(Connection::new(Locator::new(servers, keys.group.clone())));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (listening, hints_here, heard) = (stop.clone(), hints.clone(), connection.clone());
        tasks.spawn(async move { listening.run_until_cancelled(hints_here.listen(&heard)).await });
        let (checking, checked) = (stop.clone(), connection.clone());
        tasks.spawn(async move { checking.run_until_cancelled(preflight::check(&checked)).await });
        let (swaps, history) = (Semaphore::new(SWAPS), History::default());
        Self { keys, connection, swaps, history, hints, _end: stop.drop_guard() }
    }

    /// Takes other passwords, and other users, for the same servers: those of `url` and of its sentinels. A connection that there
    /// is stays; the next one logs in anew.
    ///
    /// Returns `false`, and changes nothing, where `url` names other servers, another primary or database, or cannot be used.
    pub fn log_in_as(&self, url: &SecretUrl, sentinel_login: Option<&SentinelLogin>) -> bool {
        Servers::parse(url, sentinel_login).is_ok_and(|servers| self.connection.log_in_as(servers))
    }

    async fn get(&self, id: &CredentialId) -> Result<Option<Sealed>, StoreError> {
        let reply = self.connection.send(Cmd::new().arg("GET").arg(self.keys.record(id))).await?;
        self.record_of(reply, "GET")
    }

    /// The call of a script that begins with `group.lua`, up to what is its own. `key` is its third.
    fn eval(&self, script: &str, key: &str) -> Cmd {
        let mut eval = Cmd::new();
        eval.arg("EVAL").arg(script).arg(3).arg(&self.keys.group).arg(&self.keys.changes).arg(key);
        self.history.add_to(&mut eval);
        eval
    }

    async fn compare_and_set(
        &self,
        id: &CredentialId,
        expected: Option<Sealed>,
        next: Sealed,
    ) -> Result<Swap, StoreError> {
        let _turn = self.swaps.acquire().await.expect("nobody closes it");
        let (presence, expected) = match &expected {
            Some(record) => ("present", record.expose()),
            None => ("absent", &[][..]),
        };
        let mut eval = self.eval(SWAP, &self.keys.record(id));
        eval.arg(presence).arg(expected).arg(next.expose()).arg(id.to_string());
        eval.arg(&self.keys.hints).arg(self.hints.writer());
        let odd = || self.connection.odd_reply("EVAL");
        let Value::Array(mut reply) = self.connection.write(&eval).await? else { return Err(odd()) };
        let current = if reply.len() == 4 { reply.pop() } else { None };
        let [Value::Int(won), nonce, change] = &reply[..] else { return Err(odd()) };
        let outcome = match (won, current) {
            (1, None) => Swap::Won,
            (0, Some(current)) => Swap::Lost(self.record_of(current, "EVAL")?),
            _ => return Err(odd()),
        };
        self.history.saw(history::cursor(nonce, change).ok_or_else(odd)?);
        Ok(outcome)
    }

    /// The record, or its absence, in a reply to `command`.
    fn record_of(&self, value: Value, command: &str) -> Result<Option<Sealed>, StoreError> {
        match value {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => Ok(Some(Sealed::new(bytes))),
            _ => Err(self.connection.odd_reply(command)),
        }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisStore({})", self.connection.shown())
    }
}

/// All answer within 4 s: 2 s for a connection and 2 s for a reply; and at once, with the same reason, within a second of
/// an attempt to connect that came to nothing. A swap first waits until fewer than 128 are under way.
impl Store for RedisStore {
    fn load<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<Option<Sealed>, StoreError>> {
        Box::pin(self.get(id))
    }

    fn swap<'a>(&'a self, id: &'a CredentialId, expected: Option<Sealed>, next: Sealed) -> BoxFuture<'a, Swap> {
        Box::pin(async move { self.compare_and_set(id, expected, next).await.unwrap_or_else(Swap::Unknown) })
    }

    /// Always an error: the record may be that of a newer relay, which reads it.
    fn set_aside<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<String, StoreError>> {
        let key = self.keys.record(id);
        let reason =
            format!("other relays may read it: it stays where it is, at the key {key} (DEL {key} discards it)");
        ready(Err(StoreError(reason))).boxed()
    }
}
