//! What does a report answer? `POST /token/refresh`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{body::Body, http::Request};
use bytes::Bytes;
use http_body_util::StreamBody;
use token_relay::{
    http::Timeouts,
    issuer::{IssueError, NoVerdict},
    registry::Reported,
    report::{ReportFailure, ReportLimit},
    status::Status,
};

use crate::fake_relay::{FakeRelay, KEY, answer, bearer, offering, trouble};

const OLD: &str = r#"{"access_token":"old"}"#;

#[tokio::test]
async fn a_token_that_is_not_the_current_one_gets_the_current_one_and_asks_nobody() {
    let fake = FakeRelay::serving("old");
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    fake.keeper("main", move |_| {
        count.fetch_add(1, Relaxed);
        Reported::Settled
    });
    for body in [r#"{"access_token":"older"}"#, r#"{"access_token":""}"#, r#" {"x":[1],"access_token":"\u0000"} "#] {
        let answer = fake.report(body).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["access_token"], "old");
    }
    assert_eq!(asked.load(Relaxed), 0);
    let metrics = fake.admin("/metrics").await.body;
    assert!(metrics.contains("reports_total{account=\"main\",outcome=\"stale\"} 3\n"));
}

#[tokio::test]
async fn the_current_token_is_reported_with_its_generation_and_what_stands_then_is_served() {
    let fake = FakeRelay::serving("old");
    let mut reports = fake.take_reports("main");
    let (answer, ()) = tokio::join!(fake.report(OLD), async {
        let report = reports.recv().await.unwrap();
        assert_eq!(report.generation.0, 7);
        fake.offer("main", 8, "new", 7000);
        report.answer.send(Reported::Settled).unwrap();
    });
    assert_eq!(answer.json()["access_token"], "new");
    assert_eq!(answer.header("etag"), r#"W/"main-8""#);
}

#[tokio::test]
async fn a_good_token_is_served_again() {
    let fake = FakeRelay::serving("old");
    fake.keeper("main", |_| Reported::Settled);
    let answer = fake.report(OLD).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["access_token"]), (200, &"old".into()));
}

#[tokio::test]
async fn too_many_reports_are_told_when_to_come_again() {
    let fake = FakeRelay::serving("old");
    let retry_in = Duration::from_millis(29_001);
    fake.keeper("main", move |_| Reported::TooMany { retry_in, limit: ReportLimit::Cooldown });
    let answer = fake.report(OLD).await;
    answer.assert_problem(429);
    assert_eq!(answer.header("retry-after"), "30");
    assert_eq!(answer.json()["detail"], "the token was probed or rotated just now");
}

#[tokio::test]
async fn a_report_without_a_verdict_is_503_and_says_why() {
    let fake = FakeRelay::serving("old");
    let failure = ReportFailure::NoVerdict(NoVerdict::Errcode(-1));
    fake.keeper("main", move |_| Reported::Failed { retry_in: Duration::ZERO, failure: failure.clone() });
    let answer = fake.report(OLD).await;
    answer.assert_problem(503);
    assert_eq!(answer.json()["detail"], "the probe was inconclusive: errcode -1");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(fake.get("/token").await.status, 200);
}

#[tokio::test]
async fn each_limit_and_each_failure_of_a_report_has_its_own_words() {
    let fake = FakeRelay::serving("old");
    let limits = [ReportLimit::Cooldown, ReportLimit::Calls, ReportLimit::Probes];
    let failures = [
        ReportFailure::ShuttingDown,
        ReportFailure::TooSoon,
        ReportFailure::NotStored,
        ReportFailure::StoreAway,
        ReportFailure::NoVerdict(NoVerdict::NotStored),
        ReportFailure::RefreshFailed(IssueError::Refused { errcode: 40125, errmsg: "invalid appsecret".to_owned() }),
        ReportFailure::Worded("as it was told".to_owned()),
    ];
    let retry_in = Duration::ZERO;
    let limits = limits.map(|limit| Reported::TooMany { retry_in, limit });
    let mut answers = limits.into_iter().chain(failures.map(|failure| Reported::Failed { retry_in, failure }));
    let count = answers.clone().count();
    fake.keeper("main", move |_| answers.next().expect("as many reports as answers"));
    let mut details = std::collections::BTreeSet::new();
    for _ in 0..count {
        details.insert(fake.report(OLD).await.json()["detail"].as_str().unwrap().to_owned());
    }
    assert_eq!(details.len(), count, "{details:?}");
}

#[tokio::test]
async fn the_last_failure_is_told_once_whether_the_report_met_it_or_another() {
    let fake = FakeRelay::serving("old");
    let failed = trouble();
    let standing = offering(7, "old", 3541);
    fake.publish("main", Status { trouble: Some(Arc::new(trouble())), failures: 1, ..standing });
    let mut failures = [ReportFailure::RefreshFailed(failed.error), ReportFailure::TooSoon].into_iter();
    fake.keeper("main", move |_| Reported::Failed { retry_in: Duration::ZERO, failure: failures.next().unwrap() });
    for detail in [
        "the refresh failed: WeChat answered errcode 40164: invalid ip 1.2.3.4",
        "the token is dead, and WeChat's last answer forbids a call so soon; the last call to WeChat failed: WeChat \
         answered errcode 40164: invalid ip 1.2.3.4",
    ] {
        let json = fake.report(OLD).await.json();
        assert_eq!(json["detail"], detail);
        assert_eq!(json["errcode"], 40164);
        assert!(json["hint"].as_str().unwrap().starts_with("1.2.3.4 is not on the IP whitelist: "), "{json}");
    }
}

