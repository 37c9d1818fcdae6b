//! What does an operator see who moves the state, shares a Redis by mistake, or has a password to hide?

use std::{fs, time::Duration};

use futures_util::future::join_all;
use redis::Value;
use rustix::process::Signal;
use test_support::{Certificate, RECORD_KEY, RedisServer, Relay, SECRET, Setup, eventually};
use tokio::time::sleep;

use crate::{RELAY, cluster::report};

const PASSWORD: &str = "sentinel-password-of-redis";

async fn stop(mut relay: Relay) {
    relay.signal(Signal::TERM);
    assert_eq!(relay.ended().await, Some(0));
}

async fn serves(relay: &Relay) -> String {
    eventually("it serves", async || relay.get("/token").await.status == 200).await;
    relay.get("/token").await.token()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_moves_costs_one_call_and_an_old_record_is_believed_until_it_is_removed() {
    let mut setup = Setup::new(RELAY, 1200, 300).await;
    let (redis, file) = (RedisServer::start(), format!("file:{}", setup.state().display()));
    let relay = setup.start().await;
    let first = serves(&relay).await;
    stop(relay).await;
    setup.set("state.url", &redis.url());
    for run in 0..2 {
        let relay = setup.start().await;
        assert_ne!(serves(&relay).await, first);
        stop(relay).await;
        assert_eq!(setup.calls().len(), 2, "run {run}: one call to move, none to restart (I7)");
    }
    assert!(setup.sim.token_alive("wxmain", &first), "who still has it is served for the overlap");
    // back, and the record that was left there is of the past: nothing in it says so
    setup.set("state.url", &file);
    let relay = setup.start().await;
    assert_eq!((serves(&relay).await, setup.calls().len()), (first.clone(), 2));
    setup.sim.revoke(&first);
    assert_ne!(report(relay.public, &first).await.token(), first);
    assert_eq!((setup.probes(), setup.calls().len()), (1, 3), "a report heals it");
    stop(relay).await;
    fs::remove_file(setup.record()).unwrap();
    let relay = setup.start().await;
    serves(&relay).await;
    stop(relay).await;
    assert_eq!(setup.calls().len(), 4, "with the old record removed, to move back costs one call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_calls_while_a_foreign_record_is_there_at_the_start_and_all_say_so() {
    let mut setup = Setup::new(RELAY, 1200, 300).await;
    let redis = RedisServer::start();
    redis.tell(&["SET", RECORD_KEY, "no record of ours"]);
    setup.set("state.url", &redis.url());
    let relays = join_all((0..3).map(|_| setup.start())).await;
    // longer than a record stands still before it is taken over
    sleep(Duration::from_secs(18)).await;
    assert_eq!(setup.calls().len(), 0);
    for relay in &relays {
        assert_eq!(relay.get("/token").await.status, 503);
        let ready = relay.look("/readyz").await;
        let trouble = ready.json()["accounts"]["main"]["store_trouble"].as_str().unwrap_or_default().to_owned();
        assert!(ready.status == 503 && trouble.contains("nobody calls until it is removed"), "{ready:?}");
        assert_eq!(relay.events("stored record cannot be read").len(), 1, "{}", relay.text());
    }
    assert_eq!(redis.tell(&["GET", RECORD_KEY]), Value::BulkString(b"no record of ours".to_vec()));
    redis.tell(&["DEL", RECORD_KEY]);
    let mut tokens = Vec::new();
    for relay in &relays {
        tokens.push(serves(relay).await);
    }
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(setup.calls().len(), 1);
}

/// Their records are written over in turn: nothing good comes of it, but no call storm and a word in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_appids_under_one_name_on_one_redis_make_no_call_storm_and_it_is_told() {
    let mut setup = Setup::new(RELAY, 1200, 300).await;
    let redis = RedisServer::start();
    setup.set("state.url", &redis.url());
    let one = setup.start().await;
    serves(&one).await;
    setup.sim.register("wxother", SECRET);
    setup.set("accounts.main.appid", "wxother");
    let other = setup.start().await;
    sleep(Duration::from_secs(30)).await;
    let told = other.events("stored record not taken");
    println!("{} calls; the other relay says it {} times in 30 s", setup.calls().len(), told.len());
    assert_eq!(one.get("/token").await.status, 200);
    assert!(!told.is_empty() && told[0]["reason"].as_str().unwrap().contains("appid"), "{}", other.text());
    assert!(setup.calls().len() <= 2);
}

/// Over TLS with a CA of one's own, from a file, at the most talkative level: [`Relay`] looks for the sentinel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_from_a_file_opens_rediss_and_is_told_nowhere() {
    let mut setup = Setup::new(RELAY, 1200, 300).await;
    let certificate = Certificate::of("localhost");
    let url_file = setup.path().join("url").to_str().unwrap().to_owned();
    let password = ["--requirepass", PASSWORD].map(str::to_owned);
    let tls = certificate.redis_arguments(setup.path());
    let mut encrypted = RedisServer::with(&[&tls[..], &password].concat());
    let locked = RedisServer::with(&["--requirepass", "another"]);
    setup.env.remove("TOKEN_RELAY__STATE__URL");
    setup.set("state.url_file", &url_file);
    setup.set("log.filter", "trace");
    setup.env("SSL_CERT_FILE", &certificate.write_ca(setup.path()));

    fs::write(&url_file, format!("rediss://:{PASSWORD}@localhost:{}/0\n", encrypted.port)).unwrap();
    let relay = setup.start().await;
    let token = serves(&relay).await;
    assert_eq!(relay.metric("token_relay_store_ok{account=\"main\"}").await, 1);
    let restarted = setup.start().await;
    assert_eq!((serves(&restarted).await, setup.calls().len()), (token, 1), "the record is in Redis");
    encrypted.kill();
    eventually("it is told", async || !relay.events("Redis does not answer").is_empty()).await;

    fs::write(&url_file, format!("redis://:{PASSWORD}@127.0.0.1:{}\n", locked.port)).unwrap();
    let refused = setup.start().await;
    eventually("it is told", async || refused.text().contains("WRONGPASS")).await;
    for relay in [&relay, &restarted, &refused] {
        let said = [relay.text(), relay.look("/readyz").await.body, relay.look("/status").await.body].concat();
        assert!(!said.contains("password-of-redis"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_password_of_redis_is_taken_from_its_file_without_a_restart() {
    let mut setup = Setup::new(RELAY, 1200, 300).await;
    let (redis, url_file) = (RedisServer::start(), setup.path().join("url"));
    let write = |login: &str| fs::write(&url_file, format!("redis://{login}127.0.0.1:{}\n", redis.port)).unwrap();
    write("");
    setup.env.remove("TOKEN_RELAY__STATE__URL");
    setup.set("state.url_file", url_file.to_str().unwrap());
    let relay = setup.start().await;
    let token = serves(&relay).await;
    redis.tell(&["CONFIG", "SET", "requirepass", PASSWORD]);
    let login = format!(":{PASSWORD}@");
    redis.tell_as(&login, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    eventually("it is told", async || relay.text().contains("NOAUTH")).await;
    assert_eq!(serves(&relay).await, token, "it serves on from memory");
    write(&login);
    relay.signal(rustix::process::Signal::HUP);
    eventually("the record is stored again", async || {
        relay.metric("token_relay_store_ok{account=\"main\"}").await == 1
    })
    .await;
    assert_eq!(relay.look("/status").await.json()["settings"]["needs_restart"], serde_json::json!([]));
    assert!(!relay.text().contains(PASSWORD));

    fs::write(&url_file, "redis://127.0.0.1:1/\n").unwrap();
    relay.signal(rustix::process::Signal::HUP);
    eventually("another server takes a restart", async || {
        relay.look("/status").await.json()["settings"]["needs_restart"] == serde_json::json!(["state.url"])
    })
    .await;
    assert_eq!((serves(&relay).await, setup.calls().len()), (token, 1));
}
