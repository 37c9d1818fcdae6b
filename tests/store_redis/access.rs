//! Do passwords and permissions work as documented, and does no error show them?

use redis::Value;
use test_support::{LogCapture, RECORD_KEY, RedisServer, eventually, free_port};
use token_relay::{
    presence::ReplicaId,
    store::{Changed, Cursor, SharedStore as _, Store as _, Swap},
};

use crate::{
    fake_redis,
    stores::{GROUP, LATEST, account, healed, in_time, load, poll_as, sealed, secret_url, store, swap, unknown},
};

/// The line of the documentation, as arguments of `ACL`.
pub(crate) fn documented_user(password: &str) -> Vec<String> {
    let documentation = include_str!("../../src/store/redis.rs");
    let line = documentation.lines().find_map(|line| line.strip_prefix("//! user relay ")).unwrap();
    let rules = line.replace("PASSWORD", password);
    ["ACL", "SETUSER", "relay"].into_iter().chain(rules.split(' ')).map(str::to_owned).collect()
}

pub(crate) fn allow(server: &RedisServer, login: &str, rules: &[String]) {
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    assert_eq!(server.tell_as(login, &rules), Value::Okay);
}

#[tokio::test]
async fn a_password_opens_and_a_wrong_or_missing_one_is_told() {
    let server = RedisServer::with(&["--requirepass", "p@ss/w:rd%"]);
    let at = |login: &str| store(&format!("redis://{login}127.0.0.1:{}", server.port));
    assert_eq!(load(&at(":p%40ss%2Fw%3Ard%25@")).await, Ok(None));
    assert_eq!(load(&at("default:p%40ss%2Fw%3Ard%25@")).await, Ok(None));
    for login in [":sentinel@", "nobody:sentinel@"] {
        let reason = load(&at(login)).await.unwrap_err().to_string();
        assert!(reason.contains("WRONGPASS: it refuses the user or the password of state.url"), "{reason}");
        assert!(!reason.contains("sentinel"), "{reason}");
    }
    let reason = unknown(&at(""), None, "one").await;
    assert!(reason.contains("NOAUTH: it asks for a password: state.url has none"), "{reason}");
    let open = RedisServer::start();
    let reason = load(&store(&format!("redis://:sentinel@127.0.0.1:{}", open.port))).await.unwrap_err().to_string();
    assert!(reason.contains("it has no password, and state.url has one"), "{reason}");
    let reason = load(&store(&format!("{}/99", open.url()))).await.unwrap_err().to_string();
    assert!(reason.contains("it has no database of the number in state.url"), "{reason}");
}

#[tokio::test]
async fn the_documented_acl_line_is_enough_and_every_other_key_is_closed() {
    let log = LogCapture::default();
    let _guard = log.listen();
    let server = RedisServer::with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu"]);
    allow(&server, "", &documented_user("secret"));
    let at = |database: u8| store(&format!("redis://relay:secret@127.0.0.1:{}/{database}", server.port));
    let (here, there) = (at(0), at(0));
    let mut hints = there.hint();
    tokio::time::timeout(LATEST, hints.changed()).await.expect("subscribed").unwrap();
    assert_eq!(swap(&here, None, "one").await, Swap::Won);
    tokio::time::timeout(LATEST, hints.changed()).await.expect("a hint").unwrap();
    assert_eq!(load(&there).await, Ok(Some(sealed("one"))));
    let first = poll_as(&there, 1, None).await.unwrap();
    assert_eq!(swap(&here, Some("one"), "two").await, Swap::Won);
    assert_eq!(poll_as(&there, 1, Some(first.cursor)).await.unwrap().changed, Changed::These(vec![account()]));
    assert_eq!(in_time(there.read(&[account()])).await, Ok(vec![Some(sealed("two"))]));
    assert_eq!(in_time(there.forget(&[ReplicaId(1)])).await, Ok(()));
    assert_eq!(load(&at(1)).await, Ok(None), "select");
    eventually("the survey", async || log.count("maxmemory-policy is allkeys-lfu", "WARN") > 0).await;
    assert_eq!(log.count("no hints", "WARN"), 0, "{}", log.text());
    let client = redis::Client::open(format!("redis://relay:secret@127.0.0.1:{}", server.port)).unwrap();
    let closed = redis::cmd("GET").arg("another").query::<Value>(&mut client.get_connection().unwrap());
    assert_eq!(closed.unwrap_err().code(), Some("NOPERM"));
}

