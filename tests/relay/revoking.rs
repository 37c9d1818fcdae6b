//! Does a leaked token die at the word of an operator, and for all?

use std::{collections::BTreeMap, process::Stdio};

use serde_json::Value;
use test_support::{
    CLIENT_KEY, Relay, Setup,
    client::{self, Answer},
    eventually,
};
use tokio::process::Command;
use wechat_sim::{Fault, Op, Times};

use crate::RELAY;

const ADMIN_KEY: &str = "sentinel-the-admin-key-0123456789-0123456789";

async fn setup() -> Setup {
    let mut setup = Setup::new(RELAY, 7200, 60).await;
    setup.set("clients.admin.key", ADMIN_KEY);
    setup.set("clients.admin.admin", "true");
    setup.set("gateway.enabled", "true");
    setup
}

async fn revoke(relay: &Relay, key: &str) -> Answer {
    let request = client::request("POST", "/accounts/main/revoke", Some(key), "", "");
    client::send(relay.admin, request.as_bytes()).await.unwrap()
}

/// What the gateway answers to a call with this token: 0, or an errcode.
async fn errcode(relay: &Relay, token: &str) -> i64 {
    let target = format!("/cgi-bin/get_api_domain_ip?access_token={token}");
    client::get(relay.public, &target, None).await.unwrap().json()["errcode"].as_i64().unwrap_or(0)
}

async fn left(relay: &Relay) -> Value {
    relay.look("/status").await.json()["accounts"]["main"]["rotations_to_revoke"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_dies_by_two_rotations_also_over_a_kill_and_opens_the_gateway_no_more() {
    let setup = setup().await;
    let relay = setup.start().await;
    let leaked = relay.get("/token").await.token();
    assert_eq!(errcode(&relay, &leaked).await, 0);
    setup.sim.fault(Op::Token, Fault::errcode(-1), Times::Always);
    assert_eq!(revoke(&relay, ADMIN_KEY).await.status, 202);
    assert_eq!(errcode(&relay, &leaked).await, 40001, "at once");
    assert_eq!(relay.get("/token").await.token(), leaked, "it is served until there is another one");
    relay.kill();
    setup.sim.clear_faults();

    let relay = setup.start().await;
    eventually("another token is served", async || relay.get("/token").await.token() != leaked).await;
    assert_eq!((left(&relay).await, errcode(&relay, &leaked).await), (1.into(), 40001));
    let between = relay.get("/token").await.token();
    assert_eq!(errcode(&relay, &between).await, 0);
    eventually("the second rotation", async || left(&relay).await == 0).await;
    assert!(!setup.sim.token_alive("wxmain", &leaked) && setup.sim.token_alive("wxmain", &between));
    assert_eq!(relay.events("the revoked token is dead: all that was handed out before is refused").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_admin_key_revokes_and_a_refusal_says_why() {
    let setup = setup().await;
    let relay = setup.start().await;
    relay.get("/token").await.token();
    assert_eq!(revoke(&relay, CLIENT_KEY).await.status, 403);
    assert_eq!(revoke(&relay, "a-key-that-nobody-has-0123456789-0123456789").await.status, 401);
    for (method, target, status) in [
        ("GET", "/accounts/main/revoke", 405),
        ("POST", "/accounts/nobody/revoke", 404),
        ("POST", "/accounts/%ff/revoke", 404),
        ("POST", "/accounts//revoke", 404),
    ] {
        let request = client::request(method, target, Some(ADMIN_KEY), "", "");
        let answer = client::send(relay.admin, request.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
    }
    let request = client::request("POST", "/accounts/main/revoke", Some(ADMIN_KEY), "", "");
    let answer = client::send(relay.public, request.as_bytes()).await.unwrap();
    assert_ne!(answer.status, 202, "not on the public listener");
    assert_eq!((left(&relay).await, setup.calls().len()), (0.into(), 1));
}

async fn command(setup: &Setup, relay: &Relay, account: &str, key: Option<&str>) -> (Option<i32>, String) {
    let admin = relay.admin.to_string();
    let mut env: BTreeMap<_, _> = std::env::vars().filter(|(name, _)| !name.starts_with("TOKEN_RELAY")).collect();
    env.insert("TOKEN_RELAY__SERVER__ADMIN_LISTEN".to_owned(), admin);
    env.extend(key.map(|key| ("TOKEN_RELAY_KEY".to_owned(), key.to_owned())));
    let output = Command::new(RELAY)
        .args(["revoke", account])
        .env_clear()
        .envs(env)
        .current_dir(setup.path())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_waits_until_the_token_is_dead_and_says_what_stands_in_the_way() {
    let setup = setup().await;
    let relay = setup.start().await;
    let leaked = relay.get("/token").await.token();
    for (account, key, said) in [
        ("main", None, "no admin key"),
        ("main", Some(CLIENT_KEY), "its client needs admin = true"),
        ("nobody", Some(ADMIN_KEY), "there is no account of this name"),
    ] {
        let (code, text) = command(&setup, &relay, account, key).await;
        assert!(code == Some(1) && text.contains(said) && !text.contains(ADMIN_KEY), "{code:?}: {text}");
    }
    let (code, text) = command(&setup, &relay, "main", Some(ADMIN_KEY)).await;
    assert_eq!((code, &text[..]), (Some(0), "main: every token that was handed out before is dead\n"));
    assert!(!setup.sim.token_alive("wxmain", &leaked));
    assert_eq!(setup.calls().len(), 3);
}
