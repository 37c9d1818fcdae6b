//! Does a read fail, or a token die early, when the primary of Redis is killed and another one takes its place? And what if the
//! sentinels are wrong, or want something else than the relays were told?

use std::{
    array,
    io::{Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use test_support::{FakeServer, MASTER, RECORD_KEY, RedisCluster, RedisServer, SentinelGroup, Setup, eventually};
use tokio::time::{Instant, sleep};

use crate::{
    RELAY,
    cluster::{Cluster, REPLICAS, count, promised},
};

/// What the page asks for. Two replicas, so that one is left after a failover.
pub(crate) const SAFE: [&str; 2] = ["--min-replicas-to-write", "1"];

/// Short enough for some rotations within the test. What is promised outlasts a failover.
async fn setup() -> Setup {
    let mut setup = Setup::new(RELAY, 40, 20).await;
    // each report is a probe, whose debit is written first
    setup.set("refresh.report_cooldown", "0s");
    setup
}

/// Kills the primary again and again, under load. How long it took each time until WeChat was called again.
async fn primaries_are_killed(
    what: &str,
    mut cluster: Cluster,
    servers: &mut [RedisServer],
    primary: impl Fn(&[RedisServer]) -> Option<usize>,
) -> Vec<Duration> {
    let mut times = Vec::new();
    for round in 0..count("CLUSTER_FAILOVERS", 2) {
        sleep(Duration::from_secs(3)).await;
        let old = primary(servers).expect("there is a primary");
        let probes = cluster.setup.probes();
        let killed = Instant::now();
        servers[old].kill();
        eventually("WeChat is asked again", async || {
            // while the relay has no Redis it answers at once that it cannot ask
            let token = cluster.relay(1).get("/token").await.token();
            cluster.report(1, &token).await;
            cluster.setup.probes() > probes
        })
        .await;
        times.push(killed.elapsed());
        println!("{what}, failover {round}: calls resume after {:?}", times[times.len() - 1]);
        eventually("there is another primary", async || primary(servers).is_some_and(|new| new != old)).await;
        servers[old].restart();
        eventually("the old one follows", async || servers[old].follows()).await;
        eventually("all is well again", async || cluster.troubled().await.0.is_empty() && cluster.agrees().await).await;
    }
    let calls = cluster.setup.calls().len();
    eventually("a token is replaced", async || cluster.setup.calls().len() > calls).await;
    for index in 0..REPLICAS {
        let moved = cluster.relay(index).events("Redis has another primary").len();
        assert!(moved >= times.len(), "relay {index} has seen {moved} of {} failovers", times.len());
    }
    cluster.close_served(what).await;
    cluster.end().await;
    assert_eq!(cluster.setup.sim.most_concurrent("wxmain"), 1, "I1");
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_fails_and_no_token_dies_early_when_sentinels_replace_the_primary() {
    let SentinelGroup { mut servers, sentinels } = SentinelGroup::start(2, &SAFE, "").await;
    let group = SentinelGroup { servers: Vec::new(), sentinels };
    let cluster = Cluster::at(setup().await, &["main"], array::from_fn(|_| group.url(""))).await;
    let primary = |servers: &[RedisServer]| servers.iter().position(|server| server.port == group.named_by(0));
    primaries_are_killed("Sentinel", cluster, &mut servers, primary).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_fails_and_no_token_dies_early_when_a_redis_cluster_replaces_the_primary() {
    let redis = RedisCluster::start(2, RECORD_KEY, &SAFE).await;
    let cluster = Cluster::at(setup().await, &["main"], array::from_fn(|_| redis.url(""))).await;
    let mut servers = redis.servers;
    // the other masters have none of the relays' keys
    let is_primary = |server: &RedisServer| {
        let role = server.try_tell(&["GET", RECORD_KEY]);
        role.is_ok()
    };
    let primary = |servers: &[RedisServer]| servers.iter().position(is_primary);
    primaries_are_killed("Redis Cluster", cluster, &mut servers, primary).await;
}

/// A sentinel that names this port.
fn sentinel(named: &Arc<AtomicU16>) -> String {
    let named = named.clone();
    let server = FakeServer::new(move |mut connection| {
        while let Ok(1..) = connection.stream.read(&mut [0; 1024]) {
            let port = named.load(Ordering::Relaxed).to_string();
            let reply = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len());
            if connection.stream.write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
    });
    format!("{}/{MASTER}", server.url("redis+sentinel"))
}

/// The holder stays with a primary that answers on, but has lost its replicas; the other relays find the next primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_primaries_the_one_that_is_cut_off_gives_no_lease_and_no_token_dies_early() {
    // it believes for a minute that its replica is there
    let trusting = [&SAFE[..], &["--min-replicas-max-lag", "60"]].concat();
    let cut_off = RedisServer::with(&trusting);
    let following = |primary: &RedisServer| {
        RedisServer::with(&[&["--replicaof", "127.0.0.1", &primary.port.to_string()], &trusting[..]].concat())
    };
    let (next, silent) = (following(&cut_off), following(&cut_off));
    let follower = following(&next);
    for server in [&next, &silent, &follower] {
        eventually("the replicas follow", async || server.follows()).await;
    }
    let [near, far] = array::from_fn(|_| Arc::new(AtomicU16::new(cut_off.port)));
    let urls = [sentinel(&near), sentinel(&far), sentinel(&far)];
    let mut cluster = Cluster::at(Setup::new(RELAY, 60, 30).await, &["main"], urls).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(cluster.holder(), 0);
    let watch = cluster.watch();
    silent.freeze();
    next.tell(&["REPLICAOF", "NO", "ONE"]);
    far.store(next.port, Ordering::Relaxed);
    cut_off.part("");
    let (new, took) = cluster.new_holder(0, &watch).await;
    println!("two primaries: relay {new} instead of 0 after {took:?}");
    assert!(took < promised(Duration::from_secs(18)), "{took:?}");
    assert_eq!(cut_off.tell(&["SET", "answers", "on"]), redis::Value::Okay);
    assert_eq!(cluster.troubled().await.0, [0]);
    let calls = cluster.setup.calls().len();
    eventually("the new holder rotates", async || cluster.setup.calls().len() > calls).await;
    // the old holder's is due too
    sleep(Duration::from_secs(5)).await;
    assert_eq!(cluster.setup.calls().len(), calls + 1, "only the new holder calls");
    near.store(next.port, Ordering::Relaxed);
    cut_off.part("");
    eventually("all is well again", async || cluster.troubled().await.0.is_empty() && cluster.agrees().await).await;
    cluster.close_served("two primaries").await;
    cluster.end().await;
    assert_eq!(cluster.setup.sim.most_concurrent("wxmain"), 1, "I1");
}

/// Does `harm` to a group, waits until every relay shows it, and heals it. One warning each, and every read is served.
async fn it_is_one_line(
    what: &str,
    told: &str,
    harm: impl AsyncFnOnce(&SentinelGroup),
    heal: impl AsyncFnOnce(&SentinelGroup),
) {
    let group = SentinelGroup::start(0, &[], "").await;
    let mut setup = Setup::new(RELAY, 1200, 300).await;
    setup.set("log.filter", "info");
    let mut cluster = Cluster::at(setup, &["main"], array::from_fn(|_| group.url(""))).await;
    harm(&group).await;
    eventually(&format!("{what}: it is shown"), async || cluster.troubled().await.0.len() == REPLICAS).await;
    sleep(Duration::from_secs(4)).await;
    for index in 0..REPLICAS {
        let lines = cluster.relay(index).events("Redis does not answer");
        // first that the connection was lost, then why there is no other one
        let told = lines.iter().filter(|line| line["reason"].as_str().unwrap().contains(told)).count();
        assert!(told == 1 && lines.len() <= 2, "{what}: {lines:?}");
        assert_eq!(cluster.relay(index).get("/token").await.status, 200, "{what}");
    }
    heal(&group).await;
    eventually(&format!("{what}: all is well again"), async || {
        cluster.troubled().await.0.is_empty() && cluster.agrees().await
    })
    .await;
    assert_eq!(cluster.setup.calls().len(), 1, "{what}: nothing was due");
    cluster.close_served(what).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_and_its_sentinels_want_anew_is_one_line_and_heals_without_a_restart() {
    let name = it_is_one_line(
        "no sentinel knows the name",
        "it knows no primary of the name mymaster, which state.url has",
        async |group| {
            for sentinel in &group.sentinels {
                sentinel.tell(&["SENTINEL", "REMOVE", MASTER]);
            }
            group.servers[0].part("");
        },
        async |group| {
            let port = group.servers[0].port.to_string();
            for sentinel in &group.sentinels {
                sentinel.tell(&["SENTINEL", "MONITOR", MASTER, "127.0.0.1", &port, "2"]);
            }
        },
    );
    let password = it_is_one_line(
        "another password",
        "NOAUTH: it asks for a password",
        async |group| {
            // the sentinels have logged in before, and stay
            group.servers[0].tell(&["CONFIG", "SET", "requirepass", "another"]);
            group.servers[0].part(":another@");
        },
        async |group| drop(group.servers[0].tell_as(":another@", &["CONFIG", "SET", "requirepass", ""])),
    );
    let replica = it_is_one_line(
        "all sentinels name a replica",
        "it is a replica",
        async |group| {
            let nobody = test_support::free_port().to_string();
            group.servers[0].tell(&["REPLICAOF", "127.0.0.1", &nobody]);
            group.servers[0].part("");
        },
        async |group| drop(group.servers[0].tell(&["REPLICAOF", "NO", "ONE"])),
    );
    tokio::join!(name, password, replica);
}
