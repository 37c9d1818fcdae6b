//! Does a poll name what has changed since the last one, and is a store that went back noticed?

use std::sync::Arc;

use redis::Value;
use test_support::{RECORD_KEY, RedisServer};
use token_relay::{
    credential::{CredentialId, TicketKind},
    store::{Changed, Cursor, Poll, READ_AT_ONCE, SharedStore as _, Store as _, Swap, redis::RedisStore},
};
use tokio::task::JoinSet;

use crate::fake_redis::losing_replies;
use crate::stores::{
    CHANGES, GROUP, RELAYS, account, in_time, load, poll, poll_as, sealed, store, store_on, swap, unknown,
};

fn id(name: &str) -> CredentialId {
    CredentialId::access_token(name.parse().unwrap())
}

fn these(ids: &[CredentialId]) -> Changed {
    Changed::These(ids.to_vec())
}

#[tokio::test]
async fn the_first_poll_says_all_and_the_next_name_what_was_written_since_by_anybody() {
    let server = RedisServer::start();
    let ids = ["main", "shop", "club"].map(id);
    let [here, there] = [(); 2].map(|()| store_on(&server));
    let first = poll(&here, None).await;
    assert_eq!((first.cursor.change, &first.changed), (0, &Changed::All));
    let other = poll_as(&there, 2, None).await.unwrap();
    assert_eq!((other.cursor, &other.changed), (first.cursor, &Changed::All), "one history");
    assert_eq!(poll(&here, Some(first.cursor)).await.changed, these(&[]));
    assert_eq!(in_time(here.swap(&ids[1], None, sealed("one"))).await, Swap::Won);
    assert_eq!(in_time(there.swap(&ids[0], None, sealed("one"))).await, Swap::Won);
    assert_eq!(in_time(there.swap(&ids[2], Some(sealed("two")), sealed("three"))).await, Swap::Lost(None));
    for store in [&here, &there] {
        let second = poll(store, Some(first.cursor)).await;
        assert_eq!(second.changed, these(&[ids[1].clone(), ids[0].clone()]), "in their order, and not what lost");
        assert_eq!(second.cursor, Cursor { change: 2, ..first.cursor });
    }
    assert_eq!(in_time(here.swap(&ids[1], Some(sealed("one")), sealed("two"))).await, Swap::Won);
    let cursor = Cursor { change: 2, ..first.cursor };
    assert_eq!(poll(&there, Some(cursor)).await.changed, these(&[ids[1].clone()]));
    assert_eq!(poll(&there, Some(first.cursor)).await.changed, these(&[ids[0].clone(), ids[1].clone()]), "named once");
    let foreign = Cursor { nonce: first.cursor.nonce ^ 1, ..cursor };
    assert_eq!(poll(&there, Some(foreign)).await.changed, Changed::All);
    assert_eq!(poll(&there, None).await.changed, Changed::All);
}

#[tokio::test]
async fn every_credential_is_named_whoever_keeps_it_and_a_database_is_a_group_of_its_own() {
    let server = RedisServer::start();
    let (here, there) = (store_on(&server), store_on(&server));
    let cursor = poll(&there, None).await.cursor;
    let ids = [id("shop"), CredentialId::ticket("main".parse().unwrap(), TicketKind::Jsapi), account()];
    for id in &ids {
        assert_eq!(in_time(here.swap(id, None, sealed("one"))).await, Swap::Won);
    }
    // of a kind that this version does not know, and of none
    server.tell(&["ZADD", CHANGES, "2", "main.newer", "3", "NO Credential\r\n"]);
    let seen = poll(&there, Some(cursor)).await;
    assert_eq!((seen.cursor.change, seen.changed), (3, these(&ids)));
    let elsewhere = poll(&store(&format!("{}/1", server.url())), Some(cursor)).await;
    assert_eq!((elsewhere.cursor.change, &elsewhere.changed), (0, &Changed::All));
    assert_ne!(elsewhere.cursor.nonce, cursor.nonce);
}