#[tokio::test]
async fn another_password_is_taken_without_another_store() {
    let server = RedisServer::with(&["--requirepass", "sentinel_one"]);
    let at = |login: &str, database: u8| secret_url(&format!("redis://{login}127.0.0.1:{}/{database}", server.port));
    let store = store(at(":sentinel_one@", 0).expose());
    let mut hints = store.hint();
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
    server.tell_as(":sentinel_one@", &["CONFIG", "SET", "requirepass", "sentinel_two"]);
    server.part(":sentinel_two@");
    eventually("it is refused", async || {
        load(&store).await.is_err_and(|error| error.to_string().contains("WRONGPASS"))
    })
    .await;
    assert!(!store.log_in_as(&at(":sentinel_two@", 1), None), "another database is another group");
    assert!(!store.log_in_as(&secret_url("redis://:sentinel_two@another.invalid/0"), None));
    assert!(load(&store).await.is_err());
    assert!(store.log_in_as(&at(":sentinel_two@", 0), None));
    assert_eq!(healed(&store).await, Some(sealed("one")));
    hints.borrow_and_update();
    in_time(hints.changed()).await.unwrap();
}

#[tokio::test]
async fn hints_come_again_with_the_password_of_now() {
    let server = RedisServer::with(&["--requirepass", "sentinel_one"]);
    let at = |login: &str| secret_url(&format!("redis://{login}127.0.0.1:{}/0", server.port));
    let store = store(at(":sentinel_one@").expose());
    let mut hints = store.hint();
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
    in_time(hints.changed()).await.unwrap();
    // as an operator changes it: both are taken, the relays are told, the old one is taken out, and nobody's connection ends
    server.tell_as(":sentinel_one@", &["CONFIG", "SET", "requirepass", "sentinel_two"]);
    assert!(store.log_in_as(&at(":sentinel_two@"), None));
    hints.borrow_and_update();
    server.tell_as(":sentinel_two@", &["CLIENT", "KILL", "TYPE", "pubsub"]);
    in_time(hints.changed()).await.unwrap();
}

