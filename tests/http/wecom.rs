//! What does WeCom's own token route answer? Real sockets.

use std::time::Duration;

use test_support::client::Answer;
use token_relay::{
    http::{Agent, App, Apps, Timeouts},
    issuer::wechat::Endpoint,
    relay_key::KeyDigest,
};

use crate::{
    drop_in::{DropIn, assert_refused},
    fake_relay::{BOTH_KEY, FakeRelay, KEY, MAIN_KEY, ODD_KEY, idle},
    gateway::errcode,
};

pub(crate) const CORP: &str = "ww0123456789abcdef";
pub(crate) const SECRET: &str = "the-secret-of-an-agent_of-a-corp-0123456789";

pub(crate) fn agent(account: &str, secret: Option<&str>) -> (String, Agent) {
    let secret = secret.map(|secret| KeyDigest::of(secret.as_bytes()));
    (CORP.to_owned(), Agent { account: account.parse().unwrap(), secret })
}

/// `main` and `shop` are agents of one corp, `other` is the agent of another. Only `shop` accepts its secret.
async fn three_agents() -> DropIn {
    let other = ("ww1".to_owned(), agent("other", None).1);
    let apps = Apps::default().with_agents([agent("main", None), agent("shop", Some(SECRET)), other]);
    let names = ["main", "shop", "other"];
    let fake = FakeRelay::with_apps(&names, Timeouts::new(Duration::from_secs(60)), apps);
    for name in names {
        fake.offer(name, 7, name, 3541);
    }
    DropIn::around(fake).await
}

async fn gettoken(relay: &DropIn, corpid: &str, secret: &str) -> Answer {
    relay.send("GET", &format!("/cgi-bin/gettoken?corpid={corpid}&corpsecret={secret}"), "").await
}

