//! Can any request make a drop-in route answer something else than 200, or give a token to somebody without a key?

use std::{cell::Cell, time::Duration};

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::{Index, select},
};
use token_relay::{
    http::{Agent, Apps, Timeouts},
    issuer::wechat::Endpoint,
    status::Status,
};
use tokio::runtime::Runtime;

use crate::{
    drop_in::DropIn,
    fake_relay::{FakeRelay, KEY, MAIN_KEY, ODD_KEY, app},
};

/// Text that is one of the right ones or a twin of it, or anything.
fn text(right: Vec<&'static str>) -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(right.clone()).prop_map(str::to_owned),
        1 => (select(right), any::<Index>()).prop_map(|(right, at)| escaped_at(right, at)),
        1 => select(vec!["", "wrong", "%", "%zz", "%ff", "%00", "+", "\u{1f}", "null", "é"]).prop_map(str::to_owned),
        1 => "\\PC{0,40}",
    ]
}

/// The same with one character escaped.
fn escaped_at(text: &str, at: Index) -> String {
    let at = at.index(text.len());
    format!("{}%{:02x}{}", &text[..at], text.as_bytes()[at], &text[at + 1..])
}

fn parameter() -> impl Strategy<Value = (String, String)> {
    let named = |name, values| (text(vec![name]), text(values));
    prop_oneof![
        4 => named("appid", vec!["wxmain", "wxmain", "wxshop", "wxnone"]),
        2 => named("corpid", vec!["wwdesk", "wwdesk", "wwtwo", "wwnone"]),
        2 => named("corpsecret", vec![KEY, KEY, MAIN_KEY, ODD_KEY, "not-a-key-of-anybody-0123456789abcd"]),
        4 => named("secret", vec![KEY, KEY, MAIN_KEY, ODD_KEY, "not-a-key-of-anybody-0123456789abcd"]),
        4 => named("grant_type", vec!["client_credential", "client_credential", "authorization_code"]),
        1 => named("force_refresh", vec!["true", "false"]),
        1 => ("\\PC{0,8}", "\\PC{0,8}"),
    ]
}

/// What a URI may hold: the rest is escaped, as every library does.
fn in_query(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'&' | b'=' | b'#' | b'"' | b'<' | b'>');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect()
}

fn query() -> impl Strategy<Value = String> {
    let three = "grant_type=client_credential&appid=wxmain&secret=";
    let pairs = vec(parameter(), 0..6).prop_map(|pairs| {
        let pairs = pairs.iter().map(|(name, value)| format!("{}={}", in_query(name), in_query(value)));
        pairs.collect::<Vec<_>>().join("&")
    });
    prop_oneof![
        2 => text(vec![KEY, MAIN_KEY, ODD_KEY]).prop_map(move |key| format!("{three}{}", in_query(&key))),
        4 => pairs,
        1 => "[!$-;=?-~]{0,60}",
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        5 => text(vec![KEY, "wxmain", "client_credential"]).prop_map(serde_json::Value::from),
        1 => any::<bool>().prop_map(serde_json::Value::from),
        1 => any::<i64>().prop_map(serde_json::Value::from),
        1 => Just(serde_json::json!([null, {}])),
    ];
    let name = text(vec!["appid", "secret", "grant_type", "force_refresh"]);
    let members = btree_map(name, value, 0..5).prop_map(|members| serde_json::json!(members).to_string().into_bytes());
    let good =
        (text(vec!["wxmain", "wxshop"]), text(vec![KEY, MAIN_KEY]), any::<bool>()).prop_map(|(appid, key, force)| {
            let grant = "client_credential";
            let body =
                serde_json::json!({ "appid": appid, "secret": key, "grant_type": grant, "force_refresh": force });
            body.to_string().into_bytes()
        });
    prop_oneof![3 => good, 3 => members, 1 => vec(any::<u8>(), 0..200), 1 => vec(any::<u8>(), 4000..6000)]
}

