//! Can any request make the gateway panic, show a token, or call WeChat without a token that the relay put in?

use proptest::{collection::vec, prelude::*, sample::select};
use tokio::runtime::Runtime;
use wechat_sim::{Op, TokenId};

use crate::{
    fake_relay::{BOTH_KEY, KEY, MAIN_KEY},
    gateway::Gate,
};

/// Stands for the living token, which is not known when the requests are made.
const TOKEN: &str = "TOKEN";

fn request() -> impl Strategy<Value = String> {
    let method = select(vec!["GET", "GET", "POST", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT"]);
    let path = prop_oneof![
        6 => select(vec![
            "/x/echo", "/cgi-bin/message/custom/send", "/sns/jscode2session", "/sns/oauth2/access_token", "/sns/userinfo",
            "/sns/auth", "/sns/oauth2/refresh_token", "/sns/x", "/cgi-bin/clear_quota/v2", "/cgi-bin/token/", "/",
            "http://evil.example/x/echo", "//x/echo", "/x/../x/echo", "/%78/echo", "*",
        ])
        .prop_map(str::to_owned),
        1 => "/[!-~]{0,20}",
    ];
    let parameter = prop_oneof![
        5 => select(vec![
            "access_token=TOKEN", "access_token=TOKEN", "access_token=", "access_token", "access_token=75_old",
            "access%5Ftoken=TOKEN", "appid=wxmain", "appid=wxnone", "x='1'", "refresh_token=r", "openid=o",
        ])
        .prop_map(str::to_owned),
        2 => select(vec![KEY, MAIN_KEY, "wrong"]).prop_map(|key| format!("secret={key}")),
        1 => "[!$-;=?-~]{0,20}",
    ];
    let header = prop_oneof![
        3 => select(vec![KEY, BOTH_KEY, MAIN_KEY, "wrong"]).prop_map(|key| format!("Authorization: Bearer {key}")),
        4 => select(vec![
            "X-Relay-Account: main", "X-Relay-Account: shop", "X-Relay-Account: none", "Content-Length: 2",
            "Content-Length: 0", "Transfer-Encoding: chunked", "Connection: content-length, host", "Upgrade: h2c",
            "Expect: 100-continue", "Token-Relay-Hop: 1", "Range: bytes=0-1",
        ])
        .prop_map(str::to_owned),
        1 => "[A-Za-z-]{1,10}: [ -~]{0,20}",
    ];
    let body = select(vec!["", "{}", "2\r\n{}\r\n0\r\n\r\n"]);
    (method, path, vec(parameter, 0..4), vec(header, 0..4), body).prop_map(|(method, path, query, headers, body)| {
        let headers = headers.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect::<String>();
        format!("{method} {path}?{} HTTP/1.1\r\nHost: relay\r\n{headers}\r\n{body}", query.join("&"))
    })
}

/// Requests that pass, with noise around what lets them pass.
fn lawful() -> impl Strategy<Value = String> {
    let noise = "[!$%'-:;=?-~]{0,20}";
    let headers = select(vec!["", "Range: bytes=0-1\r\n", "Connection: content-length, host\r\n", "Via: 1.1 x\r\n"]);
    (noise, noise, headers).prop_map(|(before, after, headers)| {
        format!("POST /x/echo?{before}&access_token={TOKEN}&{after} HTTP/1.1\r\nHost: relay\r\n{headers}\r\n")
    })
}

#[test]
fn whatever_is_asked_no_token_is_shown_and_no_call_goes_out_without_one_of_the_relays() {
    let runtime = Runtime::new().unwrap();
    let gate = runtime.block_on(Gate::new());
    let shop =
        runtime.block_on(gate.fake.get("/token?account=shop")).json()["access_token"].as_str().unwrap().to_owned();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(600)
    });
    runner
        .run(&prop_oneof![request(), lawful()], |request| {
            let request = request.replace(TOKEN, &gate.token);
            let back = runtime.block_on(gate.served.exchange(request.as_bytes()));
            prop_assert!(!back.contains(&gate.token) && !back.contains(&shop), "{}{}", request, back);
            Ok(())
        })
        .unwrap();
    let ours = [TokenId::of(&gate.token), TokenId::of(&shop)];
    let (with_ours, others): (Vec<_>, Vec<_>) =
        gate.sim.calls(Op::Any).into_iter().partition(|call| call.token.is_some_and(|token| ours.contains(&token)));
    assert!(others.iter().all(|call| call.route.starts_with("/sns/")), "{others:?}");
    assert!(with_ours.len() > 50, "only {} calls came through", with_ours.len());
    assert_eq!(runtime.block_on(gate.metric("token_relay_handler_panics_total")), "0");
}
