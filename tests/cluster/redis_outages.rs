//! What if Redis is away, slow, full, locked, read-only, flushed, restored, or holds something that is no record?
//!
//! Tokens live long enough here that none is due: a call is one too many.

use std::time::Duration;

use redis::Value;
use test_support::{RECORD_KEY, eventually, free_port};
use tokio::{join, time::sleep};

use crate::cluster::Cluster;

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

async fn it_is_survived(
    what: &str,
    shown: Shown,
    harm: impl AsyncFnOnce(&mut Cluster),
    heal: impl AsyncFnOnce(&mut Cluster),
) {
    let mut cluster = Cluster::new(1200, 300).await;
    let first = cluster.relay(0).get("/token").await.generation();
    harm(&mut cluster).await;
    sleep(WHILE).await;
    eventually(&format!("{what}: it is shown"), async || {
        let (degraded, metrics) = cluster.troubled().await;
        match shown {
            Shown::Everywhere => degraded.len() == 3 && metrics.len() == 3,
            Shown::AtTheHolder => degraded.contains(&cluster.holder()) && metrics.contains(&cluster.holder()),
            Shown::Perhaps => true,
        }
    })
    .await;
    heal(&mut cluster).await;
    eventually(&format!("{what}: all is well again"), async || {
        cluster.troubled().await.0.is_empty() && cluster.agrees().await
    })
    .await;
    eventually(&format!("{what}: the record is stored again"), async || stored(&cluster).contains("\"generation\""))
        .await;
    assert!(cluster.relay(0).get("/token").await.generation() >= first, "I4");
    for index in cluster.running() {
        let told = cluster.relay(index).events("record not stored: serving from memory");
        let loud = told.iter().filter(|event| event["level"] == "WARN").count();
        // three of a kind; a machine that stands still may make two kinds of one. Undamped there is one each second.
        assert!(loud <= 6, "{what}: {loud} warnings of one trouble");
    }
    assert_eq!((cluster.setup.calls().len(), cluster.setup.probes()), (1, 0), "{what}: nothing was due");
    cluster.close_served(what).await;
}

/// As [`it_is_survived`], where a command to Redis does the harm and another one heals it.
async fn a_command_is_survived(what: &str, shown: Shown, harm: &str, heal: &str) {
    let tell = |cluster: &Cluster, line: &str| {
        cluster.redis().tell(&line.split(' ').collect::<Vec<_>>());
    };
    it_is_survived(what, shown, async |cluster| tell(cluster, harm), async |cluster| tell(cluster, heal)).await;
}

/// What Redis holds for `main`, as text.
fn stored(cluster: &Cluster) -> String {
    match cluster.redis().tell(&["GET", RECORD_KEY]) {
        Value::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
        _ => String::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_every_relay_serves_and_nobody_calls() {
    let killed = it_is_survived(
        "killed, and empty after its restart",
        Shown::Everywhere,
        async |cluster| cluster.redis_mut().kill(),
        async |cluster| cluster.redis_mut().restart(),
    );
    let frozen = it_is_survived(
        "stopped",
        Shown::Everywhere,
        async |cluster| cluster.redis().freeze(),
        async |cluster| cluster.redis().thaw(),
    );
    let slow = a_command_is_survived("slow", Shown::Perhaps, "CLIENT PAUSE 10000 ALL", "PING");
    let locked = it_is_survived(
        "another password",
        Shown::Everywhere,
        async |cluster| {
            cluster.redis().tell(&["CONFIG", "SET", "requirepass", "another"]);
            cluster.redis().tell_as(":another@", &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        },
        async |cluster| drop(cluster.redis().tell_as(":another@", &["CONFIG", "SET", "requirepass", ""])),
    );
    join!(killed, frozen, slow, locked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_takes_no_writes_stops_nobody_from_serving() {
    let [no_memory, unlimited] = [1, 0].map(|most| format!("CONFIG SET maxmemory {most}"));
    let full = a_command_is_survived("out of memory", Shown::AtTheHolder, &no_memory, &unlimited);
    let nobody = format!("REPLICAOF 127.0.0.1 {}", free_port());
    let read_only = a_command_is_survived("a read-only replica", Shown::AtTheHolder, &nobody, "REPLICAOF NO ONE");
    let (set, delete) = (format!("SET {RECORD_KEY} foreign"), format!("DEL {RECORD_KEY}"));
    let foreign = a_command_is_survived("foreign bytes", Shown::Everywhere, &set, &delete);
    let newer = it_is_survived(
        "a newer layout",
        Shown::Everywhere,
        async |cluster| {
            let record = stored(cluster);
            assert!(record.contains("\"version\":2"));
            let record = record.replace("\"version\":2", "\"version\":99");
            cluster.redis().tell(&["SET", RECORD_KEY, &record]);
        },
        async |cluster| drop(cluster.redis().tell(&["DEL", RECORD_KEY])),
    );
    let flushed = a_command_is_survived("flushed", Shown::Perhaps, "FLUSHALL", "PING");
    join!(full, read_only, foreign, newer, flushed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_restored_from_an_old_dump_is_repaired_from_memory() {
    let mut cluster = Cluster::new(1200, 300).await;
    let (dead, old) = (cluster.relay(0).get("/token").await.token(), stored(&cluster));
    cluster.forgive(&dead);
    cluster.setup.sim.revoke(&dead);
    let new = cluster.report(1, &dead).await;
    eventually("all serve the new token", async || cluster.agrees().await).await;
    cluster.redis().tell(&["SET", RECORD_KEY, &old]);
    let generation = format!("\"generation\":{}", new.generation());
    eventually("the newer record is written again", async || stored(&cluster).contains(&generation)).await;
    sleep(Duration::from_secs(3)).await;
    assert!(cluster.agrees().await);
    assert_eq!(cluster.relay(2).get("/token").await.etag(), new.etag());
    assert_eq!((cluster.setup.calls().len(), cluster.setup.probes()), (2, 1));
    cluster.close().await;
}
