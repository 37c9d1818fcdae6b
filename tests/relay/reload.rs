//! Can every setting be changed while the relay runs, without a failed request?

use std::{fmt::Write as _, fs, path::PathBuf, time::Duration};

use rustix::process::Signal;
use test_support::{CLIENT_KEY, Relay, SECRET, SETTINGS_TAKEN, Setup, TokenPoller, client, eventually};
use tokio::time::Instant;
use wechat_sim::{Fault, Op, Outcome, Sim, Times};

use crate::RELAY;

mod files;

pub(crate) const REFUSED: &str = "the changed settings cannot be used: the relay goes on with those that it has";

/// A relay whose accounts and clients are in a file, and each secret in a file of its own.
struct Files {
    setup: Setup,
    accounts: Vec<(&'static str, &'static str)>,
    clients: String,
    more: String,
}

impl Files {
    async fn new() -> Self {
        let sim = Sim::builder().lifetime(Duration::from_secs(7200)).overlap(Duration::from_secs(300));
        let setup = Setup::around(RELAY, sim.start().await.unwrap());
        let mut files = Self { setup, accounts: vec![("main", "token")], clients: String::new(), more: String::new() };
        let config = files.config();
        files.setup.env("TOKEN_RELAY_CONFIG", config.to_str().unwrap());
        files.secret("main", SECRET);
        files.write();
        files
    }

    fn config(&self) -> PathBuf {
        self.setup.path().join("relay.toml")
    }

    fn secret_file(&self, account: &str) -> PathBuf {
        self.setup.path().join(format!("{account}_secret"))
    }

    /// The AppSecret in the file of an account, which WeChat takes from now on.
    fn secret(&self, account: &str, secret: &str) {
        self.setup.sim.register(&format!("wx{account}"), secret);
        fs::write(self.secret_file(account), format!("{secret}\n")).unwrap();
    }

    fn text(&self) -> String {
        let account = |(name, endpoint): &(&str, &str)| {
            let file = self.secret_file(name).display().to_string();
            format!("[accounts.{name}]\nappid = \"wx{name}\"\nsecret_file = {file:?}\nendpoint = \"{endpoint}\"\n")
        };
        let accounts: String = self.accounts.iter().map(account).collect();
        format!("{}\n{accounts}{}", self.more, self.clients)
    }

    fn write(&self) {
        fs::write(self.config(), self.text()).unwrap();
    }
}

pub(crate) async fn counted(relay: &Relay, message: &str, count: usize) {
    eventually(message, async || relay.events(message).len() >= count).await;
}

async fn reload(files: &Files, relay: &Relay) {
    files.write();
    relay.reload().await;
}

/// Four services that read `main` all the time, each with a connection per request.
fn readers(files: &Files, relay: &Relay) -> TokenPoller {
    let readers = TokenPoller::start(&files.setup.sim, &["main"; 4], Duration::from_millis(2));
    readers.read_from(relay);
    readers
}

/// How many reads failed, of how many. Whatever the machine did meanwhile counts too.
async fn ended(readers: TokenPoller) -> (u64, u64) {
    let seen = readers.close().await;
    let unavailable: usize = seen.unavailable.values().map(Vec::len).sum();
    let failed = seen.lost + (unavailable + seen.excused) as u64;
    (failed, seen.served + failed)
}

