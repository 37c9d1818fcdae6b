//! WeCom beside WeChat on one port.
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use common::*;
use serde_json::{Value, json};
use wechat_sim::{Fault, Odd, Op, Outcome, Sim, Times, TokenId};

const CORP: &str = "ww0000000000000001";
const AGENT: &str = "ww0000000000000001/1000002";
const CORP_SECRET: &str = "sentinel-corpsecret-0123456789abcdef";
const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn started() -> Sim {
    sim().agent(CORP, "1000002", CORP_SECRET).agent(CORP, "1000003", "another-secret").start().await.unwrap()
}

fn token_request(secret: &str) -> String {
    get(&format!("/cgi-bin/gettoken?corpid={CORP}&corpsecret={secret}"))
}

async fn token(sim: &Sim) -> String {
    json(sim.addr(), token_request(CORP_SECRET)).await["access_token"].as_str().unwrap().to_owned()
}

async fn ask(sim: &Sim, path: &str, token: &str) -> Value {
    json(sim.addr(), get(&format!("{path}?access_token={token}&type=agent_config"))).await
}

#[tokio::test]
async fn a_token_reply_looks_like_wecoms_and_repeats_itself() {
    let sim = started().await;
    let (head, body) = reply(sim.addr(), token_request(CORP_SECRET)).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: application/json; charset=UTF-8\r\n"), "{head}");
    let token = sim.living_agent(AGENT).unwrap().access_token;
    let text = format!(r#"{{"errcode":0,"errmsg":"ok","access_token":"{token}","expires_in":7200}}"#);
    assert_eq!(String::from_utf8(body).unwrap(), text);
    assert_eq!(String::from_utf8(reply(sim.addr(), token_request(CORP_SECRET)).await.1).unwrap(), text);
    assert_ne!(json(sim.addr(), token_request("another-secret")).await["access_token"], json!(token));
    let calls: Vec<_> = sim.calls(Op::WecomToken).into_iter().map(|call| (call.appid, call.minted)).collect();
    let other = "ww0000000000000001/1000003".to_owned();
    assert_eq!(calls, [(AGENT.to_owned(), true), (AGENT.to_owned(), false), (other, true)]);
    assert_eq!((sim.agent_mints(AGENT), sim.most_concurrent(AGENT)), (1, 1));
}

#[tokio::test]
async fn each_bad_call_gets_wecoms_errcode_and_text() {
    let sim = started().await;
    let token = token(&sim).await;
    for (request, errcode, text) in [
        (get("/cgi-bin/gettoken"), 41002, "corpid missing, hint: ["),
        (get("/cgi-bin/gettoken?corpid=ww2&corpsecret=x"), 40013, "invalid corpid, hint: ["),
        (get(&format!("/cgi-bin/gettoken?corpid={CORP}")), 41004, "corpsecret missing, hint: ["),
        (token_request("wrong"), 40001, "invalid credential, hint: ["),
        (token_request(CORP_SECRET).replace("GET", "POST"), 43001, "require GET method, hint: ["),
        (get("/cgi-bin/get_jsapi_ticket"), 41001, "access_token missing, hint: ["),
        (get("/cgi-bin/ticket/get?access_token=75_x&type=agent_config"), 40014, "invalid access_token, hint: ["),
        (
            get(&format!("/cgi-bin/ticket/get?access_token={token}&type=jsapi")),
            40058,
            "invalid Request Parameter, hint: [",
        ),
    ] {
        let (head, body) = reply(sim.addr(), &request).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["errcode"], errcode, "{request}");
        let errmsg = body["errmsg"].as_str().unwrap();
        assert!(errmsg.starts_with(text), "{errmsg}");
        let end =
            format!("], from ip: 127.0.0.1, more info at https://open.work.weixin.qq.com/devtool/query?e={errcode}");
        assert!(errmsg.ends_with(&end), "{errmsg}");
        assert!(head.contains(&format!("\r\nError-Code: {errcode}\r\nError-Msg: {errmsg}")), "{head}");
    }
    assert_eq!(sim.calls(Op::WecomToken)[4].appid, CORP, "a wrong secret is no agent's");
}

