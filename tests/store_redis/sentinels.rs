//! Does a store find the primary through sentinels, also after a failover, and what if a sentinel is wrong or wants a login?

use std::time::Duration;

use redis::Value;
use test_support::{LogCapture, MASTER, RedisServer, SentinelGroup, eventually};
use token_relay::{
    settings::{RedisOptions, SentinelLogin},
    store::{SharedStore as _, Swap, redis::RedisStore},
};

use crate::{
    access::{allow, documented_user},
    fake_redis,
    stores::{healed, load, poll_as, sealed, secret_url, store, swap, unknown},
};

const PASSED_OVER: &str = "this server of state.url does not lead to the primary: passed over";

/// What a sentinel answers.
fn naming(host: &str, port: u16) -> Vec<u8> {
    let port = port.to_string();
    format!("*2\r\n${}\r\n{host}\r\n${}\r\n{port}\r\n", host.len(), port.len()).into_bytes()
}

fn store_behind(sentinels: &[u16]) -> RedisStore {
    let hosts: Vec<String> = sentinels.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    store(&format!("redis+sentinel://{}/{MASTER}", hosts.join(",")))
}

#[tokio::test]
async fn when_the_primary_is_killed_the_next_one_is_found_and_hints_come_from_there() {
    let log = LogCapture::default();
    let _guard = log.listen();
    let mut group = SentinelGroup::start(2, &[], "").await;
    let (here, there) = (store(&group.url("")), store(&group.url("")));
    assert_eq!(swap(&here, None, "one").await, Swap::Won);
    let first = poll_as(&there, 1, None).await.unwrap();
    let old = group.primary();
    eventually("the replicas have it", async || {
        group.servers.iter().all(|server| server.tell(&["GET", test_support::RECORD_KEY]) != Value::Nil)
    })
    .await;
    group.servers[old].kill();
    assert_eq!(healed(&here).await, Some(sealed("one")));
    assert_eq!(healed(&there).await, Some(sealed("one")));
    assert_ne!(group.primary(), old);
    assert_eq!(poll_as(&there, 1, Some(first.cursor)).await.unwrap().cursor.nonce, first.cursor.nonce);
    // the subscription is made again, which is a hint, and then each swap is one
    let mut hints = there.hint();
    eventually("a swap is a hint", async || {
        let current = healed(&here).await.unwrap();
        let current = std::str::from_utf8(current.expose()).unwrap().to_owned();
        assert_eq!(swap(&here, Some(&current), &format!("{current}+")).await, Swap::Won);
        tokio::time::timeout(Duration::from_millis(300), hints.changed()).await.is_ok()
    })
    .await;
    eventually("the change is logged", async || log.count("Redis has another primary", "INFO") > 0).await;
    // it comes back, and becomes a replica
    group.servers[old].restart();
    eventually("the old primary follows", async || group.servers[old].follows()).await;
    assert!(load(&here).await.is_ok());
    assert_ne!(group.primary(), old);
}