async fn status_with(relay: &Relay, key: &str, account: &str) -> u16 {
    client::get(relay.public, &format!("/token?account={account}"), Some(key)).await.unwrap().status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_rotations_of_a_client_key_fail_no_request() {
    let mut files = Files::new().await;
    let key = |number: usize| format!("sentinel-billing-key-number-{number:02}-0123456789");
    let client = |keys: &[String]| format!("[clients.billing]\nkeys = {keys:?}\n");
    files.clients = client(&[key(0)]);
    files.write();
    let relay = files.setup.start().await;
    relay.get("/token?account=main").await.token();
    let reading = readers(&files, &relay);
    for number in 0..20 {
        let (old, new) = (key(number), key(number + 1));
        assert_eq!(status_with(&relay, &new, "main").await, 401);
        files.clients = client(&[old.clone(), new.clone()]);
        reload(&files, &relay).await;
        assert_eq!((status_with(&relay, &old, "main").await, status_with(&relay, &new, "main").await), (200, 200));
        files.clients = client(std::slice::from_ref(&new));
        reload(&files, &relay).await;
        assert_eq!((status_with(&relay, &old, "main").await, status_with(&relay, &new, "main").await), (401, 200));
    }
    let (failed, read) = ended(reading).await;
    println!("20 rotations of a client key: {failed} of {read} reads failed");
    assert_eq!((failed, files.setup.calls().len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_changes_of_an_appsecret_fail_no_request_and_the_last_one_is_used() {
    let mut files = Files::new().await;
    files.accounts = vec![("main", "token"), ("calm", "stable_token")];
    files.secret("calm", SECRET);
    files.write();
    let relay = files.setup.start().await;
    for account in ["main", "calm"] {
        assert_eq!(status_with(&relay, CLIENT_KEY, account).await, 200);
    }
    let reading = readers(&files, &relay);
    for number in 0..20 {
        for account in ["main", "calm"] {
            files.secret(account, &format!("sentinel-appsecret-number-{number}"));
        }
        reload(&files, &relay).await;
    }
    let tried = async || files.setup.sim.calls(Op::StableToken).len() > 1;
    eventually("a sticky account tries its new secret at once", tried).await;
    let (failed, read) = ended(reading).await;
    println!("20 changes of an AppSecret: {failed} of {read} reads failed");
    assert_eq!(failed, 0);
    assert!(files.setup.calls().iter().all(|call| call.outcome == Outcome::Granted), "no call with a wrong one");
    // a call would end the token that lives
    assert_eq!(files.setup.sim.calls(Op::Token).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_appsecret_is_mended_without_a_restart_and_the_right_one_is_tried_at_once() {
    let files = Files::new().await;
    files.setup.sim.register("wxmain", "another");
    let relay = files.setup.start().await;
    eventually("it is refused", async || {
        relay.look("/status").await.json()["accounts"]["main"]["trouble"]["errcode"].is_number()
    })
    .await;
    files.secret("main", "sentinel-the-right-appsecret");
    eventually("it is taken without a signal", async || relay.events(SETTINGS_TAKEN).len() == 1).await;
    assert_eq!(relay.get("/token?account=main").await.status, 200);
    assert_eq!(files.setup.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_come_go_and_change_while_others_are_served() {
    let mut files = Files::new().await;
    let relay = files.setup.start().await;
    relay.get("/token?account=main").await.token();
    let reading = readers(&files, &relay);
    files.accounts = vec![("main", "token"), ("shop", "token")];
    files.secret("shop", SECRET);
    reload(&files, &relay).await;
    let first = relay.get("/token?account=shop").await.token();
    // the same account with another kind of token: another credential
    files.accounts = vec![("main", "token"), ("shop", "stable_token")];
    reload(&files, &relay).await;
    let second = relay.get("/token?account=shop").await.token();
    assert_ne!(first, second);
    files.accounts = vec![("main", "token")];
    reload(&files, &relay).await;
    assert_eq!(status_with(&relay, CLIENT_KEY, "shop").await, 404);
    let is_forgotten = async || !relay.look("/metrics").await.body.contains("account=\"shop\"");
    eventually("its metrics are gone", is_forgotten).await;
    // its record is still there: a restart is free
    files.accounts = vec![("main", "token"), ("shop", "stable_token")];
    reload(&files, &relay).await;
    assert_eq!(relay.get("/token?account=shop").await.token(), second);
    assert_eq!(ended(reading).await.0, 0);
    assert_eq!(files.setup.calls().len(), 3);
    let taken = relay.events(SETTINGS_TAKEN);
    let changes = |name: &str| taken.iter().map(|event| event[name].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(
        (changes("added"), changes("replaced"), changes("removed")),
        (vec![1, 0, 0, 1], vec![0, 1, 0, 0], vec![0, 0, 1, 0])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_counts_only_after_a_restart_is_said() {
    let mut files = Files::new().await;
    for key in ["SERVER__SHUTDOWN_GRACE", "LOG__FORMAT"] {
        files.setup.env.remove(&format!("TOKEN_RELAY__{key}"));
    }
    files.setup.env("TOKEN_RELAY__LOG__FORMAT", "json");
    let relay = files.setup.start().await;
    files.more = "[server]\nshutdown_grace = \"25s\"\n[log]\nfilter = \"info,token_relay=debug\"\n".to_owned();
    reload(&files, &relay).await;
    assert_eq!(
        relay.look("/status").await.json()["settings"]["needs_restart"],
        serde_json::json!(["server.shutdown_grace"])
    );
    let said = relay.events("changed settings that count only after a restart");
    assert_eq!(said[0]["keys"], "server.shutdown_grace");
    // the filter is another one from now on
    assert_eq!(status_with(&relay, "sentinel-a-key-that-nobody-has-0123456789", "main").await, 401);
    eventually("DEBUG is logged", async || !relay.events("answered, but not with 200").is_empty()).await;
    files.more.clear();
    reload(&files, &relay).await;
    assert_eq!(relay.look("/status").await.json()["settings"]["needs_restart"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_would_not_end_within_the_grace_of_the_start_are_refused() {
    let mut files = Files::new().await;
    files.setup.env.remove("TOKEN_RELAY__SERVER__SHUTDOWN_GRACE");
    let relay = files.setup.start().await;
    files.more = "[server]\nshutdown_grace = \"70s\"\n[wechat]\ntimeout = \"60s\"\n".to_owned();
    files.write();
    relay.signal(Signal::HUP);
    let trouble = async || relay.look("/status").await.json()["settings"]["trouble"].as_str().map(str::to_owned);
    eventually("it is refused", async || trouble().await.is_some()).await;
    assert_eq!(
        trouble().await.unwrap(),
        "server.shutdown_grace: must be wechat.timeout and 2s more (1m 2s) or longer, so that a sent call can end; what this \
         relay was started with counts until it is started again"
    );
    files.more = "[server]\nshutdown_grace = \"70s\"\n".to_owned();
    reload(&files, &relay).await;
    assert_eq!(trouble().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_account_ends_its_call_first_and_a_stop_in_the_middle_of_it_loses_nothing() {
    let mut files = Files::new().await;
    files.accounts = vec![("main", "token"), ("shop", "token")];
    files.secret("shop", SECRET);
    files.write();
    files.setup.sim.fault(Op::Token, Fault::Slow(Duration::from_secs(3)), Times::Always);
    let mut relay = files.setup.start().await;
    eventually("the call is under way", async || !files.setup.sim.calls(Op::Token).is_empty()).await;
    files.accounts = vec![("main", "token")];
    files.write();
    relay.signal(Signal::HUP);
    relay.signal(Signal::TERM);
    assert_eq!(relay.ended().await, Some(0));
    assert!(files.setup.state().join("shop.json").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_withdrawn_does_not_wait_for_the_call_of_an_account_that_was_removed_before() {
    const KEY: &str = "sentinel-billing-key-0123456789abcdef";
    let mut files = Files::new().await;
    files.clients = format!("[clients.billing]\nkey = {KEY:?}\n");
    files.write();
    let relay = files.setup.start().await;
    relay.get("/token?account=main").await.token();
    files.setup.sim.fault(Op::Token, Fault::Slow(Duration::from_secs(7)), Times::Always);
    files.accounts.push(("shop", "token"));
    files.secret("shop", SECRET);
    reload(&files, &relay).await;
    eventually("its call is under way", async || files.setup.calls().len() == 2).await;
    files.accounts.pop();
    reload(&files, &relay).await;
    assert_eq!(status_with(&relay, KEY, "main").await, 200);
    files.clients.clear();
    reload(&files, &relay).await;
    assert_eq!(status_with(&relay, KEY, "main").await, 401);
    assert!(relay.look("/metrics").await.body.contains("account=\"shop\""), "the call is still under way");
}

/// The 99th percentile in microseconds.
fn p99(mut times: Vec<Duration>) -> u128 {
    times.sort_unstable();
    times[times.len() * 99 / 100].as_micros()
}

async fn reads(relay: &Relay, mut goes_on: impl FnMut(usize) -> bool) -> Vec<Duration> {
    let mut times = Vec::new();
    while goes_on(times.len()) {
        let asked = Instant::now();
        assert_eq!(relay.get("/token?account=main").await.status, 200);
        times.push(asked.elapsed());
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_accounts_are_read_again_while_main_is_served() {
    let files = Files::new().await;
    let mut text = files.text();
    for number in 0..999 {
        files.setup.sim.register(&format!("wxother{number}"), SECRET);
        writeln!(text, "[accounts.other{number}]\nappid = \"wxother{number}\"\nsecret = \"{SECRET}\"").unwrap();
    }
    fs::write(files.config(), text).unwrap();
    let relay = files.setup.start().await;
    eventually("all are fetched", async || files.setup.calls().len() == 1000).await;
    let quiet = reads(&relay, |count| count < 2000).await;
    let asked = Instant::now();
    relay.signal(Signal::HUP);
    let meanwhile = reads(&relay, |_| relay.events(SETTINGS_TAKEN).is_empty()).await;
    println!(
        "1,000 accounts were read again in {:?}; p99 of {} reads meanwhile {} µs, of quiet ones {} µs",
        asked.elapsed(),
        meanwhile.len(),
        p99(meanwhile),
        p99(quiet)
    );
    assert_eq!(files.setup.calls().len(), 1000, "a reload calls nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_is_turned_on_and_off_while_the_relay_runs() {
    let mut files = Files::new().await;
    let relay = files.setup.start().await;
    let ask = async || {
        assert_eq!(status_with(&relay, CLIENT_KEY, "main").await, 200);
        assert_eq!(relay.get("/nothing").await.status, 404);
    };
    let mut logged = 0;
    for (level, lines) in [("off", 0), ("errors", 1), ("all", 2), ("off", 0), ("errors", 1)] {
        files.more = format!("[log]\naccess = \"{level}\"\n");
        reload(&files, &relay).await;
        ask().await;
        logged += lines;
        counted(&relay, "request", logged).await;
        assert_eq!(relay.events("request").len(), logged, "{level}");
    }
    assert_eq!(relay.events("request")[0]["status"], 404);
}