#[tokio::test]
async fn where_more_than_5000_have_changed_a_poll_says_all() {
    let server = RedisServer::start();
    let store = store_on(&server);
    let cursor = poll(&store, None).await.cursor;
    let members = (1..=5000).flat_map(|n| [n.to_string(), format!("a{n}")]).collect::<Vec<_>>();
    let add: Vec<&str> = ["ZADD", CHANGES].into_iter().chain(members.iter().map(String::as_str)).collect();
    server.tell(&add);
    server.tell(&["HSET", GROUP, "change", "5000"]);
    let seen = poll(&store, Some(cursor)).await;
    let named: Vec<_> = (1..=5000).map(|n| id(&format!("a{n}"))).collect();
    assert_eq!((seen.cursor.change, seen.changed), (5000, these(&named)));
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
    assert_eq!(poll(&store, Some(cursor)).await.changed, Changed::All);
    assert_eq!(poll(&store, Some(seen.cursor)).await.changed, these(&[account()]));
}

#[tokio::test]
async fn after_a_flush_every_relay_reads_all_in_a_new_history() {
    let server = RedisServer::start();
    let (here, there) = (store_on(&server), store_on(&server));
    assert_eq!(swap(&here, None, "one").await, Swap::Won);
    let cursor = poll(&here, None).await.cursor;
    assert_eq!(poll_as(&there, 2, Some(cursor)).await.unwrap().changed, these(&[]));
    server.tell(&["FLUSHALL"]);
    assert_eq!(swap(&here, Some("one"), "two").await, Swap::Lost(None));
    assert_eq!(swap(&here, None, "one").await, Swap::Won);
    let flushed = poll(&here, Some(cursor)).await;
    assert_eq!((flushed.cursor.change, &flushed.changed), (1, &Changed::All));
    assert_ne!(flushed.cursor.nonce, cursor.nonce);
    let seen = poll_as(&there, 2, Some(cursor)).await.unwrap();
    assert_eq!((seen.cursor, seen.changed), (flushed.cursor, Changed::All));
    assert_eq!(poll_as(&there, 2, Some(seen.cursor)).await.unwrap().changed, these(&[]));
}

/// Two stores that have seen three writes, in a group that is set back to the first.
async fn set_back() -> (RedisServer, [RedisStore; 2], Cursor) {
    let server = RedisServer::start();
    let stores = [store_on(&server), store_on(&server)];
    for (expected, next) in [(None, "one"), (Some("one"), "two"), (Some("two"), "three")] {
        assert_eq!(swap(&stores[0], expected, next).await, Swap::Won);
    }
    let cursor = poll(&stores[0], None).await.cursor;
    assert_eq!(poll_as(&stores[1], 2, None).await.unwrap().cursor, cursor);
    server.tell(&["SET", RECORD_KEY, "one"]);
    server.tell(&["HSET", GROUP, "change", "1"]);
    (server, stores, cursor)
}

/// A group of one write in whose hash somebody has written something else, and what the next poll says.
async fn after_garbage(field: &str, garbage: &str) -> (RedisServer, RedisStore, Cursor, Poll) {
    let server = RedisServer::start();
    let store = store_on(&server);
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
    let cursor = poll(&store, None).await.cursor;
    server.tell(&["HSET", GROUP, field, garbage]);
    let seen = poll(&store, Some(cursor)).await;
    assert_eq!(seen.changed, Changed::All, "{garbage}");
    (server, store, cursor, seen)
}

#[tokio::test]
async fn a_change_number_that_cannot_be_counted_on_from_begins_a_new_history() {
    for garbage in ["9223372036854775807", "1e3", "0x10", "007", " 7", "7.0", "-5", "abc", ""] {
        let (_server, store, cursor, seen) = after_garbage("change", garbage).await;
        assert_ne!(seen.cursor.nonce, cursor.nonce, "{garbage}");
        assert_eq!(swap(&store, Some("one"), "two").await, Swap::Won, "{garbage}");
        assert_eq!(poll(&store, Some(seen.cursor)).await.changed, these(&[account()]), "{garbage}");
    }
}

#[tokio::test]
async fn a_nonce_that_no_relay_makes_begins_a_new_history() {
    for garbage in ["0", "007", "99999999999999999", "184467440737095516150", "-5", "1e3", "abc", ""] {
        let (_server, store, _, seen) = after_garbage("nonce", garbage).await;
        assert_eq!(poll(&store, Some(seen.cursor)).await.changed, these(&[]), "{garbage}");
    }
}