#[tokio::test]
async fn without_the_permission_to_publish_or_to_be_told_a_swap_still_wins() {
    let log = LogCapture::default();
    let _guard = log.listen();
    let server = RedisServer::start();
    let mut rules = documented_user("secret");
    rules.retain(|rule| !rule.starts_with("+publish") && !rule.starts_with("+info") && !rule.starts_with('&'));
    allow(&server, "", &rules);
    let store = store(&format!("redis://relay:secret@127.0.0.1:{}", server.port));
    assert_eq!(swap(&store, None, "one").await, Swap::Won);
    assert_eq!(swap(&store, Some("one"), "two").await, Swap::Won);
    assert_eq!(load(&store).await, Ok(Some(sealed("two"))));
    eventually("the warning", async || log.count("others' rotations are seen by polling", "WARN") == 1).await;
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named() {
    let server = RedisServer::start();
    let of_swaps = [
        ("+eval", "eval"),
        ("+set", "docs/CLUSTER.md"),
        ("+hincrby", "docs/CLUSTER.md"),
        ("~{token-relay}:v2:*", "key"),
    ];
    for (missing, told) in of_swaps {
        let mut rules = documented_user("sentinel");
        rules.insert(3, "reset".to_owned());
        rules.retain(|rule| rule != missing);
        allow(&server, "", &rules);
        let store = store(&format!("redis://relay:sentinel@127.0.0.1:{}", server.port));
        let reason = unknown(&store, None, "one").await;
        assert!(reason.contains("permission") && reason.contains(told), "{missing}: {reason}");
        assert!(!reason.contains("sentinel"), "{reason}");
    }
    assert_eq!(server.tell(&["EXISTS", RECORD_KEY]), Value::Int(0));
}

#[tokio::test]
async fn a_server_with_as_many_clients_as_it_takes_says_so() {
    let server = RedisServer::with(&["--maxclients", "1"]);
    let _other = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let store = store(&format!("redis://:secret@127.0.0.1:{}", server.port));
    let reason = load(&store).await.unwrap_err().to_string();
    assert!(reason.contains("(maxclients)") || reason.contains("connection"), "{reason}");
}

#[tokio::test]
async fn no_password_and_no_record_is_in_any_error_or_log() {
    let log = LogCapture::default();
    let _guard = log.listen();
    let mut server = RedisServer::with(&[
        "--requirepass",
        "sentinel_password",
        "--maxmemory",
        "1gb",
        "--maxmemory-policy",
        "allkeys-lru",
    ]);
    let url = format!("redis://:sentinel%5fpassword@127.0.0.1:{}", server.port);
    let store_here = store(&url);
    assert_eq!(swap(&store_here, None, "sentinel_record").await, Swap::Won);
    let login = ":sentinel%5fpassword@";
    let mut said = Vec::new();
    server.tell_as(login, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    server.tell_as(login, &["CONFIG", "SET", "maxmemory", "1"]);
    said.push(unknown(&store_here, Some("sentinel_record"), "sentinel_two").await);
    said.push(format!("{:?}", swap(&store_here, Some("sentinel_other"), "sentinel_two").await));
    said.push(store_here.set_aside(&account()).await.unwrap_err().to_string());
    server.kill();
    said.push(unknown(&store_here, Some("sentinel_record"), "sentinel_two").await);
    said.push(load(&store_here).await.unwrap_err().to_string());
    let closed = format!("redis://sentinel_user:sentinel_password@127.0.0.1:{}", free_port());
    said.push(load(&store(&closed)).await.unwrap_err().to_string());
    // it tells what was sent, as Redis does with commands that it does not know
    let echo = fake_redis::replying(|request| {
        let request = String::from_utf8_lossy(request).replace("\r\n", " ");
        format!("-ERR sorry: {request}, with args beginning with: {request}\r\n").into_bytes()
    });
    let echoed = format!("redis://:sentinel_password@127.0.0.1:{}", echo.address.port());
    said.push(load(&store(&echoed)).await.unwrap_err().to_string());
    eventually("the survey and the warning", async || {
        ["evict", "Redis does not answer"].iter().all(|told| log.count(told, "WARN") > 0)
    })
    .await;
    let (said, log) = (format!("{said:?}"), log.text());
    assert!(log.contains("Redis does not answer") && log.contains("evict"), "{log}");
    assert!(!said.contains("sentinel"), "{said}");
    assert!(!log.contains("sentinel_") && !log.contains("sentinel%"), "{log}");
}

/// Each command of the documented line but those whose lack is documented, those of every connection, and those that
/// `sentinels.rs` needs.
#[tokio::test]
async fn no_command_of_the_documented_line_is_idle() {
    let server = RedisServer::start();
    let commands: Vec<String> = documented_user("secret").into_iter().filter(|rule| rule.starts_with('+')).collect();
    assert!(commands.len() > 15, "{commands:?}");
    let optional = ["+ping", "+select", "+publish", "+subscribe", "+info", "+role", "+wait"];
    for missing in commands.iter().filter(|command| !optional.contains(&command.as_str())) {
        server.tell(&["FLUSHALL"]);
        let mut rules = documented_user("secret");
        rules.insert(3, "reset".to_owned());
        rules.retain(|rule| rule != missing);
        allow(&server, "", &rules);
        let store = store(&format!("redis://relay:secret@127.0.0.1:{}", server.port));
        let mut failures = Vec::new();
        failures.extend(poll_as(&store, 1, None).await.err().map(|error| error.to_string()));
        failures.extend(matches!(swap(&store, None, "one").await, Swap::Unknown(_)).then(String::new));
        let cursor = Cursor { nonce: 0, change: 0 };
        if let Value::BulkString(nonce) = server.tell(&["HGET", GROUP, "nonce"]) {
            let nonce = String::from_utf8(nonce).unwrap().parse().unwrap();
            failures.extend(poll_as(&store, 1, Some(Cursor { nonce, ..cursor })).await.err().map(|e| e.to_string()));
        }
        failures.extend(load(&store).await.err().map(|error| error.to_string()));
        failures.extend(in_time(store.read(&[account()])).await.err().map(|error| error.to_string()));
        failures.extend(in_time(store.forget(&[ReplicaId(1)])).await.err().map(|error| error.to_string()));
        assert!(!failures.is_empty(), "{missing} is not needed");
    }
}
