//! Does anything leak (I9)? Everything that a relay can be made to say is searched, at the most talkative log level.

use std::{collections::BTreeSet, fs, os::unix::process::ExitStatusExt as _, process::Command, time::Duration};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use test_support::{
    CLIENT_KEY, Certificate, Relay, SECRET, SENTINEL, Setup, appid,
    client::{self, Answer},
    eventually,
};
use wechat_sim::{Fault, Kind, Odd, Op, Sim, Times};

use crate::RELAY;

mod all_parts;

const WRONG_KEY: &str = "sentinel-a-key-that-nobody-has-0123456789";

/// What must not be said, and what was.
struct Search {
    tokens: BTreeSet<String>,
    said: String,
}

impl Search {
    fn begin() -> Self {
        Self { tokens: BTreeSet::new(), said: String::new() }
    }

    /// A token that lives or lived.
    fn token(&mut self, token: &str) {
        self.tokens.insert(token.to_owned());
    }

    fn living(&mut self, sim: &Sim) {
        for (app, kind) in [("main", Kind::Rotating), ("shop", Kind::Sticky)] {
            self.tokens.extend(sim.living(&appid(app), kind).into_iter().map(|grant| grant.access_token));
        }
    }

    /// An answer that may not hold a token.
    fn said(&mut self, answer: &Answer) {
        self.said.push_str(&answer.head);
        self.said.push_str(&answer.body);
    }

    /// Asks WeChat's own routes with keys in the URL and in the body: right ones, a wrong one, and the AppSecret.
    async fn drop_in(&mut self, relay: &Relay) {
        for appid in ["wxmain", "wxshop"] {
            for secret in [CLIENT_KEY, WRONG_KEY, SECRET] {
                let query = format!("grant_type=client_credential&appid={appid}&secret={secret}");
                let body = serde_json::json!({
                    "grant_type": "client_credential", "appid": appid, "secret": secret, "force_refresh": true,
                });
                let get = client::request("GET", &format!("/cgi-bin/token?{query}"), None, "", "");
                let post = client::request("POST", "/cgi-bin/stable_token", None, "", &body.to_string());
                let wrong = client::request("POST", &format!("/cgi-bin/token?{query}"), None, "", &body.to_string());
                for request in [get, post, wrong] {
                    let answer = client::send(relay.public, request.as_bytes()).await.unwrap();
                    match answer.json()["access_token"].as_str() {
                        Some(token) => self.token(token),
                        None => self.said(&answer),
                    }
                }
            }
        }
    }

    async fn ask_all(&mut self, relay: &Relay) {
        for target in ["/", "/status", "/metrics", "/readyz", "/healthz"] {
            self.said(&relay.look(target).await);
        }
        for target in ["/readyz", "/healthz", "/nothing", "/token?account=", "/token?account=nobody"] {
            self.said(&relay.get(target).await);
        }
        self.said(&client::get(relay.public, "/token", Some(WRONG_KEY)).await.unwrap());
    }

    fn end(mut self, relay: &Relay) {
        self.said.push_str(&relay.text());
        assert!(!self.tokens.is_empty() && self.said.len() > 1000);
        let found: Vec<&str> = self.said.lines().filter(|line| self.is_secret(line)).collect();
        assert!(found.is_empty(), "{} lines with a secret:\n{}", found.len(), found.join("\n"));
    }

    fn is_secret(&self, line: &str) -> bool {
        line.to_lowercase().contains(SENTINEL) || self.tokens.iter().any(|token| line.contains(token.as_str()))
    }
}

fn process_list(relay: &Relay) -> String {
    let command_line = fs::read(format!("/proc/{}/cmdline", relay.pid())).unwrap();
    String::from_utf8_lossy(&command_line).into_owned()
}

