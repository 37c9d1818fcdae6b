//! Are the other relays told of a change at once, when all is well?

use std::time::Duration;

use test_support::{RedisServer, eventually};
use token_relay::{
    credential::CredentialId,
    store::{SharedStore as _, Store as _, Swap, redis::RedisStore},
};
use tokio::{sync::watch, time::timeout};

use crate::stores::{LATEST, account, healed, in_time, load, sealed, store_on, swap};

async fn changed(hints: &mut watch::Receiver<u64>) {
    timeout(LATEST * 2, hints.changed()).await.expect("a hint").unwrap();
}

/// The hints of a store that is listening.
async fn listening(store: &RedisStore) -> watch::Receiver<u64> {
    let mut hints = store.hint();
    if *hints.borrow_and_update() == 0 {
        changed(&mut hints).await;
    }
    hints
}

#[tokio::test]
async fn a_swap_that_wins_is_a_hint_to_the_others_and_one_that_loses_is_none() {
    let server = RedisServer::start();
    let (here, there) = (store_on(&server), store_on(&server));
    let (mut own, mut hints) = (listening(&here).await, listening(&there).await);
    for (expected, next) in [(None, "one"), (Some("one"), "two")] {
        assert_eq!(swap(&here, expected, next).await, Swap::Won);
        changed(&mut hints).await;
    }
    assert_eq!(swap(&here, Some("one"), "three").await, Swap::Lost(Some(sealed("two"))));
    let quiet = Duration::from_millis(300);
    assert!(timeout(quiet, hints.changed()).await.is_err());
    assert!(!own.has_changed().unwrap(), "a relay knows what it wrote itself");
    assert_eq!(swap(&there, Some("two"), "three").await, Swap::Won);
    changed(&mut own).await;
}

#[tokio::test]
async fn there_is_one_hint_for_all_records() {
    let server = RedisServer::start();
    let accounts = ["main", "shop"].map(|name| CredentialId::access_token(name.parse().unwrap()));
    let (here, there) = (store_on(&server), store_on(&server));
    let mut hint = listening(&there).await;
    for id in &accounts {
        assert_eq!(in_time(here.swap(id, None, sealed("one"))).await, Swap::Won);
        changed(&mut hint).await;
    }
}

#[tokio::test]
async fn hints_come_again_after_the_connection_and_after_the_server_was_lost() {
    let mut server = RedisServer::start();
    let (here, there) = (store_on(&server), store_on(&server));
    let mut hints = listening(&there).await;
    server.tell(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    changed(&mut hints).await; // something may have been missed
    assert_eq!(swap(&here, None, "one").await, Swap::Won);
    changed(&mut hints).await;
    server.kill();
    server.restart();
    changed(&mut hints).await;
    assert_eq!(healed(&here).await, None);
    assert_eq!(swap(&here, None, "two").await, Swap::Won);
    changed(&mut hints).await;
}

#[tokio::test]
async fn a_subscription_on_a_server_that_was_stopped_for_long_is_made_again() {
    let server = RedisServer::start();
    let (here, there) = (store_on(&server), store_on(&server));
    let mut hints = listening(&there).await;
    server.freeze();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(!hints.has_changed().unwrap());
    server.thaw();
    changed(&mut hints).await;
    let current = healed(&here).await;
    assert_eq!(in_time(here.swap(&account(), current, sealed("one"))).await, Swap::Won);
    changed(&mut hints).await;
}

#[tokio::test]
async fn a_store_that_is_dropped_leaves_no_connection_behind() {
    let server = RedisServer::start();
    let store = store_on(&server);
    let _hints = listening(&store).await;
    assert_eq!(load(&store).await, Ok(None));
    let clients = || server.info("clients");
    eventually("its two connections and this one", async || clients().contains("connected_clients:3")).await;
    drop(store);
    eventually("this one only", async || clients().contains("connected_clients:1")).await;
}
