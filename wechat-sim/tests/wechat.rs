//! What a client sees on the wire while nothing goes wrong but itself.

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::*;
use serde_json::json;
use wechat_sim::{Kind, Op, Outcome, RouteCalls, TokenId};

#[tokio::test]
async fn a_token_reply_looks_like_wechats() {
    let sim = sim().start().await.unwrap();
    let (head, body) = reply(sim.addr(), &token_request()).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: application/json; encoding=utf-8\r\n"), "{head}");
    let token = sim.living(APP, Kind::Rotating).remove(0).access_token;
    assert_eq!(String::from_utf8(body).unwrap(), format!(r#"{{"access_token":"{token}","expires_in":7200}}"#));
}

#[tokio::test]
async fn the_date_header_and_the_rid_tell_the_same_time() {
    let sim = sim().start().await.unwrap();
    let (head, body) = reply(sim.addr(), &get("/cgi-bin/token?appid=wx1")).await;
    let date = head.lines().find_map(|line| line.strip_prefix("Date: ")).unwrap();
    let date = httpdate::parse_http_date(date).unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let text = body["errmsg"].as_str().unwrap();
    let (text, rid) = text.split_once(" rid: ").unwrap();
    assert_eq!((body["errcode"].as_i64(), text), (Some(40013), "invalid appid"));
    let groups: Vec<_> = rid.split('-').collect();
    assert!(groups.len() == 3 && groups.iter().all(|group| group.len() == 8), "{rid}");
    assert!(date.abs_diff(u64::from_str_radix(groups[0], 16).unwrap()) <= 5);
    #[expect(clippy::disallowed_methods, reason = "a test may look at the clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(date) < 60);
}

#[tokio::test]
async fn every_call_of_the_rotating_endpoint_mints_and_the_two_newest_work() {
    let sim = sim().start().await.unwrap();
    let a = token(sim.addr()).await;
    let b = token(sim.addr()).await;
    assert!(sim.token_alive(APP, &a) && sim.token_alive(APP, &b));
    assert!(sim.alive_for(&a).unwrap() <= Duration::from_secs(300));
    let c = token(sim.addr()).await;
    assert!(!sim.token_alive(APP, &a) && sim.token_alive(APP, &b) && sim.token_alive(APP, &c));
    assert_eq!(probe(sim.addr(), &a).await["errcode"], 40001);
    assert!(probe(sim.addr(), &b).await["ip_list"].is_array());
    assert_eq!((sim.mints(APP, Kind::Rotating), sim.mints(APP, Kind::Sticky)), (3, 0));
}

#[tokio::test]
async fn the_stable_endpoint_hands_out_the_same_token_until_forced() {
    let sim = sim().overlap(Duration::ZERO).start().await.unwrap();
    let first = json(sim.addr(), &stable_request(false)).await;
    let second = json(sim.addr(), &stable_request(false)).await;
    assert_eq!(first["access_token"], second["access_token"]);
    assert!(second["expires_in"].as_u64().unwrap() <= first["expires_in"].as_u64().unwrap());
    let forced = json(sim.addr(), &stable_request(true)).await;
    assert_ne!(first["access_token"], forced["access_token"]);
    let forced: Vec<_> = sim.calls(Op::StableToken).iter().map(|call| (call.forced, call.minted)).collect();
    assert_eq!(forced, [(false, true), (false, false), (true, true)]);
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_told_by_its_errcode() {
    let sim = sim().start().await.unwrap();
    let grant = "grant_type=client_credential";
    let form = |secret: &str| json!({"grant_type": "client_credential", "appid": APP, "secret": secret}).to_string();
    let cases = [
        (get("/cgi-bin/token"), 41002),
        (get("/cgi-bin/token?appid=nobody"), 40013),
        (get(&format!("/cgi-bin/token?appid={APP}&secret={SECRET}")), 40002),
        (get(&format!("/cgi-bin/token?appid={APP}&{grant}")), 41004),
        (get(&format!("/cgi-bin/token?appid={APP}&secret=wrong&{grant}")), 40125),
        (post(&format!("/cgi-bin/token?appid={APP}&secret={SECRET}&{grant}"), ""), 43001),
        (get("/cgi-bin/stable_token"), 43002),
        (post("/cgi-bin/stable_token", ""), 44002),
        (post("/cgi-bin/stable_token", "appid=form"), 47001),
        (post("/cgi-bin/stable_token", "{}"), 41002),
        (post("/cgi-bin/stable_token", &form("wrong")), 40125),
        (get("/cgi-bin/get_api_domain_ip"), 41001),
        (get("/cgi-bin/getcallbackip?access_token="), 41001),
        (get("/cgi-bin/get_api_domain_ip?access_token=with%20space"), 40014),
        (post("/cgi-bin/message/custom/send?access_token=75_never", "{}"), 40001),
        (get("/?%zz&&=&access_token=%ff%00"), 40014),
    ];
    for (request, errcode) in cases {
        let (head, body) = reply(sim.addr(), &request).await;
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body["errcode"], errcode, "{request}");
        assert!(body["errmsg"].as_str().unwrap().contains(" rid: "), "{body}");
    }
    assert_eq!(sim.mints(APP, Kind::Rotating) + sim.mints(APP, Kind::Sticky), 0);
    assert_eq!(sim.calls(Op::Token)[1].outcome, Outcome::Refused(40013));
}

#[tokio::test]
async fn a_caller_outside_of_the_whitelist_is_told_its_address() {
    let sim = sim().start().await.unwrap();
    sim.set_whitelist(APP, Some(vec!["10.0.0.0/8".parse().unwrap()]));
    let body = json(sim.addr(), &token_request()).await;
    let text = body["errmsg"].as_str().unwrap();
    assert!(text.starts_with("invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist rid: "), "{text}");
    sim.set_whitelist(APP, Some(vec!["127.0.0.0/8".parse().unwrap()]));
    assert!(sim.token_alive(APP, &token(sim.addr()).await));
}

#[tokio::test]
async fn a_drained_quota_is_refused_with_45009() {
    let sim = sim().quota(1).start().await.unwrap();
    token(sim.addr()).await;
    assert_eq!(json(sim.addr(), &token_request()).await["errcode"], 45009);
    sim.leave_quota(APP, Kind::Rotating, 1);
    token(sim.addr()).await;
}

#[tokio::test]
async fn any_other_path_takes_or_refuses_the_token() {
    let sim = sim().start().await.unwrap();
    let token = sim.rotate_outside(APP, Kind::Sticky).access_token;
    let send = post(&format!("/cgi-bin/message/custom/send?access_token={token}"), r#"{"touser":"x"}"#);
    assert_eq!(json(sim.addr(), &send).await, json!({"errcode": 0, "errmsg": "ok"}));
    assert!(sim.revoke(&token));
    assert_eq!(json(sim.addr(), &send).await["errcode"], 40001);
    assert_eq!(sim.calls(Op::Api).len(), 2);
    assert_eq!(sim.calls(Op::Api)[0].appid, APP);
}

#[tokio::test]
async fn a_ticket_has_errcode_0_and_stays_the_same() {
    let sim = sim().start().await.unwrap();
    let token = token(sim.addr()).await;
    let ask = |kind: &str| get(&format!("/cgi-bin/ticket/getticket?access_token={token}&type={kind}"));
    let first = json(sim.addr(), &ask("jsapi")).await;
    assert_eq!((&first["errcode"], &first["expires_in"]), (&json!(0), &json!(7200)));
    assert_eq!(json(sim.addr(), &ask("jsapi")).await, first);
    assert_ne!(json(sim.addr(), &ask("wx_card")).await["ticket"], first["ticket"]);
    assert_eq!(json(sim.addr(), &ask("other")).await["errcode"], 40097);
}

#[tokio::test]
async fn one_connection_carries_several_requests() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let sim = sim().start().await.unwrap();
    let mut socket = tokio::net::TcpStream::connect(sim.addr()).await.unwrap();
    let twice = token_request().replace("Connection: close\r\n", "").repeat(2) + &token_request();
    socket.write_all(twice.as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.matches("access_token").count(), 3);
}

#[tokio::test]
async fn what_is_not_http_is_answered_with_400() {
    let sim = sim().start().await.unwrap();
    assert!(reply(sim.addr(), "\u{16}\u{3} hello\r\n\r\n").await.0.starts_with("HTTP/1.1 400 "));
    token(sim.addr()).await;
}

#[tokio::test]
async fn another_run_hands_out_other_tokens_unless_seeded_alike() {
    let start = async |builder: wechat_sim::Builder| builder.start().await.unwrap();
    let first = start(sim()).await.rotate_outside(APP, Kind::Rotating);
    assert_ne!(first, start(sim()).await.rotate_outside(APP, Kind::Rotating));
    let first = start(sim().seed(7)).await.rotate_outside(APP, Kind::Rotating);
    assert_eq!(first, start(sim().seed(7)).await.rotate_outside(APP, Kind::Rotating));
}

#[tokio::test]
async fn each_route_counts_its_calls_tokens_and_refusals() {
    let sim = sim().start().await.unwrap();
    let send = |token: &str| post(&format!("/cgi-bin/message/custom/send?access_token={token}"), r#"{"touser":"x"}"#);
    let good = token(sim.addr()).await;
    for token in [&good, "75_bad", &good, "75_bad", "75_bad", ""] {
        json(sim.addr(), &send(token)).await;
    }
    let route = sim.route("/cgi-bin/message/custom/send");
    assert_eq!(route.calls, 6);
    assert_eq!(route.refused, [(40001, 3), (41001, 1)].into());
    assert_eq!(route.tokens, [(TokenId::of(&good), 2), (TokenId::of("75_bad"), 3)].into());
    assert_eq!(sim.route("/cgi-bin/token").calls, 1);
    assert_eq!(sim.route("/nowhere"), RouteCalls::default());
    let state = json(sim.addr(), &get("/_control/state")).await;
    assert_eq!(state["routes"]["/cgi-bin/message/custom/send"]["refused"], json!({"40001": 3, "41001": 1}));
    let living = &state["apps"][APP]["rotating"]["alive"][0]["id"];
    assert_eq!(state["routes"]["/cgi-bin/message/custom/send"]["tokens"][living.as_str().unwrap()], 2);
}
