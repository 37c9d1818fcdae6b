//! What if the host of WeChat leads back to the relay itself?

use serde_json::json;
use test_support::{Relay, Setup, client, eventually, free_port};

use crate::RELAY;

const SENT_BY_A_RELAY: &str = "a relay has sent this request";

/// A relay whose WeChat is itself, as behind an alias, and which takes its account's AppSecret as an SDK's secret.
async fn looped(endpoint: &str, fallback: impl FnOnce(&Setup) -> String) -> (Setup, Relay) {
    let mut setup = Setup::new(RELAY, 7200, 300).await;
    let listen = format!("127.0.0.1:{}", free_port());
    let fallback = fallback(&setup);
    for (key, value) in [
        ("server.listen", listen.as_str()),
        ("server.first_token_wait", "100ms"),
        ("wechat.base_url", &format!("http://{listen}")),
        ("wechat.fallback_base_url", &fallback),
        ("accounts.main.accept_appsecret", "true"),
        ("accounts.main.endpoint", endpoint),
        ("gateway.enabled", "true"),
    ] {
        setup.set(key, value);
    }
    let relay = setup.start().await;
    (setup, relay)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_comes_back_minted_nothing_and_is_said_with_what_to_do() {
    for endpoint in ["token", "stable_token"] {
        let (setup, relay) = looped(endpoint, |_| String::new()).await;
        eventually("a call has come back", async || {
            relay.look("/status").await.json()["accounts"]["main"]["trouble"] != json!(null)
        })
        .await;
        let status = relay.look("/status").await.json();
        let failure = &status["accounts"]["main"]["trouble"];
        assert_eq!(failure["message"], "not sent: a relay answered in the platform's place");
        assert!(failure["hint"].as_str().unwrap().contains("wechat.resolve"), "{failure}");
        eventually("the next try does not wait for four minutes", async || {
            relay.metric("token_relay_loops_total").await >= 2
        })
        .await;
        let said = || relay.text().lines().filter(|line| line.contains(SENT_BY_A_RELAY)).count();
        eventually("it is logged", async || said() > 0).await;
        assert_eq!(said(), 1, "once an hour");
        let calls = async |outcome| {
            relay.metric(&format!("token_relay_calls_total{{account=\"main\",outcome=\"{outcome}\"}}")).await
        };
        assert!(calls("not_sent").await >= 1 && calls("unknown").await + calls("issued").await == 0);
        assert_eq!(setup.calls().len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_fallback_host_the_token_comes_from_there() {
    let (setup, relay) = looped("token", |setup| setup.sim.base_url()).await;
    eventually("a token is served", async || relay.get("/token").await.status == 200).await;
    let token = relay.get("/token").await.token();
    assert!(setup.sim.token_alive("wxmain", &token));
    assert_eq!(setup.calls().len(), 1);
    let target = format!("/cgi-bin/get_api_domain_ip?access_token={token}");
    let passed = client::get(relay.public, &target, None).await.unwrap();
    assert_eq!((passed.status, passed.json()["errcode"].as_i64()), (508, Some(-1)), "the gateway tries one host");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_addresses_of_a_host_lead_past_its_name_and_follow_the_settings() {
    let mut setup = Setup::new(RELAY, 7200, 300).await;
    let port = setup.sim.addr().port();
    let config = setup.path().join("relay.toml");
    let write = |addresses: &str| std::fs::write(&config, format!("[wechat]\nresolve = {addresses}\n")).unwrap();
    setup.env("TOKEN_RELAY_CONFIG", config.to_str().unwrap());
    setup.set("wechat.base_url", &format!("http://api.wechat.invalid:{port}"));
    setup.set("server.first_token_wait", "100ms");
    write("[]");
    let relay = setup.start().await;
    assert_eq!(relay.get("/token").await.status, 503, "nobody knows this name");
    write("[\"api.wechat.invalid=127.0.0.1\"]");
    relay.reload().await;
    eventually("a token is served", async || relay.get("/token").await.status == 200).await;
}