#[tokio::test]
async fn an_older_dump_is_noticed_by_the_first_poll_and_then_all_relays_read_all() {
    let (server, [here, there], cursor) = set_back().await;
    let noticed = poll(&here, Some(cursor)).await;
    assert_eq!((noticed.cursor.change, &noticed.changed), (1, &Changed::All));
    assert_ne!(noticed.cursor.nonce, cursor.nonce);
    let seen = poll_as(&there, 2, Some(cursor)).await.unwrap();
    assert_eq!((seen.cursor, &seen.changed), (noticed.cursor, &Changed::All));
    assert_eq!(server.tell(&["ZCARD", CHANGES]), Value::Int(0), "what the other history noted is named no more");
    assert_eq!(poll(&here, Some(noticed.cursor)).await.changed, these(&[]));
}

#[tokio::test]
async fn an_older_dump_is_noticed_by_the_first_swap_whether_it_wins_or_loses() {
    for (expected, outcome) in [("one", Swap::Won), ("three", Swap::Lost(Some(sealed("one"))))] {
        let (_server, [here, there], cursor) = set_back().await;
        assert_eq!(swap(&here, Some(expected), "four").await, outcome);
        // so many writes that the number alone would not show it
        for n in 0..4 {
            let current = load(&here).await.unwrap();
            assert_eq!(in_time(here.swap(&account(), current, sealed(&format!("{n}")))).await, Swap::Won);
        }
        let seen = poll_as(&there, 2, Some(cursor)).await.unwrap();
        assert!(seen.cursor.change > cursor.change);
        assert_eq!(seen.changed, Changed::All, "{expected}");
        assert_eq!(poll(&here, Some(cursor)).await.changed, Changed::All);
    }
}

#[tokio::test]
async fn writes_since_the_last_poll_count_as_seen_too() {
    let server = RedisServer::start();
    let store = store_on(&server);
    let cursor = poll(&store, None).await.cursor;
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
    // the dump was made after that poll, and before this relay's swap
    server.tell(&["DEL", RECORD_KEY]);
    server.tell(&["HSET", GROUP, "change", "0"]);
    let seen = poll(&store, Some(cursor)).await;
    assert_eq!((seen.cursor.change, &seen.changed), (0, &Changed::All));
    assert_ne!(seen.cursor.nonce, cursor.nonce);
}

#[tokio::test]
async fn a_relay_that_has_just_started_makes_no_new_history_and_a_group_that_cannot_be_read_gets_one() {
    let (server, [here, _], cursor) = set_back().await;
    let new = store_on(&server);
    assert_eq!(poll_as(&new, 3, None).await.unwrap().cursor, Cursor { change: 1, ..cursor });
    let ahead = poll_as(&new, 3, Some(cursor)).await.unwrap();
    assert_eq!(
        (ahead.cursor.change, &ahead.changed),
        (1, &Changed::All),
        "whoever polls with that cursor has seen more"
    );
    assert_ne!(ahead.cursor.nonce, cursor.nonce);
    let mut last = poll(&here, None).await.cursor;
    for [field, value] in [["nonce", "foreign"], ["change", "foreign"]] {
        server.tell(&["HSET", GROUP, field, value]);
        assert_eq!(swap(&here, None, "two").await, Swap::Lost(Some(sealed("one"))));
        let seen = poll(&here, Some(last)).await;
        assert_eq!(seen.changed, Changed::All);
        assert_ne!(seen.cursor.nonce, last.nonce);
        last = seen.cursor;
    }
    assert_eq!(swap(&here, Some("one"), "two").await, Swap::Won);
}

