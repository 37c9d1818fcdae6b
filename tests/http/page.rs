//! Does the status page say what is wrong and what to do, in either language, and does it follow what changes?

mod browser;
mod events;
mod scenes;

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use token_relay::{
    clock::{Clock, SystemClock},
    issuer::IssueError,
    status::{Budget, Lease, Status},
    store::StoreError,
};

use crate::fake_relay::{Answer, FakeRelay, answer, idle, offering, trouble};

/// The page as a browser asks for it that prefers these languages.
async fn page_for(fake: &FakeRelay, target: &str, languages: &str) -> Answer {
    let request = Request::get(target).header("accept-language", languages).body(Body::empty()).unwrap();
    answer(&fake.relay.admin(), request).await
}

/// Where a text stands on the page.
fn place(page: &Answer, text: &str) -> usize {
    page.body.find(text).unwrap_or_else(|| panic!("{text} is missing in\n{}", page.body))
}

#[tokio::test]
async fn what_is_wrong_comes_first_and_what_comes_from_elsewhere_is_escaped() {
    let fake = FakeRelay::of(&["fine", "late", "lost", "worst"]);
    fake.offer("fine", 7, "sentinel", 3541);
    let mut failing = trouble();
    failing.error = IssueError::Refused { errcode: -1, errmsg: "busy".to_owned() };
    fake.publish("late", Status { trouble: Some(Arc::new(failing)), failures: 1, ..offering(7, "sentinel", 600) });
    fake.publish("lost", Status { trouble: Some(Arc::new(trouble())), failures: 4, ..offering(7, "sentinel", 600) });
    let mut evil = trouble();
    evil.error = IssueError::Refused { errcode: 40164, errmsg: "<script>alert('x')</script>".to_owned() };
    let store_trouble = Some(StoreError("<b>".to_owned()).into());
    fake.publish("worst", Status { trouble: Some(Arc::new(evil)), store_trouble, ..idle() });
    let page = page_for(&fake, "/", "").await;
    let row = |name: &str| place(&page, &format!("data-name=\"{name}\""));
    assert!(row("worst") < row("lost") && row("lost") < row("late") && row("late") < row("fine"));
    place(&page, "WeChat answered errcode 40164: &lt;script&gt;alert(");
    place(&page, "the record cannot be stored: &lt;b&gt;");
    assert!(!page.body.contains("<script>") && !page.body.contains("<b>\"") && !page.body.contains("sentinel"));
    assert!(page.body.starts_with("<!DOCTYPE html><html lang=\"en\""), "{}", page.body);
}

