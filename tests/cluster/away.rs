//! What if Redis is away, slow, full, locked, read-only, flushed, restored, or holds something that is no record?
//!
//! Tokens live long enough here that none is due: a call is one too many.

use std::time::Duration;

use redis::Value;
use tokio::{join, time::sleep};

use crate::{
    fleet::Fleet,
    house::{KEY, free_port},
    world::eventually,
};

/// Longer than a lease, shorter than what a token is promised for.
const WHILE: Duration = Duration::from_secs(14);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// On every relay.
    Everywhere,
    /// At least where the record is written.
    AtTheHolder,
    /// It may be repaired before anybody looks.
    Perhaps,
}

async fn it_is_weathered(
    what: &str,
    shown: Shown,
    harm: impl AsyncFnOnce(&mut Fleet),
    heal: impl AsyncFnOnce(&mut Fleet),
) {
    let mut fleet = Fleet::new(1200, 300).await;
    let first = fleet.relay(0).get("/token").await.generation();
    harm(&mut fleet).await;
    sleep(WHILE).await;
    eventually(&format!("{what}: it is shown"), async || {
        let (degraded, metrics) = fleet.troubled().await;
        match shown {
            Shown::Everywhere => degraded.len() == 3 && metrics.len() == 3,
            Shown::AtTheHolder => degraded.contains(&fleet.holder()) && metrics.contains(&fleet.holder()),
            Shown::Perhaps => true,
        }
    })
    .await;
    heal(&mut fleet).await;
    eventually(&format!("{what}: all is well again"), async || {
        fleet.troubled().await.0.is_empty() && fleet.agrees().await
    })
    .await;
    eventually(&format!("{what}: the record is stored again"), async || stored(&fleet).contains("\"generation\""))
        .await;
    assert!(fleet.relay(0).get("/token").await.generation() >= first, "I4");
    for index in fleet.running() {
        let told = fleet.relay(index).events("record not stored: serving from memory");
        let loud = told.iter().filter(|event| event["level"] == "WARN").count();
        // three of a kind; a machine that stands still may make two kinds of one. Undamped there is one each second.
        assert!(loud <= 6, "{what}: {loud} warnings of one trouble");
    }
    assert_eq!((fleet.world.calls().len(), fleet.world.probes()), (1, 0), "{what}: nothing was due");
    fleet.close_served(what).await;
}

/// What Redis holds for `main`, as text.
fn stored(fleet: &Fleet) -> String {
    match fleet.redis.tell(&["GET", KEY]) {
        Value::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
        _ => String::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_every_relay_serves_and_nobody_calls() {
    let killed = it_is_weathered(
        "killed, and empty after its restart",
        Shown::Everywhere,
        async |fleet| fleet.redis.kill(),
        async |fleet| fleet.redis.restart(),
    );
    let frozen = it_is_weathered(
        "stopped",
        Shown::Everywhere,
        async |fleet| fleet.redis.freeze(),
        async |fleet| fleet.redis.thaw(),
    );
    let slow = it_is_weathered(
        "slow",
        Shown::Perhaps,
        async |fleet| {
            fleet.redis.tell(&["CLIENT", "PAUSE", "10000", "ALL"]);
        },
        async |_| {},
    );
    let locked = it_is_weathered(
        "another password",
        Shown::Everywhere,
        async |fleet| {
            fleet.redis.tell(&["CONFIG", "SET", "requirepass", "another"]);
            fleet.redis.tell_as(":another@", &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        },
        async |fleet| {
            fleet.redis.tell_as(":another@", &["CONFIG", "SET", "requirepass", ""]);
        },
    );
    join!(killed, frozen, slow, locked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_takes_no_writes_stops_nobody_from_serving() {
    let full = it_is_weathered(
        "out of memory",
        Shown::AtTheHolder,
        async |fleet| {
            fleet.redis.tell(&["CONFIG", "SET", "maxmemory", "1"]);
        },
        async |fleet| {
            fleet.redis.tell(&["CONFIG", "SET", "maxmemory", "0"]);
        },
    );
    let read_only = it_is_weathered(
        "a read-only replica",
        Shown::AtTheHolder,
        async |fleet| {
            fleet.redis.tell(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]);
        },
        async |fleet| {
            fleet.redis.tell(&["REPLICAOF", "NO", "ONE"]);
        },
    );
    let foreign = it_is_weathered(
        "foreign bytes",
        Shown::Everywhere,
        async |fleet| {
            fleet.redis.tell(&["SET", KEY, "no record of ours"]);
        },
        async |fleet| {
            fleet.redis.tell(&["DEL", KEY]);
        },
    );
    let newer = it_is_weathered(
        "a newer layout",
        Shown::Everywhere,
        async |fleet| {
            let record = stored(fleet).replace("\"version\":1", "\"version\":99");
            fleet.redis.tell(&["SET", KEY, &record]);
        },
        async |fleet| {
            fleet.redis.tell(&["DEL", KEY]);
        },
    );
    let flushed = it_is_weathered(
        "flushed",
        Shown::Perhaps,
        async |fleet| {
            fleet.redis.tell(&["FLUSHALL"]);
        },
        async |_| {},
    );
    join!(full, read_only, foreign, newer, flushed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_restored_from_an_old_dump_is_repaired_from_memory() {
    let mut fleet = Fleet::new(1200, 300).await;
    let (dead, old) = (fleet.relay(0).get("/token").await.token(), stored(&fleet));
    fleet.forgive(&dead);
    fleet.world.sim.revoke(&dead);
    let new = fleet.report(1, &dead).await;
    eventually("all serve the new token", async || fleet.agrees().await).await;
    fleet.redis.tell(&["SET", KEY, &old]);
    let generation = format!("\"generation\":{}", new.generation());
    eventually("the newer record is written again", async || stored(&fleet).contains(&generation)).await;
    sleep(Duration::from_secs(3)).await;
    assert!(fleet.agrees().await);
    assert_eq!(fleet.relay(2).get("/token").await.etag(), new.etag());
    assert_eq!((fleet.world.calls().len(), fleet.world.probes()), (2, 1));
    fleet.close().await;
}
