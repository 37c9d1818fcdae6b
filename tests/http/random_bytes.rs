//! Can any bytes make the relay panic, or answer a 5xx other than 503?

use std::time::Duration;

use proptest::{collection::vec, prelude::*, sample::select};
use token_relay::{
    http::{AccountPages, Pages, Timeouts},
    status::Status,
};
use tokio::runtime::Runtime;

use crate::fake_relay::{BOTH_KEY, FakeRelay, KEY, LIMITS, MAIN_KEY, Served};

const REPORT: &str = r#"{"access_token":"wire_token"}"#;

/// Half lawful, half not: what is only noise never gets past the parser.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = select(vec!["GET", "GET", "POST", "HEAD", "POST", "OPTIONS", "PUT", "get", "", "CONNECT", "\u{1}"]);
    let path = prop_oneof![
        4 => select(vec!["/token", "/token/refresh", "/healthz", "/readyz", "/", "*", "http://h/token", "/ticket",
            "/jssdk/config", "/cgi-bin/ticket/getticket"]).prop_map(str::to_owned),
        1 => "[ -~]{0,20}",
    ];
    let query = prop_oneof![
        3 => select(vec!["", "?account=main", "?account=main", "?account=shop", "?account=gone", "?account=main&wait=0", "?%ff", "?account=%00", "?wait=9",
            "?account=main&type=jsapi", "?account=main&url=https://shop.example.com/", "?type=jsapi&access_token=wire_token"])
            .prop_map(str::to_owned),
        1 => "\\?[ -~]{0,30}",
    ];
    let key = select(vec![KEY, KEY, MAIN_KEY, BOTH_KEY, "wrong", ""]);
    let header = prop_oneof![
        4 => key.prop_map(|key| format!("Authorization: Bearer {key}").into_bytes()),
        4 => select(vec![
            "If-None-Match: W/\"main-7\"",
            "If-None-Match: *",
            "Content-Length: 5",
            "Content-Length: 99999",
            "Content-Length: -1",
            "Transfer-Encoding: chunked",
            "Expect: 100-continue",
            "Connection: close",
            "Host: relay",
        ])
        .prop_map(|header| header.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..40),
    ];
    // A body with the header that frames it, or with whatever the headers say.
    let framed = prop_oneof![
        Just((format!("Content-Length: {}\r\n", REPORT.len()), REPORT.as_bytes().to_vec())),
        Just(("Transfer-Encoding: chunked\r\n".to_owned(), format!("1d\r\n{REPORT}\r\n0\r\n\r\n").into_bytes())),
        vec(any::<u8>(), 0..6000).prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body)),
        vec(any::<u8>(), 0..6000).prop_map(|body| (String::new(), body)),
        Just((String::new(), vec![])),
    ];
    (method, path, query, vec(header, 0..4), framed).prop_map(|(method, path, query, headers, (framing, body))| {
        let mut bytes = format!("{method} {path}{query} HTTP/1.1\r\n{framing}").into_bytes();
        for header in headers.into_iter().chain([vec![]]) {
            bytes.extend(header);
            bytes.extend(b"\r\n");
        }
        bytes.extend(body);
        bytes
    })
}

/// Requests that get past every check of the head, so that what comes after is reached.
fn lawful() -> impl Strategy<Value = Vec<u8>> {
    let account = select(vec!["main", "shop"]);
    let report = prop_oneof![Just(REPORT.as_bytes().to_vec()), vec(any::<u8>(), 0..100)];
    let query = select(vec!["", "&wait=0", "&wait=0&x=%20"]);
    let tag = select(vec!["", "If-None-Match: W/\"main-7\"\r\n", "If-None-Match: ,\"\",W/\r\n"]);
    let ticket = select(vec![
        "/ticket?account=main&type=jsapi",
        "/ticket?account=main&type=jsapi&wait=0",
        "/jssdk/config?account=main&url=https://shop.example.com/",
        "/cgi-bin/ticket/getticket?type=jsapi&access_token=wire_token",
    ]);
    let page = "[ -~]{0,40}".prop_map(|page| page.replace(['#', ' '], "@"));
    prop_oneof![
        (ticket, account.clone(), page).prop_map(|(target, account, page)| {
            let sign = format!(
                "GET /jssdk/config?account={account}&url=https://{page} HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\n\r\n"
            );
            format!("GET {target} HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\n\r\n{sign}").into_bytes()
        }),
        (account.clone(), query, tag).prop_map(|(account, query, tag)| {
            format!("GET /token?account={account}{query} HTTP/1.1\r\nAuthorization: bearer {KEY}\r\n{tag}\r\n")
                .into_bytes()
        }),
        (account, report).prop_map(|(account, body)| {
            let length = body.len();
            let route = format!("POST /token/refresh?account={account} HTTP/1.1\r\nContent-Length: {length}\r\n");
            [format!("{route}Authorization: Bearer {KEY}\r\n\r\n").into_bytes(), body].concat()
        }),
    ]
}

async fn opened() -> (FakeRelay, Served) {
    let patience = Duration::from_millis(20);
    let pages = AccountPages { appid: "wxmain".to_owned(), domains: vec!["shop.example.com".parse().unwrap()] };
    let fake = FakeRelay::patient(
        &["main", "main.jsapi", "shop"],
        Timeouts { first_token: patience, report: patience, verdict: patience, body: patience, silence: patience },
    )
    .with_pages(Pages::new([("main".parse().unwrap(), pages)]));
    fake.offer("main", 7, "wire_token", 3541);
    fake.offer("main.jsapi", 7, "wire_ticket", 3541);
    fake.publish("shop", Status::default());
    fake.keeper_of_all_answers("main");
    let served = fake.serve(LIMITS).await;
    (fake, served)
}

#[test]
fn whatever_bytes_come_no_answer_is_another_5xx_than_503_and_nothing_panics() {
    let runtime = Runtime::new().unwrap();
    let (fake, served) = runtime.block_on(opened());
    let bytes = prop_oneof![4 => request(), 3 => lawful(), 1 => vec(any::<u8>(), 0..300)];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(600)
    });
    runner
        .run(&vec(bytes, 1..3), |requests| {
            let back = runtime.block_on(served.exchange(&requests.concat()));
            // The relay's own texts hold no status line, and it echoes nothing.
            for status in back.split("HTTP/1.").skip(1).filter_map(|answer| answer.get(2..5)) {
                prop_assert!(!status.starts_with('5') || status == "503", "{}", back);
            }
            Ok(())
        })
        .unwrap();
    let metrics = runtime.block_on(fake.admin("/metrics")).body;
    assert!(metrics.contains("token_relay_handler_panics_total 0\n"));
    for (route, status) in [
        ("token", "200"),
        ("token", "503"),
        ("token", "401"),
        ("report", "200"),
        ("report", "400"),
        ("ticket", "200"),
        ("jssdk_config", "200"),
        ("jssdk_config", "400"),
        ("drop_in_ticket", "200"),
    ] {
        let never = format!("requests_total{{route=\"{route}\",status=\"{status}\"}} 0\n");
        assert!(!metrics.contains(&never), "the requests should reach {route} {status}");
    }
}