#[tokio::test]
async fn a_keeper_that_is_being_started_again_is_503() {
    let fake = FakeRelay::serving("old");
    drop(fake.take_reports("main"));
    fake.report(OLD).await.assert_problem(503);
    let fake = FakeRelay::serving("old");
    let mut reports = fake.take_reports("main");
    let (answer, ()) = tokio::join!(fake.report(OLD), async { drop(reports.recv().await) });
    answer.assert_problem(503);
}

#[tokio::test]
async fn a_report_waits_no_longer_than_it_may() {
    let fake =
        FakeRelay::patient(&["main"], Timeouts { report: Duration::from_millis(50), ..Timeouts::new(Duration::ZERO) });
    fake.offer("main", 7, "old", 3541);
    fake.report(OLD).await.assert_problem(503);
}

#[tokio::test]
async fn a_report_without_any_current_token_waits_for_the_one_under_way() {
    let fake = FakeRelay::patient(&["main"], Timeouts::new(Duration::ZERO));
    fake.publish("main", Status::default());
    let (answer, ()) = tokio::join!(fake.report(OLD), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        fake.offer("main", 8, "new", 7000);
    });
    assert_eq!(answer.json()["access_token"], "new");
}

#[tokio::test]
async fn a_report_without_any_current_token_is_503_at_once_when_no_call_is_near() {
    let fake = FakeRelay::of(&["main"]);
    fake.report(OLD).await.assert_problem(503);
}

#[tokio::test]
async fn a_token_whose_promise_has_run_out_can_still_be_reported() {
    let fake = FakeRelay::of(&["main"]);
    fake.publish("main", offering(7, "old", 0));
    fake.keeper("main", |generation| Reported::Failed {
        retry_in: Duration::ZERO,
        failure: ReportFailure::Worded(format!("heard {generation}")),
    });
    assert_eq!(fake.report(OLD).await.json()["detail"], "heard 7");
}

#[tokio::test]
async fn a_body_of_another_shape_is_refused() {
    let fake = FakeRelay::serving("old");
    let bad =
        ["", "{}", "null", "[]", r#"["old"]"#, r#"{"access_token":1}"#, r#"{"access_token":null}"#, "{", "\u{feff}{}"];
    for body in bad.into_iter().chain([r#"{"access_token":"a"} x"#, r#"{"token":"old"}"#, r#""old""#]) {
        fake.report(body).await.assert_problem(400);
    }
    fake.report(&b"{\"access_token\":\"\xff\"}"[..]).await.assert_problem(400);
    fake.report("[".repeat(4000)).await.assert_problem(400);
}

#[tokio::test]
async fn a_body_of_more_than_4_kib_is_refused_and_one_of_4_kib_is_not() {
    let fake = FakeRelay::serving("old");
    let padded = |size: usize| format!("{}{OLD}", " ".repeat(size - OLD.len()));
    fake.keeper("main", |_| Reported::Settled);
    assert_eq!(fake.report(padded(4096)).await.status, 200);
    fake.report(padded(4097)).await.assert_problem(413);
    let chunks = futures_util::stream::iter(
        (0..5).map(|_| Ok::<_, std::io::Error>(hyper::body::Frame::data(Bytes::from(vec![b' '; 1000])))),
    );
    fake.report(Body::new(StreamBody::new(chunks))).await.assert_problem(413);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up_and_the_connection_closed() {
    let fake =
        FakeRelay::patient(&["main"], Timeouts { body: Duration::from_millis(50), ..Timeouts::new(Duration::ZERO) });
    let never = futures_util::stream::pending::<Result<hyper::body::Frame<Bytes>, std::io::Error>>();
    let answer = fake.report(Body::new(StreamBody::new(never))).await;
    answer.assert_problem(400);
    assert_eq!(answer.header("connection"), "close");
}

#[tokio::test]
async fn the_checks_of_a_report_come_in_order() {
    let fake = FakeRelay::of(&["main", "shop"]);
    let huge = || Body::from("x".repeat(5000));
    let say = |target: &str, key: &str, body: Body| {
        let request = Request::post(target).header("authorization", bearer(key)).body(body).unwrap();
        let http = fake.relay.public();
        async move { answer(&http, request).await }
    };
    say("/token/refresh?account=%ff", "wrong", huge()).await.assert_problem(401);
    say("/token/refresh?account=main&account=x", KEY, huge()).await.assert_problem(400);
    say("/token/refresh", KEY, huge()).await.assert_problem(400);
    say("/token/refresh?account=x", KEY, huge()).await.assert_problem(404);
    say("/token/refresh?account=shop", crate::fake_relay::MAIN_KEY, huge()).await.assert_problem(403);
    say("/token/refresh?account=main", KEY, huge()).await.assert_problem(413);
    // `wait` is no parameter of a report.
    say("/token/refresh?account=main&wait=x", KEY, OLD.into()).await.assert_problem(503);
}
