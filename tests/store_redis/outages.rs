//! What if Redis is away, stopped, slow, full, read-only or not Redis at all?

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use futures_util::future::{join, join_all};
use redis::Value;
use test_support::{FakeServer, LogCapture, RECORD_KEY, RedisServer, eventually, free_port};
use token_relay::{
    clock::{Clock, SystemClock},
    store::{Store as _, Swap},
};

use crate::{
    fake_redis,
    stores::{LATEST, account, healed, in_time, load, sealed, store, store_on, swap, unknown},
};

#[tokio::test]
async fn a_reply_that_is_lost_leaves_a_swap_unknown_although_it_was_written() {
    let server = RedisServer::start();
    let link = fake_redis::losing_replies(server.port, |request| request.windows(4).any(|word| word == b"EVAL"));
    let store = store(&link.url("redis"));
    assert_eq!(load(&store).await, Ok(None));
    let reason = unknown(&store, None, "one").await;
    assert!(reason.contains("connection"), "{reason}");
    assert_eq!(healed(&store).await, Some(sealed("one")));
    assert_eq!(server.tell(&["GET", RECORD_KEY]), Value::BulkString(b"one".to_vec()));
}

#[tokio::test]
async fn a_stopped_server_is_unknown_in_time_and_all_is_well_when_it_goes_on() {
    let server = RedisServer::start();
    let store = store_on(&server);
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
    server.freeze();
    let reason = unknown(&store, Some("one"), "two").await;
    assert!(reason.ends_with("no reply within 2s"), "{reason}");
    // its kernel still accepts connections
    let reason = load(&store).await.unwrap_err().to_string();
    assert!(reason.contains("no connection within 2s") || reason.contains("no reply within 2s"), "{reason}");
    let many = (0..50).map(|_| load(&store));
    assert!(join_all(many).await.iter().all(Result::is_err));
    server.thaw();
    let found = healed(&store).await.unwrap();
    assert!(found == sealed("one") || found == sealed("two"), "the server may do what it read");
    let mut expected = Some(found);
    loop {
        match in_time(store.swap(&account(), expected, sealed("three"))).await {
            Swap::Won => break,
            Swap::Lost(current) => expected = current,
            Swap::Unknown(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_store_is_made_while_its_server_is_away_and_finds_it_when_it_comes_and_goes() {
    let mut server = RedisServer::start();
    server.kill();
    let store = store_on(&server);
    let reason = load(&store).await.unwrap_err().to_string();
    assert!(reason.starts_with(&server.url()) && reason.contains("Connection refused"), "{reason}");
    for round in 0..3 {
        server.restart();
        assert_eq!(healed(&store).await, None, "nothing was saved");
        assert_eq!(swap(&store, None, "one").await, Swap::Won);
        server.kill();
        let reason = unknown(&store, Some("one"), "two").await;
        assert!(reason.contains("connection") || reason.contains("refused"), "{round}: {reason}");
    }
}

#[tokio::test]
async fn a_slow_server_is_unknown_in_time() {
    let server = RedisServer::start();
    let store = store_on(&server);
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
    server.tell(&["CLIENT", "PAUSE", "6000", "ALL"]);
    let reason = unknown(&store, Some("one"), "two").await;
    assert!(reason.contains("within 2s"), "{reason}");
    assert!(load(&store).await.is_err());
    assert!(healed(&store).await.is_some());
}

#[tokio::test]
async fn of_many_swaps_at_once_the_server_gets_128_at_a_time_and_a_read_does_not_wait_for_the_others() {
    let (server, held) = fake_redis::holding_swaps();
    // without accounts nobody listens for hints
    let (store, id) = (store(&server.url("redis")), account());
    let swaps = join_all((0..300).map(|_| store.swap(&id, None, sealed("one"))));
    let look = async {
        eventually("128 swaps are under way", async || held.load(SeqCst) >= 128).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(load(&store).await, Ok(None));
        held.load(SeqCst)
    };
    let (swaps, at_once) = join(swaps, look).await;
    assert_eq!(at_once, 128);
    assert!(swaps.iter().all(|swap| *swap == Swap::Won), "{swaps:?}");
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error_in_time() {
    for url in
        ["redis://redis.invalid", "redis://[::1]:1", "redis://192.0.2.1", &format!("redis://127.0.0.1:{}", free_port())]
    {
        let store = store(url);
        let reason = load(&store).await.unwrap_err().to_string();
        assert!(reason.contains("connect"), "{reason}");
        assert!(!unknown(&store, None, "one").await.is_empty());
    }
}

#[tokio::test]
async fn a_server_that_turns_everyone_out_is_not_stormed() {
    let server = FakeServer::closing();
    let store = store(&server.url("redis"));
    let started = SystemClock.awake();
    while SystemClock.awake() < started + Duration::from_secs(4) {
        assert!(join_all((0..20).map(|_| load(&store))).await.iter().all(Result::is_err));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = SystemClock.awake().saturating_sub(started);
    // once a second for the records, and for hints more and more seldom
    let most = 2 * (took.as_secs() + 2);
    assert!((2..=most).contains(&(server.connections() as u64)), "{} connections in {took:?}", server.connections());
}

#[tokio::test]
async fn a_full_server_and_one_that_cannot_save_say_what_to_do_and_can_still_be_read() {
    let server = RedisServer::start();
    let store = store_on(&server);
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    let reason = unknown(&store, Some("one"), "two").await;
    assert!(reason.contains("OOM: it is out of memory: raise its maxmemory"), "{reason}");
    assert_eq!(load(&store).await, Ok(Some(sealed("one"))));
    assert_eq!(swap(&store, Some("other"), "two").await, Swap::Lost(Some(sealed("one"))));
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(swap(&store, Some("one"), "two").await, Swap::Won);
    // a directory where the dump should go
    std::fs::create_dir(server.dir.path().join("dump.rdb")).unwrap();
    server.tell(&["CONFIG", "SET", "save", "3600 1"]);
    server.tell(&["BGSAVE"]);
    eventually("the dump fails", async || server.info("persistence").contains("rdb_last_bgsave_status:err")).await;
    let reason = unknown(&store, Some("two"), "three").await;
    assert!(reason.contains("MISCONF: it takes no writes because it cannot save"), "{reason}");
    assert_eq!(load(&store).await, Ok(Some(sealed("two"))));
}

#[tokio::test]
async fn a_read_only_replica_is_told_at_the_start_and_by_every_swap() {
    let log = LogCapture::default();
    let _guard = log.listen();
    let primary = RedisServer::start();
    assert_eq!(swap(&store_on(&primary), None, "one").await, Swap::Won);
    let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    eventually("the replica follows", async || replica.info("replication").contains("master_link_status:up")).await;
    let store = store_on(&replica);
    assert_eq!(load(&store).await, Ok(Some(sealed("one"))));
    let reason = unknown(&store, Some("one"), "two").await;
    assert!(reason.contains("READONLY: it is a read-only replica: state.url must name the primary"), "{reason}");
    assert_eq!(load(&store_on(&primary)).await, Ok(Some(sealed("one"))));
    eventually("the warning", async || log.count("Redis is a read-only replica", "WARN") == 1).await;
    // the primary is given up and the replica is made the primary: the next connection finds it so
    replica.tell(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(healed(&store).await, Some(sealed("one")));
    assert_eq!(swap(&store, Some("one"), "two").await, Swap::Won);
}

#[tokio::test]
async fn a_server_that_may_evict_records_is_told_of_once() {
    let log = LogCapture::default();
    let _guard = log.listen();
    let server = RedisServer::with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let store = store_on(&server);
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
    eventually("the warning", async || log.count("its maxmemory-policy is allkeys-lru", "WARN") == 1).await;
    server.tell(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert_eq!(healed(&store).await, Some(sealed("one")));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(log.count("maxmemory-policy", "WARN"), 1);
}

#[tokio::test]
async fn a_key_that_holds_something_else_is_an_error_and_stays() {
    let server = RedisServer::start();
    let store = store_on(&server);
    server.tell(&["RPUSH", RECORD_KEY, "one"]);
    let reason = load(&store).await.unwrap_err().to_string();
    assert!(reason.contains("WRONGTYPE: a key of the relays holds something else"), "{reason}");
    assert!(unknown(&store, None, "one").await.contains("WRONGTYPE"));
    assert_eq!(server.tell(&["TYPE", RECORD_KEY]), Value::SimpleString("list".to_owned()));
}

#[tokio::test]
async fn a_connection_that_comes_and_goes_is_one_warning_and_one_recovery() {
    let log = LogCapture::default();
    let _guard = log.listen();
    let server = RedisServer::start();
    let store = store_on(&server);
    assert_eq!(load(&store).await, Ok(None));
    for _ in 0..4 {
        server.tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let until = SystemClock.awake() + LATEST;
        // the load that notices, and those until it is connected again
        while load(&store).await.is_ok() && SystemClock.awake() < until {}
        assert_eq!(healed(&store).await, None);
    }
    assert_eq!(log.count("Redis does not answer", "WARN"), 1, "{}", log.text());
    assert_eq!(log.count("Redis answers again", "INFO"), 1, "{}", log.text());
    assert!(log.count("Redis does not answer", "DEBUG") >= 3, "{}", log.text());
}

#[tokio::test]
async fn what_is_not_redis_or_an_old_one_is_told_without_what_was_sent() {
    let old = |code: &'static str| {
        fake_redis::replying(move |request| {
            let is_swap = request.windows(4).any(|word| word == b"EVAL");
            if is_swap { format!("-{code}\r\n").into_bytes() } else { b"+PONG\r\n".to_vec() }
        })
    };
    for (told, meaning) in [
        ("ERR Error running script: @user_script:5: -OOM command not allowed", "out of memory"),
        ("ERR unknown command `EVAL`, with args beginning with: `x`, `sentinel_one`", "ERR: unknown command `EVAL`"),
        ("-READONLY You can't write against a read only replica.", "READONLY: it is a read-only replica"),
        ("LOADING Redis is loading the dataset in memory", "LOADING: it is still loading"),
        ("MOVED 3999 127.0.0.1:6381", "Redis Cluster"),
        ("NOREPLICAS Not enough good replicas to write.", "too few replicas"),
        ("ODD words\u{202e} of a proxy", "ODD: words of a proxy"),
    ] {
        let reason = unknown(&store(&old(told).url("redis")), Some("sentinel_one"), "sentinel_two").await;
        assert!(reason.contains(meaning) && !reason.contains("sentinel"), "{reason}");
    }
    let echo = fake_redis::replying(|request| {
        let is_swap = request.windows(4).any(|word| word == b"EVAL");
        if is_swap { [b"*2\r\n:0\r\n:7\r\n", request].concat() } else { b"+PONG\r\n".to_vec() }
    });
    let store_on_echo = store(&echo.url("redis"));
    let reason = unknown(&store_on_echo, None, "sentinel_two").await;
    assert!(reason.contains("its reply to EVAL is not one") && !reason.contains("sentinel"), "{reason}");
    let web = fake_redis::replying(|_| b"HTTP/1.1 400 Bad Request\r\n\r\nsentinel".to_vec());
    let reason = load(&store(&web.url("redis"))).await.unwrap_err().to_string();
    assert!(reason.contains("does not speak Redis's protocol") && !reason.contains("sentinel"), "{reason}");
}