#[tokio::test]
async fn a_shared_key_of_another_type_is_an_error_of_every_operation_that_needs_it() {
    for (key, harms_swaps) in [(GROUP, true), (CHANGES, true), (RELAYS, false)] {
        let server = RedisServer::start();
        let store = store_on(&server);
        assert_eq!(swap(&store, None, "one").await, Swap::Won);
        let cursor = poll(&store, None).await.cursor;
        server.tell(&["DEL", key]);
        server.tell(&["SET", key, "foreign"]);
        if harms_swaps {
            assert!(unknown(&store, Some("one"), "two").await.contains("WRONGTYPE"), "{key}");
        }
        // that swap was counted: now the poll asks what it changed
        let reason = poll_as(&store, 1, Some(cursor)).await.unwrap_err().to_string();
        assert!(reason.contains("WRONGTYPE: a key of the relays holds something else"), "{key}: {reason}");
        assert_eq!(load(&store).await, Ok(Some(sealed("one"))), "{key}: nothing is written that is not noted");
        server.tell(&["DEL", key]);
        assert_eq!(swap(&store, Some("one"), "two").await, Swap::Won);
        assert!(poll_as(&store, 1, Some(cursor)).await.is_ok());
    }
}

#[tokio::test]
async fn many_records_are_read_at_once_in_the_order_that_was_asked_for() {
    let server = RedisServer::start();
    let ids: Vec<CredentialId> = (0..READ_AT_ONCE).map(|n| id(&format!("a{n}"))).collect();
    let store = store_on(&server);
    let is_there = |n: usize| n % 3 != 1;
    let record = |n: usize| format!("{n} {}", "x".repeat(n % 3000));
    let there = (0..ids.len()).filter(|n| is_there(*n));
    let pairs: Vec<_> = there.flat_map(|n| [format!("{{token-relay}}:v2:record:a{n}"), record(n)]).collect();
    let set: Vec<&str> = std::iter::once("MSET").chain(pairs.iter().map(String::as_str)).collect();
    server.tell(&set);
    let records = in_time(store.read(&ids)).await.unwrap();
    assert_eq!(records.len(), ids.len());
    for (n, found) in records.iter().enumerate() {
        assert_eq!(*found, is_there(n).then(|| sealed(&record(n))), "{n}");
    }
    let some = [&ids[0], &ids[2], &ids[0]].map(Clone::clone);
    assert_eq!(in_time(store.read(&some)).await.unwrap(), [0, 2, 0].map(|n| Some(sealed(&record(n)))));
    assert_eq!(in_time(store.read(&[])).await, Ok(vec![]));
    server.tell(&["DEL", "{token-relay}:v2:record:a0"]);
    server.tell(&["RPUSH", "{token-relay}:v2:record:a0", "foreign"]);
    assert_eq!(in_time(store.read(&some)).await.unwrap()[..2], [None, Some(sealed(&record(2)))]);
    let reason = format!("{:?}", in_time(store.swap(&ids[0], None, sealed("one"))).await);
    assert!(reason.contains("WRONGTYPE"), "{reason}");
}

#[tokio::test]
async fn a_read_whose_reply_is_lost_is_an_error() {
    let server = RedisServer::start();
    let ids = ["main", "shop"].map(id);
    let link = losing_replies(server.port, |request| request.windows(11).any(|key| key == b"record:shop"));
    let store = store(&link.url("redis"));
    assert_eq!(in_time(store.read(&ids[..1])).await, Ok(vec![None]));
    let reason = in_time(store.read(&ids)).await.unwrap_err().to_string();
    assert!(reason.contains("connection"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn polls_among_many_swaps_miss_nothing() {
    let server = RedisServer::start();
    let ids: Vec<CredentialId> = (0..500).map(|n| id(&format!("a{n}"))).collect();
    let [writer, reader] = [(); 2].map(|()| Arc::new(store_on(&server)));
    let mut cursor = poll(&reader, None).await.cursor;
    let swaps = ids.iter().cloned().map(|id| {
        let writer = writer.clone();
        async move { writer.swap(&id, None, sealed("one")).await }
    });
    let swaps: JoinSet<_> = swaps.collect();
    let (mut named, mut polls) = (Vec::new(), 0);
    while cursor.change < 500 {
        let seen = poll(if polls % 2 == 0 { &reader } else { &writer }, Some(cursor)).await;
        let Changed::These(changed) = seen.changed else { panic!("{seen:?}") };
        assert_eq!(changed.len() as u64, seen.cursor.change - cursor.change);
        named.extend(changed);
        (cursor, polls) = (seen.cursor, polls + 1);
    }
    assert!(swaps.join_all().await.iter().all(|outcome| *outcome == Swap::Won));
    named.sort();
    named.dedup();
    assert_eq!(named.len(), 500);
}
