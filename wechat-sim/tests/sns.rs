//! Logins of users and their tokens, on the wire.
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod common;

use common::*;
use serde_json::{Value, json};
use wechat_sim::{Fault, Login, Op, Outcome, Sim, Times};

fn session_request(secret: &str, code: &str) -> String {
    get(&format!("/sns/jscode2session?appid={APP}&secret={secret}&js_code={code}&grant_type=authorization_code"))
}

fn token_of_code(code: &str) -> String {
    get(&format!("/sns/oauth2/access_token?appid={APP}&secret={SECRET}&code={code}&grant_type=authorization_code"))
}

async fn user(sim: &Sim, login: Login) -> Value {
    json(sim.addr(), &token_of_code(&sim.login_code(APP, login))).await
}

fn profile_request(token: &str, openid: &str) -> String {
    get(&format!("/sns/userinfo?access_token={token}&openid={openid}&lang=zh_CN"))
}

#[tokio::test]
async fn a_mini_program_login_gives_a_session_once() {
    let sim = sim().start().await.unwrap();
    let code = sim.login_code(APP, Login::mini_program("oUser"));
    let body = json(sim.addr(), &session_request(SECRET, &code)).await;
    assert_eq!(body["openid"], "oUser");
    assert_eq!((body["session_key"].as_str().unwrap().len(), body.as_object().unwrap().len()), (24, 2), "{body}");
    let again = json(sim.addr(), &session_request(SECRET, &code)).await;
    assert!(again["errcode"] == 40163 && again["errmsg"].as_str().unwrap().starts_with("code been used rid: "));
    let call = &sim.calls(Op::Sns)[0];
    assert_eq!((call.appid.as_str(), call.token, call.outcome), (APP, None, Outcome::Granted));
    assert_eq!(sim.route("/sns/jscode2session").refused, [(40163, 1)].into());
}

#[tokio::test]
async fn each_bad_login_gets_its_own_errcode() {
    let sim = sim().start().await.unwrap();
    let code = sim.login_code(APP, Login::mini_program("oUser"));
    for (request, errcode) in [
        (session_request("wrong", &code), 40125),
        (session_request(SECRET, "never"), 40029),
        (session_request(SECRET, ""), 41008),
        (session_request(SECRET, &code).replace(APP, "wxnobody"), 40013),
        (session_request(SECRET, &code).replace("authorization_code", "client_credential"), 40002),
        (session_request(SECRET, &code).replace("GET", "PUT"), 43001),
        (token_of_code(&code), 40029),
        (get("/sns/oauth2/access_token"), 41002),
        (get("/sns/oauth2/refresh_token?refresh_token=x"), 41002),
        (get(&format!("/sns/oauth2/refresh_token?appid={APP}&grant_type=refresh_token&refresh_token=x")), 40030),
        (get("/sns/userinfo?openid=oUser"), 41001),
        (get("/sns/auth?access_token=75_x&openid=oUser"), 40001),
    ] {
        let body = json(sim.addr(), &request).await;
        assert_eq!(body["errcode"], errcode, "{request}");
        assert!(body["errmsg"].as_str().unwrap().contains(" rid: "), "{body}");
    }
    assert_eq!(json(sim.addr(), &session_request(SECRET, &code)).await["openid"], "oUser", "no refusal used it up");
}

#[tokio::test]
async fn a_web_login_gives_tokens_that_only_sns_takes() {
    let sim = sim().start().await.unwrap();
    let body = user(&sim, Login { unionid: Some("uUser".into()), ..Login::web("oUser") }).await;
    let [token, refresh] = ["access_token", "refresh_token"].map(|name| body[name].as_str().unwrap().to_owned());
    assert_eq!((&body["expires_in"], &body["openid"]), (&json!(7200), &json!("oUser")));
    assert_eq!((&body["scope"], &body["unionid"]), (&json!("snsapi_userinfo"), &json!("uUser")));
    let profile = json(sim.addr(), &profile_request(&token, "oUser")).await;
    assert_eq!((&profile["openid"], &profile["unionid"]), (&json!("oUser"), &json!("uUser")));
    assert_eq!(json(sim.addr(), &profile_request(&token, "oOther")).await["errcode"], 40003);
    let auth = get(&format!("/sns/auth?access_token={token}&openid=oUser"));
    assert_eq!(json(sim.addr(), &auth).await, json!({"errcode": 0, "errmsg": "ok"}));
    assert_eq!(probe(sim.addr(), &token).await["errcode"], 40001);
    let of_the_app = common::token(sim.addr()).await;
    assert_eq!(json(sim.addr(), &profile_request(&of_the_app, "oUser")).await["errcode"], 40001);
    let refresh =
        get(&format!("/sns/oauth2/refresh_token?appid={APP}&grant_type=refresh_token&refresh_token={refresh}"));
    assert_eq!(json(sim.addr(), &refresh).await["access_token"], json!(token), "a living token stays");
}

#[tokio::test]
async fn a_user_who_allowed_the_id_only_has_no_profile() {
    let sim = sim().start().await.unwrap();
    let body = user(&sim, Login { scope: "snsapi_base".into(), ..Login::web("oUser") }).await;
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(json(sim.addr(), &profile_request(token, "oUser")).await["errcode"], 48001);
}

#[tokio::test]
async fn a_fault_for_logins_concerns_no_other_call() {
    let sim = sim().start().await.unwrap();
    sim.fault(Op::Sns, Fault::Huge(9000), Times::Next(1));
    token(sim.addr()).await;
    let code = sim.login_code(APP, Login::mini_program("oUser"));
    let (_, body) = reply(sim.addr(), &session_request(SECRET, &code)).await;
    assert_eq!(body.len(), 9000);
    assert_ne!(serde_json::from_slice::<Value>(&body).unwrap()["openid"], "oUser", "the login did not happen");
    assert_eq!(json(sim.addr(), &session_request(SECRET, &code)).await["openid"], "oUser");
}

#[tokio::test]
async fn codes_come_by_command_too() {
    let sim = sim().start().await.unwrap();
    let codes = json(sim.addr(), &post("/_control/code", r#"{"count":2}"#)).await;
    for code in codes["codes"].as_array().unwrap() {
        let body = json(sim.addr(), &session_request(SECRET, code.as_str().unwrap())).await;
        assert_eq!(body["openid"], codes["openid"]);
    }
    let web = r#"{"kind":"web","openid":"oUser","unionid":"uUser","scope":"snsapi_base"}"#;
    let codes = json(sim.addr(), &post("/_control/code", web)).await;
    let body = json(sim.addr(), &token_of_code(codes["codes"][0].as_str().unwrap())).await;
    assert_eq!((&body["openid"], &body["scope"]), (&json!("oUser"), &json!("snsapi_base")));
    assert!(reply(sim.addr(), &post("/_control/code", r#"{"appid":"no"}"#)).await.0.starts_with("HTTP/1.1 404 "));
}
