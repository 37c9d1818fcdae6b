//! What becomes of an address that presents wrong keys again and again?

use std::net::Ipv4Addr;

use test_support::client::{self, Answer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use crate::{
    drop_in::{DropIn, assert_refused, assert_token, body, query},
    fake_relay::KEY,
};

const TOO_MANY: &str = "api minute-quota reach limit  mustslower  retry next minute";

/// The errcodes of requests with a wrong key on both routes in turn.
async fn wrong_keys(relay: &DropIn, count: u32) -> Vec<i64> {
    let mut errcodes = Vec::new();
    for number in 0..count {
        let answer = match number % 2 {
            0 => relay.get(&query("wxmain", &format!("wrong-{number}"))).await,
            _ => relay.post(body("wxmain", &format!("wrong-{number}"))).await,
        };
        errcodes.push(answer.json()["errcode"].as_i64().unwrap());
    }
    errcodes
}

/// The answer to a wrong key from another address of this machine.
async fn wrong_key_from(relay: &DropIn, source: Ipv4Addr) -> Answer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    let mut stream = socket.connect(relay.served.address).await.unwrap();
    let target = format!("/cgi-bin/token?{}", query("wxmain", "wrong"));
    stream.write_all(client::request("GET", &target, None, "", "").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answer { status: 200, head: head.to_owned(), body: body.to_owned() }
}

#[tokio::test]
async fn the_eleventh_wrong_key_of_an_address_within_a_minute_gets_45011_and_a_right_one_its_token() {
    let relay = DropIn::serving("t").await;
    assert_eq!(wrong_keys(&relay, 12).await, [[40125; 10].as_slice(), &[45011; 2]].concat());
    assert_refused(&relay.get(&query("wxmain", "wrong")).await, 45011, TOO_MANY);
    assert_refused(&relay.get(&query("wxmain", &format!("{KEY}&secret={KEY}"))).await, 45011, TOO_MANY);
    assert_token(&relay.get(&query("wxmain", KEY)).await, "t");
    assert_token(&relay.post(body("wxmain", KEY)).await, "t");
    assert_eq!(relay.fake.get("/token").await.status, 200);
    let refused = "token_relay_drop_in_refusals_total";
    assert_eq!(relay.metric(&format!("{refused}{{reason=\"wrong_key\"}}")).await, "10");
    assert_eq!(relay.metric(&format!("{refused}{{reason=\"too_many_wrong_keys\"}}")).await, "4");
}

#[tokio::test]
async fn other_refusals_of_an_address_are_not_counted_and_stay_what_they_are() {
    let relay = DropIn::serving("t").await;
    for _ in 0..20 {
        assert_refused(&relay.get(&query("wxnone", KEY)).await, 40013, "invalid appid");
        assert_refused(&relay.get("appid=wxmain").await, 41004, "appsecret missing");
    }
    assert_eq!(wrong_keys(&relay, 11).await.last(), Some(&45011));
    assert_refused(&relay.get(&query("wxnone", "wrong")).await, 40013, "invalid appid");
    assert_refused(&relay.get(&query("wxmain", "")).await, 41004, "appsecret missing");
    assert_refused(&relay.post("[]").await, 47001, "data format error");
}

#[tokio::test]
async fn one_address_takes_nothing_from_another() {
    let relay = DropIn::serving("t").await;
    assert_eq!(wrong_keys(&relay, 11).await.last(), Some(&45011));
    for last in [2, 3] {
        let answer = wrong_key_from(&relay, Ipv4Addr::new(127, 0, 0, last)).await;
        assert_refused(&answer, 40125, "invalid appsecret");
    }
}
