//! How does a test open a store on a Redis server, and how does it load and swap in bounded time?

use std::time::Duration;

use test_support::RedisServer;
use token_relay::{
    clock::{Clock, SystemClock},
    credential::CredentialId,
    settings::{SecretUrl, StateUrl},
    store::{Sealed, Store as _, StoreError, Swap, redis::RedisStore},
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

/// A store of a relay that has the account `main`.
pub(crate) fn store(url: &str) -> RedisStore {
    RedisStore::new(&secret_url(url), [account()])
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
