//! Is a request that waits answered by the settings that count when it is answered?

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::Request,
};
use futures_util::stream;
use token_relay::{
    http::{Apps, Timeouts},
    registry::Reported,
    settings::Endpoint,
    status::Status,
};
use tokio::{join, time::sleep};

use crate::{
    fake_relay::{FakeRelay, KEY, answer, app, bearer, idle},
    gateway::{Gate, errcode},
};

/// Long enough for a request to wait.
const SOON: Duration = Duration::from_millis(50);

/// A call is under way: a reader waits for it.
fn fetching() -> Status {
    Status { next_attempt_at: None, ..idle() }
}

/// `main` is another app's from now on, as far as the rules say.
fn give_main_to_another_app(fake: &FakeRelay) {
    let apps = Apps::new([("wxother".to_owned(), app("main", Endpoint::Token))]);
    fake.reload(Timeouts::new(Duration::from_secs(60)), apps, None);
}

#[tokio::test]
async fn a_report_whose_key_is_taken_out_while_its_body_comes_is_refused() {
    let fake = FakeRelay::serving("the-current-one");
    let body = async {
        sleep(SOON).await;
        Ok::<_, std::io::Error>(Bytes::from_static(br#"{"access_token":"an-older-one"}"#))
    };
    let (answer, ()) = join!(fake.report(Body::from_stream(stream::once(body))), async {
        sleep(SOON / 10).await;
        fake.take_out_all_clients();
    });
    answer.assert_problem(401);
}

#[tokio::test]
async fn a_report_whose_account_is_gone_when_the_keeper_answers_is_refused() {
    let fake = FakeRelay::serving("bad");
    let mut reports = fake.take_reports("main");
    let request = Request::post("/token/refresh?account=main").header("authorization", bearer(KEY));
    let request = request.body(Body::from(r#"{"access_token":"bad"}"#)).unwrap();
    let service = fake.relay.public();
    let (answer, ()) = join!(answer(&service, request), async {
        let report = reports.recv().await.unwrap();
        fake.relay.registry.remove(&["main".parse().unwrap()]);
        report.answer.send(Reported::Settled).unwrap();
    });
    answer.assert_problem(404);
}

#[tokio::test]
async fn an_sdk_that_waits_gets_no_token_of_the_app_that_its_account_became() {
    let fake = FakeRelay::of(&["main"]);
    fake.publish("main", fetching());
    let target = format!("/cgi-bin/token?grant_type=client_credential&appid=wxmain&secret={KEY}");
    let (answer, ()) = join!(fake.send(Request::get(target)), async {
        sleep(SOON).await;
        give_main_to_another_app(&fake);
        fake.offer("main", 8, "the-other-apps", 7000);
    });
    assert_eq!(answer.json()["errcode"], 40013, "{answer:?}");
}

#[tokio::test]
async fn a_ticket_that_is_gone_after_the_wait_is_not_handed_out() {
    let fake = FakeRelay::of(&["main", "main.jsapi"]);
    fake.offer("main", 7, "the-current-one", 7000);
    fake.publish("main.jsapi", fetching());
    let target = "/cgi-bin/ticket/getticket?access_token=the-current-one&type=jsapi";
    let (answer, ()) = join!(fake.send(Request::get(target)), async {
        sleep(SOON).await;
        fake.relay.registry.remove(&["main".parse().unwrap(), "main.jsapi".parse().unwrap()]);
        fake.offer("main.jsapi", 8, "a-ticket", 7000);
    });
    assert_eq!(answer.json()["errcode"], 40001, "{answer:?}");
}

#[tokio::test]
async fn a_call_that_waits_for_a_token_is_not_passed_on_by_rules_that_are_gone() {
    let gate = Gate::new().await;
    gate.fake.publish("main", fetching());
    let headers = format!("Authorization: Bearer {KEY}\r\nX-Relay-Account: main\r\n");
    let (answer, ()) = join!(gate.send("GET", "/any/echo", &headers, ""), async {
        sleep(SOON * 10).await; // over sockets
        give_main_to_another_app(&gate.fake);
        gate.fake.offer("main", 8, &gate.token, 7000);
    });
    assert_eq!(errcode(&answer), 48001, "the gateway is off: {answer:?}");
}
