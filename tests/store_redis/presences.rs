//! Do the relays see each other, and what if one cannot show itself?

use redis::Value;
use test_support::{RedisServer, eventually};
use token_relay::{
    clock::BootId,
    presence::{Presence, ReplicaId},
    store::{SharedStore as _, Swap, redis::RedisStore},
};

use crate::stores::{RELAYS, in_time, load, poll, presence, sealed, store_on, swap};

/// The beats that a poll of this relay with this beat is answered with.
async fn beats(store: &RedisStore, me: u64, beat: u64) -> Vec<(u64, u64)> {
    let seen = in_time(store.poll(ReplicaId(me), presence(beat), None)).await.unwrap();
    assert!(seen.presences.iter().all(|(_, shown)| *shown == presence(shown.beat)), "as they were sent: {seen:?}");
    let mut beats: Vec<_> = seen.presences.iter().map(|(relay, shown)| (relay.0, shown.beat)).collect();
    beats.sort_unstable();
    beats
}

#[tokio::test]
async fn every_relay_is_seen_by_all_until_it_is_forgotten() {
    let server = RedisServer::start();
    let (here, there) = (store_on(&server), store_on(&server));
    assert_eq!(beats(&here, 1, 7).await, [(1, 7)]);
    assert_eq!(beats(&there, u64::MAX, 3).await, [(1, 7), (u64::MAX, 3)]);
    assert_eq!(beats(&here, 1, 8).await, [(1, 8), (u64::MAX, 3)]);
    assert_eq!(in_time(here.forget(&[])).await, Ok(()));
    assert_eq!(in_time(here.forget(&[ReplicaId(u64::MAX), ReplicaId(5)])).await, Ok(()));
    assert_eq!(beats(&here, 1, 9).await, [(1, 9)]);
    // it was only away
    assert_eq!(beats(&there, u64::MAX, 4).await, [(1, 9), (u64::MAX, 4)]);
}

#[tokio::test]
async fn a_beat_that_comes_late_is_not_taken_however_great_the_numbers() {
    let server = RedisServer::start();
    let store = store_on(&server);
    let great = u64::MAX - 1;
    for (sent, kept) in
        [(9, 9), (8, 9), (9, 9), (10, 10), (9, 10), (100, 100), (99, 100), (great, great), (great - 1, great)]
    {
        assert_eq!(beats(&store, 1, sent).await, [(1, kept)]);
    }
    assert_eq!(beats(&store, 1, u64::MAX).await, [(1, u64::MAX)], "doubles cannot tell these two");
    let same = Presence { heard: vec![(ReplicaId(9), 3)], ..presence(u64::MAX) };
    let seen = in_time(store.poll(ReplicaId(1), same, None)).await.unwrap();
    assert_eq!(seen.presences, [(ReplicaId(1), presence(u64::MAX))], "the first of two with one beat stays");
}

#[tokio::test]
async fn what_shows_no_beat_is_skipped_the_relay_s_own_is_replaced_and_a_beat_alone_shows_life() {
    let server = RedisServer::start();
    let store = store_on(&server);
    let newer = r#"{"beat":5,"boot_id":"x","boot_at":{"unit":"ns"},"heard":"nobody","more":{"beat":1}}"#;
    let shown = [("1", "foreign"), ("2", "foreign"), ("x", newer), ("3", newer), ("4", r#"{"beat":6}"#)];
    for (relay, shown) in shown.into_iter().chain([("5", r#"{"alive":true}"#), ("6", r#"{"beat":"7"}"#)]) {
        server.tell(&["HSET", RELAYS, relay, shown]);
    }
    let seen = in_time(store.poll(ReplicaId(1), presence(1), None)).await.unwrap();
    let mut relays: Vec<_> = seen.presences.iter().map(|(relay, shown)| (relay.0, shown.beat)).collect();
    relays.sort_unstable();
    assert_eq!(relays, [(1, 1), (3, 5), (4, 6)]);
    let unknown = seen.presences.iter().filter(|(_, shown)| shown.boot_id == BootId::default()).count();
    assert_eq!(unknown, 2, "that the other two live tells nothing of their clocks: {seen:?}");
}

#[tokio::test]
async fn a_relay_that_cannot_show_itself_gets_an_error_that_says_why() {
    let server = RedisServer::start();
    let store = store_on(&server);
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
    let cursor = poll(&store, None).await.cursor;
    let refused = async |beat| in_time(store.poll(ReplicaId(1), presence(beat), Some(cursor))).await.unwrap_err();
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    let reason = refused(u64::MAX - 2).await.to_string();
    assert!(reason.contains("OOM: it is out of memory"), "{reason}");
    assert_eq!(load(&store).await, Ok(Some(sealed("one"))));
    assert_eq!(in_time(store.read(&[crate::stores::account()])).await, Ok(vec![Some(sealed("one"))]));
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    let primary = RedisServer::start();
    server.tell(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    eventually("the replica follows", async || server.info("replication").contains("master_link_status:up")).await;
    let reason = refused(u64::MAX - 1).await.to_string();
    assert!(reason.contains("READONLY: it is a read-only replica"), "{reason}");
    assert_eq!(server.tell(&["EXISTS", RELAYS]), Value::Int(0));
}

#[tokio::test]
async fn a_poll_on_a_server_that_is_stopped_ends_in_time() {
    let server = RedisServer::start();
    let store = store_on(&server);
    assert_eq!(load(&store).await, Ok(None));
    server.freeze();
    let reason = in_time(store.poll(ReplicaId(1), presence(1), None)).await.unwrap_err().to_string();
    assert!(reason.ends_with("no reply within 2s"), "{reason}");
    assert!(in_time(store.forget(&[ReplicaId(2)])).await.is_err());
    server.thaw();
}