#[tokio::test]
async fn the_token_decides_whose_list_of_addresses_is_meant() {
    let sim = started().await;
    let (of_wecom, of_wechat) = (token(&sim).await, common::token(sim.addr()).await);
    let list = "/cgi-bin/get_api_domain_ip";
    let good = ask(&sim, list, &of_wecom).await;
    assert!(good["errcode"] == 0 && !good["ip_list"].as_array().unwrap().is_empty(), "{good}");
    assert_eq!(ask(&sim, list, &of_wechat).await.get("errcode"), None);
    assert!(sim.revoke_agent(AGENT));
    let revoked = ask(&sim, list, &of_wecom).await;
    assert_eq!(
        (&revoked["errcode"], &revoked["ip_list"]),
        (&json!(40014), &json!([])),
        "an empty list beside the error"
    );
    let never = "x".repeat(of_wecom.len());
    assert_eq!(ask(&sim, list, &never).await["errcode"], 40014);
    assert_eq!(ask(&sim, list, "75_never").await["errcode"], 40001);
    assert_eq!(sim.route(list).refused, [(40014, 2), (40001, 1)].into());
    assert_eq!(sim.route(list).tokens[&TokenId::of(&of_wecom)], 2);
}

#[tokio::test]
async fn an_expired_token_gets_42001_and_its_successor_works() {
    let sim = started().await;
    sim.change_rules(|rules| rules.wecom_lifetime = Duration::from_secs(1));
    let first = token(&sim).await;
    until(|| sim.alive_for(&first).is_none()).await;
    assert_eq!(ask(&sim, "/cgi-bin/user/get", &first).await["errcode"], 42001);
    let second = token(&sim).await;
    assert!(first != second && sim.agent_mints(AGENT) == 2);
    assert_eq!(ask(&sim, "/cgi-bin/user/get", &first).await["errcode"], 42001);
}

#[tokio::test]
async fn several_wrong_secrets_ban_the_caller_until_it_is_lifted() {
    let sim = started().await;
    for _ in 0..5 {
        assert_eq!(json(sim.addr(), token_request("wrong")).await["errcode"], 40001);
    }
    assert_eq!(json(sim.addr(), token_request(CORP_SECRET)).await["errcode"], 45009);
    assert!(sim.banned_for(CALLER).is_some_and(|left| left <= Duration::from_secs(3600)));
    let state = json(sim.addr(), get("/_control/state")).await;
    assert_eq!(state["callers"]["127.0.0.1"]["wrong_secrets"], 5);
    assert!(state["callers"]["127.0.0.1"]["banned_for"].as_f64().unwrap() > 3000.0);
    json(sim.addr(), request("DELETE", "/_control/bans", "")).await;
    assert_eq!(sim.banned_for(CALLER), None);
    token(&sim).await;
    assert_eq!(sim.route("/cgi-bin/gettoken").refused, [(40001, 5), (45009, 1)].into());
}

#[tokio::test]
async fn tickets_of_corp_and_agent_are_apart_and_outlive_their_token() {
    let sim = started().await;
    let token = token(&sim).await;
    let corp = ask(&sim, "/cgi-bin/get_jsapi_ticket", &token).await;
    let agent = ask(&sim, "/cgi-bin/ticket/get", &token).await;
    assert_eq!((&corp["errcode"], &corp["expires_in"], &agent["errcode"]), (&json!(0), &json!(7200), &json!(0)));
    assert_ne!(corp["ticket"], agent["ticket"]);
    assert_eq!(ask(&sim, "/cgi-bin/get_jsapi_ticket", &token).await, corp);
    sim.revoke(&token);
    assert_eq!(ask(&sim, "/cgi-bin/get_jsapi_ticket", &token).await["errcode"], 40014);
    for ticket in [&corp, &agent] {
        let ticket = ticket["ticket"].as_str().unwrap();
        assert!(sim.ticket_alive_for(ticket).is_some() && sim.revoke_ticket(ticket));
        assert!(sim.ticket_alive_for(ticket).is_none());
    }
    sim.change_rules(|rules| rules.wecom_agent_tickets_per_hour = 0);
    let token = self::token(&sim).await;
    assert_eq!(ask(&sim, "/cgi-bin/ticket/get", &token).await["errcode"], 45009);
}

