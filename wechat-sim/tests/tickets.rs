//! `GET /cgi-bin/ticket/getticket`, and what a test can ask and change.
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod common;

use std::time::Duration;

use common::*;
use serde_json::{Value, json};
use wechat_sim::{Fault, Kind, Odd, Op, Outcome, Sim, TicketKind, Times};

async fn started() -> (Sim, String) {
    let sim = sim().start().await.unwrap();
    let token = token(sim.addr()).await;
    (sim, token)
}

async fn ask(sim: &Sim, token: &str, kind: &str) -> Value {
    json(sim.addr(), &get(&format!("/cgi-bin/ticket/getticket?access_token={token}&type={kind}"))).await
}

fn text(body: &Value) -> &str {
    body["ticket"].as_str().unwrap()
}

#[tokio::test]
async fn a_ticket_reply_looks_like_wechats_and_repeats_itself() {
    let (sim, token) = started().await;
    let request = get(&format!("/cgi-bin/ticket/getticket?access_token={token}&type=jsapi"));
    let body = String::from_utf8(reply(sim.addr(), &request).await.1).unwrap();
    let ticket = serde_json::from_str::<Value>(&body).unwrap()["ticket"].as_str().unwrap().to_owned();
    assert_eq!(body, format!(r#"{{"errcode":0,"errmsg":"ok","ticket":"{ticket}","expires_in":7200}}"#));
    assert_eq!(String::from_utf8(reply(sim.addr(), &request).await.1).unwrap(), body);
    let calls: Vec<_> = sim.calls(Op::Ticket).iter().map(|call| (call.minted, call.outcome)).collect();
    assert_eq!(calls, [(true, Outcome::Granted), (false, Outcome::Granted)]);
}

#[tokio::test]
async fn a_ticket_is_alive_until_it_ends_and_then_another_text_comes() {
    let (sim, token) = started().await;
    sim.change_rules(|rules| rules.ticket_lifetime = Duration::from_secs(1));
    let first = ask(&sim, &token, "jsapi").await;
    assert_eq!(first["expires_in"], 1);
    assert!(sim.ticket_alive_for(text(&first)).is_some_and(|left| left <= Duration::from_secs(1)));
    until(|| sim.ticket_alive_for(text(&first)).is_none()).await;
    assert_ne!(ask(&sim, &token, "jsapi").await["ticket"], first["ticket"]);
    assert_eq!(sim.ticket_mints(APP, TicketKind::Jsapi), 2);
}

#[tokio::test]
async fn a_ticket_outlives_the_rotation_of_its_token() {
    let (sim, token) = started().await;
    let ticket = ask(&sim, &token, "wx_card").await;
    sim.rotate_outside(APP, Kind::Rotating);
    sim.rotate_outside(APP, Kind::Rotating);
    assert_eq!(ask(&sim, &token, "wx_card").await["errcode"], 40001);
    assert!(sim.ticket_alive_for(text(&ticket)).is_some());
}

#[tokio::test]
async fn a_call_without_a_good_token_or_a_known_type_is_refused() {
    let (sim, token) = started().await;
    for (token, kind, errcode) in [
        ("", "jsapi", 41001),
        ("75_never", "jsapi", 40001),
        ("not%20a%20token", "jsapi", 40014),
        (&token, "", 40097),
        (&token, "agent_config", 40097),
    ] {
        assert_eq!(ask(&sim, token, kind).await["errcode"], errcode, "{token} {kind}");
    }
    assert_eq!(sim.ticket_mints(APP, TicketKind::Jsapi) + sim.ticket_mints(APP, TicketKind::WxCard), 0);
    assert_eq!(sim.route("/cgi-bin/ticket/getticket").refused[&40001], 1);
}

#[tokio::test]
async fn an_odd_ticket_is_empty_or_lacks_its_life() {
    let (sim, token) = started().await;
    sim.script(Op::Ticket, [Odd::EmptyToken, Odd::NullToken, Odd::NoToken, Odd::NoExpiresIn].map(Fault::Odd));
    assert_eq!(
        ask(&sim, &token, "jsapi").await,
        json!({"errcode": 0, "errmsg": "ok", "ticket": "", "expires_in": 7200})
    );
    assert_eq!(ask(&sim, &token, "jsapi").await["ticket"], Value::Null);
    assert_eq!(ask(&sim, &token, "jsapi").await.get("ticket"), None);
    assert_eq!(sim.ticket_mints(APP, TicketKind::Jsapi), 0);
    let body = ask(&sim, &token, "jsapi").await;
    assert!(body.get("expires_in").is_none() && sim.ticket_alive_for(text(&body)).is_some());
    sim.fault(Op::Ticket, Fault::errcode(45009), Times::Next(1));
    assert_eq!(ask(&sim, &token, "jsapi").await["errcode"], 45009);
    sim.fault(Op::Ticket, Fault::Huge(100), Times::Next(1));
    let counterfeit = ask(&sim, &token, "jsapi").await;
    assert!(sim.ticket_alive_for(text(&counterfeit)).is_none(), "nothing was minted");
}

#[tokio::test]
async fn commands_ask_for_a_ticket_and_end_it() {
    let (sim, token) = started().await;
    json(sim.addr(), &post("/_control/rules", r#"{"ticket_lifetime":"90s"}"#)).await;
    let ticket = ask(&sim, &token, "jsapi").await;
    assert_eq!(ticket["expires_in"], 90);
    let alive = get(&format!("/_control/alive?ticket={}", text(&ticket)));
    assert_eq!(json(sim.addr(), &alive).await["alive"], true);
    json(sim.addr(), &post("/_control/revoke", &json!({"ticket": ticket["ticket"]}).to_string())).await;
    assert_eq!(json(sim.addr(), &alive).await, json!({"alive": false, "seconds_left": null}));
    let (head, _) = reply(sim.addr(), &post("/_control/revoke", r#"{"ticket":"none"}"#)).await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    let state = reply(sim.addr(), &get("/_control/state")).await.1;
    assert!(!String::from_utf8(state.clone()).unwrap().contains(text(&ticket)));
    let state: Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(state["apps"][APP]["tickets"], json!({"jsapi": 1, "wx_card": 0}));
    assert_eq!(state["calls_by_operation"]["ticket"], 1);
}
