//! Is there one record for each account, and does exactly one of many swaps win?

use std::sync::Arc;

use redis::Value;
use test_support::{RECORD_KEY, RedisServer};
use token_relay::{
    credential::CredentialId,
    store::{Sealed, Store as _, Swap},
};
use tokio::task::JoinSet;

use crate::stores::{account, load, sealed, store, store_on, swap};

#[tokio::test]
async fn only_a_swap_that_knows_the_current_record_wins_and_the_others_are_told_it() {
    let server = RedisServer::start();
    let (here, there) = (store_on(&server), store_on(&server));
    assert_eq!(load(&here).await, Ok(None));
    assert_eq!(swap(&here, Some("a"), "b").await, Swap::Lost(None));
    assert_eq!(swap(&here, None, "a").await, Swap::Won);
    assert_eq!(swap(&there, None, "b").await, Swap::Lost(Some(sealed("a"))));
    assert_eq!(swap(&there, Some("a"), "b").await, Swap::Won);
    assert_eq!(swap(&here, Some("a"), "c").await, Swap::Lost(Some(sealed("b"))));
    assert_eq!(load(&here).await, Ok(Some(sealed("b"))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_swaps_at_once_by_two_relays_one_wins_each_round() {
    let server = RedisServer::start();
    let stores = [Arc::new(store_on(&server)), Arc::new(store_on(&server))];
    let mut current = None;
    for round in 0..50 {
        let swaps = (0..40).map(|n| {
            let (store, current) = (stores[n % 2].clone(), current.clone());
            async move { (n, store.swap(&account(), current, sealed(&format!("{round} {n}"))).await) }
        });
        let outcomes = swaps.collect::<JoinSet<_>>().join_all().await;
        let won: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome == Swap::Won).collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        let winner = sealed(&format!("{round} {}", won[0].0));
        let told = outcomes.iter().filter(|(_, outcome)| *outcome == Swap::Lost(Some(winner.clone()))).count();
        assert_eq!(told, 39, "every loser is told who won");
        current = Some(winner);
    }
    assert_eq!(load(&stores[0]).await, Ok(current));
}

#[tokio::test]
async fn a_record_is_bytes_and_an_empty_one_is_not_an_absent_one() {
    let server = RedisServer::start();
    let store = store_on(&server);
    let mut current = None;
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for bytes in [b"".to_vec(), b"\0".to_vec(), b"\r\n$-1\r\n".to_vec(), every_byte, b"0".to_vec(), b"absent".to_vec()]
    {
        let next = Sealed::new(bytes);
        let other = Sealed::new(b"something else".to_vec());
        assert_eq!(store.swap(&account(), Some(other), next.clone()).await, Swap::Lost(current.clone()));
        assert_eq!(store.swap(&account(), current.clone(), next.clone()).await, Swap::Won);
        assert_eq!(load(&store).await, Ok(Some(next.clone())));
        current = Some(next);
    }
    assert_eq!(store.swap(&account(), None, sealed("x")).await, Swap::Lost(current));
}

#[tokio::test]
async fn each_account_has_a_key_of_its_own_without_a_lifetime_in_the_database_of_the_url() {
    let server = RedisServer::start();
    let stores = [store_on(&server), store(&format!("{}/3", server.url()))];
    let other = CredentialId::access_token("main_2".parse().unwrap());
    assert_eq!(swap(&stores[0], None, "one").await, Swap::Won);
    assert_eq!(stores[0].load(&other).await, Ok(None));
    assert_eq!(stores[0].swap(&other, None, sealed("two")).await, Swap::Won);
    assert_eq!(load(&stores[1]).await, Ok(None), "another database");
    assert_eq!(swap(&stores[1], None, "three").await, Swap::Won);
    assert_eq!(server.tell(&["GET", RECORD_KEY]), Value::BulkString(b"one".to_vec()));
    assert_eq!(server.tell(&["EXISTS", "{token-relay}:v2:record:main_2"]), Value::Int(1));
    assert_eq!(server.tell(&["DBSIZE"]), Value::Int(4), "two records, the group and its changes");
    server.tell(&["EXPIRE", RECORD_KEY, "1000"]);
    assert_eq!(swap(&stores[0], Some("one"), "four").await, Swap::Won);
    assert_eq!(server.tell(&["TTL", RECORD_KEY]), Value::Int(-1));
}

#[tokio::test]
async fn foreign_bytes_are_shown_as_they_are_and_nobody_else_s_record_is_set_aside() {
    let server = RedisServer::start();
    let store = store_on(&server);
    server.tell(&["SET", RECORD_KEY, "not a record"]);
    assert_eq!(load(&store).await, Ok(Some(sealed("not a record"))));
    let reason = store.set_aside(&account()).await.unwrap_err().to_string();
    assert!(reason.contains(&format!("DEL {RECORD_KEY}")), "{reason}");
    assert_eq!(swap(&store, None, "one").await, Swap::Lost(Some(sealed("not a record"))));
    server.tell(&["FLUSHALL"]);
    assert_eq!(load(&store).await, Ok(None));
    assert_eq!(swap(&store, Some("not a record"), "one").await, Swap::Lost(None));
}