#[tokio::test]
async fn files_go_to_wecom_and_stay_apart() {
    let sim = started().await;
    let (of_wecom, of_wechat) = (token(&sim).await, common::token(sim.addr()).await);
    let target = |token: &str| format!("/cgi-bin/media/upload?access_token={token}&type=file");
    let body = json(sim.addr(), upload(&target(&of_wecom), "text/plain", b"a file")).await;
    assert_eq!((&body["errcode"], &body["type"]), (&json!(0), &json!("file")));
    assert!(body["created_at"].is_string(), "{body}");
    assert_eq!(json(sim.addr(), upload(&target(&of_wechat), "text/plain", b"x")).await["errcode"], 40004);
    let id = body["media_id"].as_str().unwrap();
    let down = |token: &str| get(&format!("/cgi-bin/media/get?access_token={token}&media_id={id}"));
    assert_eq!(reply(sim.addr(), down(&of_wecom)).await.1, b"a file");
    assert_eq!(json(sim.addr(), down(&of_wechat)).await["errcode"], 40007);
    assert_eq!(sim.media(id).unwrap().owner, AGENT);
}

#[tokio::test]
async fn faults_at_wecom_have_its_errcodes_and_texts() {
    let sim = started().await;
    let token = token(&sim).await;
    sim.fault(Op::Api, Fault::FalseRefusal, Times::Next(1));
    assert_eq!(ask(&sim, "/cgi-bin/user/get", &token).await["errcode"], 40014);
    assert!(sim.alive_for(&token).is_some());
    sim.script(Op::WecomToken, [Fault::errcode(40001), Fault::Odd(Odd::EmptyToken), Fault::Odd(Odd::NoExpiresIn)]);
    let refused = json(sim.addr(), token_request(CORP_SECRET)).await;
    assert!(refused["errmsg"].as_str().unwrap().starts_with("invalid credential, hint: ["), "{refused}");
    assert_eq!(sim.calls(Op::WecomToken)[1].outcome, Outcome::Refused(40001));
    let empty = json(sim.addr(), token_request(CORP_SECRET)).await;
    assert_eq!(empty, json!({"errcode": 0, "errmsg": "ok", "access_token": "", "expires_in": 7200}));
    assert_eq!(json(sim.addr(), token_request(CORP_SECRET)).await["access_token"], json!(token));
    sim.fault(Op::WecomToken, Fault::Huge(9000), Times::Next(1));
    let counterfeit = json(sim.addr(), token_request(CORP_SECRET)).await["access_token"].as_str().unwrap().to_owned();
    assert!(sim.alive_for(&counterfeit).is_none() && counterfeit.len() == token.len());
    assert_eq!(sim.banned_for(CALLER), None);
}

#[tokio::test]
async fn commands_revoke_an_agents_token_and_show_no_secret() {
    let sim = started().await;
    let first = token(&sim).await;
    let alive = get(&format!("/_control/alive?access_token={first}"));
    assert_eq!(json(sim.addr(), &alive).await["alive"], true);
    let revoke = post("/_control/revoke", &json!({"agent": AGENT}).to_string());
    assert!(reply(sim.addr(), &revoke).await.0.starts_with("HTTP/1.1 200 "));
    assert_eq!(json(sim.addr(), &alive).await["alive"], false);
    assert!(reply(sim.addr(), &revoke).await.0.starts_with("HTTP/1.1 404 "), "it has no token");
    let second = token(&sim).await;
    let text = String::from_utf8(reply(sim.addr(), get("/_control/state")).await.1).unwrap();
    assert!(!text.contains(&second) && !text.contains(CORP_SECRET));
    let state: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(state["agents"][AGENT]["mints"], 2);
    assert_eq!(state["agents"][AGENT]["alive"]["id"], TokenId::of(&second).to_string());
    json(sim.addr(), post("/_control/rules", r#"{"wecom_lifetime":"90s","wecom_ban":"1m","wecom_wrong_secrets":1}"#))
        .await;
    json(sim.addr(), token_request("wrong")).await;
    assert!(sim.banned_for(CALLER).is_some_and(|left| left <= Duration::from_secs(60)));
}