#[tokio::test]
async fn the_page_loads_nothing_but_its_own_script_and_style() {
    let fake = FakeRelay::of(&["main"]);
    let page = fake.admin("/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.body.contains(" style=") && !page.body.contains(" onclick="), "a policy forbids it");
    for (path, kind) in [("/page.js", "text/javascript; charset=utf-8"), ("/page.css", "text/css; charset=utf-8")] {
        place(&page, &format!("\"{}\"", &path[1..]));
        let file = fake.admin(path).await;
        assert_eq!((file.status.as_u16(), file.header("content-type")), (200, kind));
        assert_eq!(file.header("x-content-type-options"), "nosniff");
        assert!(!file.body.contains("http://") && !file.body.contains("https://"), "{path}");
    }
    fake.send(Request::get("/page.js")).await.assert_problem(404);
}

#[tokio::test]
async fn the_browser_s_language_is_spoken_and_the_address_can_choose_the_other_one() {
    let fake = FakeRelay::of(&["main"]);
    for (target, accepted, language, text) in [
        ("/", "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN", "1.2.3.4 不在 IP 白名单中：把这个 IP 原样加入白名单"),
        ("/", "de", "en", "1.2.3.4 is not on the IP whitelist: put exactly this IP on the whitelist"),
        ("/?lang=en", "zh-CN", "en", "WeChat answered errcode 40164"),
        ("/?lang=zh", "en", "zh-CN", "微信返回 errcode 40164：invalid ip 1.2.3.4"),
        ("/?lang=fr", "zh", "zh-CN", "现在要做的"),
    ] {
        let page = page_for(&fake, target, accepted).await;
        place(&page, &format!("<html lang=\"{language}\""));
        place(&page, text);
        assert_eq!(page.header("vary"), "accept-language");
    }
    fake.admin("/?lang=en&lang=zh").await.assert_problem(400);
    fake.admin("/?lang=%ff").await.assert_problem(400);
}

#[tokio::test]
async fn accounts_that_fail_alike_share_one_line_that_names_them() {
    let names: Vec<String> = (0..12).map(|number| format!("shop_{number:02}")).collect();
    let fake = FakeRelay::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for (number, name) in names.iter().enumerate() {
        let mut failing = trouble();
        failing.error = IssueError::Refused { errcode: 40164, errmsg: format!("invalid ip 1.2.3.4 rid: {number}") };
        fake.publish(name, Status { trouble: Some(Arc::new(failing)), ..idle() });
    }
    let page = fake.admin("/").await;
    assert_eq!(page.body.matches("<article class=\"notice bad\">").count(), 1);
    place(&page, "shop_00, shop_01, shop_02, shop_03, shop_04, shop_05, shop_06, shop_07, and 4 more");
}

#[tokio::test]
async fn another_caller_a_revocation_a_silent_keeper_and_a_record_that_is_not_stored_are_said_above_the_accounts() {
    let fake = FakeRelay::of(&["main"]);
    let ended_by_others_at = Some(trouble().at);
    let store_trouble = Some(StoreError("disk full".to_owned()).into());
    let rotations_to_revoke = 2;
    let status = Status { ended_by_others_at, store_trouble, rotations_to_revoke, ..offering(7, "t", 3541) };
    fake.publish("main", status);
    let page = fake.admin("/").await;
    for text in
        ["another caller fetches tokens for this appid", "the record cannot be stored: disk full", "being revoked"]
    {
        place(&page, &format!("<span data-f=\"title\">{text}</span>"));
    }
    fake.offer("main", 8, "t", 3541);
    let handles = fake.relay.registry.handles();
    handles.access_token("main").unwrap().heartbeat.beat(Duration::ZERO);
    place(&fake.admin("/").await, "<span data-f=\"title\">the keeper gives no sign of life</span>");
    handles.access_token("main").unwrap().heartbeat.beat(SystemClock.awake());
    assert!(fake.admin("/").await.body.contains("<section id=\"todo\" aria-live=\"polite\" hidden>"));
}

#[tokio::test]
async fn that_no_call_is_left_of_the_days_is_said_to_operators_and_clients() {
    let fake = FakeRelay::of(&["main"]);
    let whole_budget = Budget { calls: 400, forced: 6, probes: 300 };
    let budget = Budget { calls: 0, ..whole_budget };
    fake.publish("main", Status { whole_budget, budget, trouble: None, failures: 0, ..idle() });
    place(&fake.admin("/").await, "<span data-f=\"title\">the day's calls are spent</span>");
    let metrics = fake.admin("/metrics").await.body;
    assert!(metrics.contains("token_relay_operator_needed{account=\"main\"} 1\n"), "{metrics}");
    let refused = fake.get("/token").await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("no token can be served; the day's budget of calls is spent"), "{}", refused.body);
    fake.publish("main", Status { whole_budget, budget, ..offering(7, "t", 3541) });
    let page = fake.admin("/").await.body;
    assert!(page.contains("<details class=\"row act\" data-name=\"main\""), "{page}");
}

#[tokio::test]
async fn the_search_works_without_a_script() {
    let fake = FakeRelay::of(&["main", "shop_a", "shop_b"]);
    let found = async |target: &str| {
        let page = fake.admin(target).await;
        let rows = page.body.split("<details ").skip(1).take_while(|row| !row.contains("data-name=\"\""));
        rows.map(|row| row.split('"').nth(3).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("/").await, ["main", "shop_a", "shop_b"]);
    assert_eq!(found("/?q=SHOP%20").await, ["shop_a", "shop_b"]);
    assert_eq!(found("/?q=b&lang=zh").await, ["shop_b"]);
    assert_eq!(found("/?q=%3Cscript%3E").await, [""; 0]);
    assert!(!fake.admin("/?q=%22%3E%3Cscript%3E").await.body.contains("<script>"));
    fake.admin("/?q=a&q=b").await.assert_problem(400);
}

#[tokio::test]
async fn of_thousands_of_accounts_the_worst_thousand_are_shown_and_the_rest_is_found_by_name() {
    let names: Vec<String> = (0..1003).map(|number| format!("shop_{number:04}")).collect();
    let fake = FakeRelay::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for name in &names {
        fake.offer(name, 7, "t", 3541);
    }
    fake.publish("shop_1002", idle());
    let page = fake.admin("/").await;
    place(&page, "3 more accounts are not shown: search for them by name.");
    assert!(place(&page, "data-name=\"shop_1002\"") < place(&page, "data-name=\"shop_0000\""));
    assert!(!page.body.contains("data-name=\"shop_1001\""));
    place(&fake.admin("/?q=1001").await, "data-name=\"shop_1001\"");
}

#[tokio::test]
async fn with_several_relays_each_line_says_which_one_calls() {
    let fake = FakeRelay::of(&["main", "shop", "crm"]);
    let held = |lease| Status { lease, ..offering(7, "t", 3541) };
    fake.publish("main", held(Lease::Ours));
    fake.publish("shop", held(Lease::Another));
    fake.publish("crm", held(Lease::Nobody));
    let page = fake.admin("/").await;
    place(&page, "<body class=\"several\">");
    for text in ["this relay", "another relay", "nobody"] {
        place(&page, &format!("<span class=\"lease\" data-f=\"lease\">{text}</span>"));
    }
    let alone = FakeRelay::of(&["main"]);
    alone.publish("main", held(Lease::Alone));
    assert!(!alone.admin("/").await.body.contains("<body class=\"several\">"));
}
