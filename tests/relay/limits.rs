//! Is a client that asks for too much held back, and nobody else?

use std::time::Duration;

use serde_json::json;
use test_support::{CLIENT_KEY, Relay, Setup, client, eventually};
use tokio::time::sleep;

use crate::RELAY;

const OTHER_KEY: &str = "sentinel-client-key-of-others-0123456789";
const OVER: &str = "a client is over its limit; further refusals are logged at DEBUG";

async fn refused(relay: &Relay, limit: &str) -> u64 {
    relay.metric(&format!("token_relay_client_limit_refusals_total{{limit=\"{limit}\"}}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_over_its_limit_of_requests_is_refused_in_every_shape_and_another_one_is_not() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("clients.orders.max_requests_per_second", "1");
    setup.set("clients.orders.gateway", "true");
    setup.set("gateway.enabled", "true");
    setup.set("clients.others.key", OTHER_KEY);
    let relay = setup.start().await;
    eventually("there is a token", async || {
        client::get(relay.public, "/token", Some(OTHER_KEY)).await.unwrap().status == 200
    })
    .await;
    // one request is let through each second, however slow this machine is: the second of a pair is refused, sooner or later
    let over = async |target: &str, key: Option<&str>, is_refused: &dyn Fn(&client::Answer) -> bool| {
        for _ in 0..50 {
            let answer = client::get(relay.public, target, key).await.unwrap();
            if is_refused(&answer) {
                return answer;
            }
        }
        panic!("{target} is never refused");
    };
    let answer = over("/token", Some(CLIENT_KEY), &|answer| answer.status == 429).await;
    assert_eq!((answer.retry_after(), answer.header("content-type")), (Some(1), Some("application/problem+json")));
    let detail = "this client sends more requests than clients.NAME.max_requests_per_second allows";
    assert_eq!(answer.json()["detail"], detail);
    let fetch = format!("/cgi-bin/token?grant_type=client_credential&appid=wxmain&secret={CLIENT_KEY}");
    over(&fetch, None, &|answer| answer.json()["errcode"] == 45011).await;
    // a login is paid by whose key is its secret, whatever else its head says
    let login = format!("/sns/jscode2session?corpsecret=x&appid=wxmain&secret={CLIENT_KEY}&js_code=x&grant_type=x");
    over(&login, Some("no-key-of-anybody-0123456789abcdef"), &|answer| answer.json()["errcode"] == 45011).await;
    over("/cgi-bin/get_api_domain_ip", Some(CLIENT_KEY), &|answer| answer.json()["errcode"] == 45011).await;
    for _ in 0..20 {
        assert_eq!(client::get(relay.public, "/token", Some(OTHER_KEY)).await.unwrap().status, 200);
    }
    assert!(refused(&relay, "requests").await >= 3);
    eventually("it is named", async || !relay.events(OVER).is_empty()).await;
    let named = relay.events(OVER);
    assert_eq!((named.len(), &named[0]["client"], &named[0]["limit"]), (1, &json!("orders"), &json!("requests")));
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(relay.get("/token").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_of_a_client_are_limited_logged_with_its_name_and_do_not_keep_it_from_the_token() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("clients.orders.max_reports_per_minute", "3");
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    assert_eq!(relay.report("an old token").await.token(), token);
    assert_eq!(relay.report(&token).await.token(), token, "WeChat accepts it");
    assert_eq!(relay.report("an old token").await.token(), token);
    let answer = relay.report("an old token").await;
    let detail = "this client sends more reports than clients.NAME.max_reports_per_minute allows";
    assert_eq!((answer.status, &answer.json()["detail"]), (429, &json!(detail)));
    assert!((1..=20).contains(&answer.retry_after().unwrap()), "{answer:?}");
    let body =
        json!({"grant_type": "client_credential", "appid": "wxmain", "secret": CLIENT_KEY, "force_refresh": true});
    let forced = client::request("POST", "/cgi-bin/stable_token", None, "", &body.to_string());
    assert_eq!(client::send(relay.public, forced.as_bytes()).await.unwrap().token(), token);
    assert_eq!(refused(&relay, "reports").await, 2);
    eventually("it is named", async || !relay.events(OVER).is_empty()).await;
    assert_eq!(relay.events(OVER).len(), 1);
    let stays = relay.events("report: the token stays");
    assert_eq!((stays.len(), &stays[0]["client"]), (1, &json!("orders")));
    let stale = relay.events("report: not about the current token");
    assert_eq!((stale.len(), &stale[0]["client"], &stale[0]["account"]), (2, &json!("orders"), &json!("main")));
}
