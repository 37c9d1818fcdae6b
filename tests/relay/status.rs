//! Does `token-relay status` show an operator how the relay that runs here stands?

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use test_support::{ClosedPort, Finished, Relay, SENTINEL, Setup, free_port, run};
use wechat_sim::{Fault, Op, Times};

use crate::RELAY;

/// Asks the relay that listens there, and looks for secrets in the answer.
async fn status(admin: impl ToString, token: &str, arguments: &'static [&str]) -> Finished {
    let env = [("TOKEN_RELAY__SERVER__ADMIN_LISTEN", admin.to_string())];
    let asked = tokio::task::spawn_blocking(move || run(RELAY, &[&["status"], arguments].concat(), env)).await.unwrap();
    let all = format!("{}{}", asked.stdout, asked.stderr);
    assert!(!all.contains(SENTINEL) && (token.is_empty() || !all.contains(token)), "{all}");
    asked
}

async fn setup() -> (Setup, Relay, String) {
    let mut setup = Setup::new(RELAY, 7200, 300).await;
    setup.account("a_healthy_one", "stable_token");
    let refused = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 6b030ea5-e9e34b50-a9bea1e6";
    let fault = Fault::Errcode { code: 40164, message: Some(refused.to_owned()) };
    setup.sim.fault(Op::Token, fault, Times::Always);
    let relay = setup.start().await;
    let token = relay.get("/token?account=a_healthy_one").await.token();
    (setup, relay, token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_has_the_failing_account_first_and_what_to_do_below() {
    let (_setup, relay, token) = setup().await;
    let page = status(relay.admin, &token, &[]).await.succeeded();
    let lines: Vec<_> = page.lines().collect();
    assert!(lines[0].starts_with("degraded: token-relay "), "{page}");
    assert!(lines[3].starts_with("main ") && lines[3].contains(" none "), "{page}");
    assert!(lines[4].starts_with("a_healthy_one ") && lines[4].contains(" 1 of 1500 "), "{page}");
    let said = "\nmain: WeChat answered errcode 40164: invalid ip 203.0.113.7 ";
    assert!(page.contains(said) && page.contains("\n    203.0.113.7 is not on the IP whitelist: "), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_is_that_of_the_route_in_one_line() {
    let (_setup, relay, token) = setup().await;
    let printed = status(relay.admin, &token, &["--json"]).await.succeeded();
    assert_eq!(printed.lines().count(), 1);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let route = relay.look("/status").await.json();
    assert_eq!(printed["accounts"]["main"]["trouble"]["errcode"], 40164);
    for member in ["version", "status", "settings"] {
        assert_eq!(printed[member], route[member]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_account_is_served_the_answer_is_printed_and_the_exit_code_is_1() {
    let setup = Setup::new(RELAY, 7200, 300).await;
    setup.sim.fault(Op::Token, Fault::errcode(40013), Times::Always);
    let relay = setup.start().await;
    for (arguments, begins) in [(&[][..], "unready: token-relay "), (&["--json"], "{")] {
        let asked = status(relay.admin, "", arguments).await;
        assert_eq!((asked.code, asked.stderr.as_str()), (Some(1), ""));
        assert!(asked.stdout.starts_with(begins), "{}", asked.stdout);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_relay_cannot_be_asked_is_said_in_one_line() {
    let closed = ClosedPort::bind();
    for (admin, code, says) in [
        (closed.address().to_string(), 1, "refused"),
        (String::new(), 1, "server.admin_listen is empty"),
        ("9090".to_owned(), 78, "server.admin_listen: must be"),
        ("127.0.0.1:0".to_owned(), 78, "server.admin_listen: has port 0"),
    ] {
        let asked = status(admin, "", &[]).await;
        assert_eq!((asked.code, asked.stdout.as_str()), (Some(code), ""));
        assert!(asked.stderr.contains(says) && asked.stderr.lines().count() == 1, "{}", asked.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watching_prints_again_over_a_restart_of_the_relay_and_ctrl_c_ends_it_with_0() {
    let mut setup = Setup::new(RELAY, 7200, 300).await;
    setup.set("server.admin_listen", &format!("127.0.0.1:{}", free_port()));
    let mut relay = setup.start().await;
    relay.get("/token").await.token();
    let mut watch = Command::new(RELAY);
    watch.env_clear().envs(&setup.env).args(["status", "--watch", "--json"]);
    let mut watch = watch.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut seen = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut said = BufReader::new(watch.stderr.take().unwrap()).lines();
    let is_ready = |line: String| serde_json::from_str::<Value>(&line).unwrap()["status"] == "ready";
    assert!(is_ready(seen.next().unwrap().unwrap()) && is_ready(seen.next().unwrap().unwrap()));
    relay.signal(Signal::TERM);
    assert_eq!(relay.ended().await, Some(0));
    assert!(said.next().unwrap().unwrap().contains("refused"));
    let _relay = setup.start().await;
    let again = (seen.by_ref()).map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert!(again.take(20).any(|status| status["uptime_s"].as_u64().unwrap() < 5 && status["status"] == "ready"));
    kill_process(Pid::from_raw(i32::try_from(watch.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}
