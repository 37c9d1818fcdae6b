//! What does `GET /jssdk/config` answer?

use std::time::Duration;

use axum::http::{Method, Request};
use token_relay::{
    http::{AccountPages, Pages, Timeouts},
    status::Status,
};
use tokio::{join, time::sleep};

use crate::fake_relay::{BOTH_KEY, FakeRelay, KEY, MAIN_KEY, bearer, idle};

const PAGE: &str = "https%3A%2F%2Fshop.example.com%2Fcart%3Fa%3Db%23top";

/// The account `main` with a ticket and pages, and `shop` with a ticket and none.
fn fake() -> FakeRelay {
    let pages = |account: &str, domains: &[&str]| {
        let domains = domains.iter().map(|domain| domain.parse().unwrap()).collect();
        (account.parse().unwrap(), AccountPages { appid: format!("wx{account}"), domains })
    };
    let pages = Pages::new([pages("main", &["shop.example.com"]), pages("shop", &[]), pages("news", &[])]);
    let fake = FakeRelay::of(&["main", "main.jsapi", "shop", "shop.jsapi", "news"]).with_pages(pages);
    for name in ["main", "shop", "news"] {
        fake.offer(name, 7, "a-token", 3541);
    }
    for name in ["main.jsapi", "shop.jsapi"] {
        fake.offer(name, 9, "a-ticket", 7100);
    }
    fake
}

