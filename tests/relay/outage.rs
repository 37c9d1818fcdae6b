//! What do clients get while WeChat fails, in every way it can?

use std::time::Duration;

use test_support::{Setup, TokenPoller, eventually};
use wechat_sim::{Fault, Odd, Op, Plan, Sim, Times};

use crate::{RELAY, attempts::Attempts};

const OFTEN: Duration = Duration::from_millis(100);

/// Every broken reply. Each may come after WeChat has minted a token, or before.
fn broken_replies() -> Vec<Plan> {
    let faults = [
        Fault::Hang,
        Fault::Reset,
        Fault::Close,
        Fault::Truncated,
        Fault::Empty,
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(504),
        Fault::Huge(70_000),
        Fault::Body(b"<html>502 Bad Gateway</html>".to_vec()),
        Fault::Body(b"null".to_vec()),
        Fault::Body(vec![0xff, 0xfe, 0]),
        Fault::Body(b"{\"access_token\":\"75_".to_vec()),
        Fault::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        Fault::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}".to_vec()),
        Fault::Odd(Odd::EmptyToken),
        Fault::Odd(Odd::NullToken),
        Fault::Odd(Odd::NoToken),
    ];
    let inherent = [
        Fault::Odd(Odd::ExpiresIn(0.into())),
        Fault::Odd(Odd::ExpiresIn((-1).into())),
        Fault::Odd(Odd::ExpiresIn("soon".into())),
        Fault::Odd(Odd::NoExpiresIn),
        Fault::Odd(Odd::ControlCharacters),
        Fault::Raw(b"HTTP/1.1 302 Found\r\nLocation: /cgi-bin/token\r\nContent-Length: 0\r\n\r\n".to_vec()),
    ];
    let both = faults.into_iter().flat_map(|fault| [fault.clone().into(), fault.minting()]);
    both.chain(inherent.into_iter().map(Plan::from)).collect()
}

/// One account for each way to fail, so that all happen in one life of a token.
async fn one_account_for_each(plans: &[Plan], endpoint: &str) -> (Setup, Vec<String>) {
    let builder = Sim::builder().lifetime(Duration::from_secs(16)).overlap(Duration::from_secs(5));
    let mut setup = Setup::around(RELAY, builder.start().await.unwrap());
    setup.set("refresh.overlap", "5s");
    setup.set("server.first_token_wait", "3s");
    setup.set("wechat.timeout", "2s");
    setup.set("wechat.connect_timeout", "1s");
    setup.set("wechat.max_calls", "100");
    let names: Vec<String> = (0..plans.len()).map(|number| format!("a{number}")).collect();
    for name in &names {
        setup.account(name, endpoint);
    }
    // the first calls succeed, each of the next ones fails
    setup.sim.fault(op_of(endpoint), Fault::Pass, Times::Next(u32::try_from(plans.len()).unwrap()));
    setup.sim.script(op_of(endpoint), plans.iter().cloned());
    (setup, names)
}

fn op_of(endpoint: &str) -> Op {
    if endpoint == "token" { Op::Token } else { Op::StableToken }
}

