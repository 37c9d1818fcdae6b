//! How does the process end, and what is left behind?

use std::{io::Write as _, process::Command, time::Duration};

use rustix::process::Signal;
use test_support::{CLIENT_KEY, Relay, Setup, client, eventually};
use tokio::{task::JoinSet, time::sleep};
use wechat_sim::{Fault, Op, Times};

use crate::RELAY;

/// Far longer than a test waits for the end: who waits for the grace to run out fails it.
const ENDLESS: &str = "10m";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_relay_stops_at_once_with_0_whatever_the_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut setup = Setup::new(RELAY, 600, 60).await;
        setup.set("server.shutdown_grace", ENDLESS);
        let mut relay = setup.start().await;
        relay.get("/token").await.token();
        relay.signal(signal);
        assert_eq!(relay.ended().await, Some(0), "{signal:?}");
        assert_eq!(relay.events("stopped")[0]["as_asked"], true);
        assert!(tokio::net::TcpStream::connect(relay.public).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_comes_while_the_settings_are_read_ends_it_at_once_with_0() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    let pipe = setup.path().join("settings.toml");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    setup.env("TOKEN_RELAY_CONFIG", pipe.to_str().unwrap());
    // as long as somebody may write, the end has not come
    let mut writer = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    writer.write_all(b"# a long file\n").unwrap();
    let mut relay = setup.spawn();
    eventually("it reads", async || rustix::io::ioctl_fionread(&writer).unwrap() == 0).await;
    relay.signal(Signal::TERM);
    assert_eq!(relay.ended().await, Some(0));
    assert!(relay.text().is_empty(), "{}", relay.text());
    drop(writer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_long_polls_and_lets_the_call_under_way_end() {
    // The call begins after 10 s and takes 7 s; for 8 s the first token is served meanwhile.
    let mut setup = Setup::new(RELAY, 20, 10).await;
    setup.set("wechat.timeout", "20s");
    setup.set("server.shutdown_grace", "50s");
    setup.sim.script(Op::Token, [Fault::Pass.into(), Fault::Slow(Duration::from_secs(7)).minting()]);
    let mut relay = setup.start().await;
    let first = relay.get("/token").await;
    // the second token lives so long that the next relay has nothing to do
    setup.sim.change_rules(|rules| rules.lifetime = Duration::from_secs(600));
    eventually("the rotation's call is under way", async || setup.calls().len() == 2).await;
    let (at, etag) = (relay.public, first.etag());
    let mut polls = JoinSet::new();
    polls.spawn(async move { client::poll(at, CLIENT_KEY, &etag, 60).await });
    taken(&relay).await;
    relay.signal(Signal::TERM);
    let answer = polls.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(answer.status, 304, "neither the wait of 60 s nor the grace was over: {answer:?}");
    assert_eq!(relay.ended().await, Some(0));
    let minted = setup.sim.living("wxmain", wechat_sim::Kind::Rotating)[0].access_token.clone();

    let next = setup.start().await;
    assert_eq!(next.get("/token").await.token(), minted, "the reply was stored");
    assert_eq!(setup.calls().len(), 2, "and the restart made no call (I7)");
}

/// Waits until the relay has taken the one connection of a client, and a little for its request.
async fn taken(relay: &Relay) {
    let open = "token_relay_connections{listener=\"public\"}";
    eventually("the connection is there", async || relay.metric(open).await == 1).await;
    sleep(Duration::from_millis(200)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_tokens_call_is_not_cut_off_by_a_stop_either() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("wechat.timeout", "20s");
    setup.set("server.shutdown_grace", "50s");
    setup.sim.set_latency(Duration::from_secs(5));
    let mut relay = setup.start().await;
    eventually("the call is under way", async || setup.calls().len() == 1).await;
    let at = relay.public;
    let mut readers = JoinSet::new();
    readers.spawn(async move { client::get(at, "/token", Some(CLIENT_KEY)).await });
    taken(&relay).await;
    relay.signal(Signal::TERM);
    let reader = readers.join_next().await.unwrap().unwrap().unwrap();
    assert!(reader.status == 503 && reader.retry_after().is_some(), "{reader:?}");
    assert_eq!(relay.ended().await, Some(0));
    let next = setup.start().await;
    next.get("/token").await.token();
    assert_eq!(setup.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_waits_is_answered_by_a_stop() {
    let setup = Setup::new(RELAY, 600, 60).await;
    let mut relay = setup.start().await;
    let dead = relay.get("/token").await.token();
    setup.sim.revoke(&dead);
    setup.sim.fault(Op::Token, Fault::Slow(Duration::from_secs(2)).minting(), Times::Next(1));
    let at = relay.public;
    let mut reports = JoinSet::new();
    let bad = dead.clone();
    reports.spawn(async move { client::report(at, CLIENT_KEY, "", &bad).await });
    eventually("the refresh is under way", async || setup.calls().len() == 2).await;
    relay.signal(Signal::TERM);
    let answer = reports.join_next().await.unwrap().unwrap().unwrap();
    assert!(answer.status == 503 || answer.status == 200 && answer.token() != dead, "{answer:?}");
    assert_eq!(relay.ended().await, Some(0));
    let next = setup.start().await;
    assert!(setup.sim.token_alive("wxmain", &next.get("/token").await.token()));
    assert_eq!(setup.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_quick_while_wechat_hangs_and_a_probe_waits() {
    let mut setup = Setup::new(RELAY, 60, 10).await;
    setup.set("wechat.timeout", "3s");
    setup.set("wechat.connect_timeout", "1s");
    setup.set("server.shutdown_grace", ENDLESS);
    setup.sim.fault(Op::Any, Fault::Hang, Times::Always);
    let mut relay = setup.start().await;
    eventually("the call is under way", async || setup.calls().len() == 1).await;
    // A silent connection, a half-sent request and an idle one must not hold the process either.
    let silent = tokio::net::TcpStream::connect(relay.public).await.unwrap();
    let half = tokio::net::TcpStream::connect(relay.public).await.unwrap();
    half.try_write(b"GET /token HTTP/1.1\r\nHo").unwrap();
    relay.signal(Signal::TERM);
    assert_eq!(relay.ended().await, Some(0));
    drop((silent, half));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_by_its_exit_code_whether_the_running_relay_lives() {
    let setup = Setup::new(RELAY, 60, 10).await;
    let mut relay = setup.start().await;
    let health = |relay: &Relay| {
        let mut command = Command::new(RELAY);
        command.env_clear().env("TOKEN_RELAY__SERVER__LISTEN", relay.public.to_string());
        command.env("TOKEN_RELAY__SERVER__ADMIN_LISTEN", relay.admin.to_string());
        command.arg("health").output().unwrap()
    };
    // it waits 3 s at most, in which a busy machine may get nowhere
    eventually("it is alive", async || {
        let alive = health(&relay);
        let said = String::from_utf8_lossy(&alive.stdout).into_owned();
        assert_eq!(said, if alive.status.success() { "alive\n" } else { "" });
        alive.status.success()
    })
    .await;
    relay.signal(Signal::STOP);
    let frozen = health(&relay);
    assert_eq!(frozen.status.code(), Some(1), "{frozen:?}");
    relay.signal(Signal::CONT);
    eventually("it is alive again", async || health(&relay).status.success()).await;
    // a file that the relay refused at a reload is no reason to end it
    let file = setup.path().join("broken.toml");
    std::fs::write(&file, "[server\n").unwrap();
    let listeners = [("LISTEN", relay.public), ("ADMIN_LISTEN", relay.admin)];
    let with_file = |words: &[&str]| {
        let mut command = Command::new(RELAY);
        command.env_clear().env("TOKEN_RELAY_CONFIG", &file).args(words);
        command.envs(listeners.map(|(key, at)| (format!("TOKEN_RELAY__SERVER__{key}"), at.to_string())));
        command.output().unwrap()
    };
    eventually("it is alive", async || with_file(&["health"]).status.success()).await;
    eventually("it says how it is", async || with_file(&["status", "--json"]).status.success()).await;
    assert_eq!(with_file(&["check"]).status.code(), Some(78));
    // nor is a server.listen that is no address: the relay listens where it did before
    let mut edited = Command::new(RELAY);
    edited.env_clear().env("TOKEN_RELAY__SERVER__LISTEN", "8080").arg("health");
    edited.env("TOKEN_RELAY__SERVER__ADMIN_LISTEN", relay.admin.to_string());
    let edited = edited.output().unwrap();
    assert!(edited.status.success(), "{edited:?}");
    relay.signal(Signal::TERM);
    relay.ended().await;
    assert_eq!(health(&relay).status.code(), Some(1));
    let dead = with_file(&["health"]);
    assert_eq!(dead.status.code(), Some(78), "it may listen where the file says: {dead:?}");
}
