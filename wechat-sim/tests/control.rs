//! The control endpoint, and the README that describes it.

mod common;

use std::io::ErrorKind;
use std::time::Duration;

use common::*;
use serde_json::json;
use tokio::net::TcpStream;
use wechat_sim::{Kind, Op};

const README: &str = include_str!("../README.md");

/// The request that a curl line of the README makes.
fn curl(line: &str) -> String {
    let (line, body) = line.split_once(" -d '").unwrap_or((line, ""));
    let method = if line.contains("-X DELETE") {
        "DELETE"
    } else if body.is_empty() {
        "GET"
    } else {
        "POST"
    };
    let target = line.split_once("localhost:8090").expect("a target").1;
    request(method, target, body.trim_end_matches('\''))
}

#[tokio::test]
async fn every_curl_line_of_the_readme_works() {
    let sim = sim().start().await.unwrap();
    let lines: Vec<_> = README.lines().filter(|line| line.starts_with("curl ")).collect();
    assert!(lines.len() >= 10);
    for line in lines {
        let (head, body) = reply(sim.addr(), &curl(line)).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{line}: {head} {}", String::from_utf8_lossy(&body));
    }
}

#[tokio::test]
async fn every_fault_of_the_readme_can_be_told() {
    let sim = sim().start().await.unwrap();
    let rows = README.lines().skip_while(|line| !line.starts_with("| `fault`")).skip(2);
    let faults: Vec<_> =
        rows.flat_map(|row| row.split('|').nth(1).unwrap_or("").split('`').skip(1).step_by(2)).collect();
    assert!(faults.len() >= 15, "{faults:?}");
    for fault in faults.into_iter().filter(|fault| fault.starts_with(['"', '{']) && !fault.contains("message")) {
        let body = format!(r#"{{"op":"probe","fault":{fault}}}"#);
        let (head, body) = reply(sim.addr(), &post("/_control/faults", &body)).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{fault}: {}", String::from_utf8_lossy(&body));
    }
}

#[tokio::test]
async fn a_command_that_is_not_understood_changes_nothing_and_says_why() {
    let sim = sim().start().await.unwrap();
    let cases = [
        (post("/_control/faults", r#"{"op":"token","fault":"nonsense"}"#), "400"),
        (post("/_control/faults", r#"{"op":"token","fault":"hang","times":"often"}"#), "400"),
        (post("/_control/faults", r#"{"fault":"hang"}"#), "400"),
        (post("/_control/faults", r#"[{"op":"any","fault":"hang"},{"op":"any","path":"/a","fault":"hang"}]"#), "400"),
        (post("/_control/rules", r#"{"lifetime":60}"#), "400"),
        (post("/_control/rules", r#"{"lifetimes":"60s"}"#), "400"),
        (post("/_control/app", r#"{"whitelist":["everyone"]}"#), "400"),
        (post("/_control/rotate", r#"{"appid":"nobody"}"#), "404"),
        (post("/_control/revoke", r#"{"access_token":"75_x"}"#), "404"),
        (post("/_control/refuse", "{}"), "400"),
        (get("/_control/nothing"), "404"),
    ];
    for (request, status) in cases {
        let (head, body) = reply(sim.addr(), &request).await;
        assert_eq!(&head[9..12], status, "{request}");
        assert!(body.starts_with(br#"{"error":""#));
    }
    token(sim.addr()).await;
}

#[tokio::test]
async fn the_state_tells_calls_tokens_and_mints() {
    let sim = sim().start().await.unwrap();
    json(sim.addr(), &post("/_control/faults", r#"{"op":"token","fault":{"status":502},"minting":true}"#)).await;
    raw(sim.addr(), &token_request()).await.unwrap();
    let token = token(sim.addr()).await;
    probe(sim.addr(), "75_bad").await;
    let (_, body) = reply(sim.addr(), &get("/_control/state")).await;
    let text = String::from_utf8(body).unwrap();
    assert!(!text.contains(&token) && !text.contains(SECRET));
    let state: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(state["calls_by_operation"], json!({"token": 2, "api": 1}));
    assert_eq!(state["calls_by_outcome"], json!({"faulted": 1, "granted": 1, "refused_40001": 1}));
    assert_eq!(state["apps"][APP]["rotating"]["mints"], 2);
    assert_eq!(state["apps"][APP]["rotating"]["alive"].as_array().unwrap().len(), 2);
    assert_eq!(state["apps"][APP]["most_concurrent"], 1);
    let moments: Vec<_> =
        state["calls"].as_array().unwrap().iter().map(|call| call["at_ms"].as_u64().unwrap()).collect();
    assert!(moments.len() == 3 && moments.is_sorted());
}

#[tokio::test]
async fn commands_do_what_the_library_calls_do() {
    let sim = sim().start().await.unwrap();
    let token = json(sim.addr(), &post("/_control/rotate", "{}")).await["access_token"].as_str().unwrap().to_owned();
    assert!(sim.token_alive(APP, &token));
    let alive = get(&format!("/_control/alive?access_token={token}"));
    assert_eq!(json(sim.addr(), &alive).await["alive"], true);
    json(sim.addr(), &post("/_control/revoke", &json!({"access_token": token}).to_string())).await;
    assert_eq!(json(sim.addr(), &alive).await, json!({"alive": false, "seconds_left": null}));
    json(sim.addr(), &post("/_control/quota", r#"{"left":0}"#)).await;
    assert_eq!(json(sim.addr(), &token_request()).await["errcode"], 45009);
    json(sim.addr(), &post("/_control/app", r#"{"frozen":true}"#)).await;
    assert_eq!(json(sim.addr(), &stable_request(false)).await["errcode"], 40243);
    json(sim.addr(), &post("/_control/app", r#"{"frozen":false}"#)).await;
    json(sim.addr(), &post("/_control/rules", r#"{"lifetime":"90s","per_minute":1}"#)).await;
    assert_eq!(json(sim.addr(), &stable_request(false)).await["expires_in"], 90);
    assert_eq!((sim.mints(APP, Kind::Rotating), sim.calls(Op::Any).len()), (1, 3), "commands are no calls");
}

#[tokio::test]
async fn a_port_closed_by_command_opens_by_itself() {
    let sim = sim().start().await.unwrap();
    json(sim.addr(), &post("/_control/refuse", r#"{"for":"8s"}"#)).await;
    let refused = async {
        while !matches!(TcpStream::connect(sim.addr()).await, Err(e) if e.kind() == ErrorKind::ConnectionRefused) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while TcpStream::connect(sim.addr()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    token(sim.addr()).await;
}