/// A request, and all the text in it that could be a key.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = select(vec!["GET", "GET", "GET", "POST", "HEAD", "PUT", "OPTIONS"]);
    let path = select(vec!["token", "token", "token", "token", "gettoken"]);
    let by_query = (method, path, query()).prop_map(|(method, path, query)| {
        format!("{method} /cgi-bin/{path}?{query} HTTP/1.1\r\nConnection: close\r\n\r\n").into_bytes()
    });
    let method = select(vec!["POST", "POST", "POST", "POST", "GET", "DELETE"]);
    let by_body = (method, query(), body(), 0..3usize).prop_map(|(method, query, body, missing)| {
        let length = body.len() + missing * 7;
        let head = format!("{method} /cgi-bin/stable_token?{query} HTTP/1.1\r\nConnection: close\r\n");
        [format!("{head}Content-Length: {length}\r\n\r\n").into_bytes(), body].concat()
    });
    let corpid = text(vec!["wwdesk", "wwtwo"]);
    let of_a_corp =
        (select(vec!["GET", "GET", "POST"]), corpid, text(vec![KEY, MAIN_KEY])).prop_map(|(method, corpid, key)| {
            let query = format!("corpid={}&corpsecret={}", in_query(&corpid), in_query(&key));
            format!("{method} /cgi-bin/gettoken?{query} HTTP/1.1\r\nConnection: close\r\n\r\n").into_bytes()
        });
    prop_oneof![3 => by_query, 3 => by_body, 1 => of_a_corp]
}

async fn relay() -> DropIn {
    let patience = Duration::from_millis(20);
    let timeouts =
        Timeouts { first_token: patience, report: patience, verdict: patience, body: patience, silence: patience };
    let names = ["main", "shop", "desk", "hr"];
    let apps = ["main", "shop"].map(|name| (format!("wx{name}"), app(name, Endpoint::Token)));
    let agents = [("wwdesk", "desk"), ("wwtwo", "desk"), ("wwtwo", "hr")];
    let agents =
        agents.map(|(corpid, name)| (corpid.to_owned(), Agent { account: name.parse().unwrap(), secret: None }));
    let fake = FakeRelay::with_apps(&names, timeouts, Apps::new(apps).with_agents(agents));
    fake.offer("main", 7, "wire_token", 3541);
    fake.offer("desk", 7, "wire_token", 3541);
    fake.publish("shop", Status::default());
    fake.keeper_of_all_answers("main");
    DropIn::around(fake).await
}

/// The request with its escapes undone, as far as they can be.
fn decoded(request: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(request.len());
    let mut rest = request;
    while let [first, after @ ..] = rest {
        let escape = after.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        let escaped = escape.filter(|_| *first == b'%');
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn no_request_gets_another_status_than_200_and_none_without_a_key_gets_a_token() {
    let runtime = Runtime::new().unwrap();
    let relay = runtime.block_on(relay());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(1200)
    });
    let (tokens, refusals) = (Cell::new(0), Cell::new(0));
    runner
        .run(&request(), |request| {
            let back = runtime.block_on(relay.served.exchange(&request));
            let shown = String::from_utf8_lossy(&request).into_owned();
            let is_answer = back.is_empty() || back.starts_with("HTTP/1.1 200 ") || is_hypers_own(&back);
            prop_assert!(is_answer, "{shown}\n{back}");
            let has_token = back.contains("wire_token");
            let has_key = [KEY, MAIN_KEY].iter().any(|key| decoded(&request).contains(key));
            prop_assert!(has_key || !has_token, "{shown}\n{back}");
            tokens.set(tokens.get() + u32::from(has_token));
            refusals.set(refusals.get() + u32::from(back.contains("{\"errcode\":")));
            Ok(())
        })
        .unwrap();
    let (tokens, refusals) = (tokens.get(), refusals.get());
    assert!(tokens > 20 && refusals > 200, "{tokens} tokens and {refusals} refusals: both should be reached often");
    assert_eq!(runtime.block_on(relay.metric("token_relay_handler_panics_total")), "0");
    for reason in
        ["not_get", "not_post", "bad_body", "no_appid", "unknown_appid", "no_secret", "wrong_key", "several_accounts"]
    {
        let series = format!("token_relay_drop_in_refusals_total{{reason=\"{reason}\"}}");
        assert_ne!(runtime.block_on(relay.metric(&series)), "0", "the requests should reach {reason}");
    }
}

/// What hyper answers before a request exists: a 4xx without a body.
fn is_hypers_own(back: &str) -> bool {
    back.starts_with("HTTP/1.1 4") && back.ends_with("\r\n\r\n")
}
