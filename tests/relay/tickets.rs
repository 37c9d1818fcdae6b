//! Does the relay keep tickets beside tokens? On real sockets, with a simulated WeChat that names a whole life with every repeat.

use std::{collections::BTreeSet, time::Duration};

use sha1::{Digest, Sha1};
use test_support::{Relay, Setup, client, eventually};
use wechat_sim::{Fault, Kind, Op, TicketKind, Times};

use crate::RELAY;

async fn setup(tickets: &str) -> Setup {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("accounts.main.tickets", tickets);
    setup
}

async fn ticket(relay: &Relay, kind: &str) -> String {
    let answer = relay.get(&format!("/ticket?type={kind}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["ticket"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_served_on_every_route_and_outlives_the_token_that_it_came_with() {
    let mut setup = setup("jsapi,wx_card").await;
    setup.set("accounts.main.jssdk_domains", "shop.example.com");
    setup.set("log.filter", "trace");
    let relay = setup.start().await;
    let (jsapi, wx_card) = (ticket(&relay, "jsapi").await, ticket(&relay, "wx_card").await);
    assert_ne!(jsapi, wx_card);
    for text in [&jsapi, &wx_card] {
        assert!(setup.sim.ticket_alive_for(text).is_some());
    }
    // The first one that a relay sees may be old: it promises a minute of it.
    let seconds = relay.get("/ticket?type=jsapi").await.seconds();
    assert!((1..=60).contains(&seconds), "{seconds}");

    let first = relay.get("/token").await.token();
    setup.sim.revoke(&first);
    let second = relay.report(&first).await.token();
    for token in [&first, &second] {
        let target = format!("/cgi-bin/ticket/getticket?type=jsapi&access_token={token}");
        let answer = client::get(relay.public, &target, None).await.unwrap().json();
        assert_eq!((&answer["errcode"], answer["ticket"].as_str()), (&0.into(), Some(jsapi.as_str())));
    }

    let config = relay.get("/jssdk/config?url=https%3A%2F%2Fshop.example.com%2Fcart%23top").await.json();
    let (nonce, timestamp) = (config["nonceStr"].as_str().unwrap(), &config["timestamp"]);
    let text = format!("jsapi_ticket={jsapi}&noncestr={nonce}&timestamp={timestamp}&url=https://shop.example.com/cart");
    assert_eq!(config["signature"].as_str().unwrap(), hex::encode(Sha1::digest(text)));
    assert_eq!(
        (&config["appId"], relay.get("/jssdk/config?url=https://evil.com/").await.status),
        (&"wxmain".into(), 400)
    );

    for kind in ["jsapi", "wx_card"] {
        let series =
            |outcome| format!("token_relay_calls_total{{account=\"main\",kind=\"{kind}\",outcome=\"{outcome}\"}}");
        assert_eq!(relay.metric(&series("issued")).await, 1);
    }
    let output = relay.text();
    for secret in [&jsapi, &wx_card, &first, &second] {
        assert!(!output.contains(secret), "a log shows a ticket or a token");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_survives_a_kill_and_costs_no_further_call() {
    let setup = setup("jsapi").await;
    let relay = setup.start().await;
    let first = ticket(&relay, "jsapi").await;
    eventually("the record is there", async || setup.state().join("main.jsapi.json").exists()).await;
    relay.kill();
    let relay = setup.start().await;
    assert_eq!(ticket(&relay, "jsapi").await, first);
    assert_eq!((setup.sim.calls(Op::Ticket).len(), setup.sim.ticket_mints("wxmain", TicketKind::Jsapi)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_the_log_names_the_account_and_which_of_its_credentials_it_is_about() {
    let setup = setup("jsapi,wx_card").await;
    setup.sim.fault(Op::Ticket, Fault::errcode(-1), Times::Next(1));
    let relay = setup.start().await;
    ticket(&relay, "jsapi").await;
    ticket(&relay, "wx_card").await;
    let about = |message: &str| {
        let named = |event: serde_json::Value| format!("{} {}", event["account"], event["credential"]).replace('"', "");
        relay.events(message).into_iter().map(named).collect::<BTreeSet<_>>()
    };
    let all = ["main access_token", "main jsapi", "main wx_card"].map(str::to_owned).into();
    eventually("all are logged", async || &about("fetched") | &about("fetched: recovered") == all).await;
    let failed = about("fetch failed");
    assert!(failed.len() == 1 && !failed.contains("main access_token") && failed.is_subset(&all), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_no_ticket_is_asked_for_and_it_comes_right_after_the_token() {
    let mut setup = setup("jsapi").await;
    setup.set("server.first_token_wait", "0s");
    setup.sim.fault(Op::Token, Fault::errcode(-1), Times::Always);
    let relay = setup.start().await;
    eventually("the token's first calls fail", async || setup.calls().len() >= 2).await;
    let answer = relay.get("/ticket?type=jsapi").await;
    assert_eq!((answer.status, &answer.json()["errcode"]), (503, &(-1).into()), "{answer:?}");
    assert!(setup.sim.calls(Op::Ticket).is_empty());
    assert_eq!(relay.metric("token_relay_budget_left{account=\"main\",kind=\"jsapi\",budget=\"calls\"}").await, 1000);
    setup.sim.clear_faults();
    eventually("the ticket comes", async || relay.get("/ticket?type=jsapi").await.status == 200).await;
    assert_eq!(setup.sim.calls(Op::Ticket).len(), 1);
    assert_eq!(relay.look("/readyz").await.json()["status"], "ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_refused_for_a_ticket_is_checked_and_replaced() {
    let setup = setup("jsapi").await;
    // A short life is asked for every second as long as nobody knows what is left of it.
    setup.sim.change_rules(|rules| rules.ticket_lifetime = Duration::from_secs(240));
    let relay = setup.start().await;
    let ticket = ticket(&relay, "jsapi").await;
    let first = relay.get("/token").await.token();
    for _ in 0..2 {
        setup.sim.rotate_outside("wxmain", Kind::Rotating);
    }
    assert!(!setup.sim.token_alive("wxmain", &first));
    eventually("the token is replaced, though nobody has reported it", async || {
        let answer = relay.get("/token").await;
        answer.status == 200 && answer.token() != first
    })
    .await;
    let calls = setup.sim.calls(Op::Ticket).len();
    eventually("the ticket is confirmed with the new one", async || setup.sim.calls(Op::Ticket).len() > calls + 1)
        .await;
    assert_eq!(relay.get("/ticket?type=jsapi").await.json()["ticket"], ticket);
    assert_eq!(relay.metric("token_relay_probes_total{account=\"main\",outcome=\"refused\"}").await, 1);
}