#[tokio::test]
async fn a_page_gets_the_parameters_of_wx_config() {
    let fake = fake();
    let answer = fake.get_as(MAIN_KEY, &format!("/jssdk/config?url={PAGE}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!((answer.header("content-type"), answer.header("cache-control")), ("application/json", "no-store"));
    let config = answer.json();
    assert_eq!(config.as_object().unwrap().keys().collect::<Vec<_>>(), ["appId", "nonceStr", "signature", "timestamp"]);
    assert_eq!(config["appId"], "wxmain");
    let (nonce, timestamp) = (config["nonceStr"].as_str().unwrap(), config["timestamp"].as_i64().unwrap());
    assert!(nonce.len() == 16 && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{nonce}");
    assert!(timestamp > 1_700_000_000 && timestamp < 10_000_000_000, "seconds: {timestamp}");
    let text =
        format!("jsapi_ticket=a-ticket&noncestr={nonce}&timestamp={timestamp}&url=https://shop.example.com/cart?a=b");
    assert_eq!(config["signature"], sha1(&text));
    assert!(!answer.body.contains("a-ticket"), "the ticket itself is not for pages");
    let again = fake.get(&format!("/jssdk/config?account=main&url={PAGE}")).await.json();
    assert_ne!(again["nonceStr"], config["nonceStr"]);
}

fn sha1(text: &str) -> String {
    use sha1::Digest as _;
    hex::encode(sha1::Sha1::digest(text))
}

#[tokio::test]
async fn a_signature_is_refused_in_the_order_that_the_design_has_with_a_clear_detail() {
    let fake = fake();
    let page = format!("/jssdk/config?url={PAGE}");
    for (method, target, key, status, detail) in [
        (Method::GET, "/jssdk/config/", None, 404, "nothing at this path"),
        (Method::GET, "/jssdk", None, 404, "nothing at this path"),
        (Method::POST, "/jssdk/config", None, 405, "method"),
        (Method::GET, page.as_str(), None, 401, "Bearer"),
        (Method::GET, "/jssdk/config", Some(MAIN_KEY), 400, "url is missing"),
        (Method::GET, "/jssdk/config?url=", Some(MAIN_KEY), 400, "location.href"),
        (Method::GET, "/jssdk/config?url=https://shop.example.com/&url=x", Some(MAIN_KEY), 400, "more than once"),
        (Method::GET, &page, Some(BOTH_KEY), 400, "account=NAME"),
        (Method::GET, &format!("{page}&account=shop"), Some(MAIN_KEY), 403, "this key"),
        (Method::GET, &format!("{page}&account=nobody"), Some(KEY), 404, "no account"),
        (Method::GET, &format!("{page}&account=news"), Some(KEY), 404, "keeps no such ticket"),
        (Method::GET, &format!("{page}&account=shop"), Some(BOTH_KEY), 400, "jssdk_domains"),
        (Method::GET, "/jssdk/config?url=https://shop.example.com.evil.com/", Some(MAIN_KEY), 400, "jssdk_domains"),
        (Method::GET, "/jssdk/config?url=https://shop.example.com%40evil.com/", Some(MAIN_KEY), 400, "user name"),
        (Method::GET, "/jssdk/config?url=https://shop.example.com%5C@evil.com/", Some(MAIN_KEY), 400, "backslash"),
        (Method::GET, "/jssdk/config?url=javascript:alert(1)", Some(MAIN_KEY), 400, "location.href"),
        (Method::GET, "/jssdk/config?url=https://127.0.0.1/", Some(MAIN_KEY), 400, "address"),
        (Method::GET, "/jssdk/config?url=https://shop.example.com/+", Some(MAIN_KEY), 400, "printable"),
    ] {
        let mut request = Request::builder().method(method).uri(target);
        if let Some(key) = key {
            request = request.header("authorization", bearer(key));
        }
        let answer = fake.send(request).await;
        answer.assert_problem(status);
        let told = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(told.contains(detail), "{target}: {told}");
    }
}

#[tokio::test]
async fn without_a_ticket_no_page_is_signed() {
    let fake = fake();
    fake.publish("main.jsapi", idle());
    fake.get_as(MAIN_KEY, &format!("/jssdk/config?url={PAGE}")).await.assert_problem(503);
}

#[tokio::test]
async fn a_key_that_is_taken_out_while_the_first_ticket_is_awaited_gets_no_signature() {
    let pages = AccountPages { appid: "wxmain".to_owned(), domains: vec!["shop.example.com".parse().unwrap()] };
    let fake = FakeRelay::patient(&["main", "main.jsapi"], Timeouts::new(Duration::from_secs(60)))
        .with_pages(Pages::new([("main".parse().unwrap(), pages)]));
    fake.offer("main", 7, "a-token", 3541);
    fake.publish("main.jsapi", Status::default());
    let page = Request::get(format!("/jssdk/config?url={PAGE}")).header("authorization", bearer(KEY));
    let (answer, ()) = join!(fake.send(page), async {
        sleep(Duration::from_millis(30)).await;
        fake.take_out_all_clients();
        fake.offer("main.jsapi", 9, "a-ticket", 7100);
    });
    answer.assert_problem(401);
}

#[tokio::test]
async fn a_page_of_wecom_gets_what_each_of_its_two_calls_takes() {
    let pages = AccountPages { appid: "ww1".to_owned(), domains: vec!["shop.example.com".parse().unwrap()] };
    let fake = FakeRelay::of(&["main", "main.jsapi", "main.agent_config"])
        .with_pages(Pages::new([("main".parse().unwrap(), pages)]));
    for (name, text) in [("main", "a-token"), ("main.jsapi", "of-the-corp"), ("main.agent_config", "of-the-agent")] {
        fake.offer(name, 7, text, 7100);
    }
    for (kind, id, ticket) in [
        ("", "appId", "of-the-corp"),
        ("&type=jsapi", "appId", "of-the-corp"),
        ("&type=agent_config", "corpid", "of-the-agent"),
    ] {
        let config = fake.get(&format!("/jssdk/config?url={PAGE}{kind}")).await.json();
        let members: Vec<_> = config.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, [id, "nonceStr", "signature", "timestamp"]);
        let (nonce, timestamp) = (config["nonceStr"].as_str().unwrap(), &config["timestamp"]);
        let page = "https://shop.example.com/cart?a=b";
        let text = format!("jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={page}");
        assert_eq!((&config[id], &config["signature"]), (&"ww1".into(), &sha1(&text).into()), "{kind}");
    }
    for kind in ["&type=wx_card", "&type=", "&type=jsapi&type=jsapi"] {
        fake.get(&format!("/jssdk/config?url={PAGE}{kind}")).await.assert_problem(400);
    }
}