async fn everything_happens(setup: &Setup, relay: &mut Relay) {
    let mut search = Search::begin();
    eventually("tokens are there", async || relay.get("/readyz").await.json()["status"] == "ready").await;
    search.living(&setup.sim);
    for account in ["main", "shop"] {
        let query = format!("?account={account}");
        let token = relay.get(&format!("/token{query}")).await.token();
        search.token(&token);
        search.said(&relay.get(&format!("/token{query}&wait=x&key={CLIENT_KEY}")).await);
        client::report(relay.public, CLIENT_KEY, &query, &token).await.unwrap();
        search.said(&client::report(relay.public, WRONG_KEY, &query, &token).await.unwrap());
        setup.sim.revoke(&token);
        for fault in [Fault::Status(502), Fault::Reset, Fault::FalseRefusal] {
            setup.sim.fault(Op::Any, fault, Times::Next(1));
            let answer = client::report(relay.public, CLIENT_KEY, &query, &token).await.unwrap();
            if answer.status == 200 {
                search.token(&answer.token());
            } else {
                search.said(&answer);
            }
        }
    }
    search.ask_all(relay).await;
    search.drop_in(relay).await;
    setup.sim.clear_faults();
    // WeChat quotes what it was sent
    let echo = format!("bad secret {SECRET} and {}", SECRET.to_uppercase());
    let faults = [
        Fault::Odd(Odd::ControlCharacters),
        Fault::Body(format!("{{\"errcode\":-1,\"errmsg\":{SECRET:?}}}").into_bytes()),
        Fault::Body(echo.clone().into_bytes()),
        // the last one: the account that meets it is not called for again for minutes
        Fault::Errcode { code: 40125, message: Some(echo) },
    ];
    let calls = setup.calls().len();
    setup.sim.script(Op::Any, faults);
    search.living(&setup.sim);
    eventually("a rotation or two", async || setup.calls().len() >= calls + 6).await;
    search.living(&setup.sim);
    search.ask_all(relay).await;
    assert!(!process_list(relay).contains(SENTINEL));
    relay.signal(Signal::TERM);
    relay.ended().await;
    search.end(relay);
}

fn prepare(setup: &mut Setup) {
    for (key, value) in [("log.filter", "trace"), ("refresh.overlap", "3s"), ("refresh.report_cooldown", "0s")] {
        setup.set(key, value);
    }
    setup.set("log.access", "all");
    setup.account("main", "token");
    setup.account("shop", "stable_token");
    setup.set("accounts.main.accept_appsecret", "true");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_told_at_trace_level_over_plain_http() {
    let builder = Sim::builder().lifetime(Duration::from_secs(6)).overlap(Duration::from_secs(3));
    let mut setup = Setup::around(RELAY, builder.start().await.unwrap());
    prepare(&mut setup);
    let mut relay = setup.start().await;
    everything_happens(&setup, &mut relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_told_at_trace_level_over_tls() {
    let certificate = Certificate::of("localhost");
    let builder =
        Sim::builder().tls(certificate.identity()).lifetime(Duration::from_secs(6)).overlap(Duration::from_secs(3));
    let mut setup = Setup::around(RELAY, builder.start().await.unwrap());
    prepare(&mut setup);
    setup.env("SSL_CERT_FILE", &certificate.write_ca(setup.path()));
    let mut relay = setup.start().await;
    everything_happens(&setup, &mut relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_told_when_the_settings_are_wrong() {
    for (key, value) in [
        ("clients.other.key", "sentinel-short"),
        ("accounts.main.secret_file", "/run/sentinel"),
        ("accounts.main.sercet", "sentinel-mistyped"),
        ("wechat.base_url", "https://user:sentinel-password@api.weixin.qq.com"),
        ("wechat.proxy", "ftp://user:sentinel-password@proxy"),
        ("state.url", "redis://:sentinel-password@host/x y"),
    ] {
        let mut setup = Setup::new(RELAY, 60, 10).await;
        setup.set(key, value);
        let mut relay = setup.spawn();
        assert_ne!(relay.ended().await, Some(0), "{key}");
        let said = relay.text().replace("/run/sentinel", "");
        assert!(said.contains(key.rsplit('.').next().unwrap()) && !said.contains(SENTINEL), "{key}: {said}");
    }
}

/// A core dump holds every AppSecret and token. Whoever may not dump a process may not read its memory either.
#[tokio::test]
async fn a_relay_that_is_aborted_leaves_no_core_dump() {
    let limit = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut another = Command::new("sh");
    let another = another.args(["-c", "kill -ABRT $$"]).current_dir(home.path()).status().unwrap();
    if !another.core_dumped() {
        return println!("skipped: this system makes no core dumps");
    }
    let relay = Setup::new(RELAY, 7200, 300).await.start().await;
    assert!(!relay.dumps_core());
}
