//! Does a store find its keys in a Redis Cluster, also when another node has them, and what if the cluster serves none?

use redis::Value;
use test_support::{LogCapture, RECORD_KEY, RedisCluster, RedisServer, eventually};
use token_relay::{
    presence::ReplicaId,
    settings::{Prefix, RedisOptions},
    store::{SharedStore as _, Store as _, Swap, redis::RedisStore},
};

use crate::{
    access::{allow, documented_user},
    stores::{account, healed, in_time, load, poll_as, sealed, secret_url, store, swap},
};

fn has_keys(server: &RedisServer) -> bool {
    server.try_tell(&["GET", RECORD_KEY]).is_ok()
}

#[tokio::test]
async fn any_node_leads_to_the_keys_and_after_a_failover_to_where_they_are_then() {
    let log = LogCapture::default();
    let _guard = log.listen();
    let mut cluster = RedisCluster::start(1, RECORD_KEY, &[]).await;
    let other = store(&format!("redis+cluster://127.0.0.1:{}", cluster.servers[1].port));
    let all = store(&cluster.url(""));
    assert_eq!(swap(&other, None, "one").await, Swap::Won);
    assert_eq!(load(&all).await, Ok(Some(sealed("one"))));
    assert!(poll_as(&all, 1, None).await.is_ok());
    assert_eq!(in_time(all.read(&[account()])).await, Ok(vec![Some(sealed("one"))]));
    assert_eq!(in_time(all.forget(&[ReplicaId(1)])).await, Ok(()));
    // a planned failover: the old primary lives on as a replica, and answers with MOVED
    eventually("the replica has it", async || {
        cluster.servers[3].follows() && cluster.servers[3].try_tell(&["CLUSTER", "FAILOVER"]).is_ok()
    })
    .await;
    eventually("the replica has the keys, and it alone", async || {
        has_keys(&cluster.servers[3]) && !has_keys(&cluster.servers[0])
    })
    .await;
    for store in [&all, &other] {
        assert_eq!(healed(store).await, Some(sealed("one")));
    }
    assert_eq!(swap(&all, Some("one"), "two").await, Swap::Won);
    assert!(log.count("Redis has another primary", "INFO") >= 2, "{}", log.text());
    // and one that nobody planned
    eventually("the old primary follows", async || cluster.servers[0].follows()).await;
    cluster.servers[3].kill();
    assert_eq!(healed(&all).await, Some(sealed("two")));
    assert!(has_keys(&cluster.servers[0]));
}

#[tokio::test]
async fn a_swap_in_a_cluster_is_a_hint_wherever_the_others_listen() {
    let cluster = RedisCluster::start(0, RECORD_KEY, &[]).await;
    let (here, there) = (store(&cluster.url("")), store(&cluster.url("")));
    let mut hints = there.hint();
    eventually("it listens", async || *hints.borrow_and_update() > 0).await;
    assert_eq!(swap(&here, None, "one").await, Swap::Won);
    in_time(hints.changed()).await.unwrap();
}

#[tokio::test]
async fn a_cluster_that_serves_no_keys_says_so_and_heals() {
    let mut cluster = RedisCluster::start(0, RECORD_KEY, &[]).await;
    let store = store(&cluster.url(""));
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
    cluster.servers[1].kill();
    eventually("the cluster is down", async || {
        load(&store).await.is_err_and(|error| {
            error.to_string().contains("CLUSTERDOWN: the cluster serves no keys: too many of its nodes are down")
        })
    })
    .await;
    cluster.servers[1].restart();
    assert_eq!(healed(&store).await, Some(sealed("one")));
}

#[tokio::test]
async fn a_node_of_a_cluster_that_is_taken_for_a_single_server_says_what_to_change() {
    let log = LogCapture::default();
    let _guard = log.listen();
    let cluster = RedisCluster::start(0, RECORD_KEY, &[]).await;
    let store = store(&cluster.servers[1].url());
    let reason = load(&store).await.unwrap_err().to_string();
    assert!(reason.contains("state.url begins with redis+cluster://"), "{reason}");
    eventually("the warning", async || log.count("state.url must begin with redis+cluster://", "WARN") == 1).await;
}

#[tokio::test]
async fn a_moved_key_is_followed_to_a_node_that_must_be_one() {
    let to =
        |details: &'static str| crate::fake_redis::replying(move |_| format!("-MOVED 1 {details}\r\n").into_bytes());
    for (details, told) in [
        ("not/a/host:1", "it names no server that can be one"),
        ("127.0.0.1:0", "it names no server that can be one"),
        ("nowhere", "MOVED: another node has the relays' keys now"),
    ] {
        let liar = to(details);
        let reason = load(&store(&liar.url("redis+cluster"))).await.unwrap_err().to_string();
        assert!(reason.contains(told), "{details}: {reason}");
    }
    // without a host it is the one that was asked: here it sends the relay round and round
    let round = std::sync::Arc::new(std::sync::OnceLock::new());
    let own = round.clone();
    let liar = crate::fake_redis::replying(move |_| format!("-MOVED 1 :{}\r\n", own.get().unwrap()).into_bytes());
    round.set(liar.address.port()).unwrap();
    let reason = load(&store(&liar.url("redis+cluster"))).await.unwrap_err().to_string();
    assert!(reason.contains("it sends the relay elsewhere too"), "{reason}");
}

#[tokio::test]
async fn the_documented_permissions_do_in_a_cluster() {
    let cluster = RedisCluster::start(1, RECORD_KEY, &["--min-replicas-to-write", "1"]).await;
    for server in &cluster.servers {
        allow(server, "", &documented_user("secret"));
    }
    let store = store(&cluster.url("relay:secret@"));
    eventually("the documented user polls", async || poll_as(&store, 1, None).await.is_ok()).await;
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
}

#[tokio::test]
async fn groups_of_another_prefix_share_nothing_and_keep_to_their_own_keys() {
    let server = RedisServer::start();
    let of = |prefix: &str| {
        let prefix: Prefix = prefix.parse().unwrap();
        RedisStore::new(&secret_url(&server.url()), &RedisOptions { prefix, ..RedisOptions::default() })
    };
    let (ours, theirs) = (of("shop"), of("token-relay"));
    assert_eq!(swap(&ours, None, "one").await, Swap::Won);
    assert_eq!(swap(&theirs, None, "two").await, Swap::Won);
    assert_eq!(load(&ours).await, Ok(Some(sealed("one"))));
    assert!(poll_as(&ours, 1, None).await.is_ok());
    assert_eq!(poll_as(&theirs, 2, None).await.unwrap().presences.len(), 1);
    assert_eq!(server.tell(&["GET", "{shop}:v2:record:main"]), Value::BulkString(b"one".to_vec()));
    assert_eq!(server.tell(&["GET", RECORD_KEY]), Value::BulkString(b"two".to_vec()));
    assert!(in_time(ours.set_aside(&account())).await.unwrap_err().to_string().contains("{shop}:v2:record:main"));
}
