//! How does a test open a store on a Redis server, and how does it load and swap in bounded time?

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use test_support::RedisServer;
use token_relay::{
    clock::{BootId, Clock, SystemClock, Timestamp},
    credential::CredentialId,
    presence::{Presence, ReplicaId},
    settings::{RedisOptions, SecretUrl, StateUrl},
    store::{Cursor, Poll, Sealed, SharedStore as _, Store as _, StoreError, Swap, redis::RedisStore},
};

/// Much longer than an operation may take (5 s), so that a busy machine fails no test.
pub(crate) const LATEST: Duration = Duration::from_secs(9);

pub(crate) fn account() -> CredentialId {
    CredentialId::access_token("main".parse().unwrap())
}

pub(crate) fn sealed(text: &str) -> Sealed {
    Sealed::new(text.as_bytes().to_vec())
}

pub(crate) fn secret_url(url: &str) -> SecretUrl {
    match url.parse() {
        Ok(StateUrl::Redis(url)) => url,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn store(url: &str) -> RedisStore {
    RedisStore::new(&secret_url(url), &RedisOptions::default())
}

pub(crate) fn store_on(server: &RedisServer) -> RedisStore {
    store(&server.url())
}

pub(crate) async fn load(store: &RedisStore) -> Result<Option<Sealed>, StoreError> {
    in_time(store.load(&account())).await
}

pub(crate) async fn swap(store: &RedisStore, expected: Option<&str>, next: &str) -> Swap {
    in_time(store.swap(&account(), expected.map(sealed), sealed(next))).await
}

/// What a swap that must be unknown says.
pub(crate) async fn unknown(store: &RedisStore, expected: Option<&str>, next: &str) -> String {
    match swap(store, expected, next).await {
        Swap::Unknown(StoreError(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn in_time<T>(operation: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(LATEST, operation).await;
    outcome.expect("every operation answers within 5 s")
}

/// Loads until it works again.
pub(crate) async fn healed(store: &RedisStore) -> Option<Sealed> {
    let until = SystemClock.awake() + LATEST * 3;
    loop {
        match load(store).await {
            Ok(record) => return record,
            Err(error) => assert!(SystemClock.awake() < until, "it does not heal: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The keys that all credentials share.
pub(crate) const GROUP: &str = "{token-relay}:v2:group";
pub(crate) const CHANGES: &str = "{token-relay}:v2:changes";
pub(crate) const RELAYS: &str = "{token-relay}:v2:relays";

/// What a relay shows of itself with this beat.
pub(crate) fn presence(beat: u64) -> Presence {
    let (boot_id, boot_at) = (BootId::from_text("a \"beat\":9 boot"), Timestamp::from_micros(5_000_000));
    Presence { beat, boot_id, boot_at, heard: Vec::new(), clocks: Vec::new() }
}

/// A poll of the relay `me`, with a beat later than every one before it.
pub(crate) async fn poll_as(store: &RedisStore, me: u64, cursor: Option<Cursor>) -> Result<Poll, StoreError> {
    static BEAT: AtomicU64 = AtomicU64::new(0);
    let beat = BEAT.fetch_add(1, Ordering::Relaxed) + 1;
    in_time(store.poll(ReplicaId(me), presence(beat), cursor)).await
}

pub(crate) async fn poll(store: &RedisStore, cursor: Option<Cursor>) -> Poll {
    poll_as(store, 1, cursor).await.unwrap()
}