#[tokio::test]
async fn a_key_that_may_use_one_agent_of_the_corp_gets_its_token_in_wecoms_shape() {
    let relay = three_agents().await;
    let answer = gettoken(&relay, CORP, MAIN_KEY).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, r#"{"errcode":0,"errmsg":"ok","access_token":"main","expires_in":3541}"#)
    );
    assert_eq!(answer.header("content-type"), Some("application/json; encoding=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(gettoken(&relay, "ww1", KEY).await.json()["access_token"], "other", "the only agent of its corp");
    let target = format!("/cgi-bin/gettoken?debug=1&corpsecret={MAIN_KEY}&corp%69d={CORP}&appid=x&secret=y");
    assert_eq!(relay.send("GET", &target, "").await.json()["access_token"], "main");
    assert_eq!(relay.metric("token_relay_requests_total{route=\"drop_in_gettoken\",status=\"200\"}").await, "3");
}

#[tokio::test]
async fn a_key_that_may_use_several_agents_of_the_corp_is_told_to_be_restricted() {
    let relay = three_agents().await;
    for key in [KEY, BOTH_KEY] {
        let answer = gettoken(&relay, CORP, key).await;
        let errmsg = answer.json()["errmsg"].as_str().unwrap().to_owned();
        assert_eq!((answer.status, errcode(&answer)), (200, 41011), "{answer:?}");
        assert!(errmsg.starts_with("agentid missing: ") && errmsg.contains("clients.NAME.accounts"), "{errmsg}");
    }
    assert_eq!(relay.metric("token_relay_drop_in_refusals_total{reason=\"several_accounts\"}").await, "2");
}

#[tokio::test]
async fn the_agents_own_secret_is_taken_where_it_is_accepted_and_names_the_agent() {
    let relay = three_agents().await;
    assert_eq!(gettoken(&relay, CORP, SECRET).await.json()["access_token"], "shop");
    assert_refused(&gettoken(&relay, "ww1", SECRET).await, 40001, "invalid credential");
    assert_eq!(relay.metric("token_relay_appsecret_requests_total{account=\"shop\"}").await, "1");
    assert_eq!(relay.metric("token_relay_appsecret_requests_total{account=\"main\"}").await, "0");
}

#[tokio::test]
async fn every_refusal_has_wecoms_code_and_status_200() {
    let relay = three_agents().await;
    for (query, errcode, errmsg) in [
        (String::new(), 41002, "corpid missing"),
        (format!("appid={CORP}&corpsecret={KEY}"), 41002, "corpid missing"),
        (format!("corpid=&corpsecret={KEY}"), 41002, "corpid missing"),
        (format!("corpid=ww2&corpsecret={KEY}"), 40013, "invalid corpid"),
        (format!("corpid={CORP}&corpid={CORP}&corpsecret={MAIN_KEY}"), 40013, "invalid corpid"),
        (format!("corpid={CORP}%ff&corpsecret={MAIN_KEY}"), 40013, "invalid corpid"),
        (format!("corpid={CORP}"), 41004, "corpsecret missing"),
        (format!("corpid={CORP}&corpsecret="), 41004, "corpsecret missing"),
        (format!("corpid={CORP}&secret={MAIN_KEY}"), 41004, "corpsecret missing"),
        (format!("corpid={CORP}&corpsecret=wrong"), 40001, "invalid credential"),
        (format!("corpid={CORP}&corpsecret={}", SECRET.to_uppercase()), 40001, "invalid credential"),
        (format!("corpid={CORP}&corpsecret={}", ODD_KEY.replace('+', "%2B")), 40001, "invalid credential"),
        (format!("corpid={CORP}&corpsecret={MAIN_KEY}&corpsecret={MAIN_KEY}"), 40001, "invalid credential"),
        (format!("corpid=ww1&corpsecret={MAIN_KEY}"), 48002, "api forbidden"),
    ] {
        let answer = relay.send("GET", &format!("/cgi-bin/gettoken?{query}"), "").await;
        assert_refused(&answer, errcode, errmsg);
    }
    let post = format!("/cgi-bin/gettoken?corpid={CORP}&corpsecret={MAIN_KEY}");
    assert_refused(&relay.send("POST", &post, "{}").await, 43001, "require GET method");
    assert_refused(
        &relay.get(&format!("grant_type=client_credential&appid={CORP}&secret={KEY}")).await,
        40013,
        "invalid appid",
    );
    for _ in 0..10 {
        gettoken(&relay, CORP, "wrong").await;
    }
    assert_refused(&gettoken(&relay, CORP, "wrong").await, 45009, "api freq out of limit");
    assert_eq!(gettoken(&relay, CORP, MAIN_KEY).await.json()["access_token"], "main", "a right key is always served");
}

/// The same, and the tickets of `main`, and `card`, an account of WeChat.
async fn with_tickets() -> DropIn {
    let card = App { account: "card".parse().unwrap(), endpoint: Endpoint::Token, appsecret: None };
    let apps = Apps::new([("wxcard".to_owned(), card)]).with_agents([agent("main", None), agent("shop", None)]);
    let names = ["main", "main.jsapi", "main.agent_config", "shop", "card", "card.jsapi"];
    let fake = FakeRelay::with_apps(&names, Timeouts::new(Duration::from_secs(60)), apps);
    for name in names {
        fake.offer(name, 7, &format!("of-{name}"), 7100);
    }
    DropIn::around(fake).await
}

#[tokio::test]
async fn an_sdk_gets_an_agents_kept_tickets_for_its_token_in_wecoms_shape() {
    let relay = with_tickets().await;
    for (target, ticket) in [
        ("/cgi-bin/get_jsapi_ticket?access_token=of-main", "of-main.jsapi"),
        ("/cgi-bin/get_jsapi_ticket?access_token=of-main&type=agent_config", "of-main.jsapi"),
        ("/cgi-bin/ticket/get?access_token=of-main&type=agent_config", "of-main.agent_config"),
        ("/cgi-bin/ticket/get?type=agent_config&x&access_token=of-main", "of-main.agent_config"),
    ] {
        let answer = relay.send("GET", target, "").await;
        let body = format!(r#"{{"errcode":0,"errmsg":"ok","ticket":"{ticket}","expires_in":7100}}"#);
        assert_eq!((answer.status, answer.body.as_str()), (200, body.as_str()), "{target}");
    }
    let series = "token_relay_requests_total{route=\"drop_in_wecom_ticket\",status=\"200\"}";
    assert_eq!(relay.metric(series).await, "4");
}

#[tokio::test]
async fn the_ticket_routes_refuse_with_wecoms_codes_and_know_no_ticket_of_the_other_platform() {
    let relay = with_tickets().await;
    for (target, errcode, errmsg) in [
        ("get_jsapi_ticket", 41001, "access_token missing"),
        ("get_jsapi_ticket?access_token=", 41001, "access_token missing"),
        ("get_jsapi_ticket?access_token=of-nobody", 40014, "invalid access_token"),
        ("get_jsapi_ticket?access_token=of-main.jsapi", 40014, "invalid access_token"),
        ("get_jsapi_ticket?access_token=of-shop", 48002, "api forbidden"),
        ("get_jsapi_ticket?access_token=of-card", 48002, "api forbidden"),
        ("ticket/get?type=agent_config", 41001, "access_token missing"),
        ("ticket/get?access_token=of-main", 40058, "invalid Request Parameter"),
        ("ticket/get?access_token=of-main&type=jsapi", 40058, "invalid Request Parameter"),
        ("ticket/get?access_token=of-main&type=agent_config&type=agent_config", 40058, "invalid Request Parameter"),
        ("ticket/get?access_token=of-shop&type=agent_config", 48002, "api forbidden"),
        ("ticket/getticket?access_token=of-main&type=jsapi", 48001, "api unauthorized"),
        ("ticket/getticket?access_token=of-card&type=agent_config", 40097, "invalid args"),
    ] {
        assert_refused(&relay.send("GET", &format!("/cgi-bin/{target}"), "").await, errcode, errmsg);
    }
    let post = relay.send("POST", "/cgi-bin/get_jsapi_ticket?access_token=of-main", "{}").await;
    assert_refused(&post, 43001, "require GET method");
    relay.fake.publish("main.agent_config", idle());
    let none = relay.send("GET", "/cgi-bin/ticket/get?access_token=of-main&type=agent_config", "").await;
    assert_refused(&none, -1, "system busy");
}
