//! Does the relay reach WeChat by the way that its settings say, and by no other?

use std::{net::TcpListener, time::Duration};

use test_support::{Certificate, ClosedPort, Setup, TokenPoller, eventually};
use wechat_sim::Sim;

use crate::RELAY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_of_the_environment_are_ignored() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let mut setup = Setup::new(RELAY, 600, 60).await;
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        setup.env(variable, &format!("http://{}", trap.local_addr().unwrap()));
    }
    setup.set("refresh.report_cooldown", "0s");
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    eventually("a probe is answered", async || relay.report(&token).await.status == 200).await;
    assert_eq!(trap.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody called the proxy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_first_host_costs_nothing_when_the_fallback_answers() {
    let unreachable = ClosedPort::bind();
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("wechat.fallback_base_url", &setup.sim.base_url());
    setup.set("wechat.base_url", &unreachable.url());
    let relay = setup.start().await;
    relay.get("/token").await.token();
    assert_eq!(relay.metric("token_relay_budget_left{account=\"main\",budget=\"calls\"}").await, 399);
    assert_eq!(setup.calls().len(), 1);
}

async fn wechat_with(certificate: &Certificate) -> Setup {
    let builder =
        Sim::builder().tls(certificate.identity()).lifetime(Duration::from_secs(16)).overlap(Duration::from_secs(6));
    let mut setup = Setup::around(RELAY, builder.start().await.unwrap());
    setup.set("refresh.overlap", "6s");
    setup.set("server.first_token_wait", "3s");
    setup.account("main", "token");
    setup.account("shop", "stable_token");
    setup
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_come_over_tls_from_a_host_that_ssl_cert_file_vouches_for() {
    let certificate = Certificate::of("localhost");
    let mut setup = wechat_with(&certificate).await;
    setup.env("SSL_CERT_FILE", &certificate.write_ca(setup.path()));
    let relay = setup.start().await;
    eventually("both tokens are there", async || relay.get("/readyz").await.json()["status"] == "ready").await;
    let poller = TokenPoller::start(&setup.sim, &["main", "shop"], Duration::from_millis(50));
    poller.read_from(&relay);
    eventually("both rotate", async || setup.calls().len() >= 4).await;
    let seen = poller.close().await;
    assert_eq!(seen.unavailable.len(), 0, "{:?}", seen.unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_a_wrong_certificate_gets_no_secret_and_costs_no_call() {
    let mut setup = wechat_with(&Certificate::of("localhost")).await;
    setup.env("SSL_CERT_FILE", &Certificate::of("localhost").write_ca(setup.path()));
    let relay = setup.start().await;
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
    assert_eq!(setup.calls().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_ca_certificate_it_says_what_to_install() {
    let mut setup = wechat_with(&Certificate::of("localhost")).await;
    setup.env("SSL_CERT_FILE", "/no/such/bundle.pem");
    setup.env("SSL_CERT_DIR", "/no/such/directory");
    let mut relay = setup.spawn();
    assert_eq!(relay.ended().await, Some(1));
    assert!(relay.text().contains("SSL_CERT_FILE"), "{}", relay.text());
}