async fn a_failure_for_each(plans: &[Plan], endpoint: &str) {
    let (op, count) = (op_of(endpoint), plans.len());
    let (setup, names) = one_account_for_each(plans, endpoint).await;
    let relay = setup.start().await;
    eventually("all tokens are there", async || relay.get("/readyz").await.json()["status"] == "ready").await;
    let poller = TokenPoller::start(&setup.sim, &names.iter().map(String::as_str).collect::<Vec<_>>(), OFTEN);
    poller.read_from(&relay);
    eventually("all failures came", async || setup.sim.calls(op).len() >= 2 * count).await;
    eventually("all have recovered", async || {
        let mut failures = 0;
        for name in &names {
            failures += relay.metric(&format!("token_relay_consecutive_failures{{account=\"{name}\"}}")).await;
        }
        failures == 0 && setup.sim.calls(op).len() > 2 * count
    })
    .await;
    for name in &names {
        let asked = setup.sim.now();
        let served = relay.get(&format!("/token?account={name}")).await;
        assert_eq!(served.status, 200, "{name}: a token that lives");
        poller.record(name, asked, &served);
    }
    let seen = poller.close().await;
    assert_eq!(seen.unavailable.len(), 0, "a living token was always served: {:?}", seen.unavailable);
    assert!(relay.events("fetch failed").len() >= count * 2 / 3, "most of them are failures");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_broken_reply_leaves_the_living_token_served() {
    a_failure_for_each(&broken_replies(), "token").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_broken_reply_leaves_a_sticky_token_served() {
    a_failure_for_each(&broken_replies(), "stable_token").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_errcode_leaves_the_living_token_served_to_its_end() {
    let codes = [-1, -1000, 45011, 45009, 40001, 40125, 40013, 40164, 40243, 50004, 89503, 89507, 45501, 12345];
    let plans: Vec<Plan> = codes.into_iter().map(|code| Fault::errcode(code).into()).collect();
    let (setup, names) = one_account_for_each(&plans, "token").await;
    let relay = setup.start().await;
    eventually("all tokens are there", async || relay.get("/readyz").await.json()["status"] == "ready").await;
    let born = setup.sim.now();
    let poller = TokenPoller::start(&setup.sim, &names.iter().map(String::as_str).collect::<Vec<_>>(), OFTEN);
    poller.read_from(&relay);
    // They lived for 16 s from a moment before `born`; by then every account has met its errcode.
    let end = born + Duration::from_secs(13);
    poller.until(end).await;
    eventually("all met their errcodes", async || setup.calls().len() >= 2 * names.len()).await;
    let (calls, late) = (setup.calls().len(), setup.sim.now().saturating_sub(end).as_secs());
    assert!(calls as u64 <= (3 + late) * names.len() as u64, "no tight loop: {calls} calls");
    let mut seen = poller.close().await;
    seen.unavailable.retain(|_, asked| asked.iter().any(|asked| *asked < end));
    assert_eq!(seen.unavailable.len(), 0, "{:?}", seen.unavailable);
    assert!(relay.look("/status").await.body.contains("\"errcode\":40164"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_past_the_planned_rotation_goes_unseen() {
    let mut setup = Setup::new(RELAY, 14, 4).await;
    setup.set("server.first_token_wait", "3s");
    setup.account("shop", "stable_token");
    let relay = setup.start().await;
    let poller = TokenPoller::start(&setup.sim, &["main", "shop"], OFTEN);
    eventually("both tokens are there", async || relay.get("/readyz").await.json()["status"] == "ready").await;
    let born = setup.sim.now();
    poller.read_from(&relay);
    setup.sim.refuse_connections().await;
    let (calls, of_main) = (setup.calls().len(), setup.sim.calls(Op::Token).len() as u64);
    // R is after 7 s; up to 10 s WeChat is away, and 4 s of life are left.
    poller.until(born + Duration::from_secs(10)).await;
    assert_eq!(relay.get("/healthz").await.status, 200);
    assert_eq!(setup.calls().len(), calls, "nothing arrived");
    // one that is under way is debited
    let left = "token_relay_budget_left{account=\"main\",budget=\"calls\"}";
    eventually("all are refunded", async || relay.metric(left).await == 400 - of_main).await;
    setup.sim.accept_connections().await;
    poller.until(born + Duration::from_secs(13)).await;
    eventually("both have rotated", async || setup.calls().len() >= calls + 2).await;
    let seen = poller.close().await;
    assert_eq!(seen.unavailable.len(), 0, "{:?}", seen.unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_past_expiry_gives_503_with_a_reason_and_ends_by_itself() {
    let mut setup = Setup::new(RELAY, 6, 2).await;
    setup.set("server.first_token_wait", "1s");
    let relay = setup.start().await;
    let poller = TokenPoller::start(&setup.sim, &["main"], OFTEN);
    eventually("it serves", async || relay.get("/token").await.status == 200).await;
    let first = relay.get("/token").await.token();
    poller.read_from(&relay);
    setup.sim.refuse_connections().await;
    eventually("the token ran out", async || relay.get("/token").await.status == 503).await;
    assert!(setup.sim.alive_for(&first).is_none_or(|left| left < Duration::from_secs(2)), "served to its end");
    let refused = relay.get("/token").await;
    assert!(refused.body.contains("WeChat") && refused.retry_after().is_some(), "{refused:?}");
    assert_eq!(relay.get("/readyz").await.status, 503);
    assert_eq!(relay.get("/healthz").await.status, 200);
    setup.sim.accept_connections().await;
    eventually("it serves again", async || relay.get("/token").await.status == 200).await;
    assert_ne!(relay.get("/token").await.token(), first);
    poller.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_replies_for_longer_than_a_life_never_make_a_dead_token_served() {
    let mut setup = Setup::new(RELAY, 10, 4).await;
    setup.set("wechat.timeout", "2s");
    setup.set("wechat.connect_timeout", "1s");
    let relay = setup.start().await;
    let attempts = Attempts::watch(setup.record());
    let poller = TokenPoller::start(&setup.sim, &["main"], Duration::from_millis(20));
    relay.get("/token").await.token();
    poller.read_from(&relay);
    for fault in [Fault::Reset, Fault::Status(502), Fault::Close, Fault::Hang] {
        setup.sim.fault(Op::Token, fault.minting(), Times::Next(1));
    }
    eventually("the last loss is over", async || setup.calls().len() >= 6).await;
    eventually("it serves again", async || relay.get("/token").await.status == 200).await;
    poller.close().await;
    attempts.close(&setup.sim, setup.calls().len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_errors_that_mint_nothing_never_take_a_living_token_away() {
    // A probe tells something from an overlap and a second after the first call on, and up to a second before the third:
    // here that is for four seconds.
    let setup = Setup::new(RELAY, 44, 10).await;
    setup.sim.script(Op::Token, [Fault::Pass]);
    setup.sim.fault(Op::Token, Fault::Status(502), Times::Always);
    let relay = setup.start().await;
    let poller = TokenPoller::start(&setup.sim, &["main"], OFTEN);
    let first = relay.get("/token").await.token();
    poller.read_from(&relay);
    eventually("calls have failed past the promise", async || setup.calls().len() >= 3).await;
    eventually("probed and served on (I8)", async || {
        let served = relay.get("/token").await;
        assert!(served.status == 503 || served.token() == first, "{served:?}");
        setup.probes() > 0 && served.status == 200
    })
    .await;
    poller.close().await;
}
