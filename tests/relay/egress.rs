//! Does the relay reach WeChat by the way that its settings say, and by no other?

use std::{fs, net::TcpListener, time::Duration};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio::net::TcpSocket;
use wechat_sim::{Identity, Sim};

use crate::{
    ledger::Ledger,
    world::{World, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_of_the_environment_are_ignored() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let mut world = World::new(600, 60).await;
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        world.env(variable, &format!("http://{}", trap.local_addr().unwrap()));
    }
    world.set("refresh.report_cooldown", "0s");
    let relay = world.start().await;
    let token = relay.get("/token").await.token();
    eventually("a probe is answered", async || relay.report(&token).await.status == 200).await;
    assert_eq!(trap.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody called the proxy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_first_host_costs_nothing_when_the_fallback_answers() {
    // bound, so that nobody else gets the port, but not listening
    let unreachable = TcpSocket::new_v4().unwrap();
    unreachable.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let dead = unreachable.local_addr().unwrap();
    let mut world = World::new(600, 60).await;
    world.set("wechat.fallback_base_url", &world.sim.base_url());
    world.set("wechat.base_url", &format!("http://{dead}"));
    let relay = world.start().await;
    relay.get("/token").await.token();
    assert_eq!(relay.metric("token_relay_budget_left{account=\"main\",budget=\"calls\"}").await, 399);
    assert_eq!(world.calls().len(), 1);
}

async fn wechat_with(own: &CertifiedKey<KeyPair>) -> World {
    let identity = Identity::from_pem(own.cert.pem(), own.signing_key.serialize_pem()).unwrap();
    let builder = Sim::builder().tls(identity).lifetime(Duration::from_secs(16)).overlap(Duration::from_secs(6));
    let mut world = World::around(builder.start().await.unwrap());
    world.set("refresh.overlap", "6s");
    world.set("server.first_token_wait", "3s");
    world.account("main", "token");
    world.account("shop", "stable_token");
    world
}

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_come_over_tls_from_a_host_that_ssl_cert_file_vouches_for() {
    let own = certificate();
    let mut world = wechat_with(&own).await;
    let bundle = world.path().join("ca.pem");
    fs::write(&bundle, own.cert.pem()).unwrap();
    world.env("SSL_CERT_FILE", bundle.to_str().unwrap());
    let relay = world.start().await;
    eventually("both tokens are there", async || relay.get("/readyz").await.json()["status"] == "ready").await;
    let ledger = Ledger::keep(&world.sim, &["main", "shop"], Duration::from_millis(50));
    ledger.read_from(&relay);
    eventually("both rotate", async || world.calls().len() >= 4).await;
    let seen = ledger.close().await;
    assert_eq!(seen.unavailable.len(), 0, "{:?}", seen.unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_a_wrong_certificate_gets_no_secret_and_costs_no_call() {
    let mut world = wechat_with(&certificate()).await;
    let bundle = world.path().join("ca.pem");
    fs::write(&bundle, certificate().cert.pem()).unwrap();
    world.env("SSL_CERT_FILE", bundle.to_str().unwrap());
    let relay = world.start().await;
    eventually("it failed thrice", async || {
        relay.metric("token_relay_consecutive_failures{account=\"main\"}").await >= 3
    })
    .await;
    // one that is under way is debited
    let left = "token_relay_budget_left{account=\"main\",budget=\"calls\"}";
    eventually("all are refunded", async || relay.metric(left).await == 400).await;
    let refused = relay.get("/token?account=main").await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.to_lowercase().contains("certificate"), "a clear reason: {refused:?}");
    assert!(refused.json()["hint"].as_str().unwrap().contains("certificate"), "a clear hint: {refused:?}");
    assert_eq!(world.calls().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_ca_certificate_it_says_what_to_install() {
    let mut world = wechat_with(&certificate()).await;
    world.env("SSL_CERT_FILE", world.path().join("missing.pem").to_str().unwrap().to_owned().as_str());
    world.env("SSL_CERT_DIR", world.path().join("missing").to_str().unwrap().to_owned().as_str());
    let mut relay = world.spawn();
    assert_eq!(relay.ended().await, Some(1));
    assert!(relay.text().contains("SSL_CERT_FILE"), "{}", relay.text());
}
