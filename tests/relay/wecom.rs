//! Does a relay keep the tokens of WeCom's agents, and does it spare WeCom a wrong secret?

use std::time::Duration;

use sha1::{Digest, Sha1};
use test_support::{CLIENT_KEY, Relay, SECRET, Setup, client, eventually};
use tokio::time::{Instant, sleep};
use wechat_sim::{Op, Sim};

use crate::RELAY;

const CORP: &str = "ww0123456789abcdef";
const CRM: &str = "ww0123456789abcdef/crm";
const CRM_KEY: &str = "sentinel-client-key-of-crm-0123456789abc";
const USERS: &str = "/cgi-bin/user/get";

fn secret(agent: &str) -> String {
    format!("{SECRET}-{agent}")
}

/// A relay with one agent, `crm`, whose tokens live for so many seconds.
async fn setup(lifetime: u64) -> Setup {
    let sim = Sim::builder().start().await.unwrap();
    sim.change_rules(|rules| rules.wecom_lifetime = Duration::from_secs(lifetime));
    let mut setup = Setup::around(RELAY, sim);
    let base_url = setup.sim.base_url();
    setup.set("wecom.base_url", &base_url);
    setup.set("log.filter", "trace");
    agent(&mut setup, "crm");
    setup
}

/// Adds an agent of the corp, to WeCom and to the settings.
fn agent(setup: &mut Setup, name: &str) {
    setup.sim.register_agent(CORP, name, &secret(name));
    for (key, value) in [("platform", "wecom"), ("corpid", CORP), ("secret", &secret(name))] {
        setup.set(&format!("accounts.{name}.{key}"), value);
    }
}

fn calls(setup: &Setup) -> usize {
    setup.sim.calls(Op::WecomToken).len()
}

