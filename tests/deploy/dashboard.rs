//! Does every query of the dashboard show something? Asked of a real Prometheus that has watched a relay through an outage.

use serde_json::Value;
use test_support::{CLIENT_KEY, Relay, Setup, client, eventually, toolchain};
use wechat_sim::{Fault, Kind, Op, Times};

use crate::{COMING, RELAY, prometheus::Prometheus, text_of};

/// The queries of the dashboard, with the variables as Grafana would fill them in.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&text_of("grafana/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let fill = |query: &str| {
        query.replace("$__rate_interval", "15s").replace("$job", "token-relay|gone").replace("$account", ".*")
    };
    targets.map(|target| fill(target["expr"].as_str().unwrap())).collect()
}

#[test]
fn every_query_uses_the_variables_of_the_dashboard_and_no_other() {
    let queries = queries();
    assert!(queries.len() > 30);
    for query in &queries {
        assert!(!query.contains('$'), "{query}");
    }
    let text = text_of("grafana/dashboard.json");
    for variable in ["datasource", "job", "account"] {
        assert!(text.contains(&format!("{{\"name\": \"{variable}\"")), "{variable}");
    }
}

async fn ask(relay: &Relay, target: &str) {
    client::get(relay.public, target, Some(CLIENT_KEY)).await.unwrap();
}

/// What clients do all day, and what some do wrong.
async fn traffic(relay: &Relay) {
    relay.get("/token").await.token();
    ask(relay, "/cgi-bin/get_api_domain_ip").await;
    for key in [CLIENT_KEY, "wrong"] {
        let target = format!("/cgi-bin/token?grant_type=client_credential&appid=wxmain&secret={key}");
        client::get(relay.public, &target, None).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_dashboard_brings_data_of_a_relay_that_went_through_an_outage() {
    if !toolchain::all_here(&[toolchain::PROMETHEUS]).await {
        return;
    }
    let mut setup = Setup::new(RELAY, 20, 5).await;
    setup.set("gateway.enabled", "true");
    setup.set("clients.orders.gateway", "true");
    setup.set("accounts.main.tickets", "jsapi");
    setup.set("refresh.report_cooldown", "0s");
    setup.set("refresh.retry_max", "2s");
    let relay = setup.start().await;
    traffic(&relay).await;
    let prometheus = Prometheus::scraping(relay.admin).await;
    let start = prometheus.number("time() + 0 * vector(1)").await.unwrap();

    // another caller ends the token, a client reports it
    let dead = relay.get("/token").await.token();
    for _ in 0..2 {
        setup.sim.rotate_outside("wxmain", Kind::Rotating);
    }
    relay.report(&dead).await;
    eventually("another caller is seen", async || prometheus.number("token_relay_another_caller == 1").await.is_some())
        .await;

    // the outage: WeChat is too busy, then answers again
    setup.sim.fault(Op::Any, Fault::Errcode { code: -1, message: None }, Times::Always);
    let failing = "token_relay_consecutive_failures{kind=\"\"} > 1";
    eventually("calls fail", async || prometheus.number(failing).await.is_some()).await;
    traffic(&relay).await;
    setup.sim.clear_faults();
    let recovered = "token_relay_consecutive_failures{kind=\"\"} == 0 and token_relay_rotations_total{kind=\"\"} > 2";
    eventually("it has recovered", async || prometheus.number(recovered).await.is_some()).await;
    traffic(&relay).await;
    eventually("the last traffic is scraped", async || {
        prometheus.number("token_relay_requests_total{route=\"token\",status=\"200\"} >= 4").await.is_some()
    })
    .await;

    let mut empty = Vec::new();
    for query in queries() {
        if prometheus.samples(&query, start).await == 0 {
            empty.push(query);
        }
    }
    let is_coming = |query: &String| COMING.iter().any(|name| query.contains(name));
    assert!(empty.iter().all(is_coming), "no data: {empty:#?}");
    for rule in prometheus.rules().await {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    let firing = "ALERTS{alertname=\"TokenRelayAnotherCaller\",alertstate=\"firing\"}";
    assert!(prometheus.samples(firing, start).await > 0);
}