#[tokio::test]
async fn a_sentinel_that_is_wrong_is_named_in_one_line_and_the_next_one_is_asked() {
    let primary = RedisServer::start();
    let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    eventually("the replica follows", async || replica.follows()).await;
    let (here, behind) = (primary.port, replica.port);
    let right = fake_redis::replying(move |_| naming("127.0.0.1", here));
    let dead = test_support::ClosedPort::bind();
    let wrongs = [
        ("it is a replica", naming("127.0.0.1", behind)),
        ("cannot connect", naming("127.0.0.1", dead.address().port())),
        ("it names no server that can be one", naming("not a host", 1)),
        ("its reply to SENTINEL is not one", b"+yes\r\n".to_vec()),
        ("it knows no primary of the name mymaster", b"*-1\r\n".to_vec()),
        ("does not speak Redis's protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
    ];
    for (told, wrong) in wrongs {
        let log = LogCapture::default();
        let _guard = log.listen();
        let liar = fake_redis::replying(move |_| wrong.clone());
        let store = store_behind(&[liar.address.port(), right.address.port()]);
        assert!(load(&store).await.is_ok(), "{told}: {}", log.text());
        for _ in 0..2 {
            primary.tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            healed(&store).await;
        }
        assert_eq!(log.count(PASSED_OVER, "WARN"), 1, "{told}: {}", log.text());
        assert!(log.text().contains(told), "{told}: {}", log.text());
        assert!(log.text().contains(&format!("redis://127.0.0.1:{}", liar.address.port())), "{}", log.text());
    }
}

#[tokio::test]
async fn sentinels_that_hang_are_passed_over_in_time() {
    let primary = RedisServer::start();
    let here = primary.port;
    let right = fake_redis::replying(move |_| naming("127.0.0.1", here)).address.port();
    let silent: Vec<_> = (0..4).map(|_| fake_redis::replying(|_| Vec::new())).collect();
    let ports: Vec<u16> = silent.iter().map(|one| one.address.port()).collect();
    assert!(load(&store_behind(&[ports[0], ports[1], right])).await.is_ok());
    // more than one search asks: the next goes on behind them
    let store = store_behind(&[&ports[..], &[right]].concat());
    let reason = load(&store).await.unwrap_err().to_string();
    assert!(reason.contains("no connection within"), "{reason}");
    assert_eq!(healed(&store).await, None);
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_one_line_of_the_log() {
    let log = LogCapture::default();
    let _guard = log.listen();
    let group = SentinelGroup::start(0, &[], "").await;
    let store = store(&group.url("").replace(MASTER, "another"));
    for _ in 0..3 {
        let reason = load(&store).await.unwrap_err().to_string();
        assert!(reason.contains("it knows no primary of the name another, which state.url has"), "{reason}");
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    let lines = log.count("Redis does not answer", "WARN") + log.count(PASSED_OVER, "WARN");
    assert_eq!(lines, 1, "{}", log.text());
}

#[tokio::test]
async fn the_sentinels_and_the_servers_have_logins_of_their_own() {
    let page = include_str!("../../docs/CLUSTER.md");
    let documented =
        page.split('`').find(|span| span.starts_with("user relay ") && span.contains("+sentinel|")).unwrap();
    let rules = documented.replace("PASSWORD", "sentinel_one");
    let group = SentinelGroup::start(0, &[], "").await;
    let primary = &group.servers[0];
    for sentinel in &group.sentinels {
        let rules: Vec<&str> = ["ACL", "SETUSER"].into_iter().chain(rules.split(' ').skip(1)).collect();
        assert_eq!(sentinel.tell(&rules), Value::Okay);
        assert_eq!(sentinel.tell(&["ACL", "SETUSER", "default", "resetpass", ">another"]), Value::Okay);
    }
    let user = ["ACL", "SETUSER", "relay", "on", ">sentinel_two", "~*", "&*", "+@all"];
    assert_eq!(primary.tell(&user), Value::Okay);
    let url = secret_url(&group.url("relay:sentinel_two@"));
    let behind = |user: &str, password: &str| {
        let login = SentinelLogin { user: Some(user.to_owned()), password: password.into() };
        RedisStore::new(&url, &RedisOptions { sentinel_login: Some(login), ..RedisOptions::default() })
    };
    assert_eq!(load(&behind("relay", "sentinel_one")).await, Ok(None));
    let reason = load(&behind("relay", "sentinel_two")).await.unwrap_err().to_string();
    assert!(reason.contains("WRONGPASS: it refuses state.sentinel_username or the sentinels' password"), "{reason}");
    assert!(!reason.contains("sentinel_two"), "{reason}");
    let reason = load(&store(&group.url("relay:sentinel_two@"))).await.unwrap_err().to_string();
    assert!(reason.contains("NOAUTH: it asks for a password: set state.sentinel_password_file"), "{reason}");
}

#[tokio::test]
async fn a_write_that_no_replica_confirms_does_not_count_where_the_server_must_have_replicas() {
    let log = LogCapture::default();
    let _guard = log.listen();
    let group = SentinelGroup::start(1, &["--min-replicas-to-write", "1"], "").await;
    let store = store(&group.url(""));
    eventually("the primary counts its replica", async || poll_as(&store, 1, None).await.is_ok()).await;
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
    assert_eq!(log.count("set its min-replicas-to-write", "WARN"), 0, "{}", log.text());
    // the primary still counts on it: its last word is no older than min-replicas-max-lag
    group.servers[1].freeze();
    assert!(unknown(&store, Some("one"), "two").await.contains("too few of its replicas have the write"));
    let reason = poll_as(&store, 1, None).await.unwrap_err().to_string();
    assert!(reason.contains("too few of its replicas") || reason.contains("connection"), "{reason}");
    assert!(load(&store).await.is_ok() || healed(&store).await.is_some(), "reading works");
    group.servers[1].thaw();
    eventually("it is confirmed again", async || poll_as(&store, 1, None).await.is_ok()).await;
    assert_eq!(load(&store).await, Ok(Some(sealed("two"))));
}

#[tokio::test]
async fn the_documented_permissions_do_and_one_that_is_missing_is_named() {
    let group = SentinelGroup::start(1, &["--min-replicas-to-write", "1"], "").await;
    let url = group.url("relay:secret@");
    for missing in ["nothing", "+role", "+wait"] {
        let mut rules = documented_user("secret");
        rules.insert(3, "reset".to_owned());
        rules.retain(|rule| rule != missing);
        allow(&group.servers[0], "", &rules);
        let store = store(&url);
        if missing == "nothing" {
            eventually("the documented user polls", async || poll_as(&store, 1, None).await.is_ok()).await;
            continue;
        }
        let reason = poll_as(&store, 1, None).await.unwrap_err().to_string();
        assert!(reason.contains("lacks a permission") && reason.contains(&missing[1..]), "{missing}: {reason}");
    }
}

#[tokio::test]
async fn a_primary_that_confirms_what_no_replica_has_is_warned_of() {
    let log = LogCapture::default();
    let _guard = log.listen();
    let group = SentinelGroup::start(1, &[], "").await;
    let store = store(&group.url(""));
    assert_eq!(load(&store).await, Ok(None));
    eventually("the warning", async || log.count("set its min-replicas-to-write", "WARN") == 1).await;
    group.servers[1].freeze();
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
}