async fn gettoken(relay: &Relay, secret: &str) -> client::Answer {
    let target = format!("/cgi-bin/gettoken?corpid={CORP}&corpsecret={secret}");
    client::get(relay.public, &target, None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_dead_token_is_served_over_the_lives_of_several() {
    let setup = setup(4).await;
    let relay = setup.start().await;
    // how old the first one is, the relay cannot know: for a moment at a time it is served all the same
    let first = relay.get("/token").await.token();
    eventually("the second", async || relay.get("/token").await.token() != first).await;
    let (before, mut reads) = (calls(&setup), 0);
    while setup.sim.agent_mints(CRM) < 5 {
        let asked = Instant::now();
        let answer = relay.get("/token").await;
        let (token, promised) = (answer.token(), Duration::from_secs(answer.seconds()));
        let is_dead = setup.sim.alive_for(&token).is_none();
        assert!(!is_dead || asked.elapsed() >= promised, "{promised:?} were promised of a dead token");
        reads += 1;
        sleep(Duration::from_millis(20)).await;
    }
    let calls = calls(&setup) - before;
    // at the end of each the same token may come once more, or twice
    assert!(calls <= 3 * 3, "{calls} calls");
    println!("{reads} reads, {calls} calls for 3 tokens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_tried_once_over_many_restarts_and_a_right_one_at_once() {
    let mut setup = setup(600).await;
    setup.set("accounts.crm.secret", &secret("nobody"));
    setup.set("server.first_token_wait", "100ms");
    for round in 0..8 {
        let relay = setup.start().await;
        eventually("the failure is known", async || {
            relay.get("/token").await.json()["errcode"].as_i64() == Some(40001)
        })
        .await;
        let answer = relay.get("/token").await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.json()["hint"].as_str().unwrap().contains("work.weixin.qq.com"), "{answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("WeCom answered errcode 40001"), "{answer:?}");
        assert_eq!(calls(&setup), 1, "start {round}");
        eventually("it is stored", async || {
            std::fs::read_to_string(setup.state().join("crm.json")).is_ok_and(|record| record.contains("40001"))
        })
        .await;
        relay.kill();
    }
    assert_eq!(setup.sim.banned_for([127, 0, 0, 1].into()), None);
    setup.set("accounts.crm.secret", &secret("crm"));
    setup.set("server.first_token_wait", "30s");
    let relay = setup.start().await;
    assert!(setup.sim.alive_for(&relay.get("/token").await.token()).is_some());
    assert_eq!(calls(&setup), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_calls_nobody_and_another_agents_secret_takes_no_token_of_the_one_before() {
    let mut setup = setup(600).await;
    let relay = setup.start().await;
    let first = relay.get("/token").await.token();
    relay.kill();
    let relay = setup.start().await;
    assert_eq!(relay.get("/token").await.token(), first);
    assert_eq!(calls(&setup), 1);
    relay.kill();
    setup.sim.register_agent(CORP, "hr", &secret("hr"));
    setup.set("accounts.crm.secret", &secret("hr"));
    let relay = setup.start().await;
    let other = relay.get("/token").await.token();
    assert_eq!(other, setup.sim.living_agent(&format!("{CORP}/hr")).unwrap().access_token);
    assert_ne!(other, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_wecom_revoked_costs_one_probe_and_one_call_when_it_is_reported() {
    let mut setup = setup(600).await;
    setup.set("refresh.report_cooldown", "0s");
    let relay = setup.start().await;
    let first = relay.get("/token").await.token();
    assert_eq!(relay.report(&first).await.token(), first, "WeCom accepts it");
    assert!(setup.sim.revoke_agent(CRM));
    let second = relay.report(&first).await.token();
    assert!(second != first && setup.sim.alive_for(&second).is_some());
    assert_eq!(relay.report(&first).await.token(), second, "a stale report costs nothing");
    assert_eq!((calls(&setup), setup.sim.route("/cgi-bin/get_api_domain_ip").calls), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_of_a_corp_are_two_accounts_and_each_sdk_gets_its_own() {
    let mut setup = setup(600).await;
    agent(&mut setup, "hr");
    setup.set("clients.crm.key", CRM_KEY);
    setup.set("clients.crm.accounts", "crm");
    setup.set("accounts.hr.accept_appsecret", "true");
    let relay = setup.start().await;
    let [crm, hr] = ["crm", "hr"].map(|name| format!("/token?account={name}"));
    let (crm, hr) = (relay.get(&crm).await.token(), relay.get(&hr).await.token());
    assert_ne!(crm, hr);
    let answer = gettoken(&relay, CRM_KEY).await;
    assert_eq!((answer.token(), &answer.json()["errcode"], &answer.json()["errmsg"]), (crm, &0.into(), &"ok".into()));
    assert_eq!(gettoken(&relay, &secret("hr")).await.token(), hr);
    assert_eq!(gettoken(&relay, &secret("crm")).await.json()["errcode"], 40001, "not accepted");
    assert_eq!(gettoken(&relay, CLIENT_KEY).await.json()["errcode"], 41011, "which of the two?");
    assert_eq!(calls(&setup), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_the_gateway_a_caller_sees_nothing_of_a_revoked_token() {
    let mut setup = setup(600).await;
    setup.set("gateway.enabled", "true");
    let relay = setup.start().await;
    let first = relay.get("/token").await.token();
    let ask = async || {
        let answer = client::get(relay.public, &format!("{USERS}?access_token={first}&userid=u"), None).await.unwrap();
        answer.json()["errcode"].as_i64()
    };
    assert_eq!(ask().await, Some(0));
    assert!(setup.sim.revoke_agent(CRM));
    assert_eq!(ask().await, Some(0));
    assert_eq!((setup.sim.route(USERS).calls, calls(&setup)), (3, 2), "refused, renewed, repeated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_tickets_are_served_on_every_route_outlive_its_token_and_survive_a_kill() {
    let mut setup = setup(600).await;
    setup.set("accounts.crm.tickets", "jsapi,agent_config");
    setup.set("accounts.crm.jssdk_domains", "shop.example.com");
    let relay = setup.start().await;
    let ticket = async |relay: &Relay, kind: &str| {
        let answer = relay.get(&format!("/ticket?type={kind}")).await;
        // how old they are, the relay cannot know
        assert!((1..=120).contains(&answer.seconds()), "{answer:?}");
        answer.json()["ticket"].as_str().unwrap().to_owned()
    };
    let tickets = [ticket(&relay, "jsapi").await, ticket(&relay, "agent_config").await];
    assert!(tickets.iter().all(|ticket| setup.sim.ticket_alive_for(ticket).is_some()) && tickets[0] != tickets[1]);
    let first = relay.get("/token").await.token();
    assert!(setup.sim.revoke_agent(CRM));
    let second = relay.report(&first).await.token();
    for token in [&first, &second] {
        let targets = ["get_jsapi_ticket?", "ticket/get?type=agent_config&"];
        for (target, ticket) in targets.into_iter().zip(&tickets) {
            let target = format!("/cgi-bin/{target}access_token={token}");
            let answer = client::get(relay.public, &target, None).await.unwrap().json();
            assert_eq!((&answer["errcode"], &answer["ticket"]), (&0.into(), &ticket.as_str().into()), "{target}");
        }
    }
    for (kind, id, ticket) in [("jsapi", "appId", &tickets[0]), ("agent_config", "corpid", &tickets[1])] {
        let target = format!("/jssdk/config?type={kind}&url=https%3A%2F%2Fshop.example.com%2Fcart");
        let config = relay.get(&target).await.json();
        let (nonce, timestamp) = (config["nonceStr"].as_str().unwrap(), &config["timestamp"]);
        let page = "https://shop.example.com/cart";
        let text = format!("jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={page}");
        assert_eq!((&config[id], &config["signature"]), (&CORP.into(), &hex::encode(Sha1::digest(text)).into()));
    }
    eventually("the records are there", async || {
        ["crm.jsapi.json", "crm.agent_config.json"].iter().all(|name| setup.state().join(name).exists())
    })
    .await;
    let output = relay.text();
    assert!(tickets.iter().all(|ticket| !output.contains(ticket)), "a log shows a ticket");
    relay.kill();
    let relay = setup.start().await;
    assert_eq!([ticket(&relay, "jsapi").await, ticket(&relay, "agent_config").await], tickets);
    assert_eq!(setup.sim.calls(Op::WecomTicket).len(), 2);
}
