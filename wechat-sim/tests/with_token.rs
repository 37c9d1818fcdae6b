//! Calls that need an access token: messages, followers, pictures of codes.
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod common;

use common::*;
use serde_json::json;
use wechat_sim::{Kind, Op, Sim};

const MESSAGES: [&str; 3] = [
    "/cgi-bin/message/custom/send",
    "/cgi-bin/message/subscribe/send",
    "/cgi-bin/message/wxopen/template/uniform_send",
];

async fn started() -> (Sim, String) {
    let sim = sim().start().await.unwrap();
    let token = sim.rotate_outside(APP, Kind::Rotating).access_token;
    (sim, token)
}

#[tokio::test]
async fn a_message_needs_a_post_a_token_an_object_and_a_user() {
    let (sim, token) = started().await;
    for path in MESSAGES {
        let errcode = async |method: &str, token: &str, body: &str| {
            json(sim.addr(), request(method, &format!("{path}?access_token={token}"), body)).await["errcode"].clone()
        };
        assert_eq!(errcode("POST", &token, r#"{"touser":"oUser","msgtype":"text"}"#).await, 0);
        assert_eq!(errcode("GET", &token, "").await, 43002);
        assert_eq!(errcode("POST", "", "no JSON").await, 41001);
        assert_eq!(errcode("POST", "75_bad", "no JSON").await, 40001, "the token comes before the body");
        assert_eq!(errcode("POST", &token, "").await, 44002);
        for broken in ["no JSON", "[]", r#"{"touser":"oUser""#] {
            assert_eq!(errcode("POST", &token, broken).await, 47001, "{broken}");
        }
        for nobody in ["{}", r#"{"touser":""}"#, r#"{"touser":1}"#] {
            assert_eq!(errcode("POST", &token, nobody).await, 40003, "{nobody}");
        }
        assert_eq!(sim.route(path).refused[&40001], 1);
    }
}

#[tokio::test]
async fn every_call_refuses_a_bad_token_as_wechat_does() {
    let (sim, token) = started().await;
    sim.change_rules(|rules| rules.lifetime = std::time::Duration::from_secs(1));
    let expired = sim.rotate_outside(APP, Kind::Sticky).access_token;
    until(|| sim.alive_for(&expired).is_none()).await;
    sim.revoke(&token);
    let paths = ["/cgi-bin/user/info", "/wxa/getwxacode", "/cgi-bin/get_api_domain_ip", MESSAGES[0], "/wxa/any/other"];
    for path in paths {
        for (token, errcode) in [("", 41001), (token.as_str(), 40001), (&expired, 42001), ("with%20space", 40014)] {
            let body = json(sim.addr(), post(&format!("{path}?access_token={token}"), r#"{"touser":"o"}"#)).await;
            assert_eq!(body["errcode"], errcode, "{path}");
            let text = "invalid credential, access_token is invalid or not latest, could get access_token by \
                        getStableAccessToken, more details at https://mmbizurl.cn/s/";
            assert_eq!(body["errmsg"].as_str().unwrap().starts_with(text), errcode == 40001, "{body}");
        }
    }
}

#[tokio::test]
async fn a_follower_is_who_was_asked_for() {
    let (sim, token) = started().await;
    let ask = |openid: &str| get(&format!("/cgi-bin/user/info?access_token={token}&openid={openid}&lang=zh_CN"));
    let body = json(sim.addr(), ask("oUser")).await;
    assert_eq!((&body["openid"], &body["subscribe"]), (&json!("oUser"), &json!(1)));
    assert_eq!(json(sim.addr(), ask("")).await["errcode"], 41009);
}

#[tokio::test]
async fn a_code_is_a_picture_of_the_size_that_was_set() {
    let (sim, token) = started().await;
    let ask = |body: &str| post(&format!("/wxa/getwxacode?access_token={token}"), body);
    for size in [60_000, 10 * 1024 * 1024] {
        json(sim.addr(), post("/_control/rules", &json!({"wxacode_bytes": size}).to_string())).await;
        let (head, body) = reply(sim.addr(), ask(r#"{"path":"pages/index","width":430}"#)).await;
        assert!(head.contains("\r\nContent-Type: image/jpeg\r\n"), "{head}");
        assert!(body.starts_with(b"\xff\xd8\xff") && body.len() == size);
    }
    assert_eq!(json(sim.addr(), ask("{}")).await["errcode"], 40159);
    assert_eq!(sim.calls(Op::Api).len(), 3);
}
